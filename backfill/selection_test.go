package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// adHoc runs the ready-made backfill.
func adHoc(t *testing.T, app *rikki.App, params map[string]any) (*backfill.Summary, string, error) {
	t.Helper()
	result, err := app.Run(t.Context(), backfill.AdHocName, &rikki.RunOptions{Params: params})
	if result == nil {
		t.Fatal(err)
	}
	s, ok := result.Value.(*backfill.Summary)
	if !ok {
		s = &backfill.Summary{}
	}
	return s, result.Run, err
}

// What a filter of chance or of the time selects is asked for once: exactly that is changed, counted and kept for the undo.
func TestAFilterOfChanceIsEvaluatedOnce(t *testing.T) {
	t.Parallel()
	const docs = 1000
	filters := map[string]string{
		"sampleRate": `{"$sampleRate": 0.5}`,
		"rand":       `{"$expr": {"$lt": [{"$rand": {}}, 0.5]}}`,
		"nested":     `{"$or": [{"$sampleRate": 0.3}, {"$and": [{"i": {"$gte": 0}}, {"$sampleRate": 0.3}]}]}`,
		"code":       `{"$where": "Math.random() < 0.5"}`,
		"time":       `{"$expr": {"$lt": [{"$mod": [{"$toLong": "$$NOW"}, 7]}, {"$mod": ["$i", 7]}]}}`,
	}
	changes := map[string]map[string]any{
		"update":   {"update": `{"$set": {"n": 1}}`},
		"pipeline": {"update": `[{"$set": {"n": 1}}]`},
		"compared": {"update": `[{"$set": {"n": 1, "at": "$$NOW"}}]`},
		"full":     {"update": `[{"$set": {"n": 1}}]`, "journal": "full"},
		"deletion": {"delete": true},
	}
	for what, filter := range filters {
		for kind, change := range changes {
			t.Run(what+"/"+kind, func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				things := db.Collection("things")
				var list []any
				for i := range docs {
					list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "i", Value: i}})
				}
				insert(t, things, list...)
				before := all(t, things)
				app := rikkitest.App(t, db, backfill.NewAdHoc())
				params := map[string]any{"collection": "things", "filter": filter, "chunk": 50, "workers": 2}
				maps.Copy(params, change)
				s, run, err := adHoc(t, app, params)
				if err != nil {
					t.Fatal(err)
				}
				n, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
				if kind == "deletion" {
					n, err = things.CountDocuments(t.Context(), bson.D{})
					n = docs - n
				}
				if err != nil || n == 0 || n == docs || s.Changed+s.Deleted != n || s.Matched != n {
					t.Errorf("%d are changed, the summary says %+v (%v)", n, s, err)
				}
				if _, err := backfill.Undo(t.Context(), app, run, nil); err != nil {
					t.Fatal(err)
				}
				if string(all(t, things)) != string(before) {
					t.Error("the undo left something")
				}
			})
		}
	}
}

// Documents that arrive in the selection while a chunk is under way are none of it.
func TestAFilterOfTheTimeWhileThingsExpire(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	var list []any
	for i := range 20_000 {
		list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "after", Value: i / 5}})
	}
	insert(t, things, list...)
	before := all(t, things)
	app := rikkitest.App(t, db, backfill.NewAdHoc())
	// In each millisecond from now on, five more documents match.
	var now struct{ LocalTime bson.DateTime }
	if err := db.RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&now); err != nil {
		t.Fatal(err)
	}
	filter := fmt.Sprintf(`{"$expr": {"$lt": [{"$add": [{"$date": %d}, "$after"]}, "$$NOW"]}}`, int64(now.LocalTime))
	for _, update := range []string{`[{"$set": {"n": 1}}]`, `{"$set": {"n": 1}}`} {
		s, run, err := adHoc(t, app, map[string]any{"collection": "things", "filter": filter, "update": update, "chunk": 100})
		if err != nil || s.Changed == 0 {
			t.Fatalf("%+v, %v", s, err)
		}
		if _, err := backfill.Undo(t.Context(), app, run, nil); err != nil {
			t.Fatal(err)
		}
		if string(all(t, things)) != string(before) {
			t.Error("the undo left something")
		}
	}
}

