//go:build linux

package faultrig_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// process is what a script does to a document.
func process(t *testing.T, db *mongo.Database, id any, mark faultrig.Mark) {
	t.Helper()
	res, err := db.Collection("c").UpdateByID(t.Context(), id, bson.D{
		{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$push", Value: bson.D{{Key: "seen", Value: mark}}},
	})
	if err != nil || res.MatchedCount != 1 {
		t.Fatal(res, err)
	}
}

func TestExactlyOnceAndContiguous(t *testing.T) {
	t.Parallel()
	db := mongotest.DB(t)
	coll := db.Collection("c")
	faultrig.Seed(t, coll, faultrig.Ints(6)...)
	for i := range 5 {
		process(t, db, i, faultrig.Mark{Run: "r", Chunk: fmt.Sprint(i / 2), Token: 1})
	}
	if faultrig.CheckExactlyOnce(t.Context(), coll, 6) == nil || faultrig.CheckContiguous(t.Context(), coll) == nil {
		t.Error("a document was left out and nobody noticed")
	}
	process(t, db, 5, faultrig.Mark{Run: "r", Chunk: "2", Token: 1})
	faultrig.ExactlyOnce(t, coll, 6)
	faultrig.Contiguous(t, coll)
	if faultrig.CheckExactlyOnce(t.Context(), coll, 7) == nil {
		t.Error("a document is missing and nobody noticed")
	}
	process(t, db, 3, faultrig.Mark{Run: "r", Chunk: "1", Token: 2})
	if faultrig.CheckExactlyOnce(t.Context(), coll, 6) == nil {
		t.Error("a document was processed twice and nobody noticed")
	}
	if _, err := coll.UpdateByID(t.Context(), 5, bson.D{{Key: "$set", Value: bson.D{{Key: "seen.0.chunk", Value: "0"}}}}); err != nil {
		t.Fatal(err)
	}
	if faultrig.CheckContiguous(t.Context(), coll) == nil {
		t.Error("a chunk came back after its end and nobody noticed")
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	db := mongotest.DB(t)
	coll := db.Collection("c")
	faultrig.Seed(t, coll, faultrig.Ints(3)...)
	h := faultrig.Record(t, db)
	check := func() (fenced, growing error) {
		changes := h.Changes(t)
		fenced = faultrig.CheckFenced(changes, func(c faultrig.Change) (string, int64, bool) {
			mark, ok := faultrig.MarkOf(c)
			return mark.Run, mark.Token, ok
		})
		growing = faultrig.CheckGrowing(changes, func(c faultrig.Change) (string, bson.RawValue, bool) {
			mark, ok := faultrig.MarkOf(c)
			kind, value, _ := bson.MarshalValue(mark.Token)
			return c.Coll, bson.RawValue{Type: kind, Value: value}, ok
		}, func(a, b bson.RawValue) int { return bytes.Compare(a.Value, b.Value) })
		return fenced, growing
	}
	if a, b := check(); a == nil || b == nil {
		t.Error("nothing has happened and that was fine")
	}
	process(t, db, 0, faultrig.Mark{Run: "r", Token: 1})
	process(t, db, 1, faultrig.Mark{Run: "r", Token: 2})
	if a, b := check(); a != nil || b != nil {
		t.Error(a, b)
	}
	process(t, db, 2, faultrig.Mark{Run: "r", Token: 1})
	if a, b := check(); a == nil || b == nil {
		t.Error("a write with a stale token was not noticed:", a, b)
	}
}

func TestNothingLeft(t *testing.T) { //nolint:tparallel // what the subtest leaves is looked at
	t.Parallel()
	db := mongotest.DB(t)
	app := "left-" + db.Name()
	check := func() error {
		return faultrig.CheckNothingLeft(t.Context(), mongotest.Client(t), app, db.Name(), time.Second)
	}
	t.Run("Connections", func(t *testing.T) {
		client := faultrig.Connect(t, mongotest.URI(t), func(o *options.ClientOptions) { o.SetAppName(app + "-more") })
		if err := client.Ping(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if check() == nil {
			t.Error("a client that is connected was not noticed")
		}
	})
	if err := check(); err != nil {
		t.Error(err)
	}
	faultrig.Seed(t, db.Collection("c"), faultrig.Ints(500)...)
	cur, err := db.Collection("c").Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	if check() == nil {
		t.Error("an open cursor was not noticed")
	}
	if err := cur.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := check(); err != nil {
		t.Error(err)
	}
}

func TestNoDeadLeases(t *testing.T) {
	t.Parallel()
	runs := mongotest.DB(t).Collection("runs")
	insert := func(id string, expires time.Duration) {
		t.Helper()
		_, err := runs.UpdateByID(t.Context(), id, bson.A{bson.D{{Key: "$set", Value: bson.D{
			{Key: "slot", Value: id}, {Key: "lease", Value: bson.D{
				{Key: "owner", Value: "me"}, {Key: "expires", Value: bson.D{{Key: "$add", Value: bson.A{"$$NOW", expires.Milliseconds()}}}},
			}},
		}}}}, options.UpdateOne().SetUpsert(true))
		if err != nil {
			t.Fatal(err)
		}
	}
	insert("alive", time.Minute)
	faultrig.NoDeadLeases(t, runs, 0)
	insert("dead", -time.Minute)
	faultrig.NoDeadLeases(t, runs, 2*time.Minute)
	if faultrig.CheckNoDeadLeases(t.Context(), runs, time.Second) == nil {
		t.Error("a dead owner's lease was not noticed")
	}
}
