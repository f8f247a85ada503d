package term

import (
	"io"
	"os"

	xterm "golang.org/x/term"
)

// Stdio holds the three streams of a command. Commands take it as an argument and never reach for os.Stdout, so that
// a test can run them and a server can embed them.
type Stdio struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// OS returns the streams of this process.
func OS() Stdio { return Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// withDefaults replaces missing streams: no input, and output that goes nowhere.
func (s Stdio) withDefaults() Stdio {
	if s.In == nil {
		s.In = noInput{}
	}
	if s.Out == nil {
		s.Out = io.Discard
	}
	if s.Err == nil {
		s.Err = io.Discard
	}
	return s
}

type noInput struct{}

func (noInput) Read([]byte) (int, error) { return 0, io.EOF }

// IsTerminal reports whether a stream is a terminal. Anything but a file is not.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && f != nil && xterm.IsTerminal(int(f.Fd()))
}

// widthOf returns the columns of the terminal behind a stream, or 0 when there is none.
func widthOf(stream any) int {
	f, ok := stream.(*os.File)
	if !ok || f == nil {
		return 0
	}
	w, _, err := xterm.GetSize(int(f.Fd()))
	if err != nil || w < 1 {
		return 0
	}
	return w
}