// One refused document is no reason for the others to fail where the update is about what the filter finds in an array.
func TestAPositionalUpdateBesideARefusedDocument(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"items.$.p", "items.$[].p"} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			var list []any
			for i := range 300 {
				list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "items", Value: bson.A{
					bson.D{{Key: "sku", Value: "b"}}, bson.D{{Key: "sku", Value: "a"}, {Key: "p", Value: 1}},
				}}})
			}
			insert(t, things, list...)
			if err := db.RunCommand(t.Context(), bson.D{{Key: "collMod", Value: "things"}, {Key: "validator", Value: bson.D{{Key: "$or", Value: bson.A{
				bson.D{{Key: "_id", Value: bson.D{{Key: "$ne", Value: 77}}}}, bson.D{{Key: "items.p", Value: bson.D{{Key: "$ne", Value: 5}}}},
			}}}}}).Err(); err != nil {
				t.Fatal(err)
			}
			app := rikkitest.App(t, db, backfill.NewAdHoc())
			s, run, err := adHoc(t, app, map[string]any{
				"collection": "things", "filter": `{"items.sku": "a"}`, "update": `{"$set": {"` + field + `": 5}}`,
			})
			if !isPartial(err, 1) || s.Changed != 299 {
				t.Fatalf("%+v, %v", s, err)
			}
			n, err := things.CountDocuments(t.Context(), bson.D{{Key: "items.1.p", Value: 5}, {Key: "items.0.p", Value: bson.D{{Key: "$exists", Value: field == "items.$[].p"}}}})
			if err != nil || n != 299 {
				t.Errorf("%d are as they should be (%v)", n, err)
			}
			for f, err := range backfill.Failures(t.Context(), app, run) {
				if err != nil || !strings.Contains(f.Message, "validation") {
					t.Errorf("%s (%v)", f.Message, err)
				}
			}
		})
	}
	t.Run("with chance", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		numbered(t, db.Collection("things"), 10)
		app := rikkitest.App(t, db, backfill.NewAdHoc())
		if s, _, err := adHoc(t, app, map[string]any{
			"collection": "things", "filter": `{"items.sku": "a", "$sampleRate": 0.5}`, "update": `{"$set": {"items.$.p": 5}}`,
		}); err == nil || !strings.Contains(err.Error(), "$sampleRate") {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// Whatever fields documents have, what is kept of them for the undo is what they were.
func TestNoNameInADocumentDisturbsItsUndo(t *testing.T) {
	t.Parallel()
	for name, update := range map[string]string{
		"fields": `[{"$set": {"n": 1, "a": "x"}}]`,
		"all":    `[{"$set": {"n": 1}}, {"$unset": "gone"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			var list []any
			for i, value := range []any{bson.A{1, 2}, bson.A{bson.D{{Key: "x", Value: 1}}}, "text", bson.D{{Key: "_id", Value: 9}}, nil} {
				for _, field := range []string{"__rikki_before", "rikki_", "before"} {
					list = append(list, bson.D{{Key: "_id", Value: fmt.Sprint(i, field)}, {Key: "gone", Value: i}, {Key: field, Value: value}, {Key: "a", Value: i}})
				}
			}
			insert(t, things, list...)
			before := all(t, things)
			app := rikkitest.App(t, db, backfill.NewAdHoc())
			s, run, err := adHoc(t, app, map[string]any{"collection": "things", "update": update})
			if err != nil || s.Changed != int64(len(list)) {
				t.Fatalf("%+v, %v", s, err)
			}
			if _, err := backfill.Undo(t.Context(), app, run, nil); err != nil {
				t.Fatal(err)
			}
			if string(all(t, things)) != string(before) {
				t.Error("the undo left something")
			}
		})
	}
}

// Keys that are undefined, null or missing are three places in an index, or two: each document is met once.
func TestKeysThatAreHardlyThere(t *testing.T) {
	t.Parallel()
	for chunk := 1; chunk <= 3; chunk++ {
		for kind, update := range map[string]string{"pipeline": `[{"$set": {"n": {"$add": [{"$ifNull": ["$n", 0]}, 1]}}}]`, "update": `{"$inc": {"n": 1}}`} {
			t.Run(fmt.Sprint(kind, chunk), func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				things := db.Collection("things")
				insert(t, things,
					bson.D{{Key: "_id", Value: 1}},
					bson.D{{Key: "_id", Value: 2}, {Key: "k", Value: bson.Undefined{}}},
					bson.D{{Key: "_id", Value: 3}, {Key: "k", Value: bson.MinKey{}}},
					bson.D{{Key: "_id", Value: 4}, {Key: "k", Value: 4}},
					bson.D{{Key: "_id", Value: 5}, {Key: "k", Value: bson.Regex{Pattern: "a"}}},
					bson.D{{Key: "_id", Value: 6}, {Key: "k", Value: bson.MaxKey{}}},
				)
				before := all(t, things)
				if _, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
					t.Fatal(err)
				}
				app := rikkitest.App(t, db, backfill.NewAdHoc())
				s, run, err := adHoc(t, app, map[string]any{"collection": "things", "key": "k", "update": update, "chunk": chunk, "workers": 1})
				if err != nil || s.Changed != 6 {
					t.Errorf("%+v, %v", s, err)
				}
				once(t, things, 6)
				if _, err := backfill.Undo(t.Context(), app, run, nil); err != nil {
					t.Fatal(err)
				}
				if string(all(t, things)) != string(before) {
					t.Error("the undo left something")
				}
			})
		}
	}
}

// In whatever order stages give their items, and whatever they leave out, each document is met once. What makes more than one item of a
// document, or one of several, is refused before the first write.
func TestStagesThatChangeTheOrder(t *testing.T) {
	t.Parallel()
	stage := func(name string, value any) bson.D { return bson.D{{Key: name, Value: value}} }
	one := func(name string) bson.D { return bson.D{{Key: name, Value: 1}} }
	for name, test := range map[string]struct {
		stages []bson.D
		says   string // why they are refused
		want   int64  // how many are changed
	}{
		"sort":           {[]bson.D{stage("$sort", one("p"))}, "", 100},
		"backwards":      {[]bson.D{stage("$sort", bson.D{{Key: "_id", Value: -1}})}, "", 100},
		"match":          {[]bson.D{stage("$match", bson.D{{Key: "p", Value: bson.D{{Key: "$lt", Value: 50}}}})}, "", 50},
		"none":           {[]bson.D{stage("$match", bson.D{{Key: "p", Value: -1}})}, "", 0},
		"chance":         {[]bson.D{stage("$match", bson.D{{Key: "$sampleRate", Value: 1.0}})}, "", 100},
		"without key":    {[]bson.D{stage("$project", bson.D{{Key: "p", Value: 1}})}, "", 100},
		"put together":   {[]bson.D{stage("$unwind", "$list"), stage("$group", bson.D{{Key: "_id", Value: "$_id"}, {Key: "n", Value: bson.D{{Key: "$sum", Value: 1}}}})}, "", 100},
		"unwind":         {[]bson.D{stage("$unwind", "$list")}, "more than one item", 0},
		"limit":          {[]bson.D{stage("$limit", 5)}, "$limit", 0},
		"skip":           {[]bson.D{stage("$skip", 5)}, "$skip", 0},
		"sample":         {[]bson.D{stage("$sample", bson.D{{Key: "size", Value: 5}})}, "$sample", 0},
		"group":          {[]bson.D{stage("$group", bson.D{{Key: "_id", Value: "$p"}})}, "$group", 0},
		"groups and _id": {[]bson.D{stage("$group", bson.D{{Key: "_id", Value: "$even"}, {Key: "d", Value: bson.D{{Key: "$first", Value: "$$ROOT"}}}}), stage("$replaceWith", "$d")}, "$group", 0},
		"facet":          {[]bson.D{stage("$facet", bson.D{{Key: "a", Value: bson.A{stage("$match", bson.D{})}}})}, "$facet", 0},
		"union":          {[]bson.D{stage("$unionWith", "things")}, "$unionWith", 0},
		"without _id":    {[]bson.D{stage("$project", bson.D{{Key: "_id", Value: 0}})}, "_id", 0},
		"other _id":      {[]bson.D{stage("$set", bson.D{{Key: "_id", Value: "$p"}})}, "_id", 0},
	} {
		for _, key := range []string{"_id", "k"} {
			t.Run(name+"/"+key, func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				things := db.Collection("things")
				var list []any
				for i := range 100 {
					list = append(list, bson.D{{Key: "_id", Value: i + 1000}, {Key: "k", Value: -i}, {Key: "p", Value: (i*37 + 11) % 100}, {Key: "even", Value: i % 2}, {Key: "list", Value: bson.A{1, 2}}})
				}
				insert(t, things, list...)
				if _, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
					t.Fatal(err)
				}
				opts := backfill.Options{Collection: "things", Chunk: 10, Workers: 2, Key: key, Stages: test.stages}
				s, err := summary(t, db, function(opts, increment), nil)
				n, countErr := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
				others, otherErr := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$nin", Value: bson.A{1, nil}}}}})
				if err := errors.Join(countErr, otherErr); err != nil {
					t.Fatal(err)
				}
				if n != test.want || others != 0 || s.Changed != test.want {
					t.Errorf("%d are changed once and %d more often, want %d: %+v", n, others, test.want, s)
				}
				if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

// What stages make of a chunk may be much larger than its documents.
func TestStagesThatMakeLargeItems(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 60)
	opts := backfill.Options{Collection: "things", Workers: 1, Stages: []bson.D{
		set("big", bson.D{{Key: "$reduce", Value: bson.D{
			{Key: "input", Value: bson.D{{Key: "$range", Value: bson.A{0, 17}}}},
			{Key: "initialValue", Value: "0123456789"},
			{Key: "in", Value: bson.D{{Key: "$concat", Value: bson.A{"$$value", "$$value"}}}},
		}}}),
		{{Key: "$sort", Value: bson.D{{Key: "_id", Value: -1}}}},
	}}
	most := 0
	s, err := summary(t, db, function(opts, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		most = max(most, len(doc))
		return increment(ctx, doc)
	}), nil)
	if err != nil || s.Changed != 60 || most < 1<<20 {
		t.Errorf("%+v, %v; %d bytes", s, err, most)
	}
	once(t, db.Collection("things"), 60)
}
