package redact

import "strings"

// Text returns s with every mongodb:// and mongodb+srv:// URI in it made safe as
// [URI] does it. The rest of the text is kept, with one exception: a password
// may hold blanks and quotes, so a URI is taken to reach as far as an @ that a
// host with a port or a path follows on the same line, and, when its beginning
// does not read as a host, as far as the last @ of the line.
func Text(s string) string {
	start, mark := nextURI(s, 0)
	if start < 0 {
		return s
	}
	var b strings.Builder
	done := 0
	for start >= 0 {
		b.WriteString(s[done:start])
		next, nextMark := nextURI(s, start+mark)
		line := lineEnd(s, start, mark, next)
		end := start + uriLength(s[start:line], mark)
		b.WriteString(safeSpan(s[start:end], mark))
		done, start, mark = end, next, nextMark
	}
	b.WriteString(s[done:])
	return b.String()
}

// safeSpan hides a URI whole when its scheme is spelled in an encoded way: then
// its separators are encoded too.
func safeSpan(span string, mark int) string {
	if _, _, ok := cutScheme(span); ok {
		return URI(span)
	}
	return span[:mark] + Mask
}

// nextURI finds the next scheme at or behind from, plain, percent-encoded or
// with the escaped slashes of some JSON writers. It returns where the scheme
// starts and how long it is, or -1.
func nextURI(s string, from int) (start, mark int) {
	for i := from; i+len("mongodb") < len(s); i++ {
		if s[i]|0x20 != 'm' || !strings.EqualFold(s[i:i+len("mongodb")], "mongodb") {
			continue
		}
		rest := s[i+len("mongodb"):]
		length := len("mongodb")
		for _, srv := range []string{"+srv", "%2bsrv"} {
			if hasPrefixFold(rest, srv) {
				rest, length = rest[len(srv):], length+len(srv)
				break
			}
		}
		for _, slashes := range []string{"://", "%3a%2f%2f", `:\/\/`} {
			if hasPrefixFold(rest, slashes) {
				return i, length + len(slashes)
			}
		}
	}
	return -1, 0
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// lineEnd is where a URI that starts at start ends at the latest: at the next
// URI, at the end of the line, or at the quote that closes the one before it.
func lineEnd(s string, start, mark, next int) int {
	end := len(s)
	if next >= 0 {
		end = next
	}
	if i := strings.IndexAny(s[start:end], "\r\n"); i >= 0 {
		end = start + i
	}
	if start == 0 || s[start-1] != '"' {
		return end
	}
	for i := start + mark; i < end; i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			// A quote inside a password leaves a beginning that is no host.
			if inner := s[start+mark : i]; strings.Contains(inner, "@") || plainAuthority(inner) {
				return i
			}
		}
	}
	return end
}

// uriLength tells how much of line, which begins with a scheme of mark bytes,
// is the URI.
func uriLength(line string, mark int) int {
	end := mark + tokenLength(line[mark:])
	broken := !strings.Contains(line[mark:end], "@") && !plainAuthority(line[mark:end])
	for at := strings.LastIndexByte(line, '@'); at >= end; at = strings.LastIndexByte(line[:at], '@') {
		if broken || leadsToHost(line[at+1:]) {
			end = at + 1 + tokenLength(line[at+1:])
			break
		}
	}
	// A sentence may go on right behind a URI.
	return max(mark, len(strings.TrimRight(line[:end], ".,;:!?)}")))
}

func tokenLength(s string) int {
	if i := strings.IndexAny(s, " \t\v\f\"'`<>\u00a0"); i >= 0 {
		return i
	}
	return len(s)
}

// plainAuthority reports whether what follows a scheme is a list of hosts, so
// that no password can have begun in it.
func plainAuthority(s string) bool {
	hosts := strings.TrimRight(s, ".,;:!?)}")
	if i := strings.IndexAny(hosts, "/?"); i >= 0 {
		hosts = hosts[:i]
	}
	return !strings.Contains(safeHosts(hosts), Mask)
}

// leadsToHost tells the end of a URI's user information from an e-mail address:
// a port, a path or another host follows.
func leadsToHost(s string) bool {
	hosts := s[:tokenLength(s)]
	i := strings.IndexAny(hosts, "/?,")
	if i < 0 {
		return strings.Contains(hosts, ":") && plainHost(strings.TrimRight(hosts, ".,;:!?)}"))
	}
	return plainHost(hosts[:i])
}
