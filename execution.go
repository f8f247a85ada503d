package rikki

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/redact"
)

// execution is one run on its way from open to close.
type execution struct {
	app      *App
	entry    *entry
	script   Script
	params   any // pointer to the struct that has them
	opts     Options
	ro       RunOptions
	redactor *redact.Redactor
	log      *slog.Logger
	bus      *bus
	buffer   *logBuffer
	recorder *recorder
	dry      *dryRun // nil unless this is a dry run
	ref      *conn.Ref
	run      *Run
	findings Findings
	started  time.Time

	mu         sync.Mutex
	setupBegan bool
}

// outcome is how the hooks ended.
type outcome struct {
	value any
	err   error
	late  <-chan outcome // not nil if the script still runs: tells when it has ended
}

// perform runs the hooks and returns when they have, or when they won't.
// The caller's context doesn't reach the script directly, since a stop may
// leave it some time to end by itself.
func (x *execution) perform(caller context.Context) outcome {
	ctx, release := x.recorder.context(withRun(context.WithoutCancel(caller), x.run.id))
	defer release()
	ctx, undo := context.WithDeadline(ctx, time.Now().Add(x.deadline()))
	defer undo()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx = x.bind(ctx, cancel)

	done := make(chan outcome, 1)
	go func() {
		var out outcome
		defer func() { done <- out }()
		guard(&out.err, func() (err error) {
			out.value, err = x.hooks(ctx)
			return err
		})
	}()

	timeout := x.timer()
	defer timeout.Stop()
	select {
	case out := <-done:
		return out
	case <-timeout.C:
		return x.halt(ctx, cancel, x.timeoutError(), done)
	case <-ctx.Done(): // only a lost lease ends it from inside
		return x.halt(ctx, cancel, context.Cause(ctx), done)
	case <-caller.Done():
		return x.drain(ctx, cancel, stopReason(caller), done, timeout)
	}
}

// source is where the script's connection comes from.
func (x *execution) source() *conn.Source {
	if x.dry != nil {
		return x.dry.source
	}
	return x.app.source
}

// bind puts a dry run's transaction into the script's context, and lets the
// fence end it.
func (x *execution) bind(ctx context.Context, cancel context.CancelCauseFunc) context.Context {
	if x.dry == nil {
		return ctx
	}
	x.dry.fence.stopWith(cancel)
	return x.dry.bind(ctx)
}

// drain asks the script to stop and gives it the time that it wanted for that.
func (x *execution) drain(ctx context.Context, cancel context.CancelCauseFunc, reason error, done <-chan outcome, timeout *time.Timer) outcome {
	x.log.Info("stopping", "reason", reason.Error(), "drain", x.drainTime(reason).String())
	x.run.steering.ask(reason)
	close(x.run.stopping)
	drained := time.NewTimer(x.drainTime(reason))
	defer drained.Stop()
	select {
	case out := <-done:
		if out.err != nil || !x.ignoresStopping() {
			out.err = stopError(reason, out.err)
		}
		return out
	case <-drained.C:
	case <-timeout.C:
	case <-ctx.Done():
		reason = context.Cause(ctx)
	}
	return x.halt(ctx, cancel, reason, done)
}

// halt cancels the script, ends what it does on the server, and waits for it
// as long as its grace lasts.
func (x *execution) halt(ctx context.Context, cancel context.CancelCauseFunc, reason error, done <-chan outcome) outcome {
	cancel(reason)
	grace := time.NewTimer(x.opts.Grace)
	defer grace.Stop()
	settled := x.app.monitor.settled(x.run.id)
	for {
		select {
		case <-settled:
			settled = nil
			x.kill(ctx, nil)
		case out := <-done:
			x.kill(ctx, x.app.monitor.transactions(x.run.id))
			out.err = stopError(reason, out.err)
			return out
		case <-grace.C:
			x.kill(ctx, x.app.monitor.transactions(x.run.id))
			err := fmt.Errorf("%w; the script did not stop within %s of being cancelled and may still be writing", reason, x.opts.Grace)
			return outcome{err: err, late: done}
		}
	}
}

// kill ends what the server still does for commands whose context has ended,
// and for the transactions in the given sessions.
func (x *execution) kill(ctx context.Context, sessions []bson.Binary) {
	if x.dry != nil {
		return // everything is undone at the end
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), historyTimeout)
	defer cancel()
	client := x.ref.Client()
	err := errors.Join(killConnections(ctx, client, x.app.monitor.takeCut(x.run.id)), killSessions(ctx, client, sessions))
	if err != nil {
		x.log.Warn("operations may go on at the server", "error", err)
	}
}

