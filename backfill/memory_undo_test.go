//go:build !race

package backfill_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// An undo holds a chunk of its documents and of their changes, however many fields they have and however large they are.
func TestMemoryOfAnUndoIsBounded(t *testing.T) {
	name := bson.D{{Key: "$concat", Value: bson.A{"g", "$$this.k"}}}
	keep := bson.D{{Key: "$cond", Value: bson.A{bson.D{{Key: "$eq", Value: bson.A{"$$this.k", "_id"}}}, "_id", name}}}
	all := bson.D{{Key: "$map", Value: bson.D{
		{Key: "input", Value: bson.D{{Key: "$objectToArray", Value: "$$ROOT"}}}, {Key: "in", Value: bson.D{{Key: "k", Value: keep}, {Key: "v", Value: "$$this.v"}}},
	}}}
	for _, c := range []struct {
		name       string
		docs, less int // with RIKKI_FAULTS, and without
		doc        func(id int) bson.D
		stage      bson.D
		most       int // MiB
	}{
		{
			name: "ManyFields", docs: 500, less: 40, most: 40,
			doc: func(id int) bson.D {
				doc := bson.D{{Key: "_id", Value: id}}
				for i := range 10_000 {
					doc = append(doc, bson.E{Key: fmt.Sprint("f", i), Value: int32(i)})
				}
				return doc
			},
			stage: bson.D{{Key: "$replaceWith", Value: bson.D{{Key: "$arrayToObject", Value: all}}}},
		},
		{
			name: "LargeDocuments", docs: 12, less: 6, most: 75,
			doc: func(id int) bson.D {
				return bson.D{{Key: "_id", Value: id}, {Key: "v", Value: bytes.Repeat([]byte{'x'}, 10_000_000)}}
			},
			stage: set("n", 1),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := rikkitest.DB(t)
			docs := c.docs
			if os.Getenv(faultsEnv) == "" {
				docs = c.less
			}
			for i := range docs {
				insert(t, db.Collection("things"), c.doc(i))
			}
			m := &meter{every: 1}
			app := metered(t, db, m, pipeline(backfill.Options{Collection: "things", Workers: 1}, c.stage))
			run, err := app.Run(t.Context(), "piped", nil)
			if err != nil {
				t.Fatal(err)
			}
			m.reset()
			result, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{Params: &backfill.UndoRun{Workers: 1}})
			if err != nil || undone(t, result).Changed != int64(docs) {
				t.Fatalf("%+v, %v", result, err)
			}
			peak := m.peak(t)
			t.Logf("%d documents: %.1f MiB", docs, float64(peak)/mib)
			if peak > c.most*mib {
				t.Errorf("the undo of %d documents held %.1f MiB, more than %d", docs, float64(peak)/mib, c.most)
			}
		})
	}
}
