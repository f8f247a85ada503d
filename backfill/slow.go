package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A function can take longer with a chunk than a transaction may. Trying the same again would take as long again.

// slowError says that the time of an attempt was over while the author's function worked.
type slowError struct {
	done  int // documents it was done with
	cause error
}

func (e *slowError) Error() string {
	return fmt.Sprintf("the function takes too long: a transaction has to end within %s, and it was done with %d documents", attemptLimit, e.done)
}

func (e *slowError) Unwrap() error { return e.cause }

// cutOff is why a function was cut off when it was done with so many documents.
func cutOff(ctx context.Context, done int) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return &slowError{done: done, cause: cause}
	}
	return cause
}

// muchThought is how long a function works at least before an aborted transaction is taken for its fault.
const muchThought = 500 * time.Millisecond

// tooSlow tells whether an attempt failed because of the time that the author's function took. A server that is set to end
// transactions earlier than usual only says that there is none any more.
func (c *chunk) tooSlow(err error) bool {
	if _, ok := errors.AsType[*slowError](err); ok {
		return true
	}
	return c.thought >= muchThought && hasAnyCode(err, codeNoSuchTxn, codeLifetime)
}

// slowTries is how often one document alone may take too long: it may have been the server that stood still.
const slowTries = 3

// hurry takes fewer documents at a time, and passes one by that takes too long alone.
func (w *worker) hurry(ctx context.Context, c *chunk, err error, tries int) (size int, _ error) {
	if n := len(c.keys); n > 1 {
		size = n / 2
		if cut, ok := errors.AsType[*slowError](err); ok && cut.done > 1 {
			size = min(size, cut.done/2)
		}
		c.turn.Failed(2*size, "the function takes long")
		return size, nil
	}
	if c.slow++; c.slow < slowTries {
		return 1, w.backoff(c.slow)
	}
	return 1, c.poisoned(ctx, err, tries)
}
