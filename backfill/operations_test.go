package backfill_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// batched is a backfill of chunks whose parts are given by the test.
type batched struct {
	opts   backfill.Options
	change func(context.Context, []bson.Raw) ([]backfill.Change, error)
}

func (b *batched) Backfill() backfill.Options { return b.opts }

func (b *batched) ChangeAll(ctx context.Context, docs []bson.Raw) ([]backfill.Change, error) {
	return b.change(ctx, docs)
}

// failuresOf lists what a run could not do.
func failuresOf(t *testing.T, app *rikki.App, run string) []backfill.Failure {
	t.Helper()
	var all []backfill.Failure
	for f, err := range backfill.Failures(t.Context(), app, run) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// counted demands that so many documents have n=1, and none more.
func counted(t *testing.T, coll *mongo.Collection, want int64) {
	t.Helper()
	once, err := coll.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
	more, err2 := coll.CountDocuments(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$gt", Value: 1}}}})
	if err = errors.Join(err, err2); err != nil || once != want || more != 0 {
		t.Errorf("%d documents are counted once and %d more often, want %d and none (%v)", once, more, want, err)
	}
}

// An operation of the author's that fails in the transaction of a chunk ends it, whatever he says about it. The document that it was
// for is passed by with the server's reason, and its neighbours are done.
func TestAFailedOperationOfTheFunctionBlamesItsDocument(t *testing.T) {
	t.Parallel()
	const bad = 7
	operations := map[string]struct {
		do   func(ctx context.Context, id int32) error
		want string
	}{
		"insert that there is": {func(ctx context.Context, id int32) error {
			_, err := backfill.DB(ctx).Collection("notes").InsertOne(ctx, bson.D{{Key: "_id", Value: id}})
			return err
		}, "E11000"},
		"update that is refused": {func(ctx context.Context, id int32) error {
			change := bson.D{{Key: "$set", Value: bson.D{{Key: "text", Value: id}}}}
			if id == bad {
				change = bson.D{{Key: "$inc", Value: bson.D{{Key: "text", Value: "x"}}}}
			}
			_, err := backfill.DB(ctx).Collection("others").UpdateOne(ctx, bson.D{{Key: "_id", Value: 1}}, change)
			return err
		}, "Cannot increment with non-numeric argument"},
		"query that is none": {func(ctx context.Context, id int32) error {
			filter := bson.D{{Key: "a", Value: 1}}
			if id == bad {
				filter = bson.D{{Key: "a", Value: bson.D{{Key: "$foo", Value: 1}}}}
			}
			return backfill.DB(ctx).Collection("others").FindOne(ctx, filter).Err()
		}, "unknown operator: $foo"},
		"aggregation that fails": {func(ctx context.Context, id int32) error {
			cur, err := backfill.DB(ctx).Collection("others").Aggregate(ctx, mongo.Pipeline{{{Key: "$set", Value: bson.D{
				{Key: "x", Value: bson.D{{Key: "$divide", Value: bson.A{1, bson.D{{Key: "$subtract", Value: bson.A{id, bad}}}}}}},
			}}}})
			if err != nil {
				return err
			}
			return cur.Close(ctx)
		}, "can't $divide by zero"},
	}
	for name, op := range operations {
		for how, tell := range map[string]func(error) error{
			"returned":  func(err error) error { return err },
			"swallowed": func(error) error { return nil },
			"replaced": func(err error) error {
				return map[bool]error{true: errors.New("it did not work")}[err != nil && !errors.Is(err, mongo.ErrNoDocuments)]
			},
		} {
			if name == "query that is none" {
				inner := tell
				tell = func(err error) error {
					if errors.Is(err, mongo.ErrNoDocuments) {
						return nil
					}
					return inner(err)
				}
			}
			change := func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
				if err := tell(op.do(ctx, doc.Lookup("_id").Int32())); err != nil {
					return backfill.None(), err
				}
				return increment(ctx, doc)
			}
			opts := backfill.Options{Collection: "things", Chunk: 10, Patience: time.Minute}
			scripts := map[string]rikki.Script{
				"one": function(opts, change),
				"batch": backfill.NewBatch[bson.Raw](&batched{opts, func(ctx context.Context, docs []bson.Raw) (changes []backfill.Change, _ error) {
					for _, doc := range docs {
						c, err := change(ctx, doc)
						if err != nil {
							return nil, err
						}
						changes = append(changes, c)
					}
					return changes, nil
				}}),
			}
			for kind, script := range scripts {
				t.Run(name+"/"+how+"/"+kind, func(t *testing.T) {
					t.Parallel()
					db := rikkitest.DB(t)
					numbered(t, db.Collection("things"), 20)
					insert(t, db.Collection("notes"), bson.D{{Key: "_id", Value: int32(bad)}})
					insert(t, db.Collection("others"), bson.D{{Key: "_id", Value: 1}})
					app := rikkitest.App(t, db, script)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					result, err := app.Run(ctx, name2script(kind), nil)
					if !isPartial(err, 1) {
						t.Fatalf("%+v, %v", result, err)
					}
					failures := failuresOf(t, app, result.Run)
					if len(failures) != 1 || string(failures[0].ID) != `{"$numberInt":"7"}` || !strings.Contains(failures[0].Message, op.want) {
						t.Errorf("failures %+v, want %q", failures, op.want)
					}
					counted(t, db.Collection("things"), 19)
				})
			}
		}
	}
}

func name2script(kind string) string {
	return map[string]string{"one": "scripted", "batch": "batched"}[kind]
}

// What the function writes with another context than the one that it got is outside of the transaction. The log says so.
func TestWritesBesideTheChunksAreReported(t *testing.T) {
	t.Parallel()
	for name, outside := range map[string]func(ctx context.Context) context.Context{
		"Background":     func(context.Context) context.Context { return context.Background() },
		"WithoutSession": func(ctx context.Context) context.Context { return mongo.NewSessionContext(ctx, nil) },
		"InIt":           func(ctx context.Context) context.Context { return ctx },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), 20)
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things"}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
				_, err := backfill.DB(ctx).Collection("notes").InsertOne(outside(ctx), bson.D{{Key: "of", Value: doc.Lookup("_id")}})
				return backfill.None(), err
			}))
			result, err := app.Run(t.Context(), "scripted", nil)
			if err != nil {
				t.Fatal(err)
			}
			reported := false
			for l, err := range app.Logs(t.Context(), result.Run, rikki.LogFilter{}) {
				if err != nil {
					t.Fatal(err)
				}
				reported = reported || strings.Contains(l.Message, "writes beside the transactions") && strings.Contains(string(l.Attrs), "insert notes")
			}
			if reported != (name != "InIt") {
				t.Errorf("reported: %t", reported)
			}
		})
	}
}

