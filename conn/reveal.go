package conn

import (
	"net/url"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Reveal returns the connection string with its password, for another program
// that shall work where this reference does: it names the database of [Ref.DB],
// and appName in place of its own unless that is empty. Hand it over in the
// environment, never in arguments, which every user of the machine can read, and
// don't print it. What Config.ClientOptions changes is not in it.
func (r *Ref) Reveal(appName string) string {
	uri := r.source.address().uri
	if uri = atDatabase(uri, r.link.database); appName != "" {
		uri = withOption(uri, "appName", appName)
	}
	return uri
}

// atDatabase puts a database into the path of a URI that the driver accepts. The
// path also says where the user is known, unless an option does; that must stay.
func atDatabase(uri, database string) string {
	if database == "" || database == databaseOf(uri) {
		return uri
	}
	if auth := options.Client().ApplyURI(uri).Auth; auth != nil && auth.AuthSource != "" && !hasOption(uri, "authSource") {
		uri = withOption(uri, "authSource", auth.AuthSource)
	}
	base, query, hasQuery := strings.Cut(uri, "?")
	scheme, rest, _ := strings.Cut(base, "://")
	hosts, _, _ := strings.Cut(rest, "/")
	uri = scheme + "://" + hosts + "/" + url.PathEscape(database)
	if hasQuery {
		uri += "?" + query
	}
	return uri
}

func hasOption(uri, name string) bool {
	_, query, _ := strings.Cut(uri, "?")
	for option := range strings.SplitSeq(query, "&") {
		if key, _, _ := strings.Cut(option, "="); strings.EqualFold(key, name) {
			return true
		}
	}
	return false
}

// withOption sets an option in the query of a URI.
func withOption(uri, name, value string) string {
	base, query, _ := strings.Cut(uri, "?")
	if _, rest, _ := strings.Cut(base, "://"); !strings.Contains(rest, "/") {
		base += "/"
	}
	var kept []string
	for option := range strings.SplitSeq(query, "&") {
		if key, _, _ := strings.Cut(option, "="); option != "" && !strings.EqualFold(key, name) {
			kept = append(kept, option)
		}
	}
	kept = append(kept, name+"="+url.QueryEscape(value))
	return base + "?" + strings.Join(kept, "&")
}
