package journal_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
)

// Somebody has changed the document since the run. What the run changed and is still there is taken back, the rest stays.
func TestRestoreOnlyWhatTheRunLeft(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 2000)
	for _, tc := range []struct {
		name                         string
		before, after, current, want bson.D
		conflicts                    string
		done                         int
	}{
		{
			name:   "other field changed",
			before: d("_id", 1, "a", 1, "b", 1), after: d("_id", 1, "a", 2, "b", 1),
			current: d("_id", 1, "a", 2, "b", 5, "c", 1), want: d("_id", 1, "a", 1, "b", 5, "c", 1),
		},
		{
			name:   "same field changed",
			before: d("_id", 1, "a", 1), after: d("_id", 1, "a", 2), current: d("_id", 1, "a", 3),
			conflicts: "a: changed since the run;",
		},
		{
			name:   "one of two",
			before: d("_id", 1, "a", 1, "b", 1), after: d("_id", 1, "a", 2, "b", 2),
			current: d("_id", 1, "a", 3, "b", 2), want: d("_id", 1, "a", 3, "b", 1), conflicts: "a: changed since the run;",
		},
		{
			name:   "one of two is back already",
			before: d("_id", 1, "a", 1, "b", 1), after: d("_id", 1, "a", 2, "b", 2),
			current: d("_id", 1, "a", 1, "b", 2), want: d("_id", 1, "a", 1, "b", 1), done: 1,
		},
		{
			name:   "same number, other type",
			before: d("_id", 1, "a", 1), after: d("_id", 1, "a", int32(2)), current: d("_id", 1, "a", int64(2)),
			conflicts: "a: changed since the run;",
		},
		{
			name:   "field removed since",
			before: d("_id", 1, "a", 1, "b", 1), after: d("_id", 1, "a", 2, "b", 1), current: d("_id", 1, "b", 1),
			conflicts: "a: removed since the run;",
		},
		{
			name:   "added field removed since",
			before: d("_id", 1), after: d("_id", 1, "a", 2), current: d("_id", 1, "b", 1), done: 1,
		},
		{
			name:   "removed field set since",
			before: d("_id", 1, "a", 1), after: d("_id", 1), current: d("_id", 1, "a", 7),
			conflicts: "a: changed since the run;",
		},
		{
			name:   "renamed, and others moved about",
			before: d("_id", 1, "a", 1, "b", 2, "c", 3), after: d("_id", 1, "b", 2, "c", 3, "x", 1),
			current: d("_id", 1, "c", 3, "b", 2, "x", 1, "y", 1), want: d("_id", 1, "a", 1, "c", 3, "b", 2, "y", 1),
		},
		{
			name:   "the old neighbour is gone",
			before: d("_id", 1, "a", 1, "b", 2, "c", 3, "d", 4), after: d("_id", 1, "a", 1, "d", 4),
			current: d("_id", 1, "d", 4, "e", 5), want: d("_id", 1, "d", 4, "e", 5, "b", 2, "c", 3),
		},
		{
			name:   "a neighbour that the run removed is back with another value",
			before: d("_id", 1, "a", 1, "b", 2, "c", 3), after: d("_id", 1, "c", 3),
			current: d("_id", 1, "c", 3, "a", 9), want: d("_id", 1, "c", 3, "a", 9, "b", 2), conflicts: "a: changed since the run;",
		},
		{
			name:   "nested document replaced by a value",
			before: d("_id", 1, "n", d("a", 1, "b", 1)), after: d("_id", 1, "n", d("a", 2, "b", 2)), current: d("_id", 1, "n", 5),
			conflicts: "n.a: changed since the run;n.b: changed since the run;",
		},
		{
			name:   "nested document removed",
			before: d("_id", 1, "n", d("a", 1)), after: d("_id", 1, "n", d("a", 2, "b", 2)), current: d("_id", 1),
			conflicts: "n.a: removed since the run;", done: 1,
		},
		{
			name:   "field doubled since",
			before: d("_id", 1, "a", 1, "b", 1), after: d("_id", 1, "a", 2, "b", 2),
			current: d("_id", 1, "a", 2, "a", 2, "b", 2), want: d("_id", 1, "a", 2, "a", 2, "b", 1), conflicts: "a: the field occurs twice;",
		},
		{
			name:   "large value still there",
			before: d("_id", 1, "a", 1), after: d("_id", 1, "a", big), current: d("_id", 1, "a", big, "b", 1), want: d("_id", 1, "a", 1, "b", 1),
		},
		{
			name:   "large value changed",
			before: d("_id", 1, "a", 1), after: d("_id", 1, "a", big), current: d("_id", 1, "a", big+"x"),
			conflicts: "a: changed since the run;",
		},
		{
			name:   "large value of another type",
			before: d("_id", 1, "a", 1), after: d("_id", 1, "a", big), current: d("_id", 1, "a", bson.Symbol(big)),
			conflicts: "a: changed since the run;",
		},
		{
			name:   "a document that paths can't express",
			before: d("_id", 1, "a", 1, "b", 2), after: d("_id", 1, "b", 2, "a", 1), current: d("_id", 1, "b", 2, "a", 1, "c", 1),
			conflicts: "changed since the run;",
		},
		{
			name:   "too large by now",
			before: d("_id", 1, "a", strings.Repeat("x", 9<<20)), after: d("_id", 1, "a", 1), current: d("_id", 1, "a", 1, "b", strings.Repeat("x", 9<<20)),
			conflicts: "the document would be larger than 16 MiB;",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			before, after, current := raw(t, tc.before), raw(t, tc.after), raw(t, tc.current)
			for _, mode := range []journal.Mode{journal.Changed, journal.Full} {
				e := one(t, mode, before, after)
				r := restore(t, e, current)
				var conflicts string
				for _, c := range r.Conflicts {
					conflicts += c.String() + ";"
				}
				if conflicts != tc.conflicts || r.Done != tc.done {
					t.Errorf("%s: conflicts %q, want %q; done %d, want %d", mode, conflicts, tc.conflicts, r.Done, tc.done)
				}
				want, action := bson.Raw(nil), journal.ActionNone
				if tc.want != nil {
					want, action = raw(t, tc.want), journal.ActionReplace
				}
				if r.Action != action || string(r.Document) != string(want) {
					t.Errorf("%s: %s %v, want %s %v", mode, r.Action, r.Document, action, want)
				}
				if r.Action != journal.ActionReplace {
					continue
				}
				if again := restore(t, e, r.Document); again.Action != journal.ActionNone || len(again.Conflicts) != len(r.Conflicts) {
					t.Errorf("%s: undone twice: %+v", mode, again)
				}
			}
		})
	}
}

