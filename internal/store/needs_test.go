package store

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// all is to delete whatever nobody needs.
var all = Keep{MaxAge: 0, MaxRuns: -1, MinRuns: -1, LogAge: -1} //nolint:gochecknoglobals // a constant

// with adds fields to a run.
func with(run bson.D, fields ...any) bson.D {
	for i := 0; i < len(fields); i += 2 {
		run = append(run, bson.E{Key: fields[i].(string), Value: fields[i+1]})
	}
	return run
}

// TestWhatARunThatIsNotOverNeedsIsKept: whoever needs a run, and whichever way that is known, as long as it isn't over.
func TestWhatARunThatIsNotOverNeedsIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want, over := []string{}, []State{Succeeded, SucceededWithErrors, Failed, Cancelled}
	for _, state := range States() {
		child, reader := "r_child_"+string(state), "r_reader_"+string(state)
		b.insert(t,
			past("r_parent_of_"+string(state), "s", Succeeded, 48*hours), with(past(child, undoScript, state, hours), "parent", "r_parent_of_"+string(state), "resumable", true),
			past("r_read_by_"+string(state), "s", Failed, 48*hours), with(past(reader, "t", state, hours), "resumable", true),
		)
		if err := b.Need(t.Context(), reader, "r_read_by_"+string(state)); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(over, state) {
			want = append(want, "r_parent_of_"+string(state), "r_read_by_"+string(state))
		}
	}
	b.insert(t,
		past("r_parent_of_half", "s", Succeeded, 48*hours),
		with(past("r_half", undoScript, Failed, hours), "parent", "r_parent_of_half", "resumable", true, "half_way", true),
	)
	want = append(want, "r_parent_of_half") // whoever failed half-way may be resumed
	slices.Sort(want)
	n, kept, err := b.Surplus(t.Context(), "s", all)
	if err != nil || n != 8 {
		t.Errorf("a preview says %d runs, %v; want 8", n, err)
	}
	named := []string{}
	for _, k := range kept {
		named = append(named, k.Run)
		if k.By == "" || k.State == "" || k.Script == "" || k.Undoes {
			t.Errorf("why is %s kept? %+v", k.Run, k)
		}
	}
	slices.Sort(named)
	if diff := cmp.Diff(want, named); diff != "" {
		t.Errorf("the preview says what is kept: %s", diff)
	}
	if got := b.prune(t, "s", all); got.Runs != 8 {
		t.Errorf("pruned %+v, want 8 runs", got)
	}
	left := slices.DeleteFunc(b.left(t, b.runs), func(id string) bool {
		return !strings.HasPrefix(id, "r_parent_of_") && !strings.HasPrefix(id, "r_read_by_")
	})
	if diff := cmp.Diff(want, left); diff != "" {
		t.Error(diff)
	}
}

// TestUndosAreKeptWithWhatTheyUndid: what earlier undos have taken back must be known to a later one, and goes with the run.
func TestUndosAreKeptWithWhatTheyUndid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insert(t,
		past("r_a", "s", Succeeded, 48*hours),
		with(past("r_undo", undoScript, Cancelled, 40*hours), "parent", "r_a"),
		with(past("r_redo", undoScript, Cancelled, 30*hours), "parent", "r_undo"),
		with(past("r_retry", "u", Cancelled, 30*hours), "parent", "r_a"),
	)
	for _, script := range []string{undoScript, "u"} {
		b.prune(t, script, all)
	}
	if diff := cmp.Diff([]string{"r_a", "r_redo", "r_undo"}, b.left(t, b.runs)); diff != "" {
		t.Error(diff)
	}
	if _, kept, err := b.Surplus(t.Context(), undoScript, all); err != nil || len(kept) != 2 || !kept[0].Undoes {
		t.Errorf("the preview: %+v, %v", kept, err)
	}
	b.prune(t, "s", all)
	b.prune(t, undoScript, all)
	if left := b.left(t, b.runs); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// TestAPruneNoticesWhoComesToNeedARun: whoever comes between its look and its deletions keeps the run, and whoever comes after is told.
func TestAPruneNoticesWhoComesToNeedARun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insert(t,
		past("r_first", "s", Succeeded, 48*hours), past("r_more", "s", Succeeded, 48*hours), past("r_late", "s", Succeeded, 48*hours),
		past("r_undo", undoScript, Running, hours), past("r_old", undoScript, Failed, hours),
	)
	if err := b.Need(t.Context(), "r_old", "r_more"); err != nil {
		t.Fatal(err)
	}
	clauses, err := b.surplus(t.Context(), "s", all)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := b.oldRuns(t.Context(), clauses, 10)
	if err != nil {
		t.Fatal(err)
	}
	free, _, err := b.unneeded(t.Context(), runs)
	if err != nil || len(free) != 3 {
		t.Fatalf("%+v, %v", free, err)
	}
	if err := b.Need(t.Context(), "r_undo", "r_first", "r_more"); err != nil {
		t.Fatal(err)
	}
	if gone, err := b.markGone(t.Context(), free); err != nil || !slices.Equal(gone, []string{"r_late"}) {
		t.Errorf("marked %v, %v", gone, err)
	}
	if err := b.Need(t.Context(), "r_undo", "r_late"); !errors.Is(err, ErrGone) {
		t.Errorf("to need what is being deleted: %v", err)
	}
	b.prune(t, "s", all)
	if diff := cmp.Diff([]string{"r_first", "r_more", "r_old", "r_undo"}, b.left(t, b.runs)); diff != "" {
		t.Error(diff)
	}
	if err := b.Need(t.Context(), "r_undo", "r_late"); !errors.Is(err, ErrNotFound) {
		t.Errorf("to need what is deleted: %v", err)
	}
}

// TestWhatIsKeptDoesNotHoldTheRestUp: more runs are kept than a prune looks at at a time.
func TestWhatIsKeptDoesNotHoldTheRestUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var docs []bson.D
	for i := range pruneRuns + 50 {
		id := "r_a" + string(rune('A'+i/26)) + string(rune('A'+i%26))
		docs = append(docs, with(past(id, "s", Succeeded, 48*hours), "needed_by", []string{"r_reader"}))
	}
	docs = append(docs, past("r_young", "s", Succeeded, 40*hours), past("r_reader", "t", Paused, hours))
	b.insert(t, docs...)
	if got := b.prune(t, "s", all); got.Runs != 1 {
		t.Errorf("pruned %+v, want 1", got)
	}
}

// TestQueuedRunsKeepWhatTheyNeed: a run needs others from the moment on in which it is recorded, by the beginning of an ID too.
func TestQueuedRunsKeepWhatTheyNeed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insert(t, past("r_aaaaaaaaaaaa", "s", Succeeded, 48*hours), past("r_bbbbbbbbbbbb", "s", Succeeded, 48*hours))
	queued, started := newRun(), newRun()
	queued.Needs, started.Needs = []string{"r_aaaa"}, []string{"r_bbbbbbbbbbbb", "r_nothing"}
	if _, err := b.Enqueue(t.Context(), queued); err != nil {
		t.Fatal(err)
	}
	b.start(t, started)
	if got := b.prune(t, "s", all); got.Runs != 0 {
		t.Errorf("pruned %+v", got)
	}
}
