//go:build !race

package backfill_test

import (
	"bytes"
	"context"
	"runtime"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/rikkitest"
)

// watched runs a script of one worker on a database, and returns how large the answers with its documents were, and how much of
// the heap was in use when they were changed.
func watched(t *testing.T, db *mongo.Database, script rikki.Script) (answers []int, heap int) {
	t.Helper()
	used := func() int {
		var stats runtime.MemStats
		for range 3 { // pools let go the second time
			runtime.GC()
		}
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc)
	}
	app := rikki.New(&rikki.Config{HistoryDatabase: db.Name() + "_history", Conn: conn.Config{
		URI: rikkitest.URI(t), Database: db.Name(), Monitor: &event.CommandMonitor{
			Started: func(_ context.Context, e *event.CommandStartedEvent) {
				if e.CommandName == "update" && e.Command.Lookup("update").StringValue() == "things" {
					heap = max(heap, used())
				}
			},
			Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
				if e.CommandName == "find" && bytes.Contains(e.Reply, []byte(".things")) {
					answers = append(answers, len(e.Reply))
				}
			},
		},
	}}).MustAdd(script)
	defer func() {
		if err := app.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	before := used()
	if _, err := app.Run(t.Context(), "scripted", nil); err != nil {
		t.Fatal(err)
	}
	return answers, heap - before
}

// A chunk holds 2 MiB of documents, however many it might have. Only where documents suddenly become larger an answer has more,
// which is as much as the server sends at once. The test is not parallel: it looks at the heap.
func TestMemoryIsBounded(t *testing.T) {
	const mib = 1 << 20
	large, huge := bytes.Repeat([]byte("x"), 8<<10), bytes.Repeat([]byte("x"), mib)
	set := func(bson.Raw) backfill.Change { return backfill.Set("n", 1) }
	replace := func(doc bson.Raw) backfill.Change {
		return backfill.Replace(bson.D{{Key: "v", Value: doc.Lookup("v")}, {Key: "n", Value: 1}})
	}
	for _, c := range []struct {
		name   string
		change func(doc bson.Raw) backfill.Change
		huge   int // documents of that size in the middle
		most   int // MiB of the heap
		beyond int // answers with more than a chunk may have
	}{
		{name: "Set", change: set, most: 1},
		{name: "Replace", change: replace, most: 10},
		{name: "Huge", change: set, huge: 40, most: 3, beyond: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := rikkitest.DB(t)
			things := db.Collection("things")
			const docs, page = 3000, 50
			for i := 0; i < docs; i += page {
				var list []any
				for n := i; n < i+page; n++ {
					value := large
					if n >= docs/2 && n < docs/2+c.huge {
						value = huge
					}
					list = append(list, bson.D{{Key: "_id", Value: n}, {Key: "v", Value: value}})
				}
				insert(t, things, list...)
			}
			script := function(backfill.Options{Collection: "things", Chunk: docs, Workers: 1},
				func(_ context.Context, doc bson.Raw) (backfill.Change, error) { return c.change(doc), nil })
			answers, heap := watched(t, db, script)
			if heap > c.most*mib {
				t.Errorf("%.1f MiB of heap, want at most %d", float64(heap)/mib, c.most)
			}
			beyond := 0
			for _, n := range answers {
				if n > 2*mib+2*len(large) && n > 4*min(c.huge, 1)*mib {
					beyond++
				}
			}
			if len(answers) < docs*len(large)/(2*mib) || beyond > c.beyond {
				t.Errorf("%d answers, %d of them too large: %v", len(answers), beyond, answers)
			}
			once(t, things, docs)
		})
	}
}
