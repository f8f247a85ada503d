package store

import (
	"bytes"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestStates(t *testing.T) {
	t.Parallel()
	if got, want := len(transitions), len(States()); got != want {
		t.Errorf("the table has %d states, the list %d", got, want)
	}
	for _, s := range States() {
		if !s.Valid() {
			t.Errorf("%q is in the list and not in the table", s)
		}
		if s.Active() && !s.CanBecome(Interrupted) {
			t.Errorf("%s runs have an owner that can die, and yet can't be interrupted", s)
		}
		if !s.Active() && s.CanBecome(Interrupted) {
			t.Errorf("%s runs have no owner to lose", s)
		}
		if s.CanBecome(s) {
			t.Errorf("%s leads to itself", s)
		}
	}
	if got := SucceededWithErrors.String(); got != "succeeded with errors" {
		t.Errorf("words for people: got %q", got)
	}
	if State("asleep").Valid() || State("asleep").Final() {
		t.Error("an unknown state counts as known")
	}
}

// Every pair of states is tried on a stored run. A step that the table doesn't have changes not one byte.
func TestEveryTransition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	step := func(t *testing.T, id string, epoch int64, to State) error {
		t.Helper()
		var err error
		if to.Active() {
			_, err = b.Move(t.Context(), id, epoch, to)
		} else {
			_, err = b.Finish(t.Context(), id, epoch, Finish{State: to})
		}
		return err
	}
	for _, origin := range States() {
		for _, to := range States() {
			id := fmt.Sprintf("%s-%s", origin, to)
			b.insert(t, aRun(id, origin))
			before := b.stored(t, id)

			if err := step(t, id, 2, to); err == nil {
				t.Errorf("%s → %s under a stale epoch: no error", origin, to)
			}
			if after := b.stored(t, id); !bytes.Equal(before, after) {
				t.Errorf("%s → %s under a stale epoch changed the run:\n%s\n%s", origin, to, before, after)
			}

			// A run at rest is started again, not moved, and nothing is ever put back into the queue.
			legal := origin.CanBecome(to) && to != Queued && (origin.Active() || !to.Active())
			// An owner that lets its run rest doesn't undo what somebody else asked for meanwhile.
			want := to
			switch {
			case origin == Cancelling && (to == Paused || to == Interrupted):
				legal, want = true, Cancelled
			case origin == Pausing && to == Interrupted:
				want = Paused
			}
			// Said again after a lost answer, when that is how it ended.
			settled := (origin == Cancelled || origin == Paused) && (to == Paused || to == Interrupted)
			err := step(t, id, 3, to)
			after := b.stored(t, id)
			switch {
			case legal && (err != nil || after.Lookup("state").StringValue() != string(want)):
				t.Errorf("%s → %s: got state %s, error %v", origin, to, after.Lookup("state"), err)
			case !legal && !bytes.Equal(before, after):
				t.Errorf("%s → %s changed the run:\n%s\n%s", origin, to, before, after)
			case !legal && err == nil && origin != to && !settled:
				t.Errorf("%s → %s: no error", origin, to)
			case !legal && err != nil && origin == to && to != Queued:
				t.Errorf("%s → %s again: got %v, want none", origin, to, err)
			}
			if state := State(after.Lookup("state").StringValue()); legal && !state.Active() {
				if _, err := after.LookupErr("slot"); err == nil {
					t.Errorf("%s → %s kept the slot", origin, to)
				}
			}
		}
	}
}

// aRun is a run in a state, under epoch 3, with a lease that lives.
func aRun(id string, state State) bson.D {
	d := bson.D{
		{Key: "_id", Value: id},
		{Key: "script", Value: "lowercase-emails"},
		{Key: "state", Value: state},
		{Key: "lease", Value: bson.D{
			{Key: "owner", Value: Owner{Host: "h", PID: 1, Instance: "i"}},
			{Key: "epoch", Value: int64(3)},
			{Key: "expires", Value: farFuture()},
			{Key: "renewed", Value: longAgo()},
		}},
		{Key: "created_at", Value: longAgo()},
		{Key: "started_at", Value: longAgo()},
	}
	if state.Active() {
		d = append(d, bson.E{Key: "slot", Value: "s/" + id})
	}
	return d
}
