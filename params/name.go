package params

import (
	"strings"
	"unicode"
)

// Kebab returns the name of a Go identifier as scripts and parameters carry it: "BatchSize" is "batch-size".
// Acronyms stay whole, their plural too: "HTTPServer" is "http-server", "UserIDs" is "user-ids". The arguments of a
// generic type are dropped.
func Kebab(goName string) string {
	if i := strings.IndexByte(goName, '['); i >= 0 {
		goName = goName[:i]
	}
	runes := []rune(goName)
	var b strings.Builder
	for i, r := range runes {
		if r == '_' || r == '-' {
			if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
				b.WriteByte('-')
			}
			continue
		}
		if i > 0 && unicode.IsUpper(r) && startsWord(runes, i) && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.TrimSuffix(b.String(), "-")
}

// startsWord tells whether the upper-case rune at i begins a word.
func startsWord(runes []rune, i int) bool {
	if !unicode.IsUpper(runes[i-1]) {
		return true
	}
	if i+1 == len(runes) || !unicode.IsLower(runes[i+1]) {
		return false
	}
	// The last capital of a run begins the next word (HTTPServer), unless the run is only made plural (UserIDs).
	plural := runes[i+1] == 's' && (i+2 == len(runes) || !unicode.IsLower(runes[i+2]))
	return !plural
}

// camel turns "batch-size" into "batchSize".
func camel(kebab string) string {
	var b strings.Builder
	upper := false
	for _, r := range kebab {
		switch {
		case r == '-':
			upper = b.Len() > 0
		case upper:
			b.WriteRune(unicode.ToUpper(r))
			upper = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// lowerFirst lowers the first word of a Go name: "UserIDs" becomes "userIDs", "HTTPServer" "httpServer".
func lowerFirst(goName string) string {
	first, _, _ := strings.Cut(Kebab(goName), "-")
	if len(first) > len(goName) {
		return goName
	}
	return first + goName[len(first):]
}

// spellings lists the ways to write a field's name; the first is the one that is shown.
func spellings(name, goName string) []string {
	all := []string{name, camel(name)}
	if Kebab(goName) == name {
		all = append(all, goName, lowerFirst(goName))
	}
	return all
}

// envName turns a path into the end of an automatic variable name: "source.coll" is "SOURCE_COLL".
func envName(path string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(path))
}
