package backfill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/plain"
	"github.com/rikki-go/rikki/internal/store"
)

// Nothing is tried without bound. What can't be done is a document's fault, the script's, or one of the moment: a document is passed
// by, a script's fault fails the run, and for what may be over later the run pauses, to go on at its cursors.

// stuckError says that something was tried again for as long as it may be.
type stuckError struct {
	tries int
	took  time.Duration
	cause error
}

func (e *stuckError) Error() string {
	return fmt.Sprintf("it was tried %d times in %s, the last time: %v", e.tries, e.took.Round(time.Second), e.cause)
}

func (e *stuckError) Unwrap() error { return e.cause }

// vainTries is how often something is tried at least before it is given up, however long that takes.
const vainTries = 3

// vain counts attempts that have brought nothing, and is an error when it is enough of them.
type vain struct {
	since time.Time
	times int
}

func (v *vain) again(limit time.Duration, err error) error {
	if v.times == 0 {
		v.since = time.Now()
	}
	if v.times++; v.times < vainTries || time.Since(v.since) < limit {
		return nil
	}
	return &stuckError{tries: v.times, took: time.Since(v.since), cause: err}
}

// pausedError is the end of a run that can go on later. Its text is shorter than those of its causes, which repeat whole commands.
type pausedError struct {
	why   string
	cause error
}

func (e *pausedError) Error() string {
	return fmt.Sprintf("%v by itself: %s; resume it to go on where it stopped", rikki.ErrPaused, e.why)
}

func (e *pausedError) Unwrap() []error { return []error{rikki.ErrPaused, e.cause} }

// ends is what a run ends with that can't go on.
func (e *engine) ends(ctx context.Context, err error) error {
	if err == nil || isEnd(ctx, err) || !e.laid(ctx) {
		return err
	}
	e.run.HasPlace()
	if !ofTheMoment(err) || isRefusal(err) && e.untouched() {
		return err
	}
	return &pausedError{why: blame(err), cause: err}
}

// isEnd tells whether the run was told to end, by others or by itself.
func isEnd(ctx context.Context, err error) bool {
	for _, end := range []error{rikki.ErrPaused, rikki.ErrInterrupted, rikki.ErrCancelled, rikki.ErrLeaseLost, rikki.ErrTimeout} {
		if errors.Is(err, end) {
			return true
		}
	}
	return ctx.Err() != nil
}

// laid tells whether the run has a plan, by which it can go on.
func (e *engine) laid(ctx context.Context) bool {
	if e.planned {
		return true
	}
	if e.run.Attempt() == 1 {
		return false
	}
	if e.walk == nil {
		return true // an earlier attempt will have made it
	}
	_, err := e.walk.Partition(ctx, store.PlanNumber)
	return !errors.Is(err, store.ErrNotFound)
}

// untouched tells whether the run has done nothing yet, in no attempt.
func (e *engine) untouched() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.run.Attempt() == 1 && e.counts.Matched == 0
}

// ofTheMoment tells whether an error may be over once somebody has seen to it: one of the server, of the way there, of a file. What
// the script does wrong would come again.
func ofTheMoment(err error) bool {
	var stuck *stuckError
	var own *store.OwnError
	var file *fs.PathError
	switch {
	case errors.As(err, new(*rikki.PanicError)), errors.Is(err, ErrGuard), errors.Is(err, ErrKey), errors.Is(err, ErrNoUndo):
		return false
	case errors.As(err, &stuck), errors.As(err, &own), errors.As(err, &file), errors.Is(err, ErrCannotWalk), errors.Is(err, conn.ErrUnreachable):
		return true
	}
	return isServerError(err) || rikki.IsTransient(err) || mongo.IsNetworkError(err) || mongo.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded)
}

// isRefusal finds what can't work from the first write on. A run that has written nothing doesn't pause for it: it fails.
func isRefusal(err error) bool {
	var own *store.OwnError
	return errors.As(err, &own) || hasAnyCode(err, codeUnauthorized)
}

// blame says in words what a run can't go on for.
func blame(err error) string {
	text := plain.Refusal(err.Error())
	var what string
	switch {
	case hasAnyCode(err, codeUnauthorized):
		what = "the account lacks a right"
	case hasAnyCode(err, codeOutOfDiskSpace):
		what = "the server's disk is full"
	case errors.Is(err, ErrCannotWalk), isServerError(err) && strings.Contains(text, "hint"):
		what = "the index of the walk is gone or is another one"
	case mongo.IsNetworkError(err), errors.Is(err, conn.ErrUnreachable):
		what = "the server can't be reached"
	case isServerError(err):
		what = "the server refuses"
	default:
		return text
	}
	return what + ": " + text
}

// prober is work that can be tried without a document.
type prober interface {
	// probe sends the commands of a chunk so that they find no document.
	probe(ctx context.Context, e *engine) error
}

// errProbed ends a transaction in which everything went well, and which shall change nothing.
var errProbed = errors.New("all went well")

// everywhere finds out whether the server refuses the same where there is no document: then none of them is to blame.
func (w *worker) everywhere(ctx context.Context) error {
	p, ok := w.work.(prober)
	if !ok {
		return nil
	}
	if w.alone {
		return p.probe(ctx, w.engine)
	}
	err := w.transact(ctx, &chunk{}, func(ctx context.Context) error {
		if err := p.probe(ctx, w.engine); err != nil {
			return err
		}
		return errProbed
	})
	if errors.Is(err, errProbed) {
		return nil
	}
	return err
}

// aloneTries is how often one document alone may fail before it is to blame, where the server doesn't name it.
const aloneTries = 3

// suspect decides about an error that names no document, where there is only one left. It returns true once that is to blame.
func (w *worker) suspect(ctx context.Context, c *chunk, err error, tries int) (bool, error) {
	if c.suspected++; c.suspected < aloneTries {
		return false, w.backoff(c.suspected)
	}
	switch cause := w.everywhere(ctx); {
	case cause == nil:
		return true, nil
	case isStop(ctx, cause):
		return false, context.Cause(ctx)
	case judge(cause) == again, judge(cause) == smaller:
		return false, w.wait(c, err, tries)
	default:
		return false, cause
	}
}

// wait lets a moment pass before the next attempt at a chunk, unless it was tried for long enough.
func (w *worker) wait(c *chunk, err error, tries int) error {
	if stuck := c.vain.again(w.opts.Patience, err); stuck != nil {
		return stuck
	}
	if since := time.Since(c.vain.since); since >= worthTelling {
		if !c.warned {
			c.warned = true
			w.log.Warn("a chunk can't be done, and is tried again", "partition", c.part.N, "chunk", c.part.Chunk, "since", since.Round(time.Millisecond).String(), "error", clipped(err))
		}
		w.tell("trying again for " + since.Round(time.Second).String() + ": " + shortened(err))
	}
	return w.backoff(tries)
}

// worthTelling is how long a chunk may be in trouble before anybody is told.
const worthTelling = 2 * time.Second

// tell sets what the status says of this worker; "" is nothing.
func (w *worker) tell(trouble string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if trouble == "" {
		delete(w.troubles, w)
		return
	}
	if w.troubles == nil {
		w.troubles = make(map[*worker]string)
	}
	w.troubles[w] = trouble
}

// troubled is the trouble of a worker, or "".
func (e *engine) troubled() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, trouble := range e.troubles {
		return trouble
	}
	return ""
}

// shortened is an error for a line of the status.
func shortened(err error) string {
	const most = 160
	return store.ClipMessage(strings.Join(strings.Fields(plain.Refusal(err.Error())), " "), most)
}
