package term

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rikki-go/rikki/internal/locked"
)

func TestPrompt(t *testing.T) {
	t.Parallel()

	tty := &Terminal{In: true, Err: true}
	ask := func(input string, opts Options) (*Term, *locked.Buffer) {
		out := &locked.Buffer{}
		return New(Stdio{In: strings.NewReader(input), Err: out}, opts), out
	}

	t.Run("OnlyYesIsYes", func(t *testing.T) {
		t.Parallel()
		for input, want := range map[string]bool{"y\n": true, "YES\r\n": true, "yes": true, "\n": false, "n\n": false, "yep\n": false} {
			term, out := ask(input, Options{Terminal: tty})
			got, err := term.Confirm(t.Context(), "Drop 3 documents?")
			if err != nil || got != want {
				t.Errorf("%q: %v, %v", input, got, err)
			}
			if out.String() != "Drop 3 documents? [y/N] " {
				t.Errorf("asked %q", out.String())
			}
		}
	})
	t.Run("NameMustMatch", func(t *testing.T) {
		t.Parallel()
		for input, want := range map[string]bool{"shop\n": true, "Shop\n": false, "y\n": false} {
			term, _ := ask(input, Options{Terminal: tty})
			if got, err := term.ConfirmName(t.Context(), "This writes to production.", "shop"); err != nil || got != want {
				t.Errorf("%q: %v, %v", input, got, err)
			}
		}
	})
	t.Run("NobodyToAskIsAnError", func(t *testing.T) {
		t.Parallel()
		for name, opts := range map[string]Options{
			"pipe":     {Terminal: &Terminal{Err: true}},
			"no-input": {Terminal: tty, NoInput: true},
			"json":     {Terminal: tty, JSON: true},
		} {
			term, out := ask("y\n", opts)
			if _, err := term.Confirm(t.Context(), "?"); !errors.Is(err, ErrNoInput) || out.String() != "" {
				t.Errorf("%s: err = %v, asked %q", name, err, out.String())
			}
			if _, err := term.Secret(t.Context(), "?"); !errors.Is(err, ErrNoInput) {
				t.Errorf("%s: err = %v", name, err)
			}
		}
		term, _ := ask("", Options{Terminal: tty})
		if _, err := term.Confirm(t.Context(), "?"); !errors.Is(err, ErrNoInput) {
			t.Errorf("end of input: err = %v", err)
		}
	})
	t.Run("CancelledQuestionDoesNotWaitAndLosesNoAnswer", func(t *testing.T) {
		t.Parallel()
		r, w := io.Pipe()
		term := New(Stdio{In: r, Err: &locked.Buffer{}}, Options{Terminal: tty})
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("interrupted")
		cancel(stop)
		if _, err := term.Confirm(ctx, "first?"); !errors.Is(err, stop) {
			t.Fatalf("err = %v", err)
		}
		go func() { _, _ = io.WriteString(w, "y\n") }()
		if ok, err := term.Confirm(t.Context(), "second?"); err != nil || !ok {
			t.Errorf("got %v, %v", ok, err)
		}
	})
}
