package store

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestBeat(t *testing.T) {
	t.Parallel()

	t.Run("RenewsAndReports", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		run := b.start(t, newRun())
		beat := Beat{
			TTL: time.Hour, Counters: map[string]int64{"changed": 7, "$odd.name": 1},
			Progress: &Progress{Done: 7, Total: 10, Rate: 3.5, Message: "$done"},
		}
		pulse, err := b.Beat(t.Context(), run.ID, 1, beat)
		if err != nil {
			t.Fatal(err)
		}
		if pulse.State != Running || pulse.Expires.Before(run.StartedAt.Add(time.Hour)) {
			t.Errorf("pulse: got %+v", pulse)
		}
		// A beat with nothing to report leaves what is stored.
		if _, err := b.Beat(t.Context(), run.ID, 1, Beat{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		got, err := b.Run(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(beat.Progress, got.Progress); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(beat.Counters, got.Counters); diff != "" {
			t.Errorf("counters (-want +got):\n%s", diff)
		}
	})

	t.Run("RevivesALeaseThatNobodyTook", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		run := b.start(t, newRun())
		b.expire(t, run.ID)
		if got, err := b.Run(t.Context(), run.ID); err != nil || got.State != Interrupted {
			t.Fatalf("before: got %s, %v, want interrupted", got.State, err)
		}
		if _, err := b.Beat(t.Context(), run.ID, 1, Beat{TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Run(t.Context(), run.ID); err != nil || got.State != Running {
			t.Errorf("after: got %s, %v, want running", got.State, err)
		}
	})

	t.Run("TellsWhatOthersAskedFor", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		run := b.start(t, newRun())
		if _, err := b.Move(t.Context(), run.ID, 1, Cancelling); err != nil {
			t.Fatal(err)
		}
		pulse, err := b.Beat(t.Context(), run.ID, 1, Beat{TTL: time.Minute})
		if err != nil || pulse.State != Cancelling {
			t.Errorf("got %+v, %v, want cancelling", pulse, err)
		}
	})

	t.Run("IsLostOnceTheRunHasEndedOrIsUnknown", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		run := b.start(t, newRun())
		if _, err := b.Finish(t.Context(), run.ID, 1, Finish{State: Succeeded}); err != nil {
			t.Fatal(err)
		}
		_, err := b.Beat(t.Context(), run.ID, 1, Beat{TTL: time.Minute})
		wantErr(t, err, ErrLeaseLost)
		_, err = b.Beat(t.Context(), "r_unknown", 1, Beat{TTL: time.Minute})
		wantErr(t, err, ErrLeaseLost)
	})
}

func TestFinish(t *testing.T) {
	t.Parallel()

	t.Run("RecordsTheEndOnce", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		n := newRun()
		run := b.start(t, n)
		f := Finish{
			State: SucceededWithErrors, Result: bson.D{{Key: "changed", Value: "$5"}, {Key: "n", Value: 3}},
			Error:    &RunError{Kind: "partial", Message: "$2 failed", Why: "w", Fix: "f", Stack: "s"},
			Findings: []Finding{{Level: "warning", Message: "m"}}, Progress: &Progress{Done: 10, Total: 10},
			Counters: map[string]int64{"failed": 2}, LogsDropped: 4,
		}
		ended, err := b.Finish(t.Context(), n.ID, 1, f)
		if err != nil {
			t.Fatal(err)
		}
		want := run
		want.State, want.Slot, want.EndedAt, want.Lease.Renewed, want.ReadAt = SucceededWithErrors, "", ended.EndedAt, ended.EndedAt, ended.EndedAt
		want.Error, want.Findings, want.Progress, want.Counters, want.LogsDropped = f.Error, f.Findings, f.Progress, f.Counters, 4
		want.Result, want.NewsAt = ended.Result, ended.EndedAt
		if diff := cmp.Diff(want, ended); diff != "" {
			t.Errorf("ended run (-want +got):\n%s", diff)
		}
		if s := ended.Result.String(); s != `{"changed": "$5","n": {"$numberInt":"3"}}` {
			t.Errorf("result: got %s", s)
		}
		if ended.EndedAt.Before(run.StartedAt) || ended.Duration() != ended.EndedAt.Sub(run.StartedAt) {
			t.Errorf("ended %s after a start at %s, duration %s", ended.EndedAt, run.StartedAt, ended.Duration())
		}

		// Said again, as after a lost answer: nothing changes and the record comes back.
		before := b.stored(t, n.ID)
		again, err := b.Finish(t.Context(), n.ID, 1, Finish{State: SucceededWithErrors, Result: "other"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ended, again); diff != "" {
			t.Errorf("second end (-first +second):\n%s", diff)
		}
		// Said differently: refused.
		_, err = b.Finish(t.Context(), n.ID, 1, Finish{State: Failed})
		wantErr(t, err, ErrLeaseLost)
		if diff := cmp.Diff(before.String(), b.stored(t, n.ID).String()); diff != "" {
			t.Errorf("an ended run was changed (-before +after):\n%s", diff)
		}
		b.start(t, newRun()) // the slot is free
	})

	t.Run("RefusesWhatIsNoEnd", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		run := b.start(t, newRun())
		for _, s := range []State{Running, Pausing, Cancelling, Queued, "", "done"} {
			if _, err := b.Finish(t.Context(), run.ID, 1, Finish{State: s}); !errors.Is(err, ErrTransition) {
				t.Errorf("finish as %q: got %v, want ErrTransition", s, err)
			}
		}
		if _, err := b.Move(t.Context(), run.ID, 1, Failed); !errors.Is(err, ErrTransition) {
			t.Errorf("move to failed: got %v, want ErrTransition", err)
		}
	})

	t.Run("OfAnUnknownRunIsALostLease", func(t *testing.T) {
		t.Parallel()
		_, err := setup(t).Finish(t.Context(), "r_unknown", 1, Finish{State: Failed})
		wantErr(t, err, ErrLeaseLost)
	})
}

