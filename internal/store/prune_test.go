package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// past is a run that ended so long ago.
func past(id, script string, state State, ago time.Duration) bson.D {
	at := time.Now().Add(-ago)
	return bson.D{
		{Key: "_id", Value: id},
		{Key: "script", Value: script},
		{Key: "state", Value: state},
		{Key: "created_at", Value: at},
		{Key: "started_at", Value: at},
		{Key: "ended_at", Value: at},
	}
}

func (b *testBundle) left(t *testing.T, coll *mongo.Collection) []string {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		ID any `bson:"_id"`
	}
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	left := []string{}
	for _, d := range docs {
		if key, ok := d.ID.(bson.D); ok {
			left = append(left, fmt.Sprint(key[0].Value))
			continue
		}
		left = append(left, fmt.Sprint(d.ID))
	}
	slices.Sort(left)
	return slices.Compact(left)
}

func (b *testBundle) prune(t *testing.T, script string, k Keep) (total Pruned) {
	t.Helper()
	for {
		n, err := b.PruneRuns(t.Context(), script, k)
		if err != nil {
			t.Fatal(err)
		}
		total.Runs += n.Runs
		total.Records += n.Records
		if n.Runs == 0 {
			return total
		}
	}
}

const hours = time.Hour

func TestPruneKeepsWhateverMayGoOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, state := range States() {
		b.insert(t, past("r_"+string(state), "s", state, 1000*hours))
	}
	b.insert(t,
		append(past("r_interrupted_resumable", "s", Interrupted, 1000*hours), bson.E{Key: "resumable", Value: true}),
		append(past("r_interrupted_unbegun", "s", Interrupted, 1000*hours), bson.E{Key: "unbegun", Value: true}, bson.E{Key: "ready", Value: true}),
		append(past("r_failed_stuck", "s", Failed, 1000*hours), bson.E{Key: "stuck", Value: true}, bson.E{Key: "slot", Value: "s/0"}),
		past("r_young", "s", Failed, hours),
		past("r_other", "other", Failed, 1000*hours),
	)
	// Created long ago, ended just now.
	long := past("r_long", "s", Succeeded, 1000*hours)
	long[5].Value = time.Now()
	b.insert(t, long)

	k := Keep{MaxAge: 24 * hours, MaxRuns: -1, MinRuns: -1, LogAge: -1}
	if n, _, err := b.Surplus(t.Context(), "s", k); err != nil || n != 5 {
		t.Errorf("surplus %d, %v; want 5", n, err)
	}
	if got := b.prune(t, "s", k); got.Runs != 5 {
		t.Errorf("pruned %+v, want 5 runs", got)
	}
	want := []string{
		"r_cancelling", "r_failed_stuck", "r_interrupted_resumable", "r_interrupted_unbegun", "r_long", "r_other", "r_paused", "r_pausing", "r_queued", "r_running", "r_young",
	}
	if diff := cmp.Diff(want, b.left(t, b.runs)); diff != "" {
		t.Error(diff)
	}
}

