package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/mongotest"
)

func longAgo() time.Time   { return time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC) }
func farFuture() time.Time { return time.Date(2200, 1, 2, 3, 4, 5, 0, time.UTC) }

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("StoresWhatTheCallerSaysAndTheServerKnows", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		n := newRun()
		n.Source = Source{Module: "example.com/x", Version: "v1.2.3", Revision: "abc", Modified: true, Hash: "h"}
		n.Parent, n.RikkiVersion, n.DryRun, n.Attempt = "r_parent", "v0.1.0", true, 2
		n.Findings = []Finding{{Level: "warning", Field: "BatchSize", Message: "is large"}}
		started := b.start(t, n)
		got, err := b.Run(t.Context(), n.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.ReadAt.Before(started.StartedAt) {
			t.Errorf("read at %s, before it started at %s", got.ReadAt, started.StartedAt)
		}
		got.ReadAt = started.ReadAt
		if diff := cmp.Diff(started, got); diff != "" {
			t.Errorf("what Start returns differs from what is stored (-start +stored):\n%s", diff)
		}
		want := Run{
			ID: n.ID, Script: n.Script, State: Running, Slot: "lowercase-emails/0", Actor: "mira", Trigger: "cli",
			Parent: "r_parent", Source: n.Source, RikkiVersion: "v0.1.0", Database: "shop", DryRun: true, Attempt: 2,
			Timeout: 5 * time.Minute, Findings: n.Findings, Params: got.Params,
			CreatedAt: got.StartedAt, StartedAt: got.StartedAt, ReadAt: got.ReadAt,
			Lease: Lease{Owner: n.Owner, Epoch: 1, Renewed: got.StartedAt, Expires: got.StartedAt.Add(n.TTL)},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("stored run (-want +got):\n%s", diff)
		}
		if s := got.Params.String(); s != `{"batch_size": {"$numberInt":"500"}}` {
			t.Errorf("parameters: got %s", s)
		}
		if got.StartedAt.IsZero() {
			t.Error("the server's clock is missing")
		}
	})

	t.Run("TakesValuesAsDataNotAsExpressions", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		n := newRun()
		n.Actor, n.Trigger = "$$ROOT", "$script"
		n.Owner.Host = "$slot"
		n.Params = bson.D{{Key: "$set", Value: "$_id"}, {Key: "a.b", Value: bson.D{{Key: "$ne", Value: "$$NOW"}}}, {Key: "", Value: 1}}
		run := b.start(t, n)
		if run.Actor != "$$ROOT" || run.Trigger != "$script" || run.Lease.Owner != n.Owner {
			t.Errorf("got actor %q, trigger %q, owner %+v", run.Actor, run.Trigger, run.Lease.Owner)
		}
		want, err := bson.Marshal(n.Params)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bson.Raw(want).String(), run.Params.String()); diff != "" {
			t.Errorf("parameters (-want +got):\n%s", diff)
		}
	})

	t.Run("SaysWhoHoldsTheScript", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.start(t, newRun())
		before := b.stored(t, first.ID)
		_, err := b.Start(t.Context(), newRun())
		var busy *BusyError
		if !errors.As(err, &busy) {
			t.Fatalf("got %v, want a BusyError", err)
		}
		if busy.Holder.ID != first.ID || busy.Limit != 1 || busy.Holder.ReadAt.Before(first.StartedAt) {
			t.Errorf("holder: got %+v", busy)
		}
		if diff := cmp.Diff(before.String(), b.stored(t, first.ID).String()); diff != "" {
			t.Errorf("the holder was changed (-before +after):\n%s", diff)
		}
		if n := b.count(t); n != 1 {
			t.Errorf("%d records are left, want 1", n)
		}
		other := newRun()
		other.Script = "another-script"
		b.start(t, other)
	})

	t.Run("HonoursTheLimitOfConcurrentRuns", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		slots := map[string]bool{}
		var first Run
		for i := range 3 {
			n := newRun()
			n.Concurrency = 3
			run := b.start(t, n)
			slots[run.Slot] = true
			if i == 0 {
				first = run
			}
		}
		if len(slots) != 3 {
			t.Errorf("slots: got %v, want three", slots)
		}
		n := newRun()
		n.Concurrency = 3
		_, err := b.Start(t.Context(), n)
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Limit != 3 {
			t.Fatalf("a fourth run: got %v, want a BusyError with limit 3", err)
		}
		if _, err := b.Finish(t.Context(), first.ID, 1, Finish{State: Succeeded}); err != nil {
			t.Fatal(err)
		}
		if run := b.start(t, n); run.Slot != first.Slot {
			t.Errorf("slot after one became free: got %s, want %s", run.Slot, first.Slot)
		}
	})

	t.Run("HasNoLimitWhenAskedFor", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for range 5 {
			n := newRun()
			n.Concurrency = -1
			b.start(t, n)
		}
		if n := b.count(t); n != 5 {
			t.Errorf("%d runs are active, want 5", n)
		}
	})

	t.Run("RefusesAnIDThatIsTaken", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		n := newRun()
		b.start(t, n)
		before := b.stored(t, n.ID)
		other := newRun()
		other.ID, other.Script = n.ID, "another-script"
		_, err := b.Start(t.Context(), other)
		wantErr(t, err, ErrDuplicateID)
		if diff := cmp.Diff(before.String(), b.stored(t, n.ID).String()); diff != "" {
			t.Errorf("the first run was changed (-before +after):\n%s", diff)
		}
		// Same id, same slot, another process: that is a busy script, not our run.
		other.Script = n.Script
		var busy *BusyError
		if _, err = b.Start(t.Context(), other); !errors.As(err, &busy) {
			t.Errorf("got %v, want a BusyError", err)
		}
	})

	t.Run("IsIdempotentForItsOwner", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		n := newRun()
		first := b.start(t, n)
		if diff := cmp.Diff(first, b.start(t, n)); diff != "" {
			t.Errorf("second start (-first +second):\n%s", diff)
		}
	})

	t.Run("NamesEveryMissingField", func(t *testing.T) {
		t.Parallel()
		_, err := New(mongotest.DB(t)).Start(t.Context(), NewRun{})
		want := "store: NewRun.ID is missing\nstore: NewRun.Script is missing\n" +
			"store: NewRun.TTL is 0s; it must be at least 1ms\nstore: NewRun.Owner is missing"
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// The first round also races for the creation of the indexes.
func TestFiftyGoroutinesRaceForOneSlotAndOneWins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const goroutines, rounds = 50, 8
	for round := range rounds {
		var (
			mu     sync.Mutex
			won    []Run
			holder = map[string]int{}
			wg     sync.WaitGroup
		)
		gate := make(chan struct{})
		for range goroutines {
			wg.Go(func() {
				<-gate
				run, err := b.Start(t.Context(), newRun())
				mu.Lock()
				defer mu.Unlock()
				var busy *BusyError
				switch {
				case err == nil:
					won = append(won, run)
				case errors.As(err, &busy):
					holder[busy.Holder.ID]++
				default:
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		close(gate)
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d goroutines won, want exactly 1", round, len(won))
		}
		if diff := cmp.Diff(map[string]int{won[0].ID: goroutines - 1}, holder); diff != "" {
			t.Fatalf("round %d: whom the losers saw (-want +got):\n%s", round, diff)
		}
		if _, err := b.Finish(t.Context(), won[0].ID, won[0].Lease.Epoch, Finish{State: Succeeded}); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.count(t); n != rounds {
		t.Errorf("%d records, want one per winner: %d", n, rounds)
	}
}

func TestManyRacersFillManySlots(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const racers, limit = 24, 4
	var (
		mu    sync.Mutex
		slots = map[string]int{}
		wg    sync.WaitGroup
	)
	for range racers {
		wg.Go(func() {
			n := newRun()
			n.Concurrency = limit
			run, err := b.Start(t.Context(), n)
			if _, busy := errors.AsType[*BusyError](err); busy {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			slots[run.Slot]++
		})
	}
	wg.Wait()
	want := map[string]int{}
	for i := range limit {
		want[fmt.Sprintf("lowercase-emails/%d", i)] = 1
	}
	if diff := cmp.Diff(want, slots); diff != "" {
		t.Errorf("runs per slot (-want +got):\n%s", diff)
	}
}

func TestTakeover(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.start(t, newRun())
	b.expire(t, old.ID)

	// Several want it at once; one gets it.
	var (
		mu  sync.Mutex
		won []Run
		wg  sync.WaitGroup
	)
	for range 10 {
		wg.Go(func() {
			run, err := b.Start(t.Context(), newRun())
			if _, busy := errors.AsType[*BusyError](err); busy {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			won = append(won, run)
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d processes took the script over, want exactly 1", len(won))
	}

	got, err := b.Run(t.Context(), old.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != Interrupted || got.Slot != "" || got.Lease.Epoch != 2 || !got.EndedAt.Equal(old.Lease.Renewed) {
		t.Errorf("the old run: got state %s, slot %q, epoch %d, ended %s", got.State, got.Slot, got.Lease.Epoch, got.EndedAt)
	}

	// The old owner wakes up. It is fenced, and changes nothing.
	before := b.stored(t, old.ID)
	ctx, id, epoch := t.Context(), old.ID, old.Lease.Epoch
	_, err = b.Beat(ctx, id, epoch, Beat{TTL: time.Minute, Counters: map[string]int64{"n": 1}})
	wantErr(t, err, ErrLeaseLost)
	_, err = b.Move(ctx, id, epoch, Cancelling)
	wantErr(t, err, ErrLeaseLost)
	_, err = b.Finish(ctx, id, epoch, Finish{State: Succeeded, Result: 1})
	wantErr(t, err, ErrLeaseLost)
	_, err = b.Finish(ctx, id, epoch, Finish{State: Interrupted})
	wantErr(t, err, ErrLeaseLost)
	if err := b.Release(ctx, id, epoch); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.String(), b.stored(t, id).String()); diff != "" {
		t.Errorf("a fenced owner changed its run (-before +after):\n%s", diff)
	}
	if run, err := b.Run(ctx, won[0].ID); err != nil || run.State != Running || run.Slot == "" {
		t.Errorf("the new run: got %+v, %v", run, err)
	}
}