// hooks runs Validate, Setup and Execute in the script's own goroutine.
func (x *execution) hooks(ctx context.Context) (any, error) {
	if v, ok := x.script.(Validator); ok {
		v.Validate(ctx, x.run, &x.findings)
		if err := x.report(); err != nil {
			return nil, err
		}
	}
	return x.retry(ctx, func() (any, error) { return x.try(ctx) })
}

// try runs Setup and Execute.
func (x *execution) try(ctx context.Context) (any, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	x.mu.Lock()
	x.setupBegan = true
	x.mu.Unlock()
	if s, ok := x.script.(Setupper); ok {
		if err := s.Setup(ctx, x.run); err != nil {
			return nil, fmt.Errorf("setup: %w", err)
		}
	}
	if x.dry != nil {
		x.dry.fence.begin()
	}
	return x.script.Execute(ctx, x.run)
}

// report tells what Validate found and returns the errors among it.
func (x *execution) report() error {
	for _, finding := range x.findings.All() {
		x.bus.publish(Event{Type: EventFinding, Finding: &finding})
		if finding.Level == LevelWarning {
			x.log.Warn(finding.Message)
		}
	}
	if found := x.findings.errors(); len(found) > 0 {
		return &ValidationError{Findings: found}
	}
	return nil
}

// cleanup runs the script's Cleanup if Setup had begun, on a deadline of its
// own. It returns what is wrong, if anything.
func (x *execution) cleanup(caller context.Context) error {
	c, ok := x.script.(Cleaner)
	x.mu.Lock()
	began := x.setupBegan
	x.setupBegan = false
	x.mu.Unlock()
	if !ok || !began {
		return nil
	}
	ctx, cancel := context.WithTimeout(withRun(context.WithoutCancel(caller), x.run.id), x.opts.CleanupTimeout)
	defer cancel()
	ctx = x.bind(ctx, nil)
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		guard(&err, func() error { return c.Cleanup(ctx, x.run) })
	}()

	select {
	case err := <-done:
		return wrapIf("cleanup", err)
	case <-ctx.Done():
	}
	x.kill(ctx, nil)
	grace := time.NewTimer(x.opts.Grace)
	defer grace.Stop()
	select {
	case err := <-done:
		return wrapIf("cleanup", err)
	case <-grace.C:
		return fmt.Errorf("cleanup did not return within %s and was left alone", x.opts.CleanupTimeout+x.opts.Grace)
	}
}

func wrapIf(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// guard calls fn and stores its error in err. A panic becomes an error, and so
// does runtime.Goexit, after which guard itself doesn't return.
func guard(err *error, fn func() error) {
	returned := false
	defer func() {
		if !returned {
			// After Goexit the deferred functions run too, but recover finds nothing.
			*err = &PanicError{Value: recover(), Stack: string(debug.Stack())}
		}
	}()
	*err = fn()
	returned = true
}

// timer fires at the run's timeout, or never.
func (x *execution) timer() *time.Timer {
	timer := time.NewTimer(x.timeout())
	if x.timeout() < 0 {
		timer.Stop()
	}
	return timer
}

func (x *execution) timeout() time.Duration {
	if x.ro.Timeout != 0 {
		return x.ro.Timeout
	}
	return x.opts.Timeout
}

func (x *execution) timeoutError() error {
	return fmt.Errorf("%w of %s", ErrTimeout, x.timeout())
}

// noTimeout is the deadline of a run without timeout. There is always one,
// because the driver bounds an operation by its context's deadline, or else by
// the client's timeout, which would be too short for a long aggregation. The
// server takes no more than 24 days.
const noTimeout = 20 * 24 * time.Hour

// deadline is when the context ends by itself: after everything else had its
// chance, so that the run's own timer always decides first.
func (x *execution) deadline() time.Duration {
	if x.timeout() < 0 {
		return noTimeout
	}
	return x.timeout() + x.drainTime(ErrInterrupted) + x.opts.Grace
}

// stopReason tells from a caller's cancelled context how the run shall end.
func stopReason(caller context.Context) error {
	switch cause := context.Cause(caller); {
	case errors.Is(cause, ErrInterrupted), errors.Is(cause, ErrCancelled):
		return cause
	case errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("%w: the caller's context ended", ErrTimeout)
	case errors.Is(cause, context.Canceled):
		return ErrCancelled
	default:
		return fmt.Errorf("%w: %w", ErrCancelled, cause)
	}
}

// stopError is the error of a run that was stopped for a reason. What the
// script says about its cancelled context adds nothing; anything else does.
func stopError(reason, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, reason) || errors.Is(reason, err) {
		return reason
	}
	return fmt.Errorf("%w (the script said: %w)", reason, err)
}
