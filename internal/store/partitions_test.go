package store

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func value(t *testing.T, v any) bson.RawValue {
	t.Helper()
	if v == nil {
		return bson.RawValue{Type: bson.TypeNull}
	}
	kind, data, err := bson.MarshalValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return bson.RawValue{Type: kind, Value: data}
}

// walk lays two partitions under epoch 1.
func (b *testBundle) walk(t *testing.T, run string) *Walk {
	t.Helper()
	w := b.Walk(run, 1)
	if plan, err := w.Take(t.Context()); err != nil || plan.Planned {
		t.Fatalf("take: %+v, %v", plan, err)
	}
	if err := w.Lay(t.Context(), Plan{Total: 10}, []Partition{{N: 0, Upper: value(t, 5)}, {N: 1, Lower: value(t, 5), Upper: value(t, nil)}}); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWalkKeepsItsPlaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.walk(t, "r_1")
	b.walk(t, "r_2") // a neighbour, which stays as it is
	if err := w.Advance(t.Context(), Step{N: 0, Cursor: value(t, 3), Counts: Counts{Matched: 3, Changed: 2, Unchanged: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Count(t.Context(), 0, Counts{Changed: 1, Journal: 100}); err != nil {
		t.Fatal(err)
	}
	if err := w.Advance(t.Context(), Step{N: 1, Cursor: value(t, nil), Done: true}); err != nil {
		t.Fatal(err)
	}
	parts, err := w.Partitions(t.Context())
	if err != nil || len(parts) != 2 {
		t.Fatalf("%+v, %v", parts, err)
	}
	first, second := parts[0], parts[1]
	if first.Chunk != 1 || first.Done || first.Counts != (Counts{Matched: 3, Changed: 3, Unchanged: 1, Journal: 100}) || !first.Cursor.Equal(value(t, 3)) || !first.Lower.IsZero() {
		t.Errorf("first %+v", first)
	}
	if !second.Done || second.Cursor.Type != bson.TypeNull || !second.Lower.Equal(value(t, 5)) {
		t.Errorf("second %+v: a key that is null is no missing one", second)
	}
	if others, err := b.Walk("r_2", 1).Partitions(t.Context()); err != nil || others[0].Chunk != 0 {
		t.Errorf("the neighbour: %+v, %v", others, err)
	}
}

// The fence: the number of the chunk, and the epoch.
func TestAdvanceOnlyOnceAndOnlyByTheOwner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.walk(t, "r_1")
	step := Step{N: 0, Cursor: value(t, 3)}
	if err := w.Advance(t.Context(), step); err != nil {
		t.Fatal(err)
	}
	wantErr(t, w.Advance(t.Context(), step), ErrLeaseLost) // the same chunk again
	next := b.Walk("r_1", 2)
	if plan, err := next.Take(t.Context()); err != nil || !plan.Planned || plan.Total != 10 {
		t.Fatalf("%+v, %v", plan, err)
	}
	if err := next.TakePartitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The next owner has done nothing yet, but the earlier one may not either.
	step.Chunk = 1
	wantErr(t, w.Advance(t.Context(), step), ErrLeaseLost)
	wantErr(t, w.Count(t.Context(), 0, Counts{Changed: 1}), ErrLeaseLost)
	_, err := w.Take(t.Context())
	wantErr(t, err, ErrLeaseLost)
	wantErr(t, w.Note(t.Context(), bson.Binary{}), ErrLeaseLost)
	if err := next.Advance(t.Context(), step); err != nil {
		t.Fatal(err)
	}
}

func TestAPlanThatWasCutOffIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.Walk("r_1", 1)
	if _, err := w.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A process died behind the first partition of many.
	if _, err := b.partitions.InsertOne(t.Context(), w.doc(Partition{N: 7})); err != nil {
		t.Fatal(err)
	}
	next := b.Walk("r_1", 2)
	if plan, err := next.Take(t.Context()); err != nil || plan.Planned {
		t.Fatalf("%+v, %v", plan, err)
	}
	wantErr(t, w.Lay(t.Context(), Plan{}, nil), ErrLeaseLost)
	if err := next.Lay(t.Context(), Plan{}, []Partition{{N: 0}}); err != nil {
		t.Fatal(err)
	}
	if parts, err := next.Partitions(t.Context()); err != nil || len(parts) != 1 || parts[0].N != 0 {
		t.Errorf("%+v, %v", parts, err)
	}
	wantErr(t, next.Lay(t.Context(), Plan{}, nil), ErrLeaseLost) // a plan is made once
}

func TestTuningKeepsWhatItIsNotTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := b.start(t, newRun())
	const hour = 3600e9
	if _, err := b.Tune(t.Context(), run.ID, Tuning{Chunk: 100, Rate: 50, Actor: "mira"}, hour, false, ""); err != nil {
		t.Fatal(err)
	}
	tuned, err := b.Tune(t.Context(), run.ID, Tuning{Rate: -1, Actor: "ann"}, hour, false, "all is quiet")
	if err != nil || tuned.Tuning.Chunk != 100 || tuned.Tuning.Rate != -1 || tuned.Tuning.Actor != "ann" {
		t.Fatalf("%+v, %v", tuned.Tuning, err)
	}
	pulse, err := b.Look(t.Context(), run.ID, run.Lease.Epoch)
	if err != nil || pulse.Tuning == nil || pulse.Tuning.Chunk != 100 {
		t.Fatalf("the owner sees %+v, %v", pulse.Tuning, err)
	}
	if tuned, err = b.Tune(t.Context(), run.ID, Tuning{Workers: 3}, 1, true, ""); err != nil || tuned.Tuning.Chunk != 0 || tuned.Tuning.Workers != 3 {
		t.Fatalf("%+v, %v", tuned.Tuning, err)
	}
	if pulse, err = b.Look(t.Context(), run.ID, run.Lease.Epoch); err != nil || pulse.Tuning != nil {
		t.Errorf("it has expired, and the owner sees %+v, %v", pulse.Tuning, err)
	}
	entries, err := b.Entries(t.Context(), run.ID)
	if err != nil || len(entries) != 3 || entries[1].Reason != "rate unlimited, chunk 100 for 1h0m0s. all is quiet" && entries[1].Reason != "chunk 100, rate unlimited for 1h0m0s. all is quiet" {
		t.Errorf("audit %+v, %v", entries, err)
	}
	if _, err := b.Finish(t.Context(), run.ID, run.Lease.Epoch, Finish{State: Succeeded}); err != nil {
		t.Fatal(err)
	}
	_, err = b.Tune(t.Context(), run.ID, Tuning{Chunk: 1}, hour, false, "")
	wantErr(t, err, ErrTransition)
}

