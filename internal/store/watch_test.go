package store

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
)

// streams counts the change streams that the server keeps open for the queue.
func (b *testBundle) streams(t *testing.T) int {
	t.Helper()
	admin := b.db.Client().Database("admin", options.Database().SetReadConcern(readconcern.Local()))
	cur, err := admin.Aggregate(t.Context(), mongo.Pipeline{
		{{Key: "$currentOp", Value: bson.D{{Key: "idleCursors", Value: true}, {Key: "allUsers", Value: true}}}},
		{{Key: "$match", Value: bson.D{{Key: "ns", Value: b.db.Name() + ".runs"}, {Key: "cursor.tailable", Value: true}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var open []bson.Raw
	if err := cur.All(t.Context(), &open); err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// A server keeps the cursor of a stream whose waiting call was cancelled, and of one that is closed with a context that has
// ended: ten of them for each ten servers that came and went.
func TestWatchLeavesNoCursor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ctx, stop := context.WithCancel(t.Context())
		woken, ended := make(chan struct{}, 100), make(chan error, 1)
		go func() { ended <- b.Watch(ctx, "shop", func(bool) { woken <- struct{}{} }) }()
		<-woken // it watches
		b.queue(t, nil)
		<-woken
		if n := b.streams(t); n > 1 {
			t.Fatalf("%d streams are open, want one at most", n)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if n := b.streams(t); n != 0 {
		t.Errorf("%d streams stayed open", n)
	}

	// The usual way to do it, as the driver's own examples have it.
	ctx, stop := context.WithCancel(t.Context())
	stream, err := b.runs.Watch(ctx, mongo.Pipeline{})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, stop)
	for stream.Next(ctx) {
		t.Error("nothing was changed")
	}
	_ = stream.Close(ctx)
	if n := b.streams(t); n != 1 {
		t.Errorf("the negative control leaves %d streams open, want one: this test can't tell", n)
	}
}

// A stream that the server has ended, since its collection was dropped, must end the watch: asking it again and again would return at once.
func TestWatchEndsWithItsStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue(t, func(*NewRun) {})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watching, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- b.Watch(ctx, "app", func(bool) {
			select {
			case watching <- struct{}{}:
			default:
			}
		})
	}()
	<-watching
	if err := b.runs.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("the watch ended with %v, %v", err, ctx.Err())
	}
}
