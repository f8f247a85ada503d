package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// list is the ids of a listing.
func (b *testBundle) list(t *testing.T, f Filter) []string {
	t.Helper()
	var ids []string
	for r, err := range b.Runs(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

func created(id string, at time.Time) bson.D {
	d := aRun(id, Succeeded)
	i := slices.IndexFunc(d, func(e bson.E) bool { return e.Key == "created_at" })
	d[i].Value = at
	return d
}

func TestRunByIDOrPrefix(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, id := range []string{"r_0abc1", "r_0abd2", "r_0b", "r_0b0", "legacy-id"} {
		b.insert(t, created(id, longAgo().Add(time.Duration(i)*time.Second)))
	}
	for given, want := range map[string]string{
		"r_0abc1": "r_0abc1", "r_0abc": "r_0abc1", "0abd": "r_0abd2", "R_OABCI": "r_0abc1", "0b": "r_0b", "legacy-id": "legacy-id",
	} {
		if got, err := b.Run(t.Context(), given); err != nil || got.ID != want {
			t.Errorf("%q: got %q, %v, want %q", given, got.ID, err, want)
		}
	}
	for _, given := range []string{"", "r_", " ", "r_9", "legacy", "r_\uffff", "$where", "r_.*"} {
		if _, err := b.Run(t.Context(), given); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: got %v, want ErrNotFound", given, err)
		}
	}
	_, err := b.Run(t.Context(), "r_0ab")
	var ambiguous *AmbiguousError
	if !errors.As(err, &ambiguous) {
		t.Fatalf("got %v, want an AmbiguousError", err)
	}
	ids := []string{ambiguous.Candidates[0].ID, ambiguous.Candidates[1].ID}
	if diff := cmp.Diff([]string{"r_0abd2", "r_0abc1"}, ids); diff != "" {
		t.Errorf("candidates, newest first (-want +got):\n%s", diff)
	}
}

func TestLatest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Latest(t.Context(), "lowercase-emails")
	wantErr(t, err, ErrNotFound)
	// The newest by the server's clock, whatever the ids say.
	b.insert(t, created("r_9", longAgo()), created("r_1", longAgo().Add(time.Hour)))
	for _, script := range []string{"lowercase-emails", ""} {
		if got, err := b.Latest(t.Context(), script); err != nil || got.ID != "r_1" {
			t.Errorf("latest of %q: got %q, %v, want r_1", script, got.ID, err)
		}
	}
	_, err = b.Latest(t.Context(), "another")
	wantErr(t, err, ErrNotFound)
}

