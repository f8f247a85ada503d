package plain

import (
	"strings"
	"unicode/utf8"
)

// Line makes data safe to print as a part of one line. Escape sequences (CSI, OSC, DCS and the rest of ECMA-48,
// with ESC or with C1 introducers) are removed with their payload, a line feed becomes the two characters \n, a tab
// becomes a space, other control characters and the characters that reorder text (bidi embeddings, overrides and
// isolates) are dropped, and invalid UTF-8 becomes U+FFFD. Clean text comes back as the same string.
func Line(s string) string { return sanitize(s, `\n`, " ") }

// Block is [Line] for text of many lines, such as a stack: line feeds and tabs stay.
func Block(s string) string { return sanitize(s, "\n", "\t") }

func sanitize(s, lf, tab string) string {
	if clean(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			b.WriteString(lf)
		case r == '\t':
			b.WriteString(tab)
		case r == 0x1b || isC1(r):
			size = sequence(s[i:])
		case Unsafe(r):
		case r == utf8.RuneError && size == 1:
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// clean is the fast path: almost everything that is printed needs no change.
func clean(s string) bool {
	for i, r := range s {
		if Unsafe(r) || r == '\n' || r == '\t' {
			return false
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return false
			}
		}
	}
	return true
}

func isC1(r rune) bool { return r >= 0x80 && r <= 0x9f }

// Unsafe reports characters that must never reach a terminal from data.
func Unsafe(r rune) bool {
	switch {
	case r < 0x20 || r == 0x7f || isC1(r):
		return r != '\n' && r != '\t'
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // bidi embeddings, overrides, isolates
		return true
	case r == 0x200e, r == 0x200f, r == 0x061c: // bidi marks
		return true
	case r == 0x2028, r == 0x2029, r == 0xfeff: // line and paragraph separator, byte order mark
		return true
	}
	return false
}

// sequence returns the length of the escape sequence at the start of s, which begins with ESC or a C1 character. A
// sequence that is not well formed counts only as its introducer: dropping that already makes the rest harmless, and
// showing the rest is more honest than hiding it.
func sequence(s string) int {
	r, n := utf8.DecodeRuneInString(s)
	if r == 0x1b {
		if len(s) == 1 {
			return 1
		}
		next := s[1]
		switch {
		case next == '[':
			return csi(s, 2)
		case next == ']' || next == 'P' || next == 'X' || next == '^' || next == '_':
			return controlString(s, 2)
		case next >= 0x20 && next <= 0x2f: // intermediate bytes, then one final byte
			i := 2
			for i < len(s) && s[i] >= 0x20 && s[i] <= 0x2f {
				i++
			}
			if i < len(s) && s[i] >= 0x30 && s[i] <= 0x7e {
				return i + 1
			}
			return 1
		case next >= 0x30 && next <= 0x7e:
			return 2
		}
		return 1
	}
	switch r {
	case 0x9b:
		return csi(s, n)
	case 0x9d, 0x90, 0x98, 0x9e, 0x9f:
		return controlString(s, n)
	}
	return n
}

// csi ends at its final byte: parameters 0x30–0x3f, intermediates 0x20–0x2f, final 0x40–0x7e.
func csi(s string, start int) int {
	i := start
	for i < len(s) && s[i] >= 0x30 && s[i] <= 0x3f {
		i++
	}
	for i < len(s) && s[i] >= 0x20 && s[i] <= 0x2f {
		i++
	}
	if i < len(s) && s[i] >= 0x40 && s[i] <= 0x7e {
		return i + 1
	}
	return start
}

// controlString ends at BEL or ST. Any other control character aborts it, as it does in a terminal, which also keeps
// the scan linear for input that is nothing but introducers.
func controlString(s string, start int) int {
	for i := start; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == 0x07 || r == 0x9c:
			return i + size
		case r == 0x1b:
			if i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
			return start
		case r < 0x20 || isC1(r):
			return start
		}
		i += size
	}
	return start
}
