package conn

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStormOfUsers is fault 26: 64 users, 1,000 rounds each, with connects that
// fail and double releases.
func TestStormOfUsers(t *testing.T) {
	t.Parallel()
	t.Run("NoReferenceOutlivesItsClient", func(t *testing.T) {
		t.Parallel()
		storm(t, func(_ *Source, ref *Ref) {
			if dead(ref) {
				t.Error("a client was disconnected while somebody held a reference")
			}
		})
	})
	t.Run("CloseAtAnyMomentLeavesTheCountRight", func(t *testing.T) {
		t.Parallel()
		storm(t, func(s *Source, _ *Ref) {
			if rand.IntN(500) == 0 {
				_ = s.Close(context.Background())
			}
		})
	})
}

func storm(t *testing.T, use func(*Source, *Ref)) {
	t.Helper()
	f := fakeClients{open: func(context.Context) error {
		if rand.IntN(3) == 0 {
			return errFake
		}
		return nil
	}}
	s := f.source(t, Config{})
	var served, failed atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 1000 {
				ref, err := s.Acquire(context.Background())
				switch {
				case errors.Is(err, errFake), errors.Is(err, ErrClosed):
					failed.Add(1)
					continue
				case err != nil:
					t.Errorf("Acquire: %v", err)
					return
				}
				served.Add(1)
				use(s, ref)
				for range 1 + rand.IntN(3) {
					if err := ref.Release(context.Background()); err != nil {
						t.Errorf("Release: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	if served.Load() == 0 || failed.Load() == 0 || f.connects.Load() < 2 {
		t.Errorf("%d served, %d failed, %d connects: the storm proves nothing", served.Load(), failed.Load(), f.connects.Load())
	}
	waitFor(t, func() bool { return f.alive.Load() == 0 })
	if f.connects.Load() != f.disconnects.Load() || s.Status().References != 0 {
		t.Errorf("%d connects, %d disconnects, %d references", f.connects.Load(), f.disconnects.Load(), s.Status().References)
	}
}

// TestRandomCancellation is fault 27: contexts that end at any moment.
func TestRandomCancellation(t *testing.T) {
	t.Parallel()
	f := fakeClients{open: func(ctx context.Context) error {
		timer := time.NewTimer(time.Duration(rand.IntN(300)) * time.Microsecond)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
	s := f.source(t, Config{})
	var served, cancelled atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 250 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(400))*time.Microsecond)
				ref, err := s.Acquire(ctx)
				switch {
				case err == nil:
					served.Add(1)
					_ = ref.Release(ctx)
				case errors.Is(err, context.DeadlineExceeded):
					cancelled.Add(1)
				default:
					t.Errorf("Acquire: %v", err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if served.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("%d served, %d cancelled: nothing is proven", served.Load(), cancelled.Load())
	}
	waitFor(t, func() bool { return f.alive.Load() == 0 })
	if st := s.Status(); st.State != Closed || st.References != 0 {
		t.Errorf("status %+v", st)
	}
}