func TestPruneByAgeAndCount(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		keep Keep
		want []string
	}{
		"Age":                 {Keep{MaxAge: 24 * hours, MaxRuns: -1, MinRuns: -1}, []string{"r_1", "r_2"}},
		"AgeButTheNewest":     {Keep{MaxAge: 24 * hours, MaxRuns: -1, MinRuns: 4}, []string{"r_1", "r_2", "r_3", "r_4"}},
		"Count":               {Keep{MaxAge: -1, MaxRuns: 1, MinRuns: -1}, []string{"r_1"}},
		"CountAndAge":         {Keep{MaxAge: 24 * hours, MaxRuns: 5, MinRuns: -1}, []string{"r_1", "r_2"}},
		"MoreThanThereAre":    {Keep{MaxAge: -1, MaxRuns: 7, MinRuns: -1}, []string{"r_1", "r_2", "r_3", "r_4", "r_5", "r_6"}},
		"AsManyAsThereAre":    {Keep{MaxAge: 0, MaxRuns: 6, MinRuns: 6}, []string{"r_1", "r_2", "r_3", "r_4", "r_5", "r_6"}},
		"NoLimit":             {Keep{MaxAge: -1, MaxRuns: -1, MinRuns: -1}, []string{"r_1", "r_2", "r_3", "r_4", "r_5", "r_6"}},
		"NothingIsKept":       {Keep{MaxAge: 0, MaxRuns: 0, MinRuns: 0}, []string{}},
		"TheMinimumIsGreater": {Keep{MaxAge: 0, MaxRuns: 1, MinRuns: 3}, []string{"r_1", "r_2", "r_3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			for i, ago := range []time.Duration{hours, 2 * hours, 30 * hours, 40 * hours, 50 * hours, 60 * hours} {
				b.insert(t, past(fmt.Sprintf("r_%d", i+1), "s", Succeeded, ago))
			}
			surplus, _, err := b.Surplus(t.Context(), "s", tt.keep)
			if err != nil {
				t.Fatal(err)
			}
			got := b.prune(t, "s", tt.keep)
			if diff := cmp.Diff(tt.want, b.left(t, b.runs)); diff != "" || got.Runs != surplus {
				t.Errorf("%d of %d pruned:\n%s", got.Runs, surplus, diff)
			}
		})
	}
}

