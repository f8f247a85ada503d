package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// strict counts documents and fails for those that say so.
type strict struct{}

func (*strict) Backfill() backfill.Options {
	return backfill.Options{Collection: "things", Chunk: 17, MaxFailures: 10_000}
}

func (*strict) Change(_ context.Context, doc bson.Raw) (backfill.Change, error) {
	if why, ok := doc.Lookup("bad").StringValueOK(); ok {
		return backfill.None(), fmt.Errorf("thing %s is %q", doc.Lookup("_id"), why)
	}
	return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}), nil
}

// strictPipeline fails at the server.
type strictPipeline struct{ Vary bool }

func (*strictPipeline) Backfill() backfill.Options {
	return backfill.Options{Collection: "things", Chunk: 17, MaxFailures: 10_000}
}

func (s *strictPipeline) Pipeline() mongo.Pipeline {
	// The server can't compute with a text.
	set := bson.D{
		{Key: "n", Value: bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$n", 0}}}, 1}}}},
		{Key: "m", Value: bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$bad", 0}}}, 1}}}},
	}
	if s.Vary {
		set = append(set, bson.E{Key: "at", Value: "$$NOW"})
	}
	return mongo.Pipeline{{{Key: "$set", Value: set}}}
}

// mixed makes documents with keys of many kinds, every third of which is bad.
func mixed(t *testing.T, coll *mongo.Collection, n int) {
	t.Helper()
	var docs []any
	for i := range n {
		ids := []any{i, fmt.Sprint("s", i), bson.NewObjectID(), bson.D{{Key: "k", Value: i}}, float64(i) + 0.5, bson.DateTime(i)}
		doc := bson.D{{Key: "_id", Value: ids[i%len(ids)]}, {Key: "i", Value: i}}
		if i%3 == 0 {
			doc = append(doc, bson.E{Key: "bad", Value: []string{"green", "blue"}[i/3%2]})
		}
		docs = append(docs, doc)
	}
	docs = append(docs, bson.D{{Key: "_id", Value: bson.MinKey{}}, {Key: "bad", Value: "least"}}, bson.D{{Key: "_id", Value: bson.MaxKey{}}, {Key: "bad", Value: "most"}})
	insert(t, coll, docs...)
}

func TestFailuresAreGroupedAndRetried(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		script rikki.Script
		params map[string]any
	}{
		{"strict", backfill.New[bson.Raw](&strict{}), nil},
		{"strict-pipeline", backfill.NewPipeline(&strictPipeline{}), nil},
		{"strict-pipeline", backfill.NewPipeline(&strictPipeline{}), map[string]any{"vary": true}},
		{"strict-pipeline", backfill.NewPipeline(&strictPipeline{}), map[string]any{"journal": "off"}},
	} {
		t.Run(fmt.Sprint(c.name, c.params), func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			const n, bad = 150, 52 // the least and the greatest key too
			mixed(t, things, n)
			app := rikkitest.App(t, db, c.script)
			first, err := app.Run(t.Context(), c.name, &rikki.RunOptions{Params: c.params})
			if !isPartial(err, bad) {
				t.Fatalf("%+v, %v", first, err)
			}
			groups, err := backfill.FailureGroups(t.Context(), app, first.Run)
			if err != nil || len(groups) == 0 {
				t.Fatal(groups, err)
			}
			var sum int64
			for _, g := range groups {
				sum += g.Count
			}
			if sum != bad || len(groups) > 4 || len(groups[0].Sample) != 5 {
				t.Errorf("groups %+v", groups)
			}

			// Two are repaired, one is gone, one is changed so that it fails still.
			repair := bson.D{{Key: "$unset", Value: bson.D{{Key: "bad", Value: ""}}}}
			if _, err := things.UpdateMany(t.Context(), bson.D{{Key: "i", Value: bson.D{{Key: "$gt", Value: 0}}}}, repair); err != nil {
				t.Fatal(err)
			}
			if _, err := things.DeleteOne(t.Context(), bson.D{{Key: "_id", Value: bson.MinKey{}}}); err != nil {
				t.Fatal(err)
			}
			queued, err := backfill.RetryFailed(t.Context(), app, first.Run, nil)
			if err != nil {
				t.Fatal(err)
			}
			second, err := app.Continue(t.Context(), queued.ID, nil)
			if !isPartial(err, 2) {
				t.Fatalf("%+v, %v", second, err)
			}
			s := second.Value.(*backfill.Summary)
			if s.Matched != bad-1 || s.Changed != bad-3 || s.Failed != 2 || s.Gone != 1 {
				t.Errorf("%+v", s)
			}
			if counted, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); err != nil || counted != n+2-3 {
				t.Errorf("%d documents were counted once, want %d (%v)", counted, n+2-3, err)
			}
		})
	}
}

