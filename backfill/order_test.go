package backfill_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// writer is a script whose rows are changes, in their order.
func writer(chunk int, changes []backfill.Change) (backfill.Options, func(context.Context, bson.Raw) (backfill.Change, error)) {
	source := backfill.Items(func(_ context.Context, after bson.RawValue) iter.Seq2[backfill.Item, error] {
		values := make([]any, len(changes))
		for i := range values {
			values[i] = i
		}
		return listed(values, after)
	})
	return backfill.Options{Collection: "things", Source: source, Chunk: chunk, MaxFailures: 1000}, func(_ context.Context, item bson.Raw) (backfill.Change, error) {
		return changes[item.Lookup("of").AsInt64()], nil
	}
}

func thing(v any) bson.D { return bson.D{{Key: "v", Value: v}} }

// The rows of a source are done in their order: neither what becomes of the documents nor the counts depend on the chunk.
func TestTheResultDoesNotDependOnTheChunk(t *testing.T) {
	t.Parallel()
	put := func(id, v any) backfill.Change { return backfill.Upsert(thing(v)).For(id) }
	del := func(id any) backfill.Change { return backfill.Delete().For(id) }
	set := func(id, v any) backfill.Change { return backfill.Set("v", v).For(id) }
	inc := func(id any) backfill.Change {
		return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "v", Value: 1}}}}).For(id)
	}
	for name, changes := range map[string][]backfill.Change{
		"DeletedAndPut":          {del(3), put(3, "new")},
		"PutDeletedPut":          {put(3, "a"), del(3), put(3, "b")},
		"PutDeletedPutNew":       {put(100, 1), del(100), put(100, 2)},
		"PutAndDeleted":          {put(100, 1), inc(100), del(100)},
		"DeletedTwice":           {del(3), del(3), set(3, 1), put(3, 5), inc(3)},
		"SetTwice":               {set(3, 1), set(3, 2), set(3, 1)},
		"SetBack":                {set(3, 1), set(4, 1), set(3, 3), del(4), set(4, 2), put(4, 9), inc(4)},
		"ByAnEqualID":            {del(3), put(3.0, 1), inc(decimal(t, "3.00")), del(int64(3)), put(3, 2)},
		"NewByAnEqualID":         {put(int64(100), 1), put(100.0, 2), inc(100), inc(decimal(t, "100"))},
		"ByAnEqualDocument":      {del(bson.D{{Key: "a", Value: 1}}), put(bson.D{{Key: "a", Value: 1.0}}, 1), inc(bson.D{{Key: "a", Value: int64(1)}})},
		"ReplacedAfterItsDelete": {del(3), backfill.Replace(thing(1)).For(3), put(3, 2)},
		"OwnCollectionBesides": {
			del(3).Also("things", 3, thing("again")), backfill.None().Also("things", 4, nil).Also("things", 4, thing(1)), inc(4),
			set(5, 1).AlsoUpdate("things", 5, bson.D{{Key: "$inc", Value: bson.D{{Key: "v", Value: 1}}}}),
		},
		"AnotherCollection": {
			backfill.None().Also("others", 1, nil).Also("others", 1, thing(1)), backfill.None().Also("others", 2, thing(1)).Also("others", 2, nil),
			backfill.None().Also("others", 1, nil), backfill.None().Also("others", 1, thing(3)).AlsoUpdate("others", 1, bson.D{{Key: "$inc", Value: bson.D{{Key: "v", Value: 1}}}}),
		},
		"UniqueMadeRoom": {
			set(1, "x"), del(1), put(2, "x"), del(2), put(3, "x"), del(3), put(200, "x"),
		},
		"UniqueInTheWay": {put(201, "x"), put(202, "x"), del(201), put(203, "x")},
		"UniqueElsewhere": {
			backfill.None().Also("others", 1, thing("x")), backfill.None().Also("others", 1, nil).Also("others", 2, thing("x")),
			backfill.None().Also("others", 3, thing("x")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareChunks(t, changes)
		})
	}
}

