package rikki

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that callers branch on. Errors of the connection are of type
// [*conn.Error], errors of parameters of type [*params.Error].
var (
	// ErrTimeout ends a run that took longer than its timeout.
	ErrTimeout = errors.New("rikki: the run exceeded its timeout")

	// ErrInterrupted is the cause to cancel a context with when the process
	// is asked to end; the run is recorded as interrupted, not as cancelled.
	ErrInterrupted = errors.New("rikki: interrupted")

	// ErrCancelled ends a run whose caller cancelled its context.
	ErrCancelled = errors.New("rikki: cancelled")

	// ErrPaused ends a run that was asked to pause. [Run.Checkpoint] returns it,
	// and the script returns it as it is.
	ErrPaused = errors.New("rikki: paused")

	// ErrSourceChanged is returned when a run can't go on because the program
	// or the parameters are not those that it began with; see
	// [ControlOptions.Force].
	ErrSourceChanged = errors.New("rikki: the run began with another version")

	// ErrState is returned when a run's state doesn't allow what was asked.
	ErrState = errors.New("rikki: not in this state")

	// ErrLeaseLost ends a run that could not renew its lease in time, so that
	// somebody else may own it by now.
	ErrLeaseLost = errors.New("rikki: the run's lease was lost")

	// ErrNotFound is returned when no run has the given ID.
	ErrNotFound = errors.New("rikki: not found")

	// ErrNoHistory is returned by methods that need the run history when it
	// is turned off, and for scripts that do; see [Options.NeedsHistory].
	ErrNoHistory = errors.New("rikki: the run history is turned off")

	// ErrNotPreviewable ends a dry run at an operation that can't be undone. It
	// was not sent to the server.
	ErrNotPreviewable = errors.New("rikki: the dry run can't go on")

	// ErrNestedTx is returned by [Run.Tx] within another transaction: MongoDB
	// has no nested ones. Pass the context of the outer one on instead.
	ErrNestedTx = errors.New("rikki: a transaction within a transaction")

	// ErrCommitUnknown is returned by [Run.Tx] when it isn't known whether the
	// transaction was committed.
	ErrCommitUnknown = errors.New("rikki: it is not known whether the transaction was committed")

	// ErrClosed is returned by [App.Run] after [App.Close].
	ErrClosed = errors.New("rikki: the app is closed")
)

// UnknownScriptError is returned when no script has the given name.
type UnknownScriptError struct {
	Name       string
	Suggestion string // the nearest name, or ""
}

func (e *UnknownScriptError) Error() string {
	if e.Suggestion == "" {
		return fmt.Sprintf("unknown script %q", e.Name)
	}
	return fmt.Sprintf("unknown script %q. Did you mean %s?", e.Name, e.Suggestion)
}

// AlreadyRunningError is returned when as many runs of the script are under
// way as [Options.Concurrency] allows.
type AlreadyRunningError struct {
	Script  string
	Holder  string // ID of the run in the way
	Host    string
	PID     int
	Since   time.Time
	Expires time.Duration // left of the holder's lease when it was looked at
}

func (e *AlreadyRunningError) Error() string {
	return fmt.Sprintf("script %q is already running as %s on %s (pid %d) since %s (lease %s)",
		e.Script, e.Holder, e.Host, e.PID, e.Since.Format(time.TimeOnly), e.Expires.Round(time.Second))
}

// AmbiguousError is returned when the beginning of an ID fits several runs.
type AmbiguousError struct {
	Prefix     string
	Candidates []string
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("several runs begin with %q: %s", e.Prefix, strings.Join(e.Candidates, ", "))
}

// PartialError is returned by a script that came to its end and left something
// undone: the run ends as [SucceededWithErrors].
type PartialError struct {
	Failed int64  // how many could not be done
	What   string // what they are, in the plural: "documents"
}

func (e *PartialError) Error() string {
	what := e.What
	if e.Failed == 1 {
		what = strings.TrimSuffix(what, "s")
	}
	return fmt.Sprintf("%d %s could not be done", e.Failed, what)
}

// PanicError is the failure of a script that panicked or ended its goroutine.
type PanicError struct {
	Value any    // what was passed to panic, nil after runtime.Goexit
	Stack string // the stack of the goroutine, as debug.Stack prints it
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return "the script ended its goroutine with runtime.Goexit"
	}
	return fmt.Sprintf("the script panicked: %v", e.Value)
}

// Unwrap returns the value passed to panic if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
