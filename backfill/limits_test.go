//go:build !race

package backfill_test

import (
	"context"
	"encoding/json"
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

// longWinded fails with a message of a megabyte.
type longWinded struct {
	Repaired bool

	look func()
}

func (*longWinded) Backfill() backfill.Options {
	return backfill.Options{Collection: "things", Chunk: 400, Workers: 1, MaxFailures: 1 << 40}
}

func (l *longWinded) Change(_ context.Context, doc bson.Raw) (backfill.Change, error) {
	if i, _ := doc.Lookup("i").AsInt64OK(); i%100 == 99 { // at the end of chunks, too, whatever their size
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
