package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ErrLost is the cause of the context's end when the lease can't be trusted any more. Config.Renew returns it when the
// lease is somebody else's.
var ErrLost = errors.New("lease lost")

// errStopped is the cause of the context's end after [Keeper.Stop].
var errStopped = errors.New("lease no longer kept")

// Config says how a lease is kept. TTL and Renew are required.
type Config struct {
	// TTL is how long the lease lives on the server without renewal.
	TTL time.Duration
	// Every is the time from one renewal's beginning to the next; 0 means a third of TTL.
	Every time.Duration
	// Margin is how long before the server may give the lease away it is trusted no more; 0 means a tenth of TTL.
	Margin time.Duration
	// Began is when the taking of the lease was begun, by [time.Now] before the request was sent; zero means now.
	Began time.Time
	// Renew renews the lease once. [ErrLost] ends it at once; any other error is tried again. It must honour its context,
	// which has a deadline of its own.
	Renew func(ctx context.Context) error
	// Log is told of renewals that fail; nil discards.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Every <= 0 {
		c.Every = c.TTL / 3
	}
	if c.Margin <= 0 {
		c.Margin = c.TTL / 10
	}
	if c.Began.IsZero() {
		c.Began = time.Now()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// window is how long one renewal is trusted, counted from its beginning.
func (c Config) window() time.Duration { return c.TTL - c.Margin }

// patience is how long one attempt may take. Half a window leaves time for a second one, over another connection, when
// the first hangs on a server that doesn't answer.
func (c Config) patience() time.Duration { return c.window() / 2 }

// retry is the pause after an attempt that failed.
func (c Config) retry() time.Duration { return c.Every / 5 }

// Keeper renews one lease until it is stopped or the lease is lost.
type Keeper struct {
	cfg  Config
	work context.Context //nolint:containedctx // handing it out is what a keeper is for; it ends at Stop
	lose context.CancelCauseFunc
	stop context.CancelFunc
	done chan struct{}
}

// Keep renews a lease that was taken just now. The caller must call [Keeper.Stop].
func Keep(ctx context.Context, cfg Config) *Keeper {
	k := &Keeper{cfg: cfg.withDefaults(), done: make(chan struct{})}
	k.work, k.lose = context.WithCancelCause(ctx)
	var renewing context.Context
	renewing, k.stop = context.WithCancel(context.WithoutCancel(ctx))
	go k.run(renewing)
	return k
}

// Context ends with [ErrLost] as its cause when the lease can't be trusted any more, with the parent's cause when the
// parent ends, and at the latest at [Keeper.Stop].
func (k *Keeper) Context() context.Context { return k.work }

// Stop stops renewing, waits until the last attempt has returned, and ends the context. It gives nothing back: the lease
// lives on until it is released or expires. Stop may be called any number of times.
func (k *Keeper) Stop() {
	k.stop()
	<-k.done
	k.lose(errStopped)
}

func (k *Keeper) run(ctx context.Context) {
	defer close(k.done)
	trust := time.NewTimer(time.Until(k.cfg.Began.Add(k.cfg.window())))
	defer trust.Stop()
	next := time.NewTimer(time.Until(k.cfg.Began.Add(k.cfg.Every)))
	defer next.Stop()

	var began time.Time   // of the attempt under way
	var answer chan error // nil while there is none
	for {
		select {
		case <-ctx.Done():
			if answer != nil {
				if err := <-answer; err != nil {
					k.cfg.Log.DebugContext(ctx, "last renewal given up", slog.Any("error", err))
				}
			}
			return
		case <-trust.C:
			k.lose(fmt.Errorf("%w: it could not be renewed within %s", ErrLost, k.cfg.window()))
		case <-next.C:
			began = time.Now()
			answer = k.attempt(ctx)
		case err := <-answer:
			answer = nil
			switch {
			case err == nil:
				// Both count from the beginning of the attempt. In the past, they fire at once.
				trust.Reset(time.Until(began.Add(k.cfg.window())))
				next.Reset(time.Until(began.Add(k.cfg.Every)))
			case errors.Is(err, ErrLost):
				k.lose(err)
				return
			case ctx.Err() == nil:
				k.cfg.Log.WarnContext(ctx, "lease not renewed, trying again",
					slog.Any("error", err), slog.Duration("took", time.Since(began)))
				next.Reset(k.cfg.retry())
			}
		}
	}
}

// attempt renews once, beside the loop: a renewal that hangs must not keep the trust from ending.
func (k *Keeper) attempt(ctx context.Context) chan error {
	answer := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, k.cfg.patience())
		defer cancel()
		answer <- k.cfg.Renew(ctx)
	}()
	return answer
}
