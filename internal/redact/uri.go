package redact

import "strings"

// Mask stands wherever something was hidden.
const Mask = "***"

// URI returns a form of one MongoDB URI that is safe to show to people: user
// and password are replaced, secret options are masked, and hosts, database and
// harmless options are kept. It never fails, and what it cannot make sense of it
// hides altogether. Calling it twice changes nothing.
func URI(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	scheme, rest, ok := cutScheme(s)
	if !ok {
		// Without a scheme anything may be the secret itself.
		return Mask
	}
	at, query := strings.LastIndexByte(rest, '@'), strings.IndexByte(rest, '?')
	if query >= 0 && query < at {
		return scheme + Mask
	}

	var b strings.Builder
	b.WriteString(scheme)
	if at >= 0 {
		b.WriteString(Mask + "@")
		rest = rest[at+1:]
	}
	rest, options, hasOptions := strings.Cut(rest, "?")
	hosts, database, hasPath := strings.Cut(rest, "/")
	b.WriteString(safeHosts(hosts))
	if hasPath {
		b.WriteByte('/')
		if database != "" && !plainDatabase(database) {
			database = Mask
		}
		b.WriteString(database)
	}
	if hasOptions {
		b.WriteByte('?')
		b.WriteString(safeOptions(options))
	}
	return b.String()
}

// cutScheme splits a URI behind its "://". Only the two schemes of MongoDB are
// known: another word there could be anything.
func cutScheme(s string) (scheme, rest string, ok bool) {
	for _, scheme := range []string{"mongodb://", "mongodb+srv://"} {
		if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			return scheme, s[len(scheme):], true
		}
	}
	return "", "", false
}

func safeHosts(list string) string {
	if list == "" {
		return ""
	}
	hosts := strings.Split(list, ",")
	for i, host := range hosts {
		if !plainHost(host) {
			hosts[i] = Mask
		}
	}
	return strings.Join(hosts, ",")
}

// plainHost reports whether s reads as a host name, an IPv4 or bracketed IPv6
// address with an optional port, or a percent-encoded UNIX socket.
func plainHost(s string) bool {
	if lower := strings.ToLower(s); strings.HasPrefix(lower, "%2f") && strings.HasSuffix(lower, ".sock") {
		return plain(strings.ReplaceAll(lower, "%2f", ""), "._-")
	}
	if v6, ok := strings.CutPrefix(s, "["); ok {
		address, port, ok := strings.Cut(v6, "]")
		return ok && address != "" && strings.Trim(address, "0123456789abcdefABCDEF:.") == "" &&
			(port == "" || plainPort(port[1:]) && port[0] == ':')
	}
	name, port, hasPort := strings.Cut(s, ":")
	return name != "" && len(name) <= 253 && plain(name, ".-_") && (!hasPort || plainPort(port))
}

func plainPort(s string) bool {
	return s != "" && len(s) <= 5 && strings.Trim(s, "0123456789") == ""
}

func plainDatabase(s string) bool { return len(s) <= 63 && plain(s, "-_") }

// plain reports whether s consists of ASCII letters, digits and the bytes of
// extra.
func plain(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte(extra, c) >= 0:
		default:
			return false
		}
	}
	return true
}
