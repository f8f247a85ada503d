package conn

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/rikki-go/rikki/internal/redact"
)

// databaseOf returns the database in a URI's path. It is right for URIs that the
// driver accepts, in which user information holds no bare @, / or ?, and cheap: the
// driver's own parser looks mongodb+srv hosts up.
func databaseOf(uri string) string {
	_, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "?")
	_, database, _ := strings.Cut(rest, "/")
	if name, err := url.QueryUnescape(database); err == nil {
		return name
	}
	return ""
}

// parseError returns the driver's complaint about a URI without the parts of the
// URI that are hidden: it quotes what it stumbles over, and in a malformed URI
// that may be the password. The driver's error is not kept for the same reason.
func parseError(err error, uri string, r *redact.Redactor) error {
	shown := redact.URI(uri)
	var b strings.Builder
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error parsing uri: "), "error validating uri: ")
	for {
		before, rest, ok := strings.Cut(text, `"`)
		b.WriteString(before)
		if !ok {
			break
		}
		quoted, err := strconv.QuotedPrefix(`"` + rest)
		if err != nil {
			b.WriteString(redact.Mask)
			break
		}
		text = rest[len(quoted)-1:]
		if inner, err := strconv.Unquote(quoted); err == nil && harmlessQuote(inner, shown) {
			b.WriteString(quoted)
		} else {
			b.WriteString(`"` + redact.Mask + `"`)
		}
	}
	return errors.New(r.Text(b.String()))
}

// harmlessQuote allows what the safe form shows anyway, and the two schemes.
func harmlessQuote(s, shown string) bool {
	return s != "" && strings.Contains(shown, s) || s == "mongodb" || s == "mongodb+srv"
}