// A script that ignores its cancellation: its record is closed, but nobody else may start while it lives.
func TestStuckRun(t *testing.T) {
	t.Parallel()
	stick := func(t *testing.T) (*testBundle, Run) {
		t.Helper()
		b := setup(t)
		n := newRun()
		b.start(t, n)
		run, err := b.Finish(t.Context(), n.ID, 1, Finish{State: Failed, Stuck: true, Error: &RunError{Kind: "timeout"}})
		if err != nil {
			t.Fatal(err)
		}
		if run.State != Failed || !run.Stuck || run.Slot == "" || run.EndedAt.IsZero() {
			t.Fatalf("stuck run: got %+v", run)
		}
		var busy *BusyError
		if _, err := b.Start(t.Context(), newRun()); !errors.As(err, &busy) {
			t.Fatalf("start beside a stuck script: got %v, want a BusyError", err)
		}
		if _, err := b.Beat(t.Context(), run.ID, 1, Beat{TTL: time.Minute}); err != nil {
			t.Fatalf("the owner of a stuck script must be able to keep its slot: %v", err)
		}
		return b, run
	}

	t.Run("GivesItsSlotBackWhenItStopsAfterAll", func(t *testing.T) {
		t.Parallel()
		b, run := stick(t)
		if err := b.Release(t.Context(), run.ID, 7); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Run(t.Context(), run.ID); err != nil || got.Slot == "" {
			t.Fatalf("a stranger freed the slot: %+v, %v", got, err)
		}
		for range 2 {
			if err := b.Release(t.Context(), run.ID, 1); err != nil {
				t.Fatal(err)
			}
		}
		got, err := b.Run(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.State != Failed || !got.Stuck || got.Slot != "" || got.StoppedAt.Before(got.EndedAt) {
			t.Errorf("released run: got %+v", got)
		}
		_, err = b.Beat(t.Context(), run.ID, 1, Beat{TTL: time.Minute})
		wantErr(t, err, ErrLeaseLost)
		b.start(t, newRun())
	})

	t.Run("LosesItsSlotAndNotItsStateWhenItsProcessIsGone", func(t *testing.T) {
		t.Parallel()
		b, run := stick(t)
		b.expire(t, run.ID)
		if n, err := b.Sweep(t.Context()); err != nil || n != 1 {
			t.Fatalf("sweep: got %d, %v", n, err)
		}
		got, err := b.Run(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.State != Failed || got.Slot != "" || got.Lease.Epoch != 2 || got.StoppedAt.IsZero() || !got.EndedAt.Equal(run.EndedAt) {
			t.Errorf("swept run: got %+v", got)
		}
	})

	t.Run("IsTakenOverByTheNextStartOnceExpired", func(t *testing.T) {
		t.Parallel()
		b, run := stick(t)
		b.expire(t, run.ID)
		b.start(t, newRun())
		if got, err := b.Run(t.Context(), run.ID); err != nil || got.State != Failed {
			t.Errorf("got %s, %v, want failed", got.State, err)
		}
	})
}

func TestSweep(t *testing.T) {
	t.Parallel()

	t.Run("SettlesTheSilentAndNoOther", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		// What somebody had asked for happens though the owner is dead.
		settled := map[string]State{"running": Interrupted, "pausing": Paused, "cancelling": Cancelled}
		var want, got []string
		before := map[string]string{}
		for _, state := range States() {
			alive, silent, without := "alive-"+string(state), "silent-"+string(state), "without-"+string(state)
			b.insert(t, aRun(alive, state), aRun(silent, state), aRun(without, state))
			b.expire(t, silent)
			if _, err := b.runs.UpdateByID(t.Context(), without, bson.D{{Key: "$unset", Value: bson.D{{Key: "lease", Value: 1}, {Key: "slot", Value: 1}}}}); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{alive, silent, without} {
				before[id] = b.stored(t, id).String()
			}
			if state.Active() {
				want = append(want, silent, without)
			}
		}
		n, err := b.Sweep(t.Context())
		if err != nil || n != len(want) {
			t.Fatalf("sweep: got %d, %v, want %d", n, err, len(want))
		}
		for id, doc := range before {
			after := b.stored(t, id)
			if after.String() == doc {
				continue
			}
			got = append(got, id)
			_, was, _ := strings.Cut(id, "-")
			if got := after.Lookup("state").StringValue(); got != string(settled[was]) {
				t.Errorf("%s became %s", id, got)
			}
			if _, err := after.LookupErr("slot"); err == nil {
				t.Errorf("%s keeps its slot", id)
			}
			want := int64(4)
			if strings.HasPrefix(id, "without") {
				want = 1
			}
			if epoch, ok := after.Lookup("lease", "epoch").AsInt64OK(); !ok || epoch != want {
				t.Errorf("%s has epoch %d, want %d", id, epoch, want)
			}
			if at := after.Lookup("ended_at").Time(); !at.Equal(longAgo()) {
				t.Errorf("%s ended at %s, want its last sign of life", id, at)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("runs that changed (-want +got):\n%s", diff)
		}
		if n, err := b.Sweep(t.Context()); err != nil || n != 0 {
			t.Errorf("second sweep: got %d, %v, want 0", n, err)
		}
	})

	t.Run("FindsNothingInAnEmptyDatabase", func(t *testing.T) {
		t.Parallel()
		if n, err := setup(t).Sweep(t.Context()); err != nil || n != 0 {
			t.Errorf("got %d, %v", n, err)
		}
	})

	// The rescuer's classic mistake: it read that a run was silent, and overwrites what came meanwhile.
	t.Run("NeverOverwritesAnEndOrABeat", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for range 40 {
			n := newRun()
			n.Concurrency = -1
			run := b.start(t, n)
			b.expire(t, run.ID)
			swept := make(chan error, 1)
			go func() {
				_, err := b.Sweep(t.Context())
				swept <- err
			}()
			_, finishErr := b.Finish(t.Context(), run.ID, 1, Finish{State: Succeeded})
			if err := <-swept; err != nil {
				t.Fatal(err)
			}
			got, err := b.Run(t.Context(), run.ID)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case finishErr == nil && got.State == Succeeded && got.Lease.Epoch == 1:
			case errors.Is(finishErr, ErrLeaseLost) && got.State == Interrupted && got.Lease.Epoch == 2:
			default:
				t.Fatalf("finish said %v, and the run is %s with epoch %d", finishErr, got.State, got.Lease.Epoch)
			}
		}
	})
}

// A lease that was taken from a server whose clock is ahead, before another one leads, does not last until that time comes.
func TestSweepAfterTheClockWentBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := b.queue(t, func(n *NewRun) { n.Resumable = true })
	b.claim1(t, newClaim())
	ahead := func(by time.Duration) {
		t.Helper()
		if _, err := b.runs.UpdateByID(t.Context(), run.ID, bson.A{bson.D{{Key: "$set", Value: bson.D{
			{Key: "lease.expires", Value: expiresIn(by.Milliseconds())}, {Key: "due_at", Value: expiresIn(by.Milliseconds())},
		}}}}); err != nil {
			t.Fatal(err)
		}
	}
	ttl := newClaim().TTL
	ahead(2*ttl - time.Second) // as far as two clocks may differ
	if n, err := b.Sweep(t.Context()); err != nil || n != 0 {
		t.Errorf("a lease that lasts was swept: %d, %v", n, err)
	}
	ahead(time.Hour)
	if n, err := b.Sweep(t.Context()); err != nil || n != 1 {
		t.Errorf("swept: %d, %v", n, err)
	}
	if got := b.claim1(t, newClaim()); got.Attempt != 2 {
		t.Errorf("attempt %d", got.Attempt)
	}
}
