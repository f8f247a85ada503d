package backfill_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/rikkitest"
)

// things makes documents, page by page.
func things(t *testing.T, db *mongo.Database, n int) {
	t.Helper()
	const page = 1000
	note := strings.Repeat("x", 200)
	for at := 0; at < n; at += page {
		var list []any
		for i := at; i < min(n, at+page); i++ {
			list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "note", Value: note}})
		}
		insert(t, db.Collection("things"), list...)
	}
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
