package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestControl(t *testing.T) {
	t.Parallel()

	// What each action makes of a run, by the run's state and whether its owner lives. "" means refused.
	for _, row := range []struct {
		state               State
		cancel, pause, back State // with a living owner, where the state has one
		deadCancel          State
		deadPause, deadBack State
	}{
		{Queued, Cancelled, Paused, Queued, "", "", ""},
		{Running, Cancelling, Pausing, "", Cancelled, Paused, Queued},
		{Pausing, Cancelling, Pausing, "", Cancelled, Paused, Queued},
		{Paused, Cancelled, Paused, Queued, "", "", ""},
		{Cancelling, Cancelling, "", "", Cancelled, "", ""},
		{Interrupted, Cancelled, Paused, Queued, "", "", ""},
		{Cancelled, Cancelled, "", "", "", "", ""},
		{Succeeded, "", "", "", "", "", ""},
		{SucceededWithErrors, "", "", "", "", "", ""},
		{Failed, "", "", "", "", "", ""},
	} {
		t.Run(string(row.state), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			try := func(a Action, want State, dead bool) {
				t.Helper()
				id := fmt.Sprintf("r_%s%s%t", row.state, a, dead)
				b.insert(t, append(aRun(id, row.state), bson.E{Key: "resumable", Value: true}, bson.E{Key: "attempt", Value: 1}))
				if dead {
					b.expire(t, id)
				}
				before := b.stored(t, id).String()
				run, err := b.Control(t.Context(), id, Request{Action: a, Actor: "mira", Reason: "$why"})
				got, readErr := b.Run(t.Context(), id)
				if readErr != nil {
					t.Fatal(readErr)
				}
				if want == "" {
					if !errors.Is(err, ErrTransition) || b.stored(t, id).String() != before {
						t.Errorf("%s (dead: %t): got %s, %v, want it refused and nothing changed", a, dead, run.State, err)
					}
					return
				}
				if err != nil || run.State != want || got.State != want {
					t.Errorf("%s (dead: %t): got %s, %v, want %s", a, dead, run.State, err, want)
				}
				if want == row.state || dead && row.state == Cancelling || dead && row.state == Pausing && want == Paused {
					return // it was so already
				}
				owned := got.State.Active()
				if (got.Slot != "") != owned || (got.Lease.Epoch == 3) != owned || got.Ready != (want == Queued) {
					t.Errorf("%s (dead: %t): slot %q, epoch %d, ready %t", a, dead, got.Slot, got.Lease.Epoch, got.Ready)
				}
				if c := got.Control; c == nil || c.Actor != "mira" || c.Reason != "$why" || c.Action != a || c.At.IsZero() {
					t.Errorf("control: %+v", c)
				}
				entries, err := b.Entries(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				wantEntries := []Entry{{Run: id, Script: "lowercase-emails", Action: a, Actor: "mira", Reason: "$why", To: want}}
				if diff := cmp.Diff(wantEntries, entries, cmpopts.IgnoreFields(Entry{}, "At", "From")); diff != "" {
					t.Errorf("audit (-want +got):\n%s", diff)
				}
			}
			try(Cancel, row.cancel, false)
			try(Pause, row.pause, false)
			try(Resume, row.back, false)
			if row.state.Active() {
				try(Cancel, row.deadCancel, true)
				try(Pause, row.deadPause, true)
				try(Resume, row.deadBack, true)
			}
		})
	}

	t.Run("RefusesToPauseOrResumeWhatKeepsNoCheckpoints", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		run := b.start(t, newRun())
		_, err := b.Control(t.Context(), run.ID, Request{Action: Pause})
		wantErr(t, err, ErrTransition)
		b.expire(t, run.ID)
		_, err = b.Control(t.Context(), run.ID, Request{Action: Resume})
		wantErr(t, err, ErrTransition)
		_, err = b.Control(t.Context(), "r_000000000000", Request{Action: Cancel})
		wantErr(t, err, ErrNotFound)
	})

	t.Run("LeavesTheSlotToAScriptThatHasNotStopped", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		n := newRun()
		n.Resumable = true
		run := b.start(t, n)
		if _, err := b.Finish(t.Context(), run.ID, 1, Finish{State: Interrupted, Stuck: true}); err != nil {
			t.Fatal(err)
		}
		_, err := b.Control(t.Context(), run.ID, Request{Action: Resume})
		wantErr(t, err, ErrTransition)
		got, err := b.Control(t.Context(), run.ID, Request{Action: Cancel})
		if err != nil || got.State != Cancelled || got.Slot == "" || got.Lease.Epoch != 1 {
			t.Errorf("cancelled: %+v, %v", got, err)
		}
		if err := b.Release(t.Context(), run.ID, 1); err != nil {
			t.Fatal(err)
		}
		b.start(t, newRun())
	})
}

