package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// newClaim is what a process asks the queue for that knows one script.
func newClaim() Claim {
	return Claim{
		Taker:    Taker{Owner: Owner{Host: "server-1", PID: 7, Instance: NewID()}, TTL: time.Minute, Source: Source{Revision: "r1"}},
		Database: "shop", Scripts: map[string]int{"lowercase-emails": 1},
	}
}

func mustEncode(t *testing.T, v any) bson.RawValue {
	t.Helper()
	rv, err := Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return rv
}

// queue puts a run of its own script into the queue, so that only the order of the queue matters.
func (b *testBundle) queue(t *testing.T, change func(*NewRun)) Run {
	t.Helper()
	n := newRun()
	n.ID = NewID()
	if change != nil {
		change(&n)
	}
	run, err := b.Enqueue(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func (b *testBundle) claim1(t *testing.T, c Claim) Run {
	t.Helper()
	runs, err := b.Claim(t.Context(), c, 1)
	if err != nil || len(runs) != 1 {
		t.Fatalf("claim: got %d runs, %v, want one", len(runs), err)
	}
	return runs[0]
}

func ids(runs []Run) []string {
	out := make([]string, len(runs))
	for i, r := range runs {
		out[i] = r.ID
	}
	return out
}

func TestEnqueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := b.queue(t, func(n *NewRun) { n.Priority, n.Input, n.Resumable = 3, `{"x":"$5"}`, true })
	got, err := b.Run(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != Queued || got.Attempt != 0 || got.Slot != "" || !got.Ready || !got.Queue || !got.Resumable ||
		got.Priority != 3 || got.Input != `{"x":"$5"}` || !got.StartedAt.IsZero() || got.CreatedAt.IsZero() || !got.DueAt.Equal(got.CreatedAt) {
		t.Errorf("queued run: %+v", got)
	}
	if n, err := b.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("a queued run was swept: %d, %v", n, err)
	}
	n := newRun()
	n.ID = run.ID
	if _, err := b.Enqueue(t.Context(), n); !errors.Is(err, ErrDuplicateID) {
		t.Errorf("the same id again: got %v", err)
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()

	t.Run("TakesTheRunWithEverythingThatGoesWithIt", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		queued := b.queue(t, nil)
		c := newClaim()
		run := b.claim1(t, c)
		if run.ID != queued.ID || run.State != Running || run.Attempt != 1 || run.Slot != "lowercase-emails/0" || run.Ready ||
			run.Lease.Epoch != 1 || run.Lease.Owner != c.Owner || run.StartedAt.IsZero() || run.Source != c.Source {
			t.Errorf("claimed run: %+v", run)
		}
		if _, err := b.Beat(t.Context(), run.ID, 1, Beat{TTL: time.Minute}); err != nil {
			t.Error(err)
		}
		if more, err := b.Claim(t.Context(), c, 5); len(more) != 0 || err != nil {
			t.Errorf("claimed again: %v, %v", ids(more), err)
		}
	})

	t.Run("TakesTheGreatestPriorityFirstAndThenTheOldest", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		prio := func(p int) func(*NewRun) { return func(n *NewRun) { n.Priority = p } }
		a, bb, c, d := b.queue(t, prio(0)), b.queue(t, prio(5)), b.queue(t, prio(-1)), b.queue(t, prio(5))
		claim := newClaim()
		claim.Scripts["lowercase-emails"] = -1
		got, err := b.Claim(t.Context(), claim, 10)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{bb.ID, d.ID, a.ID, c.ID}, ids(got)); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})

	t.Run("LeavesWhatIsNotDueNotKnownOrOfAnotherDatabase", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.queue(t, func(n *NewRun) { n.NotBefore = time.Now().Add(time.Hour) })
		b.queue(t, func(n *NewRun) { n.Script = "unknown-here" })
		b.queue(t, func(n *NewRun) { n.Database = "blog" })
		if got, err := b.Claim(t.Context(), newClaim(), 5); len(got) != 0 || err != nil {
			t.Errorf("claimed %v, %v", ids(got), err)
		}
		due := b.queue(t, func(n *NewRun) { n.NotBefore = time.Now().Add(-time.Hour) })
		if got := b.claim1(t, newClaim()); got.ID != due.ID {
			t.Errorf("claimed %s, want %s", got.ID, due.ID)
		}
	})

	t.Run("KeepsTheLimitOfAScriptAndLetsOthersPass", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for range 5 {
			b.queue(t, func(n *NewRun) { n.Script, n.Priority = "popular", 9 })
		}
		other := b.queue(t, func(n *NewRun) { n.Script = "other" })
		c := newClaim()
		c.Scripts = map[string]int{"popular": 2, "other": 1}
		got, err := b.Claim(t.Context(), c, 10)
		if err != nil || len(got) != 3 {
			t.Fatalf("claimed %v, %v, want two popular and one other", ids(got), err)
		}
		if got[2].ID != other.ID || got[0].Script != "popular" || got[1].Script != "popular" || got[0].Slot == got[1].Slot {
			t.Errorf("claimed %+v", got)
		}
		if _, err := b.Finish(t.Context(), got[0].ID, 1, Finish{State: Succeeded}); err != nil {
			t.Fatal(err)
		}
		if next := b.claim1(t, c); next.Script != "popular" {
			t.Errorf("the free place went to %s", next.Script)
		}
	})

	t.Run("TakesOverWhatItsOwnerLeftAndOnlyWhatCanResume", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := newClaim()
		c.Scripts = map[string]int{"resumes": 1, "does-not": 1}
		resumes := b.queue(t, func(n *NewRun) { n.Script, n.Resumable = "resumes", true })
		not := b.queue(t, func(n *NewRun) { n.Script = "does-not" })
		if got, err := b.Claim(t.Context(), c, 2); len(got) != 2 || err != nil {
			t.Fatalf("claimed %v, %v", ids(got), err)
		}
		if _, err := b.Begin(t.Context(), not.ID, 1); err != nil {
			t.Fatal(err)
		}
		for _, r := range []string{resumes.ID} {
			if _, err := b.Checkpoint(t.Context(), r, 1, Checkpoint{Value: mustEncode(t, bson.D{{Key: "at", Value: "$x"}}), Counters: map[string]int64{"n": 4}}); err != nil {
				t.Fatal(err)
			}
		}
		for run, err := range b.Runs(t.Context(), Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			b.expire(t, run.ID)
		}
		if n, err := b.Sweep(t.Context()); n != 2 || err != nil {
			t.Fatalf("swept %d, %v", n, err)
		}
		c.Source = Source{Revision: "r2"}
		got, err := b.Claim(t.Context(), c, 5)
		if err != nil || len(got) != 1 {
			t.Fatalf("claimed %v, %v, want the one that can resume", ids(got), err)
		}
		run := got[0]
		if run.ID != resumes.ID || run.Attempt != 2 || run.Lease.Epoch != 3 || !run.EndedAt.IsZero() || run.Source.Revision != "r1" {
			t.Errorf("taken over: %+v", run)
		}
		if cp := run.Checkpoint; cp == nil || cp.Value.String() != `{"at": "$x"}` || cp.Counters["n"] != 4 || cp.Attempt != 1 {
			t.Errorf("checkpoint: %+v", cp)
		}
		_, err = b.Checkpoint(t.Context(), run.ID, 1, Checkpoint{Value: mustEncode(t, 1)})
		wantErr(t, err, ErrLeaseLost)
	})

	t.Run("StopsTakingOverWhatKillsItsOwners", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		run := b.queue(t, func(n *NewRun) { n.Resumable = true })
		deaths := 0
		for ; deaths < 2*maxLapses; deaths++ {
			got, err := b.Claim(t.Context(), newClaim(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				break
			}
			b.expire(t, run.ID)
			if _, err := b.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if deaths != maxLapses {
			t.Errorf("it was taken %d times, want %d", deaths, maxLapses)
		}
		if _, err := b.Control(t.Context(), run.ID, Request{Action: Resume}); err != nil {
			t.Fatal(err)
		}
		b.claim1(t, newClaim()) // a person knows better
	})

	t.Run("TakesOverWhatGetsOnHoweverOftenItsOwnersDie", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		run := b.queue(t, func(n *NewRun) { n.Resumable = true })
		for range 2 * maxLapses {
			got := b.claim1(t, newClaim())
			if err := b.Advanced(t.Context(), run.ID, got.Lease.Epoch); err != nil {
				t.Fatal(err)
			}
			if err := b.Advanced(t.Context(), run.ID, got.Lease.Epoch-1); err != nil { // one that has lost it
				t.Fatal(err)
			}
			b.expire(t, run.ID)
			if _, err := b.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})

	t.Run("GivesARunToOneOfMany", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		const runs, takers = 40, 8
		for i := range runs {
			b.queue(t, func(n *NewRun) { n.Script = fmt.Sprintf("s%d", i%4) })
		}
		taken := make([][]Run, takers)
		var all sync.WaitGroup
		for i := range takers {
			all.Go(func() {
				c := newClaim()
				c.Scripts = map[string]int{"s0": -1, "s1": -1, "s2": -1, "s3": -1}
				for ctx := t.Context(); ; {
					got, err := b.Claim(ctx, c, 3)
					if err != nil {
						t.Error(err)
					}
					taken[i] = append(taken[i], got...)
					if len(got) == 0 {
						return
					}
				}
			})
		}
		all.Wait()
		got := ids(slices.Concat(taken...))
		slices.Sort(got)
		if len(got) != runs || len(slices.Compact(got)) != runs {
			t.Errorf("%d runs were taken %d times", runs, len(got))
		}
	})
}

