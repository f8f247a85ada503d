package cli_test

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// screen is what a terminal shows of the bytes that it gets: as much of one as our programs need. Lines that have scrolled off the
// top are kept.
type screen struct {
	width    int
	lines    []line
	row, col int
	rest     []byte // the beginning of a character or a sequence
}

// line is one row, and whether it goes on in the next one.
type line struct {
	text    []rune
	wrapped bool
}

func newScreen(width int) *screen { return &screen{width: width, lines: make([]line, 1)} }

// String is all lines. Those that were too wide for the terminal are whole again.
func (s *screen) String() string {
	var b strings.Builder
	for _, l := range s.lines {
		b.WriteString(string(l.text))
		if !l.wrapped {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (s *screen) write(p []byte) {
	p = append(s.rest, p...)
	for len(p) > 0 {
		n := s.take(p)
		if n == 0 {
			break // the rest of it is yet to come
		}
		p = p[n:]
	}
	s.rest = append([]byte(nil), p...)
}

// take takes one character or sequence and returns how long it is.
func (s *screen) take(p []byte) int {
	switch p[0] {
	case '\r':
		s.col = 0
	case '\n':
		s.down(1)
	case '\b':
		s.col = max(0, s.col-1)
	case 0x1b:
		return s.escape(p)
	default:
		if !utf8.FullRune(p) {
			return 0
		}
		r, n := utf8.DecodeRune(p)
		if r >= ' ' {
			s.put(r)
		}
		return n
	}
	return 1
}

func (s *screen) put(r rune) {
	if s.col == s.width {
		s.lines[s.row].wrapped = true
		s.down(1)
		s.col = 0
	}
	l := &s.lines[s.row]
	for len(l.text) <= s.col {
		l.text = append(l.text, ' ')
	}
	l.text[s.col] = r
	s.col++
}

func (s *screen) down(n int) {
	for s.row += n; len(s.lines) <= s.row; {
		s.lines = append(s.lines, line{})
	}
}

// escape understands what moves the cursor and what erases. Colours and modes change nothing here.
func (s *screen) escape(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	switch p[1] {
	case ']': // an address, a title: up to BEL or ESC \
		for i := 2; i < len(p); i++ {
			if p[i] == 0x07 {
				return i + 1
			}
			if p[i] == '\\' && p[i-1] == 0x1b {
				return i + 1
			}
		}
		return 0
	case '[':
		for i := 2; i < len(p); i++ {
			if p[i] >= '@' && p[i] <= '~' {
				s.control(string(p[2:i]), p[i])
				return i + 1
			}
		}
		return 0
	}
	return 2
}

func (s *screen) control(args string, what byte) {
	n, err := strconv.Atoi(args)
	given := err == nil
	if !given {
		n = 1
	}
	switch what {
	case 'A':
		s.row = max(0, s.row-n)
	case 'B':
		s.down(n)
	case 'C':
		s.col = min(s.width, s.col+n)
	case 'D':
		s.col = max(0, s.col-n)
	case 'G':
		s.col = n - 1
	case 'K', 'J':
		l := &s.lines[s.row]
		if given && n == 2 {
			l.text = nil
		} else {
			l.text = l.text[:min(s.col, len(l.text))]
		}
		l.wrapped = false
		if what == 'J' {
			s.lines = s.lines[:s.row+1]
		}
	}
}

func TestScreen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ bytes, want string }{
		{"one\r\ntwo", "one\ntwo\n"},
		{"one\rtwo", "two\n"},
		{"wide enough to be broken", "wide enough to be broken\n"},
		{"\x1b[1mrun\x1b[0m  \x1b[32m✓\x1b[0m", "run  ✓\n"},
		{"\x1b]8;;http://x\x1b\\link\x1b]8;;\x07!", "link!\n"},
		{"bar 1\r\nbar 2\r\n\x1b[2A\x1b[Jnote\r\nbar 1\r\n", "note\nbar 1\n\n"},
		{"abc\x1b[2D\x1b[K", "a\n"},
		{"a\x1b[2Kb", " b\n"},
	} {
		for _, each := range []int{1, 3, 1000} { // however the bytes come
			s := newScreen(10)
			for p := []byte(c.bytes); len(p) > 0; p = p[min(each, len(p)):] {
				s.write(p[:min(each, len(p))])
			}
			if got := s.String(); got != c.want {
				t.Errorf("%q, %d at a time, looks as\n%q, not\n%q", c.bytes, each, got, c.want)
			}
		}
	}
}
