//go:build linux

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// plainLoop is what scripts do that have nobody to help them: document by document, from the beginning, until an error ends it.
type plainLoop struct {
	coll  *mongo.Collection
	ended chan error
	run   func()
	stop  func() error // returns how it ended
}

// newLoop seeds a collection of its own, which a loop would take minutes for.
func newLoop(t *testing.T, s *scene) *plainLoop {
	t.Helper()
	client := faultrig.Connect(t, s.URI, func(o *options.ClientOptions) {
		o.SetAppName("naive").SetRetryWrites(false).SetTimeout(10 * time.Second).SetServerSelectionTimeout(10 * time.Second)
	})
	l := &plainLoop{coll: s.seed(t, "naive", loopDocs), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	l.stop = sync.OnceValue(func() error { cancel(); return <-l.ended })
	l.run = func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		l.ended <- each(ctx, client.Database(s.Database).Collection("naive"), loopDocs, tick.C)
		close(l.ended)
	}
	return l
}

const (
	loopDocs = 5_000
	loopFew  = 10 // so many are done at the start, and again at the next
)

// start returns when the first documents are done.
func (l *plainLoop) start(t *testing.T) {
	t.Helper()
	go l.run()
	t.Cleanup(func() { _ = l.stop() })
	faultrig.Eventually(t, time.Minute, "the loop to get on", func(ctx context.Context) (bool, error) {
		n, err := l.coll.CountDocuments(ctx, bson.D{{Key: "n", Value: 1}})
		return n >= loopFew, err
	})
}

// each changes the first n documents, one at a tick.
func each(ctx context.Context, coll *mongo.Collection, n int, tick <-chan time.Time) error {
	for i := range n {
		select {
		case <-tick:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := coll.UpdateByID(ctx, i, bson.D{
			{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$push", Value: bson.D{{Key: "seen", Value: faultrig.Mark{Token: 1}}}},
		}); err != nil {
			return err
		}
	}
	return nil
}

// foundOut: the fault has ended the loop, and whoever starts it again has its first documents done twice, which the judge of backfills sees.
func (l *plainLoop) foundOut(t *testing.T) {
	t.Helper()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	var err error
	select {
	case err = <-l.ended:
	case <-timer.C:
	}
	if err == nil {
		t.Error("the loop has outlived the fault: the test can't tell")
		return
	}
	// $out takes the first documents apart, so that the judge sees nothing but what was done again.
	always := make(chan time.Time)
	close(always)
	if err := each(t.Context(), l.coll, loopFew, always); err != nil {
		t.Fatal(err)
	}
	first := l.coll.Database().Collection("first")
	if _, err := l.coll.Aggregate(t.Context(), mongo.Pipeline{
		{{Key: "$match", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: loopFew}}}}}}, {{Key: "$out", Value: first.Name()}},
	}); err != nil {
		t.Fatal(err)
	}
	if faultrig.CheckExactlyOnce(t.Context(), first, loopFew) == nil {
		t.Error("documents were done twice and nobody noticed")
	}
	t.Log("a loop ended with:", err)
}

// naiveLock takes a lock that nobody has, or whose time is over by the server's clock; and that is all it looks at.
func naiveLock(ctx context.Context, locks *mongo.Collection, owner string) (mine bool, err error) {
	over := bson.D{{Key: "$lt", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$expires", time.Time{}}}}, "$$NOW"}}}
	take := func(value any, field string) bson.D {
		return bson.D{{Key: "$cond", Value: bson.A{over, value, "$" + field}}}
	}
	var lock struct{ Owner string }
	err = locks.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: "lock"}}, mongo.Pipeline{{{Key: "$set", Value: bson.D{
		{Key: "owner", Value: take(owner, "owner")},
		{Key: "expires", Value: take(bson.D{{Key: "$add", Value: bson.A{"$$NOW", ttl.Milliseconds()}}}, "expires")},
	}}}}, options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&lock)
	return lock.Owner == owner, err
}

// Lines goes on at the line where it was, whatever file it finds: the mistake of [TestAScriptThatCountsLinesIsFoundOut].
type Lines struct{ File, Coll string }

// Options implements rikki.Configured.
func (l *Lines) Options() rikki.Options { return rikki.Options{Resumable: true, Concurrency: -1} }

// Execute implements rikki.Script.
func (l *Lines) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	text, err := os.ReadFile(l.File)
	if err != nil {
		return nil, err
	}
	next := 0
	if _, err := run.LoadCheckpoint(&next); err != nil {
		return nil, err
	}
	lines := strings.Fields(string(text))[1:]
	for ; next < len(lines); next++ {
		if _, err := run.DB().Collection(l.Coll).UpdateByID(ctx, lines[next], bson.D{
			{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$push", Value: bson.D{{Key: "seen", Value: faultrig.Mark{Run: run.ID()}}}},
		}); err != nil {
			return nil, err
		}
		if err := run.Checkpoint(ctx, next+1); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// Negative control of [TestBackfillThatChangesHalfWayStops]: somebody takes a row that is done out of the file of a run that died.
func TestAScriptThatCountsLinesIsFoundOut(t *testing.T) {
	t.Parallel()
	const docs = 60
	s := onShared(t).shortLease()
	coll, file := s.rows(t, docs)
	victim := s.start(t, faultrig.At(faultrig.Crash{Point: "checkpoint.stored", Hit: docs / 2, Then: faultrig.Suicide}))
	id := s.enqueue(t, "lines", map[string]any{"coll": "docs", "file": file})
	if _, ok := victim.ReachedPoint(); !ok {
		t.Fatalf("the process did not die:\n%s", victim.Output())
	}
	half, err := marked(t.Context(), coll)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.Replace(rowsOf(docs), "\n0\n", "\n", 1))
	s.start(t)
	s.await(t, id, time.Minute, rikki.Succeeded)
	now, err := marked(t.Context(), coll)
	if err == nil {
		err = same(now, half)
	}
	left := faultrig.CheckExactlyOnce(t.Context(), coll, docs)
	if err == nil || left == nil {
		t.Errorf("it went on with another file and nobody noticed: %v, %v", err, left)
	}
	t.Log(left)
}

// crowd are others that write to the documents that a run changes, and delete some.
type crowd struct {
	stop func()

	mu      sync.Mutex
	added   map[int]int64
	deleted map[int]bool
}

// errLost is a write of others that is gone.
var errLost = errors.New("a write of others is lost")

// check looks for every write of theirs, and returns how many there were and how many documents are left of so many.
func (c *crowd) check(ctx context.Context, coll *mongo.Collection, docs int) (writes int64, left int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cur, err := coll.Find(ctx, bson.D{})
	if err != nil {
		return 0, 0, err
	}
	var all []struct {
		ID int `bson:"_id"`
		W  int64
	}
	if err := cur.All(ctx, &all); err != nil {
		return 0, 0, err
	}
	var errs []error
	for _, d := range all {
		writes += c.added[d.ID]
		if d.W != c.added[d.ID] || c.deleted[d.ID] {
			errs = append(errs, fmt.Errorf("%w: document %d has %d of %d; deleted: %v", errLost, d.ID, d.W, c.added[d.ID], c.deleted[d.ID]))
		}
	}
	if want := docs - len(c.deleted); len(all) != want {
		errs = append(errs, fmt.Errorf("%d documents are left, and %d were not deleted", len(all), want))
	}
	return writes, len(all), errors.Join(errs...)
}
