package backfill_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

// On a server of its own, so that nobody else is there unless the test says so.
func TestMakesRoomForOthers(t *testing.T) {
	t.Parallel()
	uri := mongotest.Dedicated(t, nil).URI()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })

	// gentle runs a backfill that takes a second and tells whether it was gentle.
	gentle := func(name string, how backfill.Gentle) bool {
		t.Helper()
		coll := client.Database(name).Collection("things")
		const docs, rate = 1500, 1000
		numbered(t, coll, docs)
		opts := backfill.Options{Collection: "things", Rate: rate, Gentle: how, Script: rikki.Options{Name: "count"}}
		app := rikki.New(&rikki.Config{Conn: conn.Config{URI: uri, Database: name}}).MustAdd(function(opts, increment))
		defer func() {
			if err := app.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}()
		result, err := app.Run(t.Context(), "count", nil)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := result.Value.(*backfill.Summary)
		if _, least, most := each(t, coll); !ok || s.Changed != docs || least != 1 || most != 1 {
			t.Errorf("%s: %+v, changed %d to %d times", name, s, least, most)
		}
		return s.Gentle > 0
	}

	if gentle("alone", backfill.GentleAuto) {
		t.Error("gentle with nobody there: it takes its own commands for others'")
	}
	busy, quiet := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for busy.Err() == nil {
			_ = client.Database("others").Collection("things").FindOne(busy, bson.D{}).Err() // there are none
		}
	}()
	if !gentle("beside", backfill.GentleAuto) {
		t.Error("not gentle beside others")
	}
	if gentle("never", backfill.GentleNever) {
		t.Error("gentle though it shall never be")
	}
	quiet()
	<-ended
	if !gentle("always", backfill.GentleAlways) {
		t.Error("not gentle though it shall always be")
	}
}

// Two workers meet in the function, and never do where the run is gentle.
func TestGentleIsOneChunkAtATime(t *testing.T) {
	t.Parallel()
	run := func(how backfill.Gentle, meet func(ctx context.Context)) {
		t.Helper()
		db := rikkitest.DB(t)
		numbered(t, db.Collection("things"), 600)
		opts := backfill.Options{Collection: "things", Workers: 2, Chunk: 50, Gentle: how}
		_, err := summary(t, db, function(opts, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
			meet(ctx)
			return increment(ctx, doc)
		}), nil)
		if err != nil {
			t.Error(err)
		}
	}
	pair, met := make(chan struct{}), make(chan struct{})
	var together sync.Once
	run(backfill.GentleNever, func(ctx context.Context) {
		select {
		case pair <- struct{}{}: // another is inside
			together.Do(func() { close(met) })
		case <-pair:
		case <-met:
		case <-ctx.Done():
			t.Error("two workers never meet")
		}
	})
	var inside atomic.Int64
	run(backfill.GentleAlways, func(context.Context) {
		if inside.Add(1) > 1 {
			t.Error("two chunks at a time")
		}
		runtime.Gosched()
		inside.Add(-1)
	})
}
