package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

func decimal(t *testing.T, text string) bson.Decimal128 {
	t.Helper()
	d, err := bson.ParseDecimal128(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// items are a source of such values.
func items(values ...any) backfill.Source {
	return backfill.Items(func(_ context.Context, after bson.RawValue) iter.Seq2[backfill.Item, error] {
		return listed(values, after)
	})
}

// listed are values behind a key.
func listed(values []any, after bson.RawValue) iter.Seq2[backfill.Item, error] {
	first := int64(0)
	if last, ok := after.AsInt64OK(); ok {
		first = last + 1
	}
	return func(yield func(backfill.Item, error) bool) {
		for i := first; i < int64(len(values)); i++ {
			if !yield(backfill.Item{Key: i, Value: bson.D{{Key: "of", Value: values[i]}}}, nil) {
				return
			}
		}
	}
}

// A change may name its document by another _id that is equal to the server: the journal has the document as it was all the same.
func TestChangesByAnEqualID(t *testing.T) {
	t.Parallel()
	embedded := func(v any) bson.D { return bson.D{{Key: "a", Value: v}, {Key: "l", Value: bson.A{v, "x"}}} }
	ids := map[string][2]any{ // as it is stored, as it is named
		"int32 and int64":   {int32(1), int64(1)},
		"int and double":    {int32(1), 1.0},
		"int and decimal":   {int64(1), decimal(t, "1.00")},
		"zeros":             {0.0, math.Copysign(0, -1)},
		"decimals":          {decimal(t, "1.0"), decimal(t, "1.00")},
		"halves":            {0.5, decimal(t, "0.50")},
		"NaNs":              {math.NaN(), decimal(t, "NaN")},
		"documents":         {embedded(int32(1)), embedded(1.0)},
		"documents of long": {embedded(int64(1)), embedded(decimal(t, "1.0"))},
		"symbol and text":   {bson.Symbol("s"), "s"},
		"itself":            {"s", "s"},
	}
	changes := map[string]func(id any) backfill.Change{
		"set":     func(id any) backfill.Change { return backfill.Set("n", 1).For(id) },
		"replace": func(id any) backfill.Change { return backfill.Replace(bson.D{{Key: "z", Value: 1}}).For(id) },
		"upsert":  func(id any) backfill.Change { return backfill.Upsert(bson.D{{Key: "z", Value: 1}}).For(id) },
		"delete":  func(id any) backfill.Change { return backfill.Delete().For(id) },
		"also":    func(id any) backfill.Change { return backfill.None().Also("things", id, bson.D{{Key: "z", Value: 2}}) },
	}
	for what, id := range ids {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			var change func(id any) backfill.Change
			var targets []any
			source := backfill.Items(func(_ context.Context, after bson.RawValue) iter.Seq2[backfill.Item, error] {
				return listed(targets, after)
			})
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Source: source},
				func(_ context.Context, item bson.Raw) (backfill.Change, error) { return change(item.Lookup("of")), nil }))
			for how := range changes {
				for _, targets = range [][]any{{id[1]}, {id[1], id[0]}} {
					change = changes[how]
					if err := things.Drop(t.Context()); err != nil {
						t.Fatal(err)
					}
					insert(t, things, bson.D{{Key: "_id", Value: id[0]}, {Key: "was", Value: "here"}}, bson.D{{Key: "_id", Value: "other"}})
					before := all(t, things)
					result, err := app.Run(t.Context(), "scripted", nil)
					if err != nil {
						t.Fatalf("%s of %v: %v", how, targets, err)
					}
					if string(all(t, things)) == string(before) {
						t.Fatalf("%s of %v: nothing was changed", how, targets)
					}
					if _, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
						t.Fatalf("%s of %v: undo: %v", how, targets, err)
					}
					if after := all(t, things); string(after) != string(before) {
						t.Errorf("%s of %v: it was\n%s\nand is\n%s", how, targets, show(before), show(after))
					}
				}
			}
		})
	}
}

// show is documents as text.
func show(docs []byte) string {
	var texts []string
	for len(docs) > 0 {
		n := int(docs[0]) | int(docs[1])<<8 | int(docs[2])<<16
		texts = append(texts, bson.Raw(docs[:n]).String())
		docs = docs[n:]
	}
	return strings.Join(texts, "\n")
}

// mixedCase makes a collection in whose order case doesn't count, with ids whose order is another one by their bytes.
func mixedCase(t *testing.T, db *mongo.Database, n int) *mongo.Collection {
	t.Helper()
	if err := db.CreateCollection(t.Context(), "words", options.CreateCollection().SetCollation(&options.Collation{Locale: "en", Strength: 2})); err != nil {
		t.Fatal(err)
	}
	words := db.Collection("words")
	for i := range n {
		id := fmt.Sprintf("key%04d", i)
		if i%2 == 1 {
			id = strings.ToUpper(id)
		}
		insert(t, words, bson.D{{Key: "_id", Value: id}, {Key: "i", Value: i}})
	}
	return words
}

