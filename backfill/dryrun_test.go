package backfill_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// A document that a run would pass by is one that its dry run lists, with the same reason. The rest of the forecast is made, nothing is
// changed, and the preview is that of the healthy documents.
func TestADryRunPassesByWhatTheRunWould(t *testing.T) {
	t.Parallel()
	texts := func(t *testing.T, coll *mongo.Collection) int64 {
		t.Helper()
		var docs []any
		for i := range int32(50) {
			at := "2024-05-01T00:00:00Z"
			if i%7 == 3 {
				at = "soon"
			}
			docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "at", Value: at}, {Key: "n", Value: i}})
		}
		insert(t, coll, docs...)
		return 7
	}
	toDate := bson.D{{Key: "$toDate", Value: "$at"}}
	for name, c := range map[string]struct {
		prepare func(t *testing.T, coll *mongo.Collection) int64
		script  func() rikki.Script
	}{
		"APipelineThatCannotComputeIt": {texts, func() rikki.Script {
			return pipeline(backfill.Options{Collection: "things", MaxFailures: 100}, set("at", toDate))
		}},
		"WithoutAJournal": {texts, func() rikki.Script {
			return pipeline(backfill.Options{Collection: "things", MaxFailures: 100, Journal: backfill.JournalOff}, set("at", toDate))
		}},
		"Stages": {texts, func() rikki.Script {
			return function(backfill.Options{Collection: "things", MaxFailures: 100, Stages: []bson.D{set("at", toDate)}}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
				return backfill.Set("at", doc.Lookup("at")), nil
			})
		}},
		"AValidator": {func(t *testing.T, coll *mongo.Collection) int64 {
			numbered(t, coll, 40)
			if err := coll.Database().RunCommand(t.Context(), bson.D{{Key: "collMod", Value: coll.Name()}, {Key: "validator", Value: bson.D{{Key: "$or", Value: bson.A{
				bson.D{{Key: "n", Value: bson.D{{Key: "$exists", Value: false}}}}, bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 35}}}},
			}}}}}).Err(); err != nil {
				t.Fatal(err)
			}
			return 5
		}, func() rikki.Script { return function(backfill.Options{Collection: "things"}, increment) }},
		"AUniqueIndex": {func(t *testing.T, coll *mongo.Collection) int64 {
			numbered(t, coll, 20)
			if _, err := coll.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: options.Index().SetUnique(true).SetSparse(true)}); err != nil {
				t.Fatal(err)
			}
			return 2
		}, func() rikki.Script {
			return function(backfill.Options{Collection: "things"}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
				return backfill.Set("k", min(doc.Lookup("_id").AsInt64(), 17)), nil
			})
		}},
		"AnOperationOfTheFunction": {func(t *testing.T, coll *mongo.Collection) int64 {
			numbered(t, coll, 20)
			insert(t, coll.Database().Collection("notes"), bson.D{{Key: "_id", Value: int32(3)}}, bson.D{{Key: "_id", Value: int32(4)}})
			return 2
		}, func() rikki.Script {
			return function(backfill.Options{Collection: "things"}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
				_, _ = backfill.DB(ctx).Collection("notes").InsertOne(ctx, bson.D{{Key: "_id", Value: doc.Lookup("_id")}})
				return increment(ctx, doc)
			})
		}},
		"Itself": {func(t *testing.T, coll *mongo.Collection) int64 { numbered(t, coll, 20); return 1 }, func() rikki.Script {
			return function(backfill.Options{Collection: "things"}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
				if doc.Lookup("_id").AsInt64() == 4 {
					return backfill.None(), errors.New("not this one")
				}
				return increment(ctx, doc)
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			failing := c.prepare(t, things)
			before := all(t, things)
			app := rikkitest.App(t, db, c.script())
			script := app.Scripts()[0].Name
			dry, err := app.Run(t.Context(), script, &rikki.RunOptions{DryRun: true})
			if !isPartial(err, failing) || dry.State != rikki.SucceededWithErrors {
				t.Fatalf("%+v, %v", dry, err)
			}
			f := dry.Value.(*backfill.Forecast)
			if string(all(t, things)) != string(before) {
				t.Error("the dry run has changed something")
			}
			if f.Sampled == 0 || int64(len(f.Failed)) != failing || !f.Complete || f.Changed+failing+f.Unchanged != f.Sampled {
				t.Errorf("forecast %+v", f)
			}
			var updated int64
			for _, coll := range dry.Preview.Collections {
				if strings.HasSuffix(coll.Name, ".things") {
					updated = coll.Updated
				}
			}
			if updated != f.Changed || len(dry.Preview.Changes) == 0 {
				t.Errorf("the preview has %d updates and %d of them in full, the forecast %d", updated, len(dry.Preview.Changes), f.Changed)
			}

			result, err := app.Run(t.Context(), script, nil)
			if !isPartial(err, failing) {
				t.Fatalf("%+v, %v", result, err)
			}
			if s := result.Value.(*backfill.Summary); s.Changed != f.Changed || s.Matched != f.Sampled {
				t.Errorf("the run did %+v, its dry run %+v", s, f)
			}
			for i, failure := range failuresOf(t, app, result.Run) {
				if _, reason, _ := strings.Cut(f.Failed[i], ": "); !strings.HasPrefix(failure.Message, strings.TrimSuffix(reason, "…")) && !strings.HasPrefix(failure.Message, reason[:min(len(reason), 60)]) {
					t.Errorf("the run says\n%s\nand its dry run\n%s", failure.Message, reason)
				}
			}
		})
	}
}