// An owner that works, comes to rest or dies, and people who pause, resume and cancel, in any order: the run always obeys
// the table of states, has a slot exactly while it is owned, and ends as the last word says.
func TestControlInAnyOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	const rounds, steps = 60, 12
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for round := range rounds {
		script := fmt.Sprintf("s%d", round)
		queued := b.queue(t, func(n *NewRun) { n.Script, n.Resumable = script, true })
		claim := newClaim()
		claim.Scripts = map[string]int{script: 1}
		run, owner := queued, Run{} // owner is the run as its owner took it
		var history []string
		asked := State("")
		for range steps {
			step := []string{"claim", "pause", "resume", "cancel", "rest", "finish", "die", "stale"}[rng.IntN(8)]
			before := run
			switch step {
			case "claim":
				got, err := b.Claim(t.Context(), claim, 1)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) == 1 {
					owner = got[0]
				}
			case "pause", "resume", "cancel":
				if _, err := b.Control(t.Context(), run.ID, Request{Action: Action(step)}); err != nil && !errors.Is(err, ErrTransition) {
					t.Fatal(err)
				} else if err == nil && step == "cancel" {
					asked = Cancelled
				}
			case "rest", "finish":
				if owner.ID == "" {
					continue
				}
				end := Finish{State: Interrupted}
				if step == "finish" {
					end.State = Succeeded
				}
				if _, err := b.Finish(t.Context(), run.ID, owner.Lease.Epoch, end); err != nil && !errors.Is(err, ErrLeaseLost) && !errors.Is(err, ErrTransition) {
					t.Fatal(err)
				}
			case "die":
				if run.State.Active() {
					b.expire(t, run.ID)
					if _, err := b.Sweep(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			case "stale":
				if owner.Lease.Epoch > 0 {
					_, err := b.Checkpoint(t.Context(), run.ID, owner.Lease.Epoch-1, Checkpoint{Value: mustEncode(t, 1)})
					wantErr(t, err, ErrLeaseLost)
				}
			}
			var err error
			if run, err = b.Run(t.Context(), run.ID); err != nil {
				t.Fatal(err)
			}
			history = append(history, fmt.Sprintf("%s → %s", step, run.State))
			fail := func(what string) {
				t.Helper()
				t.Fatalf("seed %d: %s: %v", seed, what, history)
			}
			switch {
			case (run.Slot != "") != run.State.Active():
				fail("a slot without an owner, or an owner without a slot: " + run.Slot)
			case run.Lease.Epoch < before.Lease.Epoch:
				fail("the epoch fell")
			case before.State.Final() && run.State != before.State:
				fail("a final state changed")
			case run.Ready && run.State != Queued && run.State != Interrupted:
				fail("ready though " + string(run.State))
			case asked == Cancelled && !slices.Contains([]State{Cancelling, Cancelled, Succeeded}, run.State):
				fail("cancelled, and yet " + string(run.State))
			case run.State != before.State && !reachable(before.State, run.State):
				fail("no such way")
			}
		}
	}
}

// reachable allows for one step of the table, and for two where an owner's death is swept and settled at once.
func reachable(from, to State) bool {
	if from.CanBecome(to) {
		return true
	}
	return slices.ContainsFunc(from.Next(), func(s State) bool { return s.CanBecome(to) })
}

// A run that failed half-way can be resumed or taken, until it is sealed: whoever undoes it and whoever goes on with it exclude each other.
func TestARunThatFailedHalfWayGoesOnUntilItIsSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begin := func(halfWay bool) Run {
		t.Helper()
		n := newRun()
		n.ID, n.Resumable = NewID(), true
		run := b.start(t, n)
		ended, err := b.Finish(t.Context(), run.ID, 1, Finish{State: Failed, HalfWay: halfWay})
		if err != nil || ended.State != Failed || ended.HalfWay != halfWay {
			t.Fatalf("%+v, %v", ended, err)
		}
		return ended
	}
	taker := Taker{Owner: Owner{Instance: "other"}, TTL: time.Minute}

	whole := begin(false)
	_, err := b.Control(t.Context(), whole.ID, Request{Action: Resume})
	wantErr(t, err, ErrTransition)
	_, err = b.Take(t.Context(), whole.ID, 1, taker, false)
	wantErr(t, err, ErrTransition)
	if sealed, err := b.Seal(t.Context(), whole.ID); err != nil || sealed.Lease.Epoch != 1 {
		t.Errorf("sealing what can't go on: %+v, %v", sealed, err)
	}

	resumed := begin(true)
	if run, err := b.Control(t.Context(), resumed.ID, Request{Action: Resume}); err != nil || run.State != Queued || run.HalfWay || !run.Ready {
		t.Errorf("resumed: %+v, %v", run, err)
	}
	_, err = b.Seal(t.Context(), resumed.ID)
	wantErr(t, err, ErrTransition)

	taken := begin(true)
	run, err := b.Take(t.Context(), taken.ID, 1, taker, false)
	if err != nil || run.State != Running || run.HalfWay || run.Lease.Epoch != 2 || run.Attempt != 2 {
		t.Errorf("taken: %+v, %v", run, err)
	}
	_, err = b.Seal(t.Context(), taken.ID)
	wantErr(t, err, ErrTransition)
	if _, err := b.Finish(t.Context(), taken.ID, 2, Finish{State: Cancelled}); err != nil {
		t.Fatal(err)
	}

	sealed := begin(true)
	if run, err := b.Seal(t.Context(), sealed.ID); err != nil || run.State != Failed || run.HalfWay || run.Lease.Epoch != 2 {
		t.Errorf("sealed: %+v, %v", run, err)
	}
	_, err = b.Control(t.Context(), sealed.ID, Request{Action: Resume})
	wantErr(t, err, ErrTransition)
	_, err = b.Take(t.Context(), sealed.ID, 1, taker, false)
	wantErr(t, err, ErrTransition)
}
