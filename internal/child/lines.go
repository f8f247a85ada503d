package child

import (
	"bytes"
	"io"
)

// MaxLine is how much of a line is kept.
const MaxLine = 1 << 20

// Line is a line of output without its end.
type Line struct {
	// Text is valid only during the call.
	Text []byte
	// Cut is how many bytes of the line are missing in Text.
	Cut int64
	// Overwritten tells that the line ended with a carriage return alone, as those of progress displays do.
	Overwritten bool
}

// readLines calls emit with each line of r, until r ends or fails: a pipe fails when it is closed under its reader.
func readLines(r io.Reader, emit func(Line)) {
	s := splitter{emit: emit}
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		s.write(buf[:n])
		if err != nil {
			s.end()
			return
		}
	}
}

// splitter cuts output into lines. It keeps no more than MaxLine of them.
type splitter struct {
	emit func(Line)
	line []byte
	cut  int64
	// returned tells that a carriage return was the last byte: what it means depends on the next one.
	returned bool
}

func (s *splitter) write(b []byte) {
	for len(b) > 0 {
		if s.returned {
			s.returned = false
			if b[0] == '\n' {
				b = b[1:]
				s.flush(false)
				continue
			}
			s.flush(true)
		}
		i := bytes.IndexAny(b, "\r\n")
		if i < 0 {
			s.add(b)
			return
		}
		s.add(b[:i])
		if b[i] == '\n' {
			s.flush(false)
		} else {
			s.returned = true
		}
		b = b[i+1:]
	}
}

// end flushes a last line that has no end.
func (s *splitter) end() {
	if s.returned || len(s.line) > 0 {
		s.flush(false)
	}
}

func (s *splitter) add(b []byte) {
	room := min(MaxLine-len(s.line), len(b))
	s.line = append(s.line, b[:room]...)
	s.cut += int64(len(b) - room)
}

func (s *splitter) flush(overwritten bool) {
	s.emit(Line{Text: s.line, Cut: s.cut, Overwritten: overwritten})
	s.line, s.cut = s.line[:0], 0
}
