package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// raws are all documents of a collection, byte for byte.
func raws(t *testing.T, coll *mongo.Collection) map[string]bson.Raw {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bson.Raw{}
	for cur.Next(t.Context()) {
		all[cur.Current.Lookup("_id").String()] = append(bson.Raw(nil), cur.Current...)
	}
	if err := cur.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// asBefore compares each byte of a collection with what was there.
func asBefore(t *testing.T, coll *mongo.Collection, before map[string]bson.Raw) {
	t.Helper()
	now := raws(t, coll)
	for id, doc := range before {
		if string(now[id]) != string(doc) {
			t.Errorf("document %s is\n%s, it was\n%s", id, now[id], doc)
		}
	}
	if len(now) != len(before) {
		t.Errorf("%d documents, there were %d", len(now), len(before))
	}
}

// plant stores documents byte for byte, whatever the server would make of them otherwise.
func plant(t *testing.T, coll *mongo.Collection, docs ...bson.D) {
	t.Helper()
	for _, doc := range docs {
		literal := mongo.Pipeline{{{Key: "$replaceWith", Value: bson.D{{Key: "$literal", Value: doc}}}}}
		if _, err := coll.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: doc[0].Value}}, literal, options.UpdateOne().SetUpsert(true)); err != nil {
			t.Fatal(err)
		}
	}
}

// oddDocuments are of forms that a server doesn't store as it is told, or that end it when they are told to it in another way.
func oddDocuments() []bson.D {
	e := func(key string, value any) bson.E { return bson.E{Key: key, Value: value} }
	deep := any(1)
	for range 120 {
		deep = bson.D{e("x", deep)}
	}
	empty := bson.Timestamp{}
	return []bson.D{
		{e("ts", empty), e("a", 1)},
		{e("a", 1), e("nested", bson.D{e("ts", empty)})},
		{e("ts", bson.Timestamp{T: 5, I: 1}), e("other", empty), e("a", 1)},
		{e("$d", 5), e("a", 1)},
		{e("$set", bson.D{e("a", 9)}), e("a", 1), e("$ref", "x"), e("$id", 1)},
		{e("a", 1), e("nested", bson.D{e("$inc", 1), e("$literal", "$a")})},
		{e("a", "$a"), e("b", "$$ROOT")},
		{e("a.b", 5), e("a", 1), e(".", 2), e("nested", bson.D{e("x.y", 1)})},
		{e("", 5), e("a", 1), e("nested", bson.D{e("", bson.D{e("", 2)})})},
		{e("a", 1), e("a", 2)},
		{e("a", 1), e("nested", bson.D{e("b", 1), e("b", 2)})},
		{e("a", 1), e("a", 2), e("$d", 5)},
		{e("a", 1), e("$d", 5), e("nested", bson.D{e("b", 1), e("b", 2)})},
		{e("a", 1), e("a", 2), e("ts", empty)},
		{e("ts", empty), e("ts", empty), e("a", 1)},
		{e("a", 1), e("$d", 1), e("$d", 2), e("ts", empty)},
		{e("$d", 5), e("ts", empty), e("a", 1)},
		{e("a", 1), e("$deep", deep)},
		{e("a", 1), e("$old", bson.Undefined{}), e("s", bson.Symbol("x")), e("c", bson.CodeWithScope{Code: "f", Scope: bson.D{e("$a", 1)}})},
		{e("a", 1), e("ts", empty), e("p", bson.DBPointer{DB: "a.b"}), e("m", bson.MinKey{}), e("r", bson.Regex{Pattern: "x", Options: "im"})},
	}
}

