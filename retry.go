package rikki

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/store"
)

// RetryPolicy says whether and how a script is tried again after a transient
// error. The zero value means never: only the author knows whether a script
// that got half-way can begin again.
type RetryPolicy struct {
	// Tries is how often Setup and Execute may be called in all. Zero and one
	// mean once. Cleanup runs between two tries.
	Tries int

	// Initial is about how long the first pause takes, default 1 s. Each one
	// takes about twice as long as the one before, up to Max, default 1 min.
	// Every pause is drawn at random between nothing and twice that, so that
	// many processes don't come back at once.
	Initial time.Duration
	Max     time.Duration

	// Transient decides in place of [IsTransient], if it isn't nil.
	Transient func(err error) bool
}

// transientError marks an error as transient.
type transientError struct{ error }

func (e transientError) Unwrap() error { return e.error }

// Transient marks an error of a script as one that may be gone at the next
// try, such as a busy service. It returns nil for nil.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return transientError{err}
}

// IsTransient tells whether an error may be gone at the next try: one that
// [Transient] marks, a failed connection, a server that is changing its role, a
// transaction that lost against another. Duplicate keys, failed validation,
// panics, time-outs of the run and [ErrCommitUnknown] are never transient.
func IsTransient(err error) bool {
	if _, ok := errors.AsType[transientError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*PanicError](err); ok {
		return false
	}
	switch {
	case err == nil, errors.Is(err, ErrTimeout), errors.Is(err, ErrCommitUnknown), mongo.IsDuplicateKeyError(err),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	}
	return errors.Is(err, conn.ErrUnreachable) || mongo.IsNetworkError(err) || isPoolCleared(err) || store.IsRoleChange(err) ||
		hasLabel(err, labelTransient) || hasLabel(err, "RetryableWriteError") || hasLabel(err, "NetworkError")
}

// isPoolCleared finds what the driver returns to those who wait for a connection when another one of its pool has broken. Unlike to
// those who come later, it is without any label.
func isPoolCleared(err error) bool {
	type poolError interface {
		error
		Retryable() bool
	}
	cleared, ok := errors.AsType[poolError](err)
	return ok && cleared.Retryable()
}

// pauses returns the policy's back-off.
func (p RetryPolicy) pauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = time.Second
	if p.Initial > 0 {
		b.InitialInterval = p.Initial
	}
	b.MaxInterval = time.Minute
	if p.Max > 0 {
		b.MaxInterval = p.Max
	}
	b.Multiplier = 2
	b.RandomizationFactor = 1
	b.Reset()
	return b
}

// retry calls try until it succeeds, fails for good or has been called as
// often as the script's policy allows.
func (x *execution) retry(ctx context.Context, try func() (any, error)) (any, error) {
	policy := x.opts.Retry
	transient := policy.Transient
	if transient == nil {
		transient = IsTransient
	}
	pauses := policy.pauses()
	for n := 1; ; n++ {
		value, err := try()
		if err == nil || n >= policy.Tries || ctx.Err() != nil || x.dry != nil || !transient(err) {
			return value, retried(err, n)
		}
		pause := pauses.NextBackOff()
		x.log.Warn("the script failed and is tried again", "try", n, "of", policy.Tries, "pause", pause.String(), "error", err)
		x.run.Count("retries", 1)
		x.bus.publish(Event{Type: EventRetry, Retry: &Retrying{
			Try: n, Of: policy.Tries, Pause: pause, Error: x.redactor.Text(err.Error()),
		}})
		if failed := x.cleanup(ctx); failed != nil {
			return value, fmt.Errorf("%w; not tried again, since %w", retried(err, n), failed)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-x.run.stopping:
			timer.Stop()
			return value, err
		case <-ctx.Done():
			timer.Stop()
			return value, err
		}
	}
}

// retried says how often a script was tried before it failed for good.
func retried(err error, tries int) error {
	if err == nil || tries == 1 {
		return err
	}
	return fmt.Errorf("after %d tries: %w", tries, err)
}