func TestConflictSaysWhatIsThere(t *testing.T) {
	t.Parallel()
	e := one(t, journal.Changed, raw(t, d("_id", 1, "a", 1)), raw(t, d("_id", 1, "a", 2)))
	r := restore(t, e, raw(t, d("_id", 1, "a", "theirs")))
	if len(r.Conflicts) != 1 || r.Conflicts[0].Found.StringValue() != "theirs" {
		t.Fatalf("conflicts %v", r.Conflicts)
	}
	if diff := cmp.Diff(journal.Path{"a"}, r.Conflicts[0].Path); diff != "" {
		t.Error(diff)
	}
}

func TestImpossibleChanges(t *testing.T) {
	t.Parallel()
	one := raw(t, d("a", 1)).Lookup("a")
	current := raw(t, d("_id", 1, "a", 1))
	for _, paths := range [][]journal.Path{{{"a"}, {"a"}}, {{"a"}, {"a", "b"}}, {{"a", "b"}, {"a"}}, {{"a"}, {"b"}, {"a"}}} {
		e := journal.Entry{Op: journal.Update}
		for _, path := range paths {
			e.Changes = append(e.Changes, journal.Change{Path: path, Before: one})
		}
		if r, err := e.Restore(current); !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("%v: %+v, %v; want ErrCorrupt", paths, r, err)
		}
	}
	for _, op := range []journal.Op{0, 5} {
		e := journal.Entry{Op: op}
		if _, err := e.Restore(current); !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", op, err)
		}
	}
	e := journal.Entry{Op: journal.Update}
	if _, err := e.Restore(bson.Raw{1, 2}); err == nil {
		t.Error("two bytes were taken for a document")
	}
}
