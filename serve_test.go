package rikki_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestServeDrains(t *testing.T) {
	t.Parallel()

	t.Run("AndAnotherProcessGoesOn", func(t *testing.T) {
		t.Parallel()
		db, g := rikkitest.DB(t), newGate(1)
		var worked atomic.Int64
		first := rikkitest.App(t, db, &steps{worked: &worked, at: func(_ context.Context, run *rikki.Run, step int) error {
			if step == g.step {
				g.reached <- struct{}{}
				<-run.Stopping()
			}
			return nil
		}})
		id := enqueue(t, first, "steps", nil)
		stop := serving(t, first, rikki.ServeOptions{})
		<-g.reached
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		record, err := first.Record(t.Context(), id)
		if err != nil || record.State != rikki.Interrupted || record.Counters["steps"] != 2 || record.Error.Kind != "interrupted" {
			t.Fatalf("after the drain: %+v, %v", record, err)
		}
		second := rikki.New(configOf(t, db)).MustAdd(&steps{worked: &worked})
		t.Cleanup(func() { closeApp(t, second) })
		serving(t, second, rikki.ServeOptions{})
		record = await(t, second, id, inState(rikki.Succeeded))
		if record.Attempt != 2 || record.Counters["steps"] != 3 || worked.Load() != 3 {
			t.Errorf("taken over: %+v, %d steps in all", record, worked.Load())
		}
	})

	t.Run("AndLetsAShortRunComeToItsEnd", func(t *testing.T) {
		t.Parallel()
		begun := make(chan struct{})
		app := rikkitest.App(t, rikkitest.DB(t), rikki.Func("short", func(ctx context.Context, run *rikki.Run) (any, error) {
			close(begun)
			<-run.Stopping()
			return "done", ctx.Err()
		}))
		id := enqueue(t, app, "short", nil)
		stop := serving(t, app, rikki.ServeOptions{})
		<-begun
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if record, err := app.Record(t.Context(), id); err != nil || record.State != rikki.Succeeded || string(record.Result) != `"done"` {
			t.Errorf("got %+v, %v", record, err)
		}
	})

	t.Run("AndCancelsWhatTakesLongerThanTheGrace", func(t *testing.T) {
		t.Parallel()
		begun := make(chan struct{}, 10)
		app := rikkitest.App(t, rikkitest.DB(t), rikki.Func("long", func(ctx context.Context, run *rikki.Run) (any, error) {
			begun <- struct{}{}
			return waitForEnd(ctx, run)
		}))
		id := enqueue(t, app, "long", nil)
		stop := serving(t, app, rikki.ServeOptions{Grace: 50 * time.Millisecond})
		<-begun
		waiting := enqueue(t, app, "long", nil)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		record, err := app.Record(t.Context(), id)
		if err != nil || record.State != rikki.Interrupted {
			t.Fatalf("got %s, %v", record.State, err)
		}
		if record, err := app.Record(t.Context(), waiting); err != nil || record.State != rikki.Queued {
			t.Errorf("what waited became %s, %v", record.State, err)
		}
		// It can't resume, so nobody takes it over; the next in the queue is taken.
		serving(t, app, rikki.ServeOptions{Grace: 50 * time.Millisecond})
		<-begun
		if record, err := app.Record(t.Context(), id); err != nil || record.State != rikki.Interrupted || record.Attempt != 1 {
			t.Errorf("got %+v, %v", record, err)
		}
	})

	t.Run("AndSaysWhichDidNotStop", func(t *testing.T) {
		t.Parallel()
		begun, end := make(chan struct{}), make(chan struct{})
		app := rikkitest.App(t, rikkitest.DB(t), &deaf{begun: begun, end: end})
		id := enqueue(t, app, "deaf", nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- app.Serve(ctx, &rikki.ServeOptions{Grace: time.Millisecond}) }()
		<-begun
		cancel(rikki.ErrInterrupted)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "did not stop") {
			t.Errorf("serve returned %v", err)
		}
		if record, err := app.Record(t.Context(), id); err != nil || !record.NotStopped {
			t.Errorf("got %+v, %v", record, err)
		}
		close(end)
	})
}

// deaf ignores its context.
type deaf struct{ begun, end chan struct{} }

func (*deaf) Options() rikki.Options { return rikki.Options{Grace: time.Millisecond} }

func (d *deaf) Execute(context.Context, *rikki.Run) (any, error) {
	close(d.begun)
	<-d.end
	return nil, nil
}

