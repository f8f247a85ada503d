package conn

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// fakeClients stands in for the driver: it counts what is alive.
type fakeClients struct {
	connects, disconnects, alive atomic.Int64
	// open is one connect; nil succeeds at once.
	open func(ctx context.Context) error
}

func (f *fakeClients) source(t *testing.T, cfg Config) *Source {
	t.Helper()
	cfg.URI = "mongodb://fake/test"
	s := New(cfg)
	s.connect = func(ctx context.Context, l *link) error {
		f.connects.Add(1)
		if n := f.alive.Add(1); n != 1 {
			t.Errorf("%d clients at once", n)
		}
		var closed atomic.Bool
		l.disconnect = func(context.Context) error {
			if closed.Swap(true) {
				t.Error("a client was disconnected twice")
			}
			f.disconnects.Add(1)
			f.alive.Add(-1)
			return nil
		}
		if f.open == nil {
			return nil
		}
		return f.open(ctx)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := f.alive.Load(); n != 0 {
			t.Errorf("%d clients are left", n)
		}
	})
	return s
}

// dead reports whether a reference's client was disconnected.
func dead(ref *Ref) bool {
	select {
	case <-ref.link.gone:
		return true
	default:
		return false
	}
}

var errFake = errors.New("fake failure")

func mustAcquire(t *testing.T, s *Source) *Ref {
	t.Helper()
	ref, err := s.Acquire(t.Context())
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return ref
}

func TestCounting(t *testing.T) {
	t.Parallel()

	t.Run("LastReleaseDisconnects", func(t *testing.T) {
		t.Parallel()
		var f fakeClients
		s := f.source(t, Config{})
		a, b := mustAcquire(t, s), mustAcquire(t, s)
		_ = a.Release(t.Context())
		_ = a.Release(t.Context())
		_ = a.Release(t.Context())
		if dead(b) || f.disconnects.Load() != 0 {
			t.Fatal("a double release disconnected the other user")
		}
		_ = b.Release(t.Context())
		if f.connects.Load() != 1 || f.disconnects.Load() != 1 {
			t.Errorf("%d connects, %d disconnects; want one of each", f.connects.Load(), f.disconnects.Load())
		}
		if st := s.Status(); st.State != Closed || st.References != 0 {
			t.Errorf("status %+v", st)
		}
	})

	t.Run("KeepOpenLeavesItToClose", func(t *testing.T) {
		t.Parallel()
		var f fakeClients
		s := f.source(t, Config{KeepOpen: true})
		for range 3 {
			_ = mustAcquire(t, s).Release(t.Context())
		}
		if f.connects.Load() != 1 || f.disconnects.Load() != 0 {
			t.Errorf("%d connects, %d disconnects; want 1 and 0", f.connects.Load(), f.disconnects.Load())
		}
	})

	t.Run("JoinerOfAConnectHasAReferenceOfItsOwn", func(t *testing.T) {
		t.Parallel()
		gate := make(chan struct{})
		f := fakeClients{open: func(context.Context) error { <-gate; return nil }}
		s := f.source(t, Config{})
		refs := make(chan *Ref, 2)
		for range 2 {
			go func() {
				ref, err := s.Acquire(t.Context())
				if err != nil {
					t.Errorf("Acquire: %v", err)
				}
				refs <- ref
			}()
		}
		waitFor(t, func() bool { return s.Status().References == 2 })
		close(gate)
		first, second := <-refs, <-refs
		_ = first.Release(t.Context())
		if dead(second) {
			t.Fatal("the first release closed the connection under the caller that had joined")
		}
		_ = second.Release(t.Context())
		if f.connects.Load() != 1 {
			t.Errorf("%d connects, want 1", f.connects.Load())
		}
	})

	t.Run("OneWaitersCancellationLeavesTheConnectToTheOthers", func(t *testing.T) {
		t.Parallel()
		gate := make(chan struct{})
		f := fakeClients{open: func(ctx context.Context) error {
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}}
		s := f.source(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		// The impatient one comes first: it is its context that must not govern the connect.
		impatient := make(chan error, 1)
		go func() { _, err := s.Acquire(ctx); impatient <- err }()
		waitFor(t, func() bool { return s.Status().References == 1 })
		patient := make(chan *Ref, 1)
		go func() { ref, _ := s.Acquire(t.Context()); patient <- ref }()
		waitFor(t, func() bool { return s.Status().References == 2 })
		cancel()
		if err := <-impatient; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled caller got %v", err)
		}
		close(gate)
		if ref := <-patient; ref == nil || dead(ref) {
			t.Error("the other caller got no living reference")
		}
	})

	t.Run("ConnectEndsWhenNobodyWaits", func(t *testing.T) {
		t.Parallel()
		stopped := make(chan error, 1)
		f := fakeClients{open: func(ctx context.Context) error {
			<-ctx.Done()
			stopped <- context.Cause(ctx)
			return context.Cause(ctx)
		}}
		s := f.source(t, Config{})
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { _, err := s.Acquire(ctx); done <- err }()
		waitFor(t, func() bool { return s.Status().References == 1 })
		cause := errors.New("the run was cancelled")
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			t.Errorf("Acquire returned %v, want the cause", err)
		}
		if err := <-stopped; !errors.Is(err, errAbandoned) {
			t.Errorf("the connect was stopped with %v", err)
		}
		if st := s.Status(); st.State != Closed || st.LastError != "" {
			t.Errorf("status %s, last error %q; an abandoned connect is no failure", st.State, st.LastError)
		}
	})

	t.Run("FailedConnectFailsForAllAndIsTriedAnew", func(t *testing.T) {
		t.Parallel()
		var fail atomic.Bool
		fail.Store(true)
		gate := make(chan struct{})
		f := fakeClients{open: func(context.Context) error {
			<-gate
			if fail.Load() {
				return errFake
			}
			return nil
		}}
		s := f.source(t, Config{})
		errs := make(chan error, 3)
		for range 3 {
			go func() { _, err := s.Acquire(t.Context()); errs <- err }()
		}
		waitFor(t, func() bool { return s.Status().References == 3 })
		close(gate)
		for range 3 {
			if err := <-errs; !errors.Is(err, errFake) {
				t.Errorf("got %v", err)
			}
		}
		if st := s.Status(); st.State != Unreachable || st.LastError != errFake.Error() || f.alive.Load() != 0 {
			t.Errorf("status %+v, %d alive", st, f.alive.Load())
		}
		fail.Store(false)
		ref := mustAcquire(t, s)
		if f.connects.Load() != 2 {
			t.Errorf("%d connects, want 2", f.connects.Load())
		}
		_ = ref.Release(t.Context())
	})
}