// With a collation in which case doesn't count, every document is visited once, found by its _id in other letters, and undone.
func TestCollationsOfTheCollection(t *testing.T) {
	t.Parallel()
	scripts := map[string]rikki.Script{
		"function": function(backfill.Options{Collection: "words", Chunk: 7, MaxFailures: 1000}, increment),
		"pipeline": pipeline(backfill.Options{Collection: "words", Chunk: 7}, (&mark{}).Pipeline()...),
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			words := mixedCase(t, db, 500)
			before := all(t, words)
			app := rikkitest.App(t, db, script)
			result, err := app.Run(t.Context(), script.(rikki.Configured).Options().Name, nil)
			if err != nil {
				t.Fatal(err)
			}
			once(t, words, 500)
			if _, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
				t.Fatal(err)
			}
			if string(all(t, words)) != string(before) {
				t.Error("the undo left something else")
			}
			only, err := app.Run(t.Context(), script.(rikki.Configured).Options().Name, &rikki.RunOptions{Params: map[string]any{"only": []string{"KEY0002", "key0003", "gone"}}})
			if err != nil {
				t.Fatal(err)
			}
			if s := only.Value.(*backfill.Summary); s.Changed != 2 || s.Gone != 1 {
				t.Errorf("--only: %+v", s)
			}
		})
	}
}

func TestCollationsAndFailures(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	words := mixedCase(t, db, 40)
	broken := true
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "words", Chunk: 7, MaxFailures: 1000}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		if broken {
			return backfill.None(), errors.New("not yet")
		}
		return increment(ctx, doc)
	}))
	result, err := app.Run(t.Context(), "scripted", nil)
	if !isPartial(err, 40) {
		t.Fatal(err)
	}
	broken = false
	again, err := app.Run(t.Context(), "scripted", &rikki.RunOptions{Params: map[string]any{"failed-of": result.Run}})
	if err != nil {
		t.Fatal(err)
	}
	if n, least, most := each(t, words); n != 40 || least != 1 || most != 1 {
		t.Errorf("%d documents, each %d to %d times: %+v", n, least, most, again.Value)
	}
}

func TestCollationsOfAnEqualID(t *testing.T) {
	t.Parallel()
	for _, change := range []backfill.Change{backfill.Set("n", 1), backfill.Delete()} {
		db := rikkitest.DB(t)
		words := mixedCase(t, db, 5)
		before := all(t, words)
		app := rikkitest.App(t, db, function(backfill.Options{Collection: "words", Source: items("KEY0000", "key0001", "Key0001")},
			func(_ context.Context, item bson.Raw) (backfill.Change, error) {
				return change.For(item.Lookup("of")), nil
			}))
		result, err := app.Run(t.Context(), "scripted", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
			t.Fatal(err)
		}
		if after := all(t, words); string(after) != string(before) {
			t.Errorf("it was\n%s\nand is\n%s", show(before), show(after))
		}
	}
}

// A change that names no field is none. As an update it would replace the document by an empty one.
func TestAChangeOfNoFieldsChangesNothing(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	insert(t, things, bson.D{{Key: "_id", Value: 1}, {Key: "was", Value: "here"}})
	before := all(t, things)
	var none []string
	s, err := summary(t, db, function(backfill.Options{Collection: "things", Source: items(1)},
		func(context.Context, bson.Raw) (backfill.Change, error) { return backfill.Unset(none...).For(1), nil }), nil)
	if err != nil || s.Unchanged != 1 || s.Changed != 0 {
		t.Errorf("summary %+v, error %v", s, err)
	}
	if after := all(t, things); string(after) != string(before) {
		t.Errorf("it was\n%s\nand is\n%s", show(before), show(after))
	}
}

// An index with another collation than the collection's has another order.
func TestRefusesAnIndexWithAnotherCollation(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	insert(t, things, bson.D{{Key: "code", Value: "a"}}, bson.D{{Key: "code", Value: "B"}})
	if _, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{
		Keys: bson.D{{Key: "code", Value: 1}}, Options: options.Index().SetUnique(true).SetCollation(&options.Collation{Locale: "en", Strength: 2}),
	}); err != nil {
		t.Fatal(err)
	}
	_, err := summary(t, db, function(backfill.Options{Collection: "things", Key: "code"}, increment), nil)
	if !errors.Is(err, backfill.ErrCannotWalk) || !strings.Contains(err.Error(), "collation") {
		t.Errorf("error %v", err)
	}
}

// A key that only the result shows to have changed is refused before anything of it is committed.
func TestAChangedKeyIsSeenInTheResult(t *testing.T) {
	t.Parallel()
	opts := backfill.Options{Collection: "things", Key: "code", Journal: backfill.JournalOff}
	merge := bson.D{{Key: "$replaceWith", Value: bson.D{{Key: "$mergeObjects", Value: bson.A{"$$ROOT", bson.D{{Key: "code", Value: bson.D{{Key: "$add", Value: bson.A{"$code", 1000}}}}}}}}}}
	replace := func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
		return backfill.Replace(bson.D{{Key: "code", Value: doc.Lookup("code").AsInt64() + 1000}}), nil
	}
	update := func(_ context.Context, _ bson.Raw) (backfill.Change, error) {
		return backfill.Update(mongo.Pipeline{merge}), nil
	}
	for name, script := range map[string]rikki.Script{
		"pipeline": pipeline(opts, merge), "root": pipeline(opts, set("all", "$$ROOT"), set("code", 1)),
		"replace": function(opts, replace), "update": function(opts, update),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			for i := range 30 {
				insert(t, things, bson.D{{Key: "code", Value: i}})
			}
			if _, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "code", Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
				t.Fatal(err)
			}
			before := all(t, things)
			if _, err := summary(t, db, script, nil); !errors.Is(err, backfill.ErrKey) {
				t.Errorf("error %v", err)
			}
			if string(all(t, things)) != string(before) {
				t.Error("something was changed")
			}
		})
	}
}
