package backfill

import (
	"context"
	"errors"
	"iter"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
)

// The author's code is called from many places: the function and its hooks, what documents decode into and values encode by, the
// items of a source, the throttle. A panic there is the failure of the document that it was about, or of the run; never the end of the
// process, in which other runs may be under way.

// call makes a panic of the author's code an error with a stack.
func call[R any](fn func() (R, error)) (result R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &rikki.PanicError{Value: p, Stack: string(debug.Stack())}
		}
	}()
	return fn()
}

// try is the same for what returns nothing else.
func try(fn func() error) error {
	_, err := call(func() (struct{}, error) { return struct{}{}, fn() })
	return err
}

// guarded runs one of the engine's goroutines. Whatever of the author's code panics in it, or ends it, ends the run.
func (e *engine) guarded(fn func()) {
	ended := false
	defer func() {
		if !ended {
			e.fail(&rikki.PanicError{Value: recover(), Stack: string(debug.Stack())})
		}
	}()
	fn()
	ended = true
}

// caught makes a panic of an author's iterator the last thing that it lists, while its stack is known.
func caught(items iter.Seq2[Item, error]) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		stopped := false
		err := try(func() error {
			for item, err := range items {
				if stopped = !yield(item, err); stopped {
					break
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(Item{}, err)
		}
	}
}

// throttled asks the script's throttle. Its error means to wait; its panic ends the run.
func (e *engine) throttled(ctx context.Context) (wait time.Duration, reason string, err error) {
	err = try(func() (err error) {
		wait, reason, err = e.throttle.Throttle(ctx)
		return err
	})
	if _, ok := errors.AsType[*rikki.PanicError](err); ok {
		e.fail(err)
	}
	return wait, reason, err
}

// stackOf is where the author's code panicked, or "": without the lines of those who caught it.
func stackOf(err error) string {
	p, ok := errors.AsType[*rikki.PanicError](err)
	if !ok {
		return ""
	}
	stack := p.Stack
	if _, below, found := strings.Cut(stack, "\npanic("); found {
		if _, rest, found := strings.Cut(below, "\n"); found { // its arguments
			if _, rest, found = strings.Cut(rest, "\n"); found { // its line
				stack = rest
			}
		}
	}
	return store.ClipMessage(strings.TrimSpace(stack), store.MessageLimit)
}
