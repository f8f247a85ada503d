package lease

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// ErrLost is the cause of the context's end when the lease can't be trusted any more.
var ErrLost = errors.New("lease lost")

// Config says how a lease is kept.
type Config struct {
	// TTL is how long the lease lives without renewal. Required.
	TTL time.Duration
	// Every is the pause between renewals; 0 means a third of TTL.
	Every time.Duration
	// Margin is how long before the server lets the lease expire it is trusted no more; 0 means a tenth of TTL.
	Margin time.Duration
	// Renew renews the lease once. An error that is [ErrLost] ends it at once; any other one is tried again.
	Renew func(ctx context.Context) error
	// Log may be nil.
	Log *slog.Logger
}

// Keeper renews one lease until it is stopped or the lease is lost.
type Keeper struct{}

// Keep starts to renew a lease that was taken just now; began is when the taking was begun.
func Keep(ctx context.Context, began time.Time, cfg Config) *Keeper { return &Keeper{} }

// Context ends when the lease can't be trusted any more, with [ErrLost] as its cause, or when its parent ends.
func (k *Keeper) Context() context.Context { return nil }

// Stop stops renewing and waits until the last attempt has returned.
func (k *Keeper) Stop() {}