func TestClose(t *testing.T) {
	t.Parallel()

	t.Run("TakesTheClientFromItsUsersAndAllowsANewOne", func(t *testing.T) {
		t.Parallel()
		var f fakeClients
		s := f.source(t, Config{})
		old := mustAcquire(t, s)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !dead(old) {
			t.Error("the client lives on")
		}
		fresh := mustAcquire(t, s)
		if err := old.Release(t.Context()); err != nil || dead(fresh) {
			t.Errorf("an old reference's release (%v) reached the new client", err)
		}
		_ = fresh.Release(t.Context())
		if f.connects.Load() != 2 || f.disconnects.Load() != 2 {
			t.Errorf("%d connects, %d disconnects; want 2 of each", f.connects.Load(), f.disconnects.Load())
		}
	})

	t.Run("EndsAConnectUnderWay", func(t *testing.T) {
		t.Parallel()
		f := fakeClients{open: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }}
		s := f.source(t, Config{})
		done := make(chan error, 1)
		go func() { _, err := s.Acquire(t.Context()); done <- err }()
		waitFor(t, func() bool { return s.Status().References == 1 })
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("the waiting caller got %v, want ErrClosed", err)
		}
	})

	t.Run("OvertakesAConnectThatSucceedsMeanwhile", func(t *testing.T) {
		t.Parallel()
		f := fakeClients{open: func(ctx context.Context) error { <-ctx.Done(); return nil }}
		s := f.source(t, Config{})
		done := make(chan error, 1)
		go func() { _, err := s.Acquire(t.Context()); done <- err }()
		waitFor(t, func() bool { return s.Status().References == 1 })
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("the waiting caller got %v, want ErrClosed", err)
		}
		if f.alive.Load() != 0 {
			t.Error("the client that nobody may use lives on")
		}
	})

	t.Run("DoesNothingTwiceOrUnopened", func(t *testing.T) {
		t.Parallel()
		var f fakeClients
		s := f.source(t, Config{})
		for range 2 {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		_ = mustAcquire(t, s)
		for range 2 {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if f.disconnects.Load() != 1 {
			t.Errorf("%d disconnects, want 1", f.disconnects.Load())
		}
	})
}

func TestWith(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(context.Context, *Ref) error{
		"OneUsersErrorLeavesTheOthersAlone": func(context.Context, *Ref) error { return errFake },
		"OneUsersPanicLeavesTheOthersAlone": func(context.Context, *Ref) error { panic(errFake) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f fakeClients
			s := f.source(t, Config{})
			other := mustAcquire(t, s)
			err := func() (err error) {
				defer func() {
					if p := recover(); p != nil {
						err = p.(error)
					}
				}()
				return s.With(t.Context(), fn)
			}()
			if !errors.Is(err, errFake) {
				t.Errorf("With returned %v", err)
			}
			if dead(other) || s.Status().References != 1 {
				t.Errorf("the other user's reference suffered: %+v", s.Status())
			}
			_ = other.Release(t.Context())
		})
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("what was waited for never came")
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the test ended")
		}
	}
}