func TestServeOnAStandaloneServerPolls(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true})
	cfg := &rikki.Config{}
	cfg.Conn.URI, cfg.Conn.Database = server.URI(), "shop"
	app := rikki.New(cfg).MustAdd(&steps{})
	t.Cleanup(func() { closeApp(t, app) })
	serving(t, app, rikki.ServeOptions{})
	await(t, app, enqueue(t, app, "steps", nil), inState(rikki.Succeeded))
}

// The server's profiler counts what a process that has nothing to do asks of the history.
func TestServeAsksLittleWhenIdle(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	app := rikkitest.App(t, db, &steps{})
	history := db.Client().Database(db.Name() + "_history")
	looks := make(chan struct{})
	stop := serving(t, app, rikki.ServeOptions{Poll: 50 * time.Millisecond, Report: func(s rikki.ServeStatus) {
		if s.Draining {
			return
		}
		select {
		case looks <- struct{}{}:
		case <-t.Context().Done():
		}
	}})
	<-looks // the first one makes the indexes
	<-looks
	if err := history.RunCommand(t.Context(), bson.D{{Key: "profile", Value: 2}}).Err(); err != nil {
		t.Fatal(err)
	}
	const n = 20
	for range n {
		<-looks
	}
	if err := history.RunCommand(t.Context(), bson.D{{Key: "profile", Value: 0}}).Err(); err != nil {
		t.Fatal(err)
	}
	var drained sync.WaitGroup
	drained.Go(func() { // the loop must not be held up while it stops
		for range looks {
			continue
		}
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
	close(looks)
	drained.Wait()
	count := func(filter bson.D) int64 {
		got, err := history.Collection("system.profile").CountDocuments(context.Background(), filter)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	polls := count(bson.D{{Key: "command.comment", Value: bson.D{{Key: "$in", Value: bson.A{"rikki sweep", "rikki queue"}}}}, {Key: "op", Value: bson.D{{Key: "$ne", Value: "getmore"}}}})
	all := count(bson.D{{Key: "ns", Value: bson.D{{Key: "$not", Value: bson.Regex{Pattern: `system\.profile$`}}}}})
	if polls < n/2 || all > 3*n {
		t.Errorf("%d looks cost %d commands, %d of which look", n, all, polls)
	}
}

func TestServeReturnsWhatKeepsItFromBeginning(t *testing.T) {
	t.Parallel()
	cfg := &rikki.Config{}
	cfg.Conn.URI, cfg.Conn.Database = "mongodb://127.0.0.1:1/", "shop"
	cfg.Conn.ServerSelectionTimeout, cfg.Conn.ConnectFor = 200*time.Millisecond, 200*time.Millisecond
	app := rikki.New(cfg).MustAdd(&steps{})
	t.Cleanup(func() { closeApp(t, app) })
	if err := app.Serve(t.Context(), nil); err == nil {
		t.Error("no error, and no server")
	}
	closed := rikki.New(cfg).MustAdd(&steps{})
	closeApp(t, closed)
	if err := closed.Serve(t.Context(), nil); !errors.Is(err, rikki.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// The server stands still for longer than a lease lasts: what was under way is taken over afterwards, nothing is lost, and
// the process that serves needs no help.
func TestServeOutlastsAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, nil)
	cfg := &rikki.Config{LeaseTTL: 3 * time.Second}
	cfg.Conn.URI, cfg.Conn.Database = server.URI(), "shop"
	g := newGate(1)
	app := rikki.New(cfg).MustAdd(&steps{at: g.at})
	t.Cleanup(func() { closeApp(t, app) })
	unreachable := make(chan struct{})
	var once sync.Once
	stop := serving(t, app, rikki.ServeOptions{Report: func(s rikki.ServeStatus) {
		if s.Err != nil {
			once.Do(func() { close(unreachable) })
		}
	}})
	id, waiting := enqueue(t, app, "steps", nil), enqueue(t, app, "steps", nil)
	<-g.reached
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	<-unreachable // after the history's timeout, which is longer than a lease
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	record := await(t, app, id, inState(rikki.Succeeded))
	if record.Attempt < 2 || record.Counters["steps"] != 3 { // a busy machine may lose another lease
		t.Errorf("taken over: %+v", record)
	}
	if record := await(t, app, waiting, inState(rikki.Succeeded)); record.Attempt != 1 {
		t.Errorf("what waited: %+v", record)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
