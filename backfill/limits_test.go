package backfill_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/rikkitest"
)

// longWinded fails with a message of a megabyte.
type longWinded struct {
	Repaired bool

	look func()
}

func (*longWinded) Backfill() backfill.Options {
	return backfill.Options{Collection: "things", Chunk: 400, Workers: 1, MaxFailures: 1 << 40}
}

func (l *longWinded) Change(_ context.Context, doc bson.Raw) (backfill.Change, error) {
	if i, _ := doc.Lookup("i").AsInt64OK(); i%100 == 0 {
		l.look()
	}
	if l.Repaired {
		return backfill.Set("n", 1), nil
	}
	return backfill.None(), errors.New("it says " + strings.Repeat("é and more ", 100_000))
}

// What is recorded of a failure is bounded, and so is what is held of it until then; keys are recorded as they are.
func TestFailuresOfGreatLength(t *testing.T) {
	for _, c := range []struct {
		name    string
		docs    int
		key     int
		message int // bytes of a message at most
	}{
		{"MessagesOfAMegabyte", 500, 10, 4 << 10},
		{"KeysOf8KiB", 300, 8 << 10, 4 << 10},
		{"KeysOf40KiB", 500, 40 << 10, 4 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, m := rikkitest.DB(t), &meter{every: 1 << 30}
			key := strings.Repeat("k", c.key)
			for at := 0; at < c.docs; at += 100 {
				var list []any
				for i := at; i < at+100; i++ {
					list = append(list, bson.D{{Key: "_id", Value: fmt.Sprintf("%s%d", key, i)}, {Key: "i", Value: i}})
				}
				insert(t, db.Collection("things"), list...)
			}
			app := metered(t, db, m, backfill.New[bson.Raw](&longWinded{look: m.look}))
			m.reset()
			run, err := app.Run(t.Context(), "long-winded", nil)
			if !isPartial(err, int64(c.docs)) {
				t.Fatal(err)
			}
			if held := m.peak(t); held > 20*mib {
				t.Errorf("%d MiB were held", held/mib)
			}
			n := 0
			for f, err := range backfill.Failures(t.Context(), app, run.Run) {
				if err != nil {
					t.Fatal(err)
				}
				var id string
				if err := json.Unmarshal(f.ID, &id); err != nil || len(id) < c.key || !strings.HasPrefix(f.Message, "it says é and") ||
					!strings.HasSuffix(f.Message, "bytes)") || len(f.Message) > c.message || f.Class != "error" {
					t.Fatalf("key of %d bytes, class %s, message of %d bytes ending in %q, %v", len(id), f.Class, len(f.Message), f.Message[max(0, len(f.Message)-20):], err)
				}
				n++
			}
			stored := largest(t, db.Client().Database(db.Name()+"_history").Collection("failures"))
			if n != c.docs || stored > int64(c.message+2*c.key+500) {
				t.Errorf("%d failures, the largest of %d bytes", n, stored)
			}
			queued, err := backfill.RetryFailed(t.Context(), app, run.Run, &rikki.ControlOptions{Params: map[string]any{"repaired": true}})
			if err != nil {
				t.Fatal(err)
			}
			m.reset()
			again, err := app.Continue(t.Context(), queued.ID, nil)
			if held := m.peak(t); held > 20*mib {
				t.Errorf("the retry held %d MiB", held/mib)
			}
			if err != nil || again.Value.(*backfill.Summary).Changed != int64(c.docs) {
				t.Errorf("%+v, %v", again, err)
			}
		})
	}
}

// largest is how many bytes the largest document of a collection has.
func largest(t *testing.T, coll *mongo.Collection) int64 {
	t.Helper()
	cur, err := coll.Aggregate(t.Context(), bson.A{bson.D{{Key: "$group", Value: bson.D{
		{Key: "_id", Value: nil}, {Key: "most", Value: bson.D{{Key: "$max", Value: bson.D{{Key: "$bsonSize", Value: "$$ROOT"}}}}},
	}}}}, options.Aggregate())
	if err != nil {
		t.Fatal(err)
	}
	var found []struct{ Most int64 }
	if err := cur.All(t.Context(), &found); err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0].Most
}

// refusing is a change that the server refuses for every second document.
func refusing(_ context.Context, doc bson.Raw) (backfill.Change, error) {
	if i, _ := doc.Lookup("_id").AsInt64OK(); i%2 == 1 {
		return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "note", Value: 1}}}}), nil
	}
	return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}), nil
}

// A document that the server refuses costs one attempt at a chunk, and where there are many the chunks are small: the work grows with
// the number of documents, and not with its square.
func TestManyRefusalsCostLittle(t *testing.T) {
	t.Parallel()
	const n = 800
	opts := backfill.Options{Collection: "things", Chunk: n, Workers: 1, MaxFailures: n}
	odd := bson.D{{Key: "$eq", Value: bson.A{bson.D{{Key: "$mod", Value: bson.A{"$_id", 2}}}, 1}}}
	added := func(field string) bson.D {
		return bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$" + field, 0}}}, 1}}}
	}
	blind := opts
	blind.Journal = backfill.JournalOff
	stage := bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: added("n")}, {Key: "m", Value: bson.D{
		{Key: "$cond", Value: bson.A{odd, added("note"), "$m"}},
	}}}}}
	for name, script := range map[string]rikki.Script{
		"function": function(opts, refusing), "pipeline": pipeline(opts, stage), "blind pipeline": pipeline(blind, stage),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things(t, db, n)
			var read atomic.Int64
			app := rikki.New(&rikki.Config{HistoryDatabase: db.Name() + "_history", Conn: conn.Config{
				URI: rikkitest.URI(t), Database: db.Name(), Monitor: &event.CommandMonitor{
					Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
						if batch, ok := e.Reply.Lookup("cursor", "firstBatch").ArrayOK(); ok {
							values, _ := batch.Values()
							read.Add(int64(len(values)))
						}
					},
				},
			}}).MustAdd(script)
			defer func() { _ = app.Close(context.WithoutCancel(t.Context())) }()
			result, err := app.Run(t.Context(), script.(rikki.Configured).Options().Name, nil)
			if !isPartial(err, n/2) {
				t.Fatalf("%+v, %v", result, err)
			}
			if s := result.Value.(*backfill.Summary); s.Changed != n/2 || s.Matched != n {
				t.Errorf("%+v", s)
			}
			if tries := result.Counters["chunk_retries"]; tries > n/2+n/8 {
				t.Errorf("%d attempts failed for %d documents that can't be done", tries, n/2)
			}
			if read.Load() > 30*n {
				t.Errorf("%d documents were read, to do %d", read.Load(), n)
			}
			counted, err := db.Collection("things").CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
			if err != nil || counted != n/2 {
				t.Errorf("%d documents were changed once, want %d (%v)", counted, n/2, err)
			}
		})
	}
}