// The rows of a source that failed are tried again too.
func TestFailedRowsAreRetried(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&rowsOnly{}))
	first, err := app.Run(t.Context(), "rows-only", &rikki.RunOptions{Params: map[string]any{"broken": true}})
	if !isPartial(err, 10) {
		t.Fatalf("%+v, %v", first, err)
	}
	queued, err := backfill.RetryFailed(t.Context(), app, first.Run, &rikki.ControlOptions{Params: map[string]any{"broken": false}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := app.Continue(t.Context(), queued.ID, nil)
	if err != nil || second.Value.(*backfill.Summary).Matched != 10 {
		t.Fatalf("%+v, %v", second, err)
	}
}

// rowsOnly writes the items of a source into a collection.
type rowsOnly struct{ Broken bool }

func (*rowsOnly) Backfill() backfill.Options {
	return backfill.Options{Collection: "rows", Source: backfill.Items(numbers), Chunk: 7, MaxFailures: 1000}
}

func (r *rowsOnly) Change(_ context.Context, row bson.Raw) (backfill.Change, error) {
	code := row.Lookup("code").StringValue()
	if r.Broken && strings.HasSuffix(code, "1") {
		return backfill.None(), errors.New("broken")
	}
	return backfill.None().Also("rows", code, bson.D{{Key: "done", Value: true}}), nil
}

func TestOnly(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	oid := bson.NewObjectID()
	uuid := bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte("0123456789abcdef")}
	keys := []any{1, "1", "x", oid, bson.D{{Key: "a", Value: 1}}, uuid, 2.5, true, "last"}
	for _, key := range keys {
		insert(t, things, bson.D{{Key: "_id", Value: key}})
	}
	only := []string{oid.Hex(), `{"a": 1}`, "30313233-3435-3637-3839-616263646566", "2.5", `"x"`, "true", "nobody", "1"}
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&strict{}), backfill.NewPipeline(&strictPipeline{}))
	for i, name := range []string{"strict", "strict-pipeline"} {
		result, err := app.Run(t.Context(), name, &rikki.RunOptions{Params: map[string]any{"only": only}})
		if err != nil {
			t.Fatal(err)
		}
		if s := result.Value.(*backfill.Summary); s.Changed != 8 {
			t.Errorf("%s: %+v", name, s)
		}
		counted, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: i + 1}})
		untouched, err2 := things.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: "last"}, {Key: "n", Value: bson.D{{Key: "$exists", Value: false}}}})
		if err != nil || err2 != nil || counted != 8 || untouched != 1 {
			t.Errorf("%s: %d counted, %d untouched (%v, %v)", name, counted, untouched, err, err2)
		}
	}
	_, err := app.Run(t.Context(), "strict", &rikki.RunOptions{Params: map[string]any{"only": only, "failed-of": "r_x"}})
	if err == nil || !strings.Contains(err.Error(), "contradict") {
		t.Errorf("both: %v", err)
	}
}

func TestNothingToRetry(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	insert(t, db.Collection("things"), bson.D{{Key: "_id", Value: 1}})
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&strict{}))
	run, err := app.Run(t.Context(), "strict", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backfill.RetryFailed(t.Context(), app, run.Run, nil); !errors.Is(err, rikki.ErrState) || !strings.Contains(err.Error(), "no document failed") {
		t.Errorf("%v", err)
	}
}

