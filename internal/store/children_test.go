package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChildren(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if got, err := b.Children(t.Context(), "r_none"); err != nil || len(got) != 0 {
		t.Fatalf("on an empty database: %v, %v", got, err)
	}
	parent := b.start(t, newRun())
	var want []string
	for _, step := range []string{"b", "a"} {
		n := newRun()
		n.Script, n.Parent, n.Step = step, parent.ID, step
		want = append([]string{b.start(t, n).ID + "/" + step}, want...)
	}
	other := newRun()
	other.Script = "other"
	b.start(t, other)

	// Collections that are older than the index get it.
	if err := b.runs.Indexes().DropOne(t.Context(), parentIndex); err != nil {
		t.Fatal(err)
	}
	runs, err := b.Children(t.Context(), parent.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, run := range runs {
		got = append(got, run.ID+"/"+run.Step)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
