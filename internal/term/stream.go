package term

import (
	"bytes"
	"io"
)

// stream is stdout or stderr with its lines kept whole, and above the live block where they share a terminal.
type stream struct {
	t     *Term
	to    io.Writer
	above bool
}

func (s stream) Write(p []byte) (int, error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if b := s.t.board; b != nil && s.above {
		return b.write(p)
	}
	return s.to.Write(p)
}

// write hands whole lines to the live block, which shows them above itself at its next redraw. The rest waits for its
// line feed, because the block can only be drawn from column one.
func (b *board) write(p []byte) (int, error) {
	b.tail = append(b.tail, p...)
	end := bytes.LastIndexByte(b.tail, '\n') + 1
	if end == 0 {
		return len(p), nil
	}
	if _, err := b.progress.Write(b.tail[:end]); err != nil {
		// The block ended by itself, as it does when the terminal went away: write directly.
		if _, err := b.t.std.Err.Write(b.tail[:end]); err != nil {
			return 0, err
		}
	}
	b.tail = append(b.tail[:0], b.tail[end:]...)
	return len(p), nil
}
