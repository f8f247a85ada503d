package redact

import (
	"encoding/json"
	"fmt"
	"maps"
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

// New returns a Redactor that knows the given secrets, see [Redactor.Add].
func New(secrets ...string) *Redactor {
	r := &Redactor{}
	for _, secret := range secrets {
		r.Add(secret)
	}
	return r
}

// Clone returns a Redactor that knows what r knows by now, and learns nothing
// that r is told from here on.
func (r *Redactor) Clone() *Redactor {
	if r == nil {
		return &Redactor{}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return &Redactor{known: maps.Clone(r.known), replacer: r.replacer}
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

// AddURI makes r hide the [Secrets] of a URI wherever they appear, also outside
// of a URI.
func (r *Redactor) AddURI(uri string) {
	for _, secret := range Secrets(uri) {
		r.Add(secret)
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
