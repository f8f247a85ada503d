package lease

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if code := m.Run(); code != 0 {
		os.Exit(code)
	}
	if err := goleak.Find(); err != nil {
		println("goroutines left after all tests:", err.Error())
		os.Exit(1)
	}
}

// In every test: TTL 15 s, so renewals begin every 5 s and a renewal is trusted for 13.5 s.
const (
	ttl    = 15 * time.Second
	every  = ttl / 3
	window = ttl - ttl/10
)

var errServer = errors.New("server unreachable")

// renewer is a Renew function whose behaviour a test changes as time goes by.
type renewer struct {
	calls atomic.Int64
	fn    atomic.Pointer[func(context.Context) error]
}

func (r *renewer) set(fn func(context.Context) error) { r.fn.Store(&fn) }

func (r *renewer) Renew(ctx context.Context) error {
	r.calls.Add(1)
	return (*r.fn.Load())(ctx)
}

func succeed(context.Context) error { return nil }
func fail(context.Context) error    { return errServer }

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// slow answers yes after d, whatever its context says: the server has applied it.
func slow(d time.Duration) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(d)
		return nil
	}
}

// keep runs fn in a bubble with a lease taken at its beginning.
func keep(t *testing.T, first func(context.Context) error, fn func(t *testing.T, k *Keeper, r *renewer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &renewer{}
		r.set(first)
		k := Keep(t.Context(), Config{TTL: ttl, Renew: r.Renew})
		defer k.Stop()
		fn(t, k, r)
	})
}

// diesAt demands that the context is alive just before at and lost just after, counted from now.
func diesAt(t *testing.T, k *Keeper, at time.Duration) {
	t.Helper()
	time.Sleep(at - time.Millisecond)
	synctest.Wait()
	if err := context.Cause(k.Context()); err != nil {
		t.Fatalf("the context died before its window ended: %v", err)
	}
	time.Sleep(2 * time.Millisecond)
	synctest.Wait()
	if err := context.Cause(k.Context()); !errors.Is(err, ErrLost) {
		t.Fatalf("cause after the window: got %v, want ErrLost", err)
	}
}

func alive(t *testing.T, k *Keeper) {
	t.Helper()
	synctest.Wait()
	if err := context.Cause(k.Context()); err != nil {
		t.Fatalf("the context is dead: %v", err)
	}
}

func TestKeeper(t *testing.T) {
	t.Parallel()

	t.Run("RenewsOnTimeAndStaysAlive", func(t *testing.T) {
		t.Parallel()
		keep(t, succeed, func(t *testing.T, k *Keeper, r *renewer) {
			time.Sleep(time.Hour + time.Second)
			alive(t, k)
			if got, want := r.calls.Load(), int64(time.Hour/every); got != want {
				t.Errorf("renewals in an hour: got %d, want %d", got, want)
			}
		})
	})

	t.Run("DiesWhenEveryRenewalFails", func(t *testing.T) {
		t.Parallel()
		keep(t, fail, func(t *testing.T, k *Keeper, r *renewer) {
			diesAt(t, k, window)
			if r.calls.Load() < 5 {
				t.Errorf("only %d attempts were made before giving up", r.calls.Load())
			}
		})
	})

	t.Run("DiesWhenRenewalsHang", func(t *testing.T) {
		t.Parallel()
		keep(t, hang, func(t *testing.T, k *Keeper, r *renewer) {
			diesAt(t, k, window)
			if r.calls.Load() < 2 {
				t.Error("a hanging attempt left no time for a second one")
			}
		})
	})

	t.Run("SurvivesFailuresThatEndInTime", func(t *testing.T) {
		t.Parallel()
		keep(t, fail, func(t *testing.T, k *Keeper, r *renewer) {
			time.Sleep(window - 2*time.Second)
			r.set(succeed)
			time.Sleep(time.Hour)
			alive(t, k)
		})
	})

	t.Run("CountsFromTheLastSuccess", func(t *testing.T) {
		t.Parallel()
		keep(t, succeed, func(t *testing.T, k *Keeper, r *renewer) {
			time.Sleep(every + time.Millisecond) // one renewal has succeeded, begun at every
			r.set(fail)
			diesAt(t, k, window-time.Millisecond)
		})
	})

	t.Run("SlowSuccessDoesNotExtendTrustBeyondItsBeginning", func(t *testing.T) {
		t.Parallel()
		const d = 6 * time.Second
		keep(t, slow(d), func(t *testing.T, k *Keeper, r *renewer) {
			time.Sleep(every + time.Millisecond) // an attempt is under way, begun at every
			r.set(fail)
			// Its answer comes at every+d, and yet its window ends at every+window.
			diesAt(t, k, window-time.Millisecond)
		})
	})

	t.Run("SuccessAfterTheWindowDoesNotRevive", func(t *testing.T) {
		t.Parallel()
		keep(t, slow(window), func(t *testing.T, k *Keeper, r *renewer) {
			diesAt(t, k, window)
			r.set(succeed)
			time.Sleep(time.Minute)
			synctest.Wait()
			if err := context.Cause(k.Context()); !errors.Is(err, ErrLost) {
				t.Errorf("the context came back to life: %v", err)
			}
			if r.calls.Load() < 10 {
				t.Error("the lease was not renewed any more while its holder drains")
			}
		})
	})

	t.Run("DiesAtOnceWhenTheLeaseIsSomebodyElses", func(t *testing.T) {
		t.Parallel()
		lost := func(context.Context) error { return errors.Join(errors.New("epoch 2"), ErrLost) }
		keep(t, lost, func(t *testing.T, k *Keeper, r *renewer) {
			diesAt(t, k, every)
			time.Sleep(time.Hour)
			if got := r.calls.Load(); got != 1 {
				t.Errorf("attempts after the loss: got %d, want 1 in all", got)
			}
		})
	})

	t.Run("CountsFromTheBeginningOfTheTaking", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			time.Sleep(4 * time.Second) // the start's answer took this long
			k := Keep(t.Context(), Config{TTL: ttl, Began: began, Renew: fail})
			defer k.Stop()
			diesAt(t, k, window-4*time.Second)
		})
	})

	t.Run("IsDeadFromTheStartWhenTheTakingTookTooLong", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			time.Sleep(window + time.Second)
			k := Keep(t.Context(), Config{TTL: ttl, Began: began, Renew: fail})
			defer k.Stop()
			synctest.Wait()
			if err := context.Cause(k.Context()); !errors.Is(err, ErrLost) {
				t.Errorf("cause: got %v, want ErrLost", err)
			}
		})
	})

	// As after SIGSTOP and SIGCONT: the loop stands still past its window, then finds timers and answers all at once.
	t.Run("FrozenPastItsWindowIsLostThoughTheServerSaysYes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := &renewer{}
			r.set(fail)
			k := Keep(t.Context(), Config{TTL: ttl, Renew: r.Renew, Log: slog.New(freeze{Handler: slog.DiscardHandler, d: 3 * ttl})})
			defer k.Stop()
			time.Sleep(every + time.Millisecond)
			r.set(succeed)
			time.Sleep(4 * ttl)
			synctest.Wait()
			if r.calls.Load() < 2 {
				t.Fatal("no renewal after the freeze")
			}
			if err := context.Cause(k.Context()); !errors.Is(err, ErrLost) {
				t.Errorf("cause: got %v, want ErrLost", err)
			}
		})
	})
}