// 1,050 runs, many of them created in the same millisecond.
func TestRunsPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const total = 1050
	docs := make([]bson.D, total)
	want := make([]string, total)
	for i := range docs {
		id := fmt.Sprintf("r_%05d", i)
		docs[i] = created(id, longAgo().Add(time.Duration(i/70)*time.Second))
		want[total-1-i] = id
	}
	b.insert(t, docs...)

	t.Run("ListsAllOnceNewestFirst", func(t *testing.T) {
		t.Parallel()
		if diff := cmp.Diff(want, b.list(t, Filter{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("ContinuesWhereALimitStopped", func(t *testing.T) {
		t.Parallel()
		var got []string
		for before := ""; ; {
			page := b.list(t, Filter{Before: before, Limit: 333, Script: "lowercase-emails", States: []State{Succeeded}})
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			before = page[len(page)-1]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("BoundsOnBothSides", func(t *testing.T) {
		t.Parallel()
		got := b.list(t, Filter{Before: want[500], After: want[1000], Since: longAgo(), Until: farFuture()})
		if diff := cmp.Diff(want[501:1000], got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		wantIDs := want[:70] // the last second
		if diff := cmp.Diff(wantIDs, b.list(t, Filter{Since: longAgo().Add(14 * time.Second)})); diff != "" {
			t.Errorf("since (-want +got):\n%s", diff)
		}
	})

	t.Run("StopsWhenTheReaderDoes", func(t *testing.T) {
		t.Parallel()
		n := 0
		for _, err := range b.Runs(t.Context(), Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 3 {
				break
			}
		}
		if n != 3 {
			t.Errorf("got %d", n)
		}
	})

	t.Run("SaysWhenItsPlaceIsUnknown", func(t *testing.T) {
		t.Parallel()
		for _, err := range b.Runs(t.Context(), Filter{Before: "r_unknown"}) {
			wantErr(t, err, ErrNotFound)
			return
		}
		t.Error("no error")
	})
}

func TestRunsFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	add := func(script, actor, host string, params any, state State) string {
		n := newRun()
		n.Script, n.Actor, n.Owner.Host, n.Params, n.Concurrency = script, actor, host, params, -1
		run := b.start(t, n)
		if state != Running {
			if _, err := b.Finish(t.Context(), run.ID, 1, Finish{State: state, Result: "big", Error: &RunError{Kind: "k", Stack: "stack"}}); err != nil {
				t.Fatal(err)
			}
		}
		return run.ID
	}
	a := add("fix-users", "mira", "worker-1", bson.D{{Key: "tenant", Value: "Acme (EU)"}}, Succeeded)
	c := add("fix-users", "jon", "worker-2", bson.D{{Key: "tenant", Value: "zeta"}}, Failed)
	live := add("fix-orders", "mira", "worker-1", nil, Running)
	silent := add("fix-orders", "mira", "batch.7", nil, Running)
	b.expire(t, silent)

	for name, row := range map[string]struct {
		f    Filter
		want []string
	}{
		"Script":               {Filter{Script: "fix-users"}, []string{c, a}},
		"Actor":                {Filter{Actor: "mira"}, []string{silent, live, a}},
		"RunningMeansAlive":    {Filter{States: []State{Running}}, []string{live}},
		"SilentIsInterrupted":  {Filter{States: []State{Interrupted}}, []string{silent}},
		"SeveralStates":        {Filter{States: []State{Failed, Running, Interrupted}}, []string{silent, live, c}},
		"TextInParameters":     {Filter{Text: "ACME (eu"}, []string{a}},
		"TextInHost":           {Filter{Text: "batch.7"}, []string{silent}},
		"TextIsNoPattern":      {Filter{Text: "batch?7"}, nil},
		"TextInActor":          {Filter{Text: "JON"}, []string{c}},
		"TextWithAZeroByte":    {Filter{Text: "a\x00b"}, nil},
		"TextThatIsNoUTF8":     {Filter{Text: "a\xff"}, nil},
		"SeveralConditions":    {Filter{Script: "fix-orders", Actor: "mira", Text: "worker", States: []State{Running}}, []string{live}},
		"NothingMatches":       {Filter{Script: "fix"}, nil},
		"UntilTheBeginning":    {Filter{Until: longAgo()}, nil},
		"NewerThanTheSecond":   {Filter{After: c}, []string{silent, live}},
		"LimitOfNewerRuns":     {Filter{After: a, Limit: 1}, []string{silent}},
		"OlderThanTheLiveOnes": {Filter{Before: live}, []string{c, a}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := b.list(t, row.f)
			slices.Sort(got)
			slices.Sort(row.want)
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}

	t.Run("LeavesOutWhatIsLarge", func(t *testing.T) {
		t.Parallel()
		for r, err := range b.Runs(t.Context(), Filter{States: []State{Failed}}) {
			if err != nil {
				t.Fatal(err)
			}
			if !r.Result.IsZero() || r.Error == nil || r.Error.Stack != "" || r.Timeout != 5*time.Minute {
				t.Errorf("got result %s, error %+v, timeout %s", r.Result, r.Error, r.Timeout)
			}
		}
	})
}

func TestAnExpiredRunReadsAsInterruptedBeforeAnySweep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := b.start(t, newRun())
	b.expire(t, run.ID)
	before := b.stored(t, run.ID)
	one, err := b.Run(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	latest, err := b.Latest(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Run{one, latest} {
		if r.State != Interrupted || !r.EndedAt.Equal(run.Lease.Renewed) || r.Duration() != 0 {
			t.Errorf("got %s, ended %s, duration %s", r.State, r.EndedAt, r.Duration())
		}
	}
	if diff := cmp.Diff(before.String(), b.stored(t, run.ID).String()); diff != "" {
		t.Errorf("reading wrote (-before +after):\n%s", diff)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	at := longAgo()
	for name, row := range map[string]struct {
		run  Run
		want time.Duration
	}{
		"NotStarted": {Run{ReadAt: at}, 0},
		"GoingOn":    {Run{StartedAt: at, ReadAt: at.Add(time.Minute)}, time.Minute},
		"Ended":      {Run{StartedAt: at, EndedAt: at.Add(time.Second), ReadAt: at.Add(time.Hour)}, time.Second},
		"NoClock":    {Run{StartedAt: at}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := row.run.Duration(); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}