// TestAnUndoRestoresWhatTheServerStoresOtherwise: whatever the run does to documents of all forms, they come back byte for byte, and the server
// lives on.
func TestAnUndoRestoresWhatTheServerStoresOtherwise(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]backfill.Change{
		"set":       backfill.Set("zz", 1),
		"unset":     backfill.Update(bson.D{{Key: "$unset", Value: bson.D{{Key: "a", Value: 1}, {Key: "nested", Value: 1}}}}),
		"unsetDeep": backfill.Update(bson.D{{Key: "$unset", Value: bson.D{{Key: "nested.b", Value: 1}, {Key: "nested.ts", Value: 1}}}}),
		"delete":    backfill.Delete(),
		"replace":   backfill.Replace(bson.D{{Key: "other", Value: 1}}),
		"timestamp": backfill.Replace(bson.D{{Key: "a", Value: 1}, {Key: "ts", Value: bson.Timestamp{}}}),
	} {
		for _, mode := range []backfill.Journal{backfill.JournalChanged, backfill.JournalFull} {
			t.Run(name+" "+string(mode), func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				coll := db.Collection("odd")
				for i, doc := range oddDocuments() {
					plant(t, coll, append(bson.D{{Key: "_id", Value: i}}, doc...))
				}
				before := raws(t, coll)
				app := rikkitest.App(t, db, function(backfill.Options{Collection: "odd", Journal: mode}, func(context.Context, bson.Raw) (backfill.Change, error) {
					return change, nil
				}))
				run, err := app.Run(t.Context(), "scripted", nil)
				if err != nil {
					t.Fatal(err)
				}
				after := raws(t, coll)
				undo, err := backfill.Undo(t.Context(), app, run.Run, nil)
				if err != nil {
					t.Fatalf("%+v, %v", undo, err)
				}
				asBefore(t, coll, before)
				if redo, err := backfill.Undo(t.Context(), app, undo.Run, nil); err != nil {
					t.Fatalf("%+v, %v", redo, err)
				}
				asBefore(t, coll, after)
			})
		}
	}
}

// TestAnUndoPassesAValidator: what was there comes back, though the validator would refuse it today.
func TestAnUndoPassesAValidator(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"strict", "moderate"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			coll := db.Collection("things")
			for i := range 200 {
				insert(t, coll, bson.D{{Key: "_id", Value: i}, {Key: "n", Value: fmt.Sprint(i)}})
			}
			before := raws(t, coll)
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things"}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
				if doc.Lookup("_id").AsInt64()%2 == 0 {
					return backfill.Delete(), nil
				}
				return backfill.Set("n", 1), nil
			}))
			run, err := app.Run(t.Context(), "scripted", nil)
			if err != nil {
				t.Fatal(err)
			}
			validate(t, db, level)
			dry, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{DryRun: true})
			if f := dry.Value.(*backfill.UndoForecast); err != nil || len(f.Conflicts) > 0 || len(f.Warnings) > 0 || f.Restored != 200 {
				t.Errorf("the dry run: %+v, %v", f, err)
			}
			if undo, err := backfill.Undo(t.Context(), app, run.Run, nil); err != nil {
				t.Fatalf("%+v, %v", undo, err)
			}
			asBefore(t, coll, before)
		})
	}
}

// validate gives things a validator that wants n to be a number.
func validate(t *testing.T, db *mongo.Database, level string) {
	t.Helper()
	err := db.RunCommand(t.Context(), bson.D{
		{Key: "collMod", Value: "things"},
		{Key: "validator", Value: bson.D{{Key: "n", Value: bson.D{{Key: "$type", Value: "int"}}}}},
		{Key: "validationLevel", Value: level},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnUndoLooksWhereItWrites: a collection that isn't the one that the run changed is refused before the first write.
func TestAnUndoLooksWhereItWrites(t *testing.T) {
	t.Parallel()
	rename := func(t *testing.T, db *mongo.Database) {
		t.Helper()
		from, to := db.Name()+".things", db.Name()+".elsewhere"
		if err := db.Client().Database("admin").RunCommand(t.Context(), bson.D{{Key: "renameCollection", Value: from}, {Key: "to", Value: to}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	create := func(t *testing.T, db *mongo.Database, opts ...options.Lister[options.CreateCollectionOptions]) {
		t.Helper()
		if err := db.CreateCollection(t.Context(), "things", opts...); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		change func(*testing.T, *mongo.Database)
		why    string
	}{
		"Renamed": {rename, "there is no collection"},
		"Dropped": {func(t *testing.T, db *mongo.Database) {
			t.Helper()
			if err := db.Collection("things").Drop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, "there is no collection"},
		"MadeAgain": {func(t *testing.T, db *mongo.Database) {
			t.Helper()
			rename(t, db)
			create(t, db)
			for i := range 40 {
				insert(t, db.Collection("things"), bson.D{{Key: "_id", Value: i}, {Key: "n", Value: 1}}) // as the run left them
			}
		}, "another collection than the run wrote to"},
		"View": {func(t *testing.T, db *mongo.Database) {
			t.Helper()
			rename(t, db)
			if err := db.CreateView(t.Context(), "things", "elsewhere", bson.A{}); err != nil {
				t.Fatal(err)
			}
		}, "view"},
		"Capped": {func(t *testing.T, db *mongo.Database) {
			t.Helper()
			rename(t, db)
			create(t, db, options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<20))
		}, "capped"},
		"MadeCapped": {func(t *testing.T, db *mongo.Database) {
			t.Helper()
			if err := db.RunCommand(t.Context(), bson.D{{Key: "convertToCapped", Value: "things"}, {Key: "size", Value: 1 << 20}}).Err(); err != nil {
				t.Fatal(err)
			}
		}, "capped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), 40)
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things"}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
				if doc.Lookup("_id").AsInt64()%2 == 0 {
					return backfill.Delete(), nil
				}
				return increment(ctx, doc)
			}))
			run, err := app.Run(t.Context(), "scripted", nil)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, db)
			before := raws(t, db.Collection("things"))
			for _, dry := range []bool{true, false} {
				result, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{DryRun: dry})
				if !errors.Is(err, backfill.ErrNoUndo) || !strings.Contains(err.Error(), tt.why) || !strings.Contains(err.Error(), "give") && !strings.Contains(err.Error(), "copy") {
					t.Errorf("dry %t: %+v, %v", dry, result, err)
				}
			}
			asBefore(t, db.Collection("things"), before)
		})
	}
}

