package redact

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// shortest is the length below which a value is not hidden by itself: masking
// every "abc" would garble all text and thereby give the value away.
const shortest = 4

// A Redactor hides URIs as [Text] does, and concrete secret values on top. The
// zero value and a nil Redactor hide URIs only. It is safe for concurrent use.
type Redactor struct {
	mu       sync.RWMutex
	known    map[string]bool
	replacer *strings.Replacer
}

// Add makes r hide a secret in its plain, percent-encoded, JSON-escaped and
// Go-quoted spellings. Values shorter than four bytes, and parts of the word
// "mongodb+srv://", are left alone: hiding those would garble every text.
func (r *Redactor) Add(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = make(map[string]bool)
	}
	for _, s := range spellings(secret) {
		if len(s) >= shortest && !strings.Contains("mongodb+srv://", s) {
			r.known[s] = true
		}
	}
	// The longest first, so that no secret leaves the tail of another that begins
	// alike.
	all := make([]string, 0, len(r.known))
	for s := range r.known {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	pairs := make([]string, 0, 2*len(all))
	for _, s := range all {
		pairs = append(pairs, s, Mask)
	}
	r.replacer = strings.NewReplacer(pairs...)
}

// AddURI makes r hide the password and the secret options of a URI wherever
// they appear, also outside of a URI. User names stay: they are ordinary words.
func (r *Redactor) AddURI(uri string) {
	_, rest, ok := cutScheme(strings.TrimSpace(uri))
	if !ok {
		return
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if _, password, ok := strings.Cut(rest[:at], ":"); ok {
			r.Add(password)
		}
	}
	// With an @ behind the first ?, the options may start at an earlier or a later
	// one; the last is right unless an option's value holds a ? itself.
	for i := strings.IndexByte(rest, '?'); i >= 0; {
		for option := range strings.SplitSeq(rest[i+1:], "&") {
			r.addOption(option)
		}
		next := strings.IndexByte(rest[i+1:], '?')
		if next < 0 {
			break
		}
		i += 1 + next
	}
}

func (r *Redactor) addOption(option string) {
	key, value, ok := strings.Cut(option, "=")
	if !ok || harmless(key) || value == "true" || value == "false" {
		return
	}
	r.Add(value)
	if !strings.EqualFold(key, "authMechanismProperties") {
		return
	}
	for property := range strings.SplitSeq(value, ",") {
		if name, secret, ok := strings.Cut(property, ":"); ok && secretProperty(name) {
			r.Add(secret)
		}
	}
}

// secretProperty tells the properties that hold a credential from those, such
// as ENVIRONMENT:gcp, whose values are ordinary words.
func secretProperty(name string) bool {
	switch strings.ToUpper(name) {
	case "SERVICE_NAME", "SERVICE_REALM", "SERVICE_HOST", "CANONICALIZE_HOST_NAME", "ENVIRONMENT", "ALLOWED_HOSTS":
		return false
	default:
		return true
	}
}

// Text returns s without the secrets that r knows and with its URIs made safe.
func (r *Redactor) Text(s string) string {
	if r != nil {
		r.mu.RLock()
		replacer := r.replacer
		r.mu.RUnlock()
		if replacer != nil {
			s = replacer.Replace(s)
		}
	}
	return Text(s)
}

// spellings lists the ways in which a secret can turn up in text.
func spellings(secret string) []string {
	plain := []string{secret}
	for _, decode := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
		if s, err := decode(secret); err == nil && s != secret {
			plain = append(plain, s)
		}
	}
	var all []string
	for _, s := range plain {
		quoted := strconv.Quote(s)
		all = append(all, s, quoted[1:len(quoted)-1])
		for _, encoded := range []string{url.QueryEscape(s), url.PathEscape(s), percent(s)} {
			all = append(all, encoded, lowerHex(encoded))
		}
		for _, escapeHTML := range []bool{true, false} {
			var b strings.Builder
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(escapeHTML)
			if err := e.Encode(s); err == nil {
				all = append(all, strings.Trim(strings.TrimSuffix(b.String(), "\n"), `"`))
			}
		}
	}
	return all
}

// percent encodes everything but letters and digits.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if plain(s[i:i+1], "") {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// lowerHex spells the digits of an encoded string's escapes in lower case.
func lowerHex(encoded string) string {
	b := []byte(encoded)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(encoded[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}
