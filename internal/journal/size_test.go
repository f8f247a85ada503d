//go:build !race

package journal_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// Documents of every kind go to the server and back, and so does their journal.
func TestServerKeepsTheJournal(t *testing.T) {
	t.Parallel()
	db := mongotest.DB(t)
	coll, kept := db.Collection("docs"), db.Collection("journal")
	pairs := corpus(t)
	pairs = append(pairs, large(t)[1:4]...)
	// Much larger ones don't fit into the small cache of a test's server together with all else.
	pairs = append(pairs, pair{name: "1 MiB", before: raw(t, d("_id", 1, "v", noise(1<<20, 1))), after: raw(t, d("_id", 1, "v", noise(1<<20, 2)))})
	// The server puts _id first, and takes fewer levels.
	pairs = slices.DeleteFunc(pairs, func(p pair) bool {
		return p.name == "200 levels" || p.name == "1,000 levels" || p.name == "field removed at the beginning"
	})
	for _, p := range pairs {
		put(t, coll, p.after)
		w := journal.NewWriter(journal.Changed)
		if _, err := w.Add("", p.before, p.after); err != nil {
			t.Fatal(err)
		}
		if _, err := kept.DeleteMany(t.Context(), bson.D{}); err != nil {
			t.Fatal(err)
		}
		docs, err := w.Documents(header)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range docs {
			if _, err := kept.InsertOne(t.Context(), doc); err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
		}
		cursor, err := kept.Find(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		var stored []bson.Raw
		if err := cursor.All(t.Context(), &stored); err != nil {
			t.Fatal(err)
		}
		for e, err := range journal.Decode(stored...) {
			if err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
			undo(t, coll, e)
		}
		if got := get(t, coll); string(got) != string(p.before) {
			t.Errorf("%s: %d bytes restored, want %d\n%.300s\n%.300s", p.name, len(got), len(p.before), got, p.before)
		}
	}
}

func TestLargeChunkIsSplit(t *testing.T) {
	t.Parallel()
	w := journal.NewWriter(journal.Full)
	for i := range uint64(2) {
		before, after := raw(t, d("_id", 1, "v", noise(16<<20-100, 2*i))), raw(t, d("_id", 1, "v", noise(16<<20-100, 2*i+1)))
		if _, err := w.Add("", before, after); err != nil {
			t.Fatal(err)
		}
	}
	docs, err := w.Documents(header)
	if err != nil || len(docs) != 5 {
		t.Fatalf("%d documents, %v; want 5 of 64 MiB", len(docs), err)
	}
	for i, doc := range docs {
		if number, parts, err := journal.Parts(doc); number != i || parts != 5 || err != nil {
			t.Errorf("part %d of %d, %v; want %d of 5", number, parts, err, i)
		}
	}
	if all := entries(t, w); len(all) != 2 {
		t.Errorf("%d entries, want 2", len(all))
	}
	for _, wrong := range [][]bson.Raw{docs[1:], docs[:4], {docs[1], docs[1], docs[2], docs[3], docs[4]}, {docs[0], docs[0], docs[1], docs[2], docs[3], docs[4]}} {
		for _, err := range journal.Decode(wrong...) {
			if !errors.Is(err, journal.ErrCorrupt) || !strings.Contains(err.Error(), "missing or stands twice") {
				t.Errorf("with a part missing or twice: %v, want ErrCorrupt", err)
			}
		}
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	w := journal.NewWriter(journal.Changed)
	doc := raw(t, d("_id", 1, "v", make([]byte, 16<<20-100)))
	for range 17 {
		if _, err := w.Add("", doc, nil); err != nil {
			t.Fatal(err)
		}
	}
	if docs, err := w.Documents(header); !errors.Is(err, journal.ErrTooLarge) || docs != nil {
		t.Errorf("%d documents, %v; want ErrTooLarge", len(docs), err)
	}
}

func TestUndoIsByteEqualForLargeDocuments(t *testing.T) {
	t.Parallel()
	for _, p := range large(t) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			check(t, p)
		})
	}
}
