package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
)

// header is what a caller puts before the journal's own fields.
func header(part int) bson.D {
	return d("_id", d("run", "r1", "partition", 3, "chunk", int64(7), "part", part))
}

// entries packs and unpacks.
func entries(t testing.TB, w *journal.Writer) []journal.Entry {
	t.Helper()
	docs, err := w.Documents(header)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		if err := doc.Validate(); err != nil || len(doc) > 16<<20 {
			t.Fatalf("journal document of %d bytes: %v", len(doc), err)
		}
	}
	slices.Reverse(docs) // any order will do
	var all []journal.Entry
	for e, err := range journal.Decode(docs...) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// one packs and unpacks what happened to one document.
func one(t testing.TB, mode journal.Mode, before, after bson.Raw) journal.Entry {
	t.Helper()
	w := journal.NewWriter(mode)
	if changed, err := w.Add("", before, after); err != nil || !changed {
		t.Fatalf("add: %v, %v", changed, err)
	}
	all := entries(t, w)
	if len(all) != 1 {
		t.Fatalf("%d entries, want one", len(all))
	}
	return all[0]
}

func restore(t testing.TB, e journal.Entry, current bson.Raw) journal.Restoration {
	t.Helper()
	r, err := e.Restore(current)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check undoes a change once and twice, in both modes.
func check(t testing.TB, p pair) {
	t.Helper()
	for _, mode := range []journal.Mode{journal.Changed, journal.Full} {
		e := one(t, mode, p.before, p.after)
		if whole := e.Op == journal.Replace; whole != p.whole {
			t.Errorf("%s: kept as %s, want as a whole: %v", mode, e.Op, p.whole)
		}
		r := restore(t, e, p.after)
		if r.Action != journal.ActionReplace || len(r.Conflicts) > 0 || string(r.Document) != string(p.before) {
			t.Fatalf("%s: undone by %s, conflicts %v:\n got %v\nwant %v", mode, r.Action, r.Conflicts, r.Document, p.before)
		}
		if again := restore(t, e, p.before); again.Action != journal.ActionNone || len(again.Conflicts) > 0 || again.Done == 0 {
			t.Errorf("%s: undone twice: %+v", mode, again)
		}
		if gone := restore(t, e, nil); gone.Action != journal.ActionNone || len(gone.Conflicts) != 1 {
			t.Errorf("%s: undone without a document: %+v", mode, gone)
		}
	}
}

func TestUndoIsByteEqual(t *testing.T) {
	t.Parallel()
	for _, p := range corpus(t) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			check(t, p)
		})
		if p.whole {
			continue
		}
		if changes, ok := journal.Diff(p.before, p.after); !ok || len(changes) == 0 {
			t.Errorf("%s: changes %v, %v", p.name, changes, ok)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	changes, ok := journal.Diff(
		raw(t, d("_id", 1, "a", 1, "b", 2, "n", d("x.y", 1, "z", d("q", 1)), "l", bson.A{1}, "o", d("a", 1, "b", 2))),
		raw(t, d("_id", 1, "b", 2, "n", d("x.y", 2, "z", d("q", 1, "r", 2)), "l", bson.A{2}, "o", d("b", 2, "a", 1), "new", true)))
	if !ok {
		t.Fatal("paths can't express it")
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.Path.String()+": "+show(c.Before)+" -> "+show(c.After))
	}
	want := []string{
		`a: {"$numberInt":"1"} -> -`, `n["x.y"]: {"$numberInt":"1"} -> {"$numberInt":"2"}`, `n.z.r: - -> {"$numberInt":"2"}`,
		`l: [{"$numberInt":"1"}] -> [{"$numberInt":"2"}]`, `o: {"a": {"$numberInt":"1"},"b": {"$numberInt":"2"}} -> {"b": {"$numberInt":"2"},"a": {"$numberInt":"1"}}`, `new: - -> true`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if changes, ok := journal.Diff(raw(t, d("_id", 1)), raw(t, d("_id", 1))); !ok || len(changes) != 0 {
		t.Errorf("nothing changed: %v, %v", changes, ok)
	}
}

func show(v bson.RawValue) string {
	if v.IsZero() {
		return "-"
	}
	return v.String()
}

func TestInsertAndDelete(t *testing.T) {
	t.Parallel()
	doc, other := raw(t, d("_id", 1, "a", 1)), raw(t, d("_id", 1, "a", 2))
	for _, mode := range []journal.Mode{journal.Changed, journal.Full} {
		insert, del := one(t, mode, nil, doc), one(t, mode, doc, nil)
		for _, tc := range []struct {
			name      string
			entry     journal.Entry
			current   bson.Raw
			action    journal.Action
			conflicts int
		}{
			{"inserted, unchanged", insert, doc, journal.ActionDelete, 0},
			{"inserted, gone", insert, nil, journal.ActionNone, 0},
			{"inserted, changed", insert, other, journal.ActionNone, 1},
			{"deleted, gone", del, nil, journal.ActionInsert, 0},
			{"deleted, back", del, doc, journal.ActionNone, 0},
			{"deleted, created again", del, other, journal.ActionNone, 1},
		} {
			r := restore(t, tc.entry, tc.current)
			if r.Action != tc.action || len(r.Conflicts) != tc.conflicts {
				t.Errorf("%s, %s: %+v", mode, tc.name, r)
			}
			if r.Action == journal.ActionInsert && string(r.Document) != string(doc) {
				t.Errorf("%s, %s: document %v", mode, tc.name, r.Document)
			}
		}
	}
}

func TestIDsOnly(t *testing.T) {
	t.Parallel()
	before, after := raw(t, d("_id", "x", "a", 1)), raw(t, d("_id", "x", "a", 2))
	e := one(t, journal.IDs, before, after)
	if e.Op != journal.Update || e.ID.StringValue() != "x" || !e.IDOnly {
		t.Errorf("entry %+v", e)
	}
	if _, err := e.Restore(after); !errors.Is(err, journal.ErrNotUndoable) {
		t.Errorf("restore: %v, want ErrNotUndoable", err)
	}
}

func TestOff(t *testing.T) {
	t.Parallel()
	w := journal.NewWriter(journal.Off)
	if changed, err := w.Add("", raw(t, d("_id", 1, "a", 1)), raw(t, d("_id", 1, "a", 2))); !changed || err != nil {
		t.Errorf("add: %v, %v", changed, err)
	}
	if docs, err := w.Documents(header); docs != nil || err != nil || w.Len() != 0 {
		t.Errorf("documents %v, %v, %d entries; want none", docs, err, w.Len())
	}
	if got := touchedText(w); got != "a=1 " {
		t.Errorf("touched %q", got)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"changed", "full", "ids", "off"} {
		if m, err := journal.ParseMode(text); err != nil || string(m) != text {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
	if m, err := journal.ParseMode(""); m != journal.Changed || err != nil {
		t.Errorf("no mode: %v, %v", m, err)
	}
	if _, err := journal.ParseMode("Full"); err == nil {
		t.Error("a mode that there isn't was taken")
	}
}

func touchedText(w *journal.Writer) string {
	var text string
	for path, n := range w.Touched() {
		text += fmt.Sprintf("%s=%d ", path, n)
	}
	return text
}