// A limit is one of the whole run, however many workers and attempts it has.
func TestLimit(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 400)
	g := newGate()
	g.asks = true
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&slow{gate: g}), backfill.New[bson.Raw](&strict{}))
	result, err := app.Run(t.Context(), "strict", &rikki.RunOptions{Params: map[string]any{"limit": 123, "workers": 4}})
	if err != nil {
		t.Fatal(err)
	}
	if s := result.Value.(*backfill.Summary); s.Changed != 123 || !s.Limited {
		t.Errorf("%+v", s)
	}
	id, done := begun(t, app, g, map[string]any{"limit": 100})
	if _, err := app.Pause(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	if err := <-done; !errors.Is(err, rikki.ErrPaused) {
		t.Fatal(err)
	}
	result, err = app.Continue(t.Context(), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := result.Value.(*backfill.Summary); s.Matched != 100 || !s.Limited {
		t.Errorf("after a pause: %+v", s)
	}
}

// What failed is done by a retry once: however often somebody asks, of the run or of one of its retries, while a retry is under way,
// when it has failed half-way, and with the rows of a source. What was undone is done again.
func TestWhatFailedIsRetriedOnce(t *testing.T) {
	t.Parallel()
	broken := bson.D{{Key: "$set", Value: bson.D{{Key: "bad", Value: "green"}}}}
	mend := bson.D{{Key: "$unset", Value: bson.D{{Key: "bad", Value: ""}}}}
	some := bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 5}}}}
	retry := func(t *testing.T, app *rikki.App, run string) (*rikki.Result, error) {
		t.Helper()
		queued, err := backfill.RetryFailed(t.Context(), app, run, nil)
		if err != nil {
			return nil, err
		}
		return app.Continue(t.Context(), queued.ID, nil)
	}
	for _, kind := range []struct {
		name   string
		script rikki.Script
		params map[string]any
	}{
		{"strict", backfill.New[bson.Raw](&strict{}), nil},
		{"strict-pipeline", backfill.NewPipeline(&strictPipeline{}), nil},
		{"strict-pipeline", backfill.NewPipeline(&strictPipeline{}), map[string]any{"journal": "off"}},
	} {
		setup := func(t *testing.T) (*mongo.Collection, *rikki.App, string) {
			t.Helper()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			numbered(t, things, 20)
			if _, err := things.UpdateMany(t.Context(), some, broken); err != nil {
				t.Fatal(err)
			}
			app := rikkitest.App(t, db, kind.script)
			first, err := app.Run(t.Context(), kind.name, &rikki.RunOptions{Params: kind.params})
			if !isPartial(err, 5) {
				t.Fatalf("%+v, %v", first, err)
			}
			counted(t, things, 15)
			return things, app, first.Run
		}
		name := fmt.Sprint(kind.name, kind.params)
		t.Run(name+"/AskedThreeTimes", func(t *testing.T) {
			t.Parallel()
			things, app, first := setup(t)
			if _, err := things.UpdateMany(t.Context(), bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 3}}}}, mend); err != nil {
				t.Fatal(err)
			}
			second, err := retry(t, app, first)
			if !isPartial(err, 2) {
				t.Fatalf("%+v, %v", second, err)
			}
			counted(t, things, 18)
			if third, err := retry(t, app, first); !isPartial(err, 2) || third.Value.(*backfill.Summary).Matched != 2 {
				t.Errorf("asked again: %+v, %v", third, err)
			}
			counted(t, things, 18)
			if _, err := things.UpdateMany(t.Context(), some, mend); err != nil {
				t.Fatal(err)
			}
			if fourth, err := retry(t, app, second.Run); err != nil || fourth.Value.(*backfill.Summary).Matched != 2 {
				t.Errorf("of the retry: %+v, %v", fourth, err)
			}
			counted(t, things, 20)
			for _, run := range []string{first, second.Run} {
				if again, err := retry(t, app, run); !errors.Is(err, rikki.ErrState) {
					t.Errorf("when nothing is left: %+v, %v", again, err)
				}
			}
			counted(t, things, 20)
		})
		t.Run(name+"/TwoAtATime", func(t *testing.T) {
			t.Parallel()
			things, app, first := setup(t)
			if _, err := things.UpdateMany(t.Context(), some, mend); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for range 2 {
				queued, err := backfill.RetryFailed(t.Context(), app, first, nil)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, queued.ID)
			}
			for _, id := range ids { // the second was asked for before the first had begun
				if result, err := app.Continue(t.Context(), id, nil); err != nil {
					t.Fatalf("%+v, %v", result, err)
				}
			}
			counted(t, things, 20)
		})
		if kind.params != nil {
			continue // there is nothing to undo it from
		}
		t.Run(name+"/Undone", func(t *testing.T) {
			t.Parallel()
			things, app, first := setup(t)
			if _, err := things.UpdateMany(t.Context(), some, mend); err != nil {
				t.Fatal(err)
			}
			second, err := retry(t, app, first)
			if err != nil {
				t.Fatalf("%+v, %v", second, err)
			}
			counted(t, things, 20)
			undo, err := backfill.Undo(t.Context(), app, second.Run, nil)
			if err != nil {
				t.Fatal(err)
			}
			counted(t, things, 15)
			third, err := retry(t, app, first)
			if err != nil || third.Value.(*backfill.Summary).Changed != 5 {
				t.Fatalf("after the undo: %+v, %v", third, err)
			}
			counted(t, things, 20)
			_ = undo
			if again, err := retry(t, app, first); !errors.Is(err, rikki.ErrState) {
				t.Errorf("once more: %+v, %v", again, err)
			}
		})
	}
}

// The same with the rows of a source.
func TestRowsThatFailedAreRetriedOnce(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&rowsOnly{}))
	first, err := app.Run(t.Context(), "rows-only", &rikki.RunOptions{Params: map[string]any{"broken": true}})
	if !isPartial(err, 10) {
		t.Fatalf("%+v, %v", first, err)
	}
	for i := range 3 {
		queued, err := backfill.RetryFailed(t.Context(), app, first.Run, &rikki.ControlOptions{Params: map[string]any{"broken": false}})
		if i > 0 {
			if !errors.Is(err, rikki.ErrState) {
				t.Errorf("asked once more: %+v, %v", queued, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if result, err := app.Continue(t.Context(), queued.ID, nil); err != nil || result.Value.(*backfill.Summary).Matched != 10 {
			t.Errorf("%+v, %v", result, err)
		}
	}
}