// compareChunks does the changes with chunks of several sizes, undoes them, and compares.
func compareChunks(t *testing.T, changes []backfill.Change) {
	t.Helper()
	type outcome struct{ docs, others, counts string }
	var first outcome
	for _, chunk := range []int{1, 2, 3, 100} {
		db := rikkitest.DB(t)
		things, others := db.Collection("things"), db.Collection("others")
		for _, coll := range []*mongo.Collection{things, others} {
			if _, err := coll.Indexes().CreateOne(t.Context(), mongo.IndexModel{
				Keys: bson.D{{Key: "v", Value: 1}}, Options: options.Index().SetUnique(true),
			}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 10 {
			insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "was", Value: "here"}, {Key: "v", Value: 1000 + i}})
		}
		insert(t, things, bson.D{{Key: "_id", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "v", Value: 2000}})
		insert(t, others, bson.D{{Key: "_id", Value: 1}, {Key: "was", Value: "there"}})
		before := string(all(t, things)) + string(all(t, others))
		app := rikkitest.App(t, db, function(writer(chunk, changes)))
		result, err := app.Run(t.Context(), "scripted", nil)
		if result == nil {
			t.Fatal(err)
		}
		s := result.Value.(*backfill.Summary)
		got := outcome{
			show(all(t, things)), show(all(t, others)),
			fmt.Sprintf("changed %d, deleted %d, unchanged %d, written %d, failed %d", s.Changed, s.Deleted, s.Unchanged, s.Written, s.Failed),
		}
		if chunk == 1 {
			first = got
		}
		if got != first {
			t.Errorf("with chunks of %d it is\n%s\n%s\n%s\nwith chunks of one it is\n%s\n%s\n%s", chunk, got.docs, got.others, got.counts, first.docs, first.others, first.counts)
		}
		if string(all(t, things))+string(all(t, others)) == before {
			continue // the journal may be empty
		}
		if u, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
			t.Fatalf("chunks of %d: undo: %v (%+v)", chunk, err, u)
		}
		if after := string(all(t, things)) + string(all(t, others)); after != before {
			t.Errorf("chunks of %d: it was\n%s\nand is after the undo\n%s", chunk, show([]byte(before)), show([]byte(after)))
		}
	}
}

// A file with deletions and insertions of one document ends as its last row says.
func TestRowsOfAFileKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for _, rows := range [][]string{{"del,3", "put,3"}, {"put,3", "del,3", "put,3"}, {"put,3", "del,3"}, {"put,4", "del,4", "put,4"}} {
		var results []string
		for _, chunk := range []int{1, 100} {
			db := rikkitest.DB(t)
			for i := range 4 {
				insert(t, db.Collection("things"), bson.D{{Key: "_id", Value: fmt.Sprint(i)}, {Key: "v", Value: "old"}})
			}
			path := filepath.Join(t.TempDir(), "rows.csv")
			if err := os.WriteFile(path, []byte("do,id\n"+strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := summary(t, db, function(backfill.Options{Collection: "things", Source: backfill.CSV(path), Chunk: chunk},
				func(_ context.Context, row bson.Raw) (backfill.Change, error) {
					if row.Lookup("do").StringValue() == "del" {
						return backfill.Delete().For(row.Lookup("id")), nil
					}
					return backfill.Upsert(thing("new")).For(row.Lookup("id")), nil
				}), nil)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, fmt.Sprint(show(all(t, db.Collection("things"))), s.Changed, s.Deleted, s.Unchanged))
		}
		if len(slices.Compact(results)) != 1 {
			t.Errorf("%v: one by one\n%s\nand together\n%s", rows, results[0], results[1])
		}
	}
}

// An item whose document was written because of another one before it is written again, though it was read as it shall be.
func TestADocumentThatAnotherItemWroteIsWrittenAgain(t *testing.T) {
	t.Parallel()
	for _, chunk := range []int{1, 100} {
		db := rikkitest.DB(t)
		things := db.Collection("things")
		insert(t, things, bson.D{{Key: "_id", Value: 1}, {Key: "v", Value: 1}}, bson.D{{Key: "_id", Value: 2}, {Key: "v", Value: 1}})
		before := all(t, things)
		app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Chunk: chunk, Workers: 1}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
			if doc.Lookup("_id").AsInt64() == 1 {
				return backfill.Set("w", 1).AlsoUpdate("things", 2.0, bson.D{{Key: "$set", Value: thing(2)}}), nil
			}
			return backfill.Set("v", 1), nil
		}))
		result, err := app.Run(t.Context(), "scripted", nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := things.CountDocuments(t.Context(), bson.D{{Key: "v", Value: 1}}); err != nil || n != 2 {
			t.Errorf("chunks of %d: %d documents are as the function said (%v): %s", chunk, n, err, show(all(t, things)))
		}
		if _, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
			t.Fatal(err)
		}
		if after := all(t, things); string(after) != string(before) {
			t.Errorf("chunks of %d: it was\n%s\nand is\n%s", chunk, show(before), show(after))
		}
	}
}