// TestAnUndoPassesOtherCollectionsByThatAreGone: what the run wrote to other collections stays where these are others now, and is told.
func TestAnUndoPassesOtherCollectionsByThatAreGone(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 60)
	victims := db.Collection("victims")
	for i := range 60 {
		insert(t, victims, bson.D{{Key: "_id", Value: i}})
	}
	before := raws(t, db.Collection("things"))
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Chunk: 20}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
		return backfill.Set("x", 1).Also("victims", doc.Lookup("_id"), nil), nil
	}))
	run, err := app.Run(t.Context(), "scripted", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := victims.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	insert(t, victims, bson.D{{Key: "_id", Value: "others'"}})
	dry, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{DryRun: true})
	if !isPartial(err, 60) || len(dry.Value.(*backfill.UndoForecast).Warnings) != 1 {
		t.Errorf("the dry run: %+v, %v", dry.Value, err)
	}
	undo, err := backfill.Undo(t.Context(), app, run.Run, nil)
	if !isPartial(err, 60) {
		t.Fatalf("%+v, %v", undo, err)
	}
	asBefore(t, db.Collection("things"), before)
	if n, err := victims.CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
		t.Errorf("%d documents in the collection of others, %v", n, err)
	}
}

// TestAFieldComesBackToItsPlace: a pipeline can remove a field though its operator usually has a value.
func TestAFieldComesBackToItsPlace(t *testing.T) {
	t.Parallel()
	e := func(key string, value any) bson.E { return bson.E{Key: key, Value: value} }
	for name, value := range map[string]any{
		"DateFromString": bson.D{e("$dateFromString", bson.D{e("dateString", "$at"), e("onError", "$$REMOVE")})},
		"Map":            bson.D{e("$map", bson.D{e("input", "$gone"), e("in", "$$this")})},
		"Filter":         bson.D{e("$filter", bson.D{e("input", "$gone"), e("cond", true)})},
		"MergeObjects":   bson.D{e("$mergeObjects", bson.A{"$gone"})},
		"Path":           "$gone",
		"Cond":           bson.D{e("$cond", bson.A{bson.D{e("$eq", bson.A{"$z", 7})}, "$$REMOVE", "$at"})},
		"Literal":        bson.D{e("$literal", "$$REMOVE")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			for i := range 300 {
				doc := bson.D{e("_id", i), e("a", i), e("at", "2026-01-01"), e("z", i)}
				if i%7 == 0 {
					doc[2].Value = "no date"
				}
				insert(t, things, doc)
			}
			before := raws(t, things)
			app := rikkitest.App(t, db, pipeline(backfill.Options{Collection: "things", Chunk: 50}, set("at", value)))
			run, err := app.Run(t.Context(), "piped", nil)
			if err != nil {
				t.Fatal(err)
			}
			if undo, err := backfill.Undo(t.Context(), app, run.Run, nil); err != nil {
				t.Fatalf("%+v, %v", undo, err)
			}
			asBefore(t, things, before)
		})
	}
}