// freeze is a log handler that stops the loop: it logs from there.
type freeze struct {
	slog.Handler
	d time.Duration
}

func (f freeze) Enabled(context.Context, slog.Level) bool { return true }

func (f freeze) Handle(context.Context, slog.Record) error {
	time.Sleep(f.d)
	return nil
}

func TestKeeperAndItsParent(t *testing.T) {
	t.Parallel()

	t.Run("ParentEndsTheWorkAndNotTheRenewals", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			errSignal := errors.New("signal")
			parent, cancel := context.WithCancelCause(t.Context())
			r := &renewer{}
			r.set(func(ctx context.Context) error { return ctx.Err() })
			k := Keep(parent, Config{TTL: ttl, Renew: r.Renew})
			defer k.Stop()
			cancel(errSignal)
			synctest.Wait()
			if err := context.Cause(k.Context()); !errors.Is(err, errSignal) {
				t.Errorf("cause: got %v, want the parent's", err)
			}
			time.Sleep(time.Minute + time.Second)
			if got, want := r.calls.Load(), int64(time.Minute/every); got != want {
				t.Errorf("renewals while draining: got %d, want %d", got, want)
			}
		})
	})

	t.Run("StopWaitsForTheAttemptUnderWay", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var returned atomic.Bool
			k := Keep(t.Context(), Config{TTL: ttl, Renew: func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				returned.Store(true)
				return ctx.Err()
			}})
			time.Sleep(every + time.Second)
			k.Stop()
			if !returned.Load() {
				t.Error("Stop returned before the attempt did")
			}
			if k.Context().Err() == nil {
				t.Error("the context outlives its keeper")
			}
			if errors.Is(context.Cause(k.Context()), ErrLost) {
				t.Error("stopping looks like a loss")
			}
			k.Stop() // twice is fine
		})
	})

	t.Run("StopAfterALossIsFine", func(t *testing.T) {
		t.Parallel()
		keep(t, func(context.Context) error { return ErrLost }, func(_ *testing.T, k *Keeper, _ *renewer) {
			<-k.Context().Done()
			k.Stop()
		})
	})
}

// Many keepers start and stop from many goroutines at once; the race detector and goleak look on.
func TestKeeperStress(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			fn := []func(context.Context) error{succeed, fail, hang, func(context.Context) error { return ErrLost }}[i%4]
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			k := Keep(ctx, Config{TTL: 3 * time.Millisecond, Renew: fn})
			if i%4 != 0 && i%3 == 0 {
				<-k.Context().Done()
			}
			if i%5 == 0 {
				cancel()
			}
			var stops sync.WaitGroup
			stops.Go(k.Stop)
			stops.Go(k.Stop)
			stops.Wait()
		})
	}
	wg.Wait()
}
