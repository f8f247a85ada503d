package backfill_test

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/pace"
	"github.com/rikki-go/rikki/rikkitest"
)

// Filters of every kind either work or are refused before anything is written, by the name of the operator.
func TestFiltersWorkOrAreRefused(t *testing.T) {
	t.Parallel()
	point := bson.D{{Key: "$geometry", Value: bson.D{{Key: "type", Value: "Point"}, {Key: "coordinates", Value: bson.A{0, 0}}}}}
	expr := bson.D{{Key: "$expr", Value: bson.D{{Key: "$lt", Value: bson.A{"$i", 10}}}}}
	filters := map[string]struct {
		filter  bson.D
		refused string // what the message must say
	}{
		"expr":    {expr, ""},
		"where":   {bson.D{{Key: "$where", Value: "this.i < 10"}}, ""},
		"within":  {bson.D{{Key: "at", Value: bson.D{{Key: "$geoWithin", Value: bson.D{{Key: "$centerSphere", Value: bson.A{bson.A{0, 0}, 0.0155}}}}}}}, ""},
		"text":    {bson.D{{Key: "$text", Value: bson.D{{Key: "$search", Value: "word"}}}}, "$text"},
		"near":    {bson.D{{Key: "at", Value: bson.D{{Key: "$near", Value: point}}}}, "$near"},
		"sphere":  {bson.D{{Key: "at", Value: bson.D{{Key: "$nearSphere", Value: point}}}}, "$near"},
		"unknown": {bson.D{{Key: "i", Value: bson.D{{Key: "$foo", Value: 1}}}}, "$foo"},
		"nested":  {bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "$bar", Value: 1}}}}}, "$bar"},
	}
	for name, test := range filters {
		scripts := map[string]rikki.Script{
			"function": function(backfill.Options{Collection: "things", Filter: test.filter}, increment),
			"stages":   function(backfill.Options{Collection: "things", Filter: test.filter, Stages: []bson.D{set("m", 1)}}, increment),
			"pipeline": pipeline(backfill.Options{Collection: "things", Filter: test.filter}, set("n", 1)),
			"blind":    pipeline(backfill.Options{Collection: "things", Filter: test.filter, Journal: backfill.JournalOff}, set("n", 1)),
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			for kind, script := range scripts {
				things := db.Collection("things")
				if err := things.Drop(t.Context()); err != nil {
					t.Fatal(err)
				}
				var docs []any
				for i := range 50 {
					docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "i", Value: i}, {Key: "t", Value: "a word"}, {Key: "at", Value: bson.A{float64(i) / 10, 0}}})
				}
				insert(t, things, docs...)
				if _, err := things.Indexes().CreateMany(t.Context(), []mongo.IndexModel{
					{Keys: bson.D{{Key: "t", Value: "text"}}}, {Keys: bson.D{{Key: "at", Value: "2dsphere"}}},
				}); err != nil {
					t.Fatal(err)
				}
				before := all(t, things)
				s, err := summary(t, db, script, nil)
				refused := test.refused
				if name == "where" && kind == "stages" {
					refused = "$where" // the server has it in no aggregation
				}
				n, countErr := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
				switch {
				case refused != "":
					if err == nil || !strings.Contains(err.Error(), refused) || string(all(t, things)) != string(before) || s.Matched != 0 {
						t.Errorf("%s: error %v, summary %+v", kind, err, s)
					}
				case err != nil || countErr != nil || s.Failed != 0 || n < 8 || n > 10 || s.Changed != n:
					t.Errorf("%s: %d changed (%v), error %v, summary %+v", kind, n, countErr, err, s)
				}
			}
		})
	}
}

// Stages that write, or that no update knows, are refused by name before anything is written.
func TestPipelinesThatAreNoChangeAreRefused(t *testing.T) {
	t.Parallel()
	stage := func(name string, value any) bson.D { return bson.D{{Key: name, Value: value}} }
	for name, bad := range map[string]bson.D{
		"$out": stage("$out", "others"), "$merge": stage("$merge", "others"), "$foo": stage("$foo", 1), "$group": stage("$group", bson.D{{Key: "_id", Value: 1}}),
		"$bar": set("n", bson.D{{Key: "$bar", Value: 1}}),
	} {
		for kind, script := range map[string]rikki.Script{
			"pipeline": pipeline(backfill.Options{Collection: "things"}, set("n", 1), bad),
			"stages":   function(backfill.Options{Collection: "things", Stages: []bson.D{bad}}, increment),
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				if name == "$group" && kind == "stages" {
					t.Skip("$group is allowed there")
				}
				db := rikkitest.DB(t)
				insert(t, db.Collection("things"), bson.D{{Key: "_id", Value: 1}})
				_, err := summary(t, db, script, nil)
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("error %v", err)
				}
				names, listErr := db.ListCollectionNames(t.Context(), bson.D{{Key: "name", Value: "others"}})
				if _, _, most := each(t, db.Collection("things")); most != 0 || listErr != nil || len(names) > 0 {
					t.Errorf("something was written: %v (%v)", names, listErr)
				}
			})
		}
	}
}

// What can't take a transaction's writes is refused as the target of rows too.
func TestRowsNeedAnOrdinaryCollection(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	if err := db.CreateCollection(t.Context(), "capped", options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateView(t.Context(), "view", "capped", mongo.Pipeline{}); err != nil {
		t.Fatal(err)
	}
	upsert := func(_ context.Context, item bson.Raw) (backfill.Change, error) {
		return backfill.Upsert(bson.D{}).For(item.Lookup("of")), nil
	}
	for _, name := range []string{"capped", "view"} {
		if s, err := summary(t, db, function(backfill.Options{Collection: name, Source: items(1, 2)}, upsert), nil); !errors.Is(err, backfill.ErrCannotWalk) || s.Matched != 0 {
			t.Errorf("%s: %v, %+v", name, err, s)
		}
	}
	if s, err := summary(t, db, function(backfill.Options{Collection: "new", Source: items(1, 2)}, upsert), nil); err != nil || s.Changed != 2 {
		t.Errorf("a new collection: %v, %+v", err, s)
	}
}

// --max-matched holds where counting the matches is no matter of course.
func TestAnnouncedNumberHoldsWhereItIsNotKnown(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 30)
	script := pipeline(backfill.Options{Collection: "things", Filter: bson.D{{Key: "$where", Value: "true"}}}, set("n", 1))
	for _, dry := range []bool{false, true} {
		_, err := rikkitest.Try(t, db, script, &rikki.RunOptions{Params: map[string]any{"max-matched": 10}, DryRun: dry})
		if !errors.Is(err, backfill.ErrGuard) {
			t.Errorf("dry run %v: %v", dry, err)
		}
	}
	if _, _, most := each(t, things); most != 0 {
		t.Error("something was changed")
	}
}

// How large a chunk may be is the same wherever it can be said.
func TestOneLimitForChunks(t *testing.T) {
	t.Parallel()
	for _, where := range []any{backfill.Knobs{}, backfill.UndoRun{}} {
		field, ok := reflect.TypeOf(where).FieldByName("Chunk")
		if most := field.Tag.Get("max"); !ok || most != strconv.Itoa(pace.MaxChunk) {
			t.Errorf("%T takes chunks of up to %q, want %d", where, most, pace.MaxChunk)
		}
	}
}