// What a run tries again, a dry run tries again: here each document is busy the first time.
func TestADryRunTriesAgainWhatIsTransient(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 8)
	var mu sync.Mutex
	met := map[int32]bool{}
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things"}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		mu.Lock()
		defer mu.Unlock()
		if id := doc.Lookup("_id").Int32(); !met[id] {
			met[id] = true
			return backfill.None(), rikki.Transient(errors.New("the geocoder is busy"))
		}
		return increment(ctx, doc)
	}))
	result, err := app.Run(t.Context(), "scripted", &rikki.RunOptions{DryRun: true})
	if err != nil || result.State != rikki.Succeeded {
		t.Fatalf("%+v, %v", result, err)
	}
	if f, ok := result.Value.(*backfill.Forecast); !ok || f.Sampled != 8 || f.Changed != 8 || !f.Complete {
		t.Errorf("%+v", result.Value)
	}
}

// A function that always asks to be tried again is tried for as long as the script has patience. Then the run pauses, says why, and
// goes on at its cursors.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 40)
	busy := true
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Chunk: 10, Workers: 1, Patience: time.Second}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		if busy && doc.Lookup("_id").Int32() == 25 {
			return backfill.None(), rikki.Transient(errors.New("the geocoder is busy"))
		}
		return increment(ctx, doc)
	}))
	result, err := app.Run(t.Context(), "scripted", nil)
	if !errors.Is(err, rikki.ErrPaused) || result.State != rikki.Paused || !strings.Contains(err.Error(), "the geocoder is busy") {
		t.Fatalf("%+v, %v", result, err)
	}
	if n, err := db.Collection("things").CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); err != nil || n < 20 || n > 25 {
		t.Errorf("%d are done (%v), want those before the one that it waits for", n, err)
	}
	busy = false
	if result, err = app.Continue(t.Context(), result.Run, nil); err != nil {
		t.Fatalf("%+v, %v", result, err)
	}
	counted(t, db.Collection("things"), 40)
}