// belongings gives a run something in every collection that has documents of runs.
func (b *testBundle) belongings(t *testing.T, run string, n int) {
	t.Helper()
	for _, coll := range b.dependents() {
		docs := make([]any, n)
		for i := range docs {
			docs[i] = bson.D{{Key: "_id", Value: bson.D{{Key: "r", Value: run}, {Key: "n", Value: int64(i)}}}}
		}
		if _, err := coll.InsertMany(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPruneTakesAllThatBelongsToARun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insert(t, past("r_a", "s", Succeeded, 48*hours), past("r_ab", "s", Running, 48*hours))
	b.belongings(t, "r_a", 2*pruneRecords+1) // more than are deleted at a time
	b.belongings(t, "r_ab", 1)
	b.belongings(t, "r_A", 1)
	n := int64(len(b.dependents()) * (2*pruneRecords + 1))
	if got := b.prune(t, "s", Keep{MaxAge: hours, MaxRuns: -1}); got != (Pruned{Runs: 1, Records: n}) {
		t.Errorf("pruned %+v, want 1 run and %d records", got, n)
	}
	for _, coll := range b.dependents() {
		if diff := cmp.Diff([]string{"r_A", "r_ab"}, b.left(t, coll)); diff != "" {
			t.Errorf("%s: %s", coll.Name(), diff)
		}
	}
}

// TestPruneThatDiesLeavesNothingThatIsNotFound: what belongs to a run goes first, so the run is still there, and
// what is written after its end is found by the walk.
func TestPruneThatDiesLeavesNothingThatIsNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insert(t, past("r_a", "s", Succeeded, 48*hours))
	b.belongings(t, "r_a", 10)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := b.purge(ctx, b.dependents()[:2], []string{"r_a"}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := b.PruneRuns(ctx, "s", Keep{MaxAge: hours, MaxRuns: -1}); err == nil {
		t.Fatal("no error")
	}
	if got := b.prune(t, "s", Keep{MaxAge: hours, MaxRuns: -1}); got.Runs != 1 {
		t.Errorf("pruned %+v", got)
	}
	if err := b.AppendLogs(t.Context(), "r_a", []Log{{Seq: 99, Message: "late"}}); err != nil {
		t.Fatal(err)
	}
	for _, walk := range b.Leftovers(func(string) time.Duration { return -1 }) {
		if _, _, err := walk.Next(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
	}
	for _, coll := range b.dependents() {
		if left := b.left(t, coll); len(left) > 0 {
			t.Errorf("%s: %v are left", coll.Name(), left)
		}
	}
}

func TestLeftovers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insert(t,
		past("r_1old", "s", Succeeded, 48*hours), past("r_2young", "s", Succeeded, hours), past("r_3paused", "s", Paused, 48*hours),
		past("r_4keeps", "forever", Failed, 48*hours),
		append(past("r_5resumable", "s", Interrupted, 48*hours), bson.E{Key: "resumable", Value: true}),
	)
	for _, id := range []string{"r_0orphan", "r_1old", "r_2young", "r_3paused", "r_4keeps", "r_5resumable", "r_6orphan"} {
		b.belongings(t, id, 3)
	}
	age := func(script string) time.Duration {
		if script == "forever" {
			return -1
		}
		return 24 * hours
	}
	for _, walk := range b.Leftovers(age) {
		total, pages := int64(0), 0
		for more := true; more; pages++ {
			var n int64
			var err error
			if n, more, err = walk.Next(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		want, left := int64(6), []string{"r_1old", "r_2young", "r_3paused", "r_4keeps", "r_5resumable"}
		if walk.coll == b.logs {
			want, left = 9, left[1:]
		}
		if diff := cmp.Diff(left, b.left(t, walk.coll)); diff != "" || total != want || pages != 4 {
			t.Errorf("%s: %d deleted in %d pages\n%s", walk.coll.Name(), total, pages, diff)
		}
		if n, _, err := walk.Next(t.Context(), 2); err != nil || n != 0 || walk.last != left[1] {
			t.Errorf("%s: the next round deleted %d, is at %s, %v", walk.coll.Name(), n, walk.last, err)
		}
	}
	for id, want := range map[string]bool{"r_1old": true, "r_2young": false, "r_4keeps": false} {
		if run, err := b.Run(t.Context(), id); err != nil || run.LogsPruned != want {
			t.Errorf("%s: logs pruned %t, %v", id, run.LogsPruned, err)
		}
	}
}

func TestManyMayPruneAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const runs, kept = 350, 20
	for i := range runs {
		id := fmt.Sprintf("r_%03d", runs-i)
		b.insert(t, past(id, "s", Succeeded, time.Duration(i)*time.Minute))
		if err := b.AppendLogs(t.Context(), id, []Log{{Seq: 1, Message: "x"}}); err != nil {
			t.Fatal(err)
		}
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	total := int64(0)
	for range 4 {
		group.Go(func() {
			n := b.prune(t, "s", Keep{MaxAge: -1, MaxRuns: kept, MinRuns: -1})
			mu.Lock()
			defer mu.Unlock()
			total += n.Runs
		})
	}
	group.Wait()
	if left, logs := b.left(t, b.runs), b.left(t, b.logs); total != runs-kept || len(left) != kept || !slices.Equal(left, logs) || left[0] != "r_331" {
		t.Errorf("%d pruned, %d runs and %d logs are left from %s on", total, len(left), len(logs), left[0])
	}
}

func TestKeepTravelsWithTheRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, ok, err := b.KeepOf(t.Context(), "lowercase-emails"); ok || err != nil {
		t.Errorf("of a script that never ran: %t, %v", ok, err)
	}
	n := newRun()
	n.Concurrency = -1
	n.Keep = &Keep{MaxAge: 1000 * hours, LogAge: -1, MaxRuns: 7, MinRuns: -1}
	b.start(t, n)
	got, ok, err := b.KeepOf(t.Context(), n.Script)
	if err != nil || !ok || got != (Keep{MaxAge: 1000 * hours, LogAge: -time.Millisecond, MaxRuns: 7, MinRuns: -1}) {
		t.Errorf("got %+v, %t, %v", got, ok, err)
	}
	scripts, err := b.Scripts(t.Context())
	if diff := cmp.Diff([]string{n.Script}, scripts); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