// The work of a look into the queue doesn't grow with what waits in it.
func TestTheQueueIsReadInOrderFromItsIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		b.queue(t, func(n *NewRun) {
			n.NotBefore, n.Priority = time.Now().Add(time.Hour), i%3
			if i%2 == 0 {
				n.Script = "unknown-here"
			}
		})
	}
	b.queue(t, nil)
	s, rec := b.record(t, "queue-order")
	if got, err := s.Claim(t.Context(), newClaim(), 1); err != nil || len(got) != 1 {
		t.Fatalf("claimed %v, %v", ids(got), err)
	}
	find := rec.take()[0]
	plain := bson.D{}
	elements, err := find.Elements()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range elements {
		switch e.Key() {
		case "find", "filter", "sort", "limit", "projection", "hint":
			plain = append(plain, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	b.queue(t, nil)
	plan, err := b.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: plain}, {Key: "verbosity", Value: "executionStats"}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	stats := plan.Lookup("executionStats")
	var got struct {
		Keys int `bson:"totalKeysExamined"`
		Docs int `bson:"totalDocsExamined"`
	}
	if err := stats.Unmarshal(&got); err != nil {
		t.Fatal(err)
	}
	if text := plan.String(); strings.Contains(text, `"SORT"`) || got.Docs > 1 || got.Keys > 10 {
		t.Errorf("one run was due; %d keys and %d documents were looked at:\n%s", got.Keys, got.Docs, text)
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	taker := newClaim().Taker
	queued := b.queue(t, nil)
	run, err := b.Take(t.Context(), queued.ID, 1, taker, false)
	if err != nil || run.State != Running || run.Queue || run.Attempt != 1 {
		t.Fatalf("take: %+v, %v", run, err)
	}
	_, err = b.Take(t.Context(), queued.ID, 1, taker, false)
	wantErr(t, err, ErrTransition)
	second := b.queue(t, nil)
	var busy *BusyError
	if _, err := b.Take(t.Context(), second.ID, 1, taker, false); !errors.As(err, &busy) || busy.Holder.ID != run.ID {
		t.Errorf("a second run of the script: got %v", err)
	}
	if _, err := b.Begin(t.Context(), run.ID, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Finish(t.Context(), run.ID, 1, Finish{State: Interrupted}); err != nil {
		t.Fatal(err)
	}
	_, err = b.Take(t.Context(), run.ID, 1, taker, true)
	wantErr(t, err, ErrTransition) // its script can't resume
	_, err = b.Take(t.Context(), "r_000000000000", 1, taker, false)
	wantErr(t, err, ErrNotFound)
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := b.start(t, newRun())
	put := func(v any) (Pulse, error) {
		return b.Checkpoint(t.Context(), run.ID, 1, Checkpoint{Value: mustEncode(t, v)})
	}
	for _, v := range []any{
		bson.D{{Key: "a", Value: 1}},
		bson.D{{Key: "b", Value: "$a"}},
		"text", nil,
		bson.A{1, "x"},
		bson.NewObjectID(), int64(7),
		bson.D{{Key: "$set", Value: 1}, {Key: "x.y", Value: bson.A{}}},
	} {
		if pulse, err := put(v); err != nil || pulse.State != Running {
			t.Fatalf("checkpoint %v: %+v, %v", v, pulse, err)
		}
		got := b.stored(t, run.ID).Lookup("checkpoint", "value")
		if want := mustEncode(t, v); !got.Equal(want) {
			t.Errorf("stored %s, want %s", got, want)
		}
	}
	before := b.stored(t, run.ID).Lookup("checkpoint").String()
	_, err := put(strings.Repeat("x", CheckpointLimit+1))
	wantErr(t, err, ErrTooLarge)
	if after := b.stored(t, run.ID).Lookup("checkpoint").String(); after != before {
		t.Errorf("a checkpoint that is too large replaced the last one")
	}
	if _, err := Encode(func() {}); err == nil {
		t.Error("a function is no checkpoint")
	}
	if _, err := b.Finish(t.Context(), run.ID, 1, Finish{State: Succeeded}); err != nil {
		t.Fatal(err)
	}
	_, err = put("late")
	wantErr(t, err, ErrLeaseLost)
}
