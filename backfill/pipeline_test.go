package backfill_test

import (
	"bytes"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// Pipelines whose journal is harder than it looks: each is undone byte for byte.
func TestUndoOfPipelinesThatSeeOrRemoveMoreThanTheyName(t *testing.T) {
	t.Parallel()
	for name, update := range map[string]string{
		"a missing value removes":      `[{"$set": {"a": "$nosuch"}}]`,
		"so does one of an expression": `[{"$set": {"a": {"$first": "$list"}, "y": {"$toUpper": "$y"}}}]`,
		"one in a condition":           `[{"$set": {"a": {"$cond": [true, "$$REMOVE", 1]}}}]`,
		"the whole document":           `[{"$set": {"copy": "$$ROOT"}}]`,
		"its size":                     `[{"$set": {"n": {"$size": {"$objectToArray": "$$ROOT"}}}}]`,
		"the whole by another name":    `[{"$set": {"copy": "$$CURRENT"}}]`,
		"nested":                       `[{"$set": {"d.e": "$nosuch", "d.new": 1}}]`,
		"operators that see both":      `[{"$set": {"a": {"$toUpper": "$y"}, "y": {"$toUpper": "$a"}, "z": {"$add": ["$x", 1]}, "n": {"$literal": 0}}}]`,
		"values that exclude":          `[{"$set": {"a": false, "y": 0, "z": {"$eq": ["$x", 1]}}}]`,
		"new and old":                  `[{"$set": {"z": 1, "a": 2, "b": 3}}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			for i := range 50 {
				insert(t, things, bson.D{
					{Key: "_id", Value: i},
					{Key: "x", Value: i},
					{Key: "a", Value: "old"},
					{Key: "d", Value: bson.D{{Key: "c", Value: 1}, {Key: "e", Value: 2}, {Key: "f", Value: 3}}},
					{Key: "list", Value: bson.A{}},
					{Key: "y", Value: "text"},
				})
			}
			before := all(t, things)
			app := rikkitest.App(t, db, backfill.NewAdHoc(), backfill.NewUndo())
			result, err := app.Run(t.Context(), backfill.AdHocName, &rikki.RunOptions{Params: map[string]any{"collection": "things", "update": update}})
			if err != nil || result.Counters["changed"] != 50 {
				t.Fatalf("%v, %v", result, err)
			}
			if _, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
				t.Fatal(err)
			}
			if after := all(t, things); !bytes.Equal(before, after) {
				t.Error("the undo left something else than there was")
			}
		})
	}
}

func all(t *testing.T, coll *mongo.Collection) []byte {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.Raw
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	return bytes.Join(func() (list [][]byte) {
		for _, doc := range docs {
			list = append(list, doc)
		}
		return list
	}(), nil)
}

// Several workers share a limit, which a chunk may exceed.
func TestWorkersShareALimit(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	var docs []any
	for i := range 1000 {
		docs = append(docs, bson.D{{Key: "_id", Value: i}})
	}
	insert(t, things, docs...)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&count{}), backfill.NewPipeline(&mark{}))
	for limit := range 30 {
		result, err := app.Run(t.Context(), "count", &rikki.RunOptions{Params: map[string]any{"limit": limit + 1, "workers": 8, "chunk": 20}})
		if err != nil || result.Value.(*backfill.Summary).Matched != int64(limit+1) {
			t.Fatalf("limit %d: %+v, %v", limit+1, result.Value, err)
		}
	}
}

// A document of more than half the limit can't be computed beside what it was. It is changed and undone all the same.
func TestPipelinesOverLargeDocuments(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	for i := range 5 {
		insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "small", Value: i}})
	}
	insert(t, things, bson.D{{Key: "_id", Value: 2.5}, {Key: "small", Value: 1}, {Key: "large", Value: strings.Repeat("x", 15<<20)}})
	before := all(t, things)
	app := rikkitest.App(t, db, pipeline(backfill.Options{Collection: "things"}, bson.D{{Key: "$unset", Value: "small"}}))
	result, err := app.Run(t.Context(), "piped", nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := things.CountDocuments(t.Context(), bson.D{{Key: "small", Value: bson.D{{Key: "$exists", Value: true}}}}); err != nil || n != 0 {
		t.Errorf("%d are as they were (%v)", n, err)
	}
	if _, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
		t.Fatal(err)
	}
	if string(all(t, things)) != string(before) {
		t.Error("the undo left something else")
	}
}
