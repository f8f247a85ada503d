package term

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	xterm "golang.org/x/term"
)

// ErrNoInput means that a question had to be asked and nobody could answer: stdin or stderr is no terminal, or
// --no-input was given. Commands end with exit code 8.
var ErrNoInput = errors.New("confirmation needed, but there is no one to ask")

// reader reads lines without making a cancelled question wait for an answer. A read from a terminal cannot be taken
// back, so it goes on in the background and its line answers the next question.
type reader struct {
	from io.Reader

	mu      sync.Mutex
	pending chan answer
	buf     *bufio.Reader
}

type answer struct {
	text string
	err  error
}

func (r *reader) line(ctx context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		if r.buf == nil {
			r.buf = bufio.NewReader(r.from)
		}
		ch := make(chan answer, 1)
		r.pending = ch
		// Ends with the line it waits for, or with the process.
		go func() {
			s, err := r.buf.ReadString('\n')
			if err == io.EOF && s != "" {
				err = nil
			}
			ch <- answer{strings.TrimRight(s, "\r\n"), err}
		}()
	}
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case a := <-r.pending:
		r.pending = nil
		return a.text, a.err
	}
}

// Confirm asks a yes-or-no question; anything but y and yes is no.
func (t *Term) Confirm(ctx context.Context, question string) (bool, error) {
	s, err := t.prompt(ctx, t.lines(question)+" [y/N] ")
	if err != nil {
		return false, err
	}
	s = strings.ToLower(strings.TrimSpace(s))
	return s == "y" || s == "yes", nil
}

// ConfirmName asks the reader to type a name, such as that of the database about to be changed.
func (t *Term) ConfirmName(ctx context.Context, question, name string) (bool, error) {
	s, err := t.prompt(ctx, t.lines(question)+"\n  Type "+t.data(name)+" to go on: ")
	if err != nil {
		return false, err
	}
	return strings.TrimSpace(s) == name, nil
}

func (t *Term) prompt(ctx context.Context, question string) (string, error) {
	if !t.Interactive() {
		return "", ErrNoInput
	}
	if _, err := io.WriteString(t.std.Err, question); err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	s, err := t.ask.line(ctx)
	if errors.Is(err, io.EOF) {
		return "", ErrNoInput
	}
	if err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return s, nil
}

// Secret asks for a value without showing it.
func (t *Term) Secret(ctx context.Context, question string) (string, error) {
	f, ok := t.std.In.(*os.File)
	if !ok || !t.Interactive() {
		return "", ErrNoInput
	}
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	if _, err := io.WriteString(t.std.Err, t.data(question)+": "); err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	b, err := xterm.ReadPassword(int(f.Fd()))
	t.line("") // the reader's own line feed was not shown
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	return string(b), nil
}