func TestJournalIsReadBackwards(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var docs []bson.Raw
	for _, id := range []JournalID{{"r_1", 1, 0}, {"r_1", 2, 0}, {"r_1", 2, 1}, {"r_2", 3, 0}, {"r_0", 9, 0}} {
		doc, err := bson.Marshal(bson.D{{Key: "_id", Value: id}})
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	if err := b.AppendJournal(t.Context(), "r_1", docs); err != nil {
		t.Fatal(err)
	}
	var got []JournalID
	for at := (JournalID{Run: "r_1"}); ; {
		docs, err := b.JournalBefore(t.Context(), at, 1+len(got)) // one and then two
		if err != nil {
			t.Fatal(err)
		}
		if len(docs) == 0 {
			break
		}
		doc := docs[len(docs)-1]
		for _, skipped := range docs[:len(docs)-1] {
			var j struct {
				ID JournalID `bson:"_id"`
			}
			if err := bson.Unmarshal(skipped, &j); err != nil {
				t.Fatal(err)
			}
			got = append(got, j.ID)
		}
		var j struct {
			ID JournalID `bson:"_id"`
		}
		if err := bson.Unmarshal(doc, &j); err != nil {
			t.Fatal(err)
		}
		got, at = append(got, j.ID), j.ID
	}
	if len(got) != 3 || got[0] != (JournalID{"r_1", 2, 1}) || got[2] != (JournalID{"r_1", 1, 0}) {
		t.Errorf("got %v", got)
	}
	if facts, err := b.JournalFacts(t.Context(), "r_1"); err != nil || facts.Docs != 3 || facts.Bytes == 0 {
		t.Errorf("%+v, %v", facts, err)
	}
}

func TestFailuresAreListedInTheOrderOfTheirKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var failures []DocFailure
	for i := range pageSize + 10 {
		failures = append(failures, DocFailure{Key: value(t, i), Class: "x", Message: "no"})
	}
	failures = append(failures, DocFailure{Key: value(t, "text")}, DocFailure{Key: value(t, nil)},
		DocFailure{Key: value(t, bson.MinKey{})}, DocFailure{Key: value(t, bson.MaxKey{})})
	if err := b.AddFailures(t.Context(), "r_1", failures); err != nil {
		t.Fatal(err)
	}
	// Recorded again, as a chunk that is done again on a standalone server does, they stay the same.
	if err := b.AddFailures(t.Context(), "r_1", failures[:20]); err != nil {
		t.Fatal(err)
	}
	n := 0
	var last DocFailure
	for f, err := range b.Failures(t.Context(), "r_1") {
		if err != nil {
			t.Fatal(err)
		}
		n++
		last = f
	}
	if n != len(failures) || !last.Key.Equal(value(t, bson.MaxKey{})) {
		t.Errorf("%d failures, the last is %v", n, last.Key)
	}
}

func TestFailuresByTheirKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keys := []any{bson.MinKey{}, nil, 1, 2.5, "x", bson.MaxKey{}}
	for _, run := range []string{"r_1", "r_2"} {
		var failures []DocFailure
		for _, key := range keys {
			failures = append(failures, DocFailure{Key: value(t, key), Class: run})
		}
		if err := b.AddFailures(t.Context(), run, failures); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		lower, upper bson.RawValue
		want         int
	}{
		{bson.RawValue{}, value(t, bson.MaxKey{}), 6},
		{bson.RawValue{}, value(t, 1), 3},
		{value(t, 1), value(t, "x"), 2},
		{value(t, bson.MinKey{}), value(t, nil), 1},
	} {
		got, err := b.FailedKeys(t.Context(), "r_1", c.lower, c.upper)
		if err != nil || len(got) != c.want {
			t.Errorf("between %v and %v: %v (%v), want %d", c.lower, c.upper, got, err, c.want)
		}
	}
	found, err := b.FailedAmong(t.Context(), "r_2", []bson.RawValue{value(t, 1), value(t, "nobody"), value(t, bson.MaxKey{})})
	if err != nil || len(found) != 2 || found[0].Class != "r_2" {
		t.Errorf("%v, %v", found, err)
	}
}
