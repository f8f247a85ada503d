package backfill_test

import (
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// A document that fails has no effect, in other collections either, whichever part of its change is at fault.
func TestADocumentThatFailsWritesNothingElsewhere(t *testing.T) {
	t.Parallel()
	wrong := make(chan int) // nothing that can be encoded
	note := bson.D{{Key: "noted", Value: true}}
	for name, change := range map[string]func(id any) backfill.Change{
		"Set":             func(id any) backfill.Change { return backfill.Set("v", wrong).Also("notes", id, note) },
		"Replace":         func(id any) backfill.Change { return backfill.Replace(wrong).Also("notes", id, note) },
		"Update":          func(id any) backfill.Change { return backfill.Update(wrong).Also("notes", id, note) },
		"UpdateByNothing": func(id any) backfill.Change { return backfill.Update(bson.D{}).Also("notes", id, note) },
		"UpdateByNil":     func(id any) backfill.Change { return backfill.Update(nil).Also("notes", id, note) },
		"UpdateByNoOperator": func(id any) backfill.Change {
			return backfill.Update(bson.D{{Key: "n", Value: 7}}).Also("notes", id, note)
		},
		"For": func(id any) backfill.Change { return backfill.Set("n", 7).For(wrong).Also("notes", id, note) },
		"Also": func(id any) backfill.Change {
			return backfill.Set("n", 7).Also("notes", id, note).Also("notes", "second", wrong)
		},
		"AlsoID": func(id any) backfill.Change {
			return backfill.Delete().Also("notes", id, note).Also("notes", wrong, note)
		},
		"AlsoUpdate":   func(id any) backfill.Change { return backfill.Delete().AlsoUpdate("notes", id, wrong) },
		"AlsoUpdateBy": func(any) backfill.Change { return backfill.Set("n", 7).AlsoUpdate("notes", "old", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things, notes := db.Collection("things"), db.Collection("notes")
			insert(t, notes, bson.D{{Key: "_id", Value: "old"}})
			for i := range 5 {
				insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "n", Value: 1}})
			}
			s, err := summary(t, db, function(backfill.Options{Collection: "things"}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
				if id := doc.Lookup("_id").AsInt64(); id != 2 {
					return backfill.Set("n", 2).Also("notes", id, note), nil
				}
				return change(2), nil
			}), nil)
			if err == nil || s.Failed != 1 || s.Changed != 4 || s.Written != 4 {
				t.Errorf("%+v, %v", s, err)
			}
			failed, err := things.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: 2}, {Key: "n", Value: 1}})
			if err != nil || failed != 1 {
				t.Errorf("the document that failed was changed (%v)", err)
			}
			noted, err := notes.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{2, "second"}}}}})
			kept, err2 := notes.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: "old"}})
			if err != nil || err2 != nil || noted != 0 || kept != 1 {
				t.Errorf("%d documents were written because of one that failed, %d of 1 kept (%v, %v)", noted, kept, err, err2)
			}
		})
	}
}
