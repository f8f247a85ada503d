package rikki_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

// TestCancelAnywhere cancels runs at random moments, from before they connect
// until after they have ended: each must return, and whatever was begun must
// have its end in the history.
func TestCancelAnywhere(t *testing.T) {
	t.Parallel()
	const workers, rounds = 8, 50
	db := rikkitest.DB(t)
	script := &staged{journal: &journal{}, opts: rikki.Options{Name: "cancelled", Concurrency: -1}}
	script.execute = func(ctx context.Context, run *rikki.Run) (any, error) {
		for range 5 {
			if _, err := run.DB().Collection("c").InsertOne(ctx, bson.M{"run": run.ID()}); err != nil {
				return nil, err
			}
			run.Log().Info("inserted")
			run.Progress().Add(1)
		}
		return run.ID(), nil
	}
	app := rikkitest.App(t, db, script)
	if _, err := app.Run(t.Context(), "cancelled", nil); err != nil { // the indexes are there from now on
		t.Fatal(err)
	}

	var mu sync.Mutex
	outcomes := make(map[rikki.State]int)
	begun := make(map[string]rikki.State)
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 7))
			for round := range rounds {
				ctx, cancel := context.WithCancel(t.Context())
				at := time.Duration(random.Int64N(int64(40 * time.Millisecond)))
				if round%10 == 0 {
					at = time.Hour // however slow the machine is, some runs come to their end
				}
				timer := time.AfterFunc(at, cancel)
				result, err := app.Run(ctx, "cancelled", nil)
				timer.Stop()
				cancel()
				mu.Lock()
				if result == nil {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("a run that never began: %v", err)
					}
					outcomes["never begun"]++
					mu.Unlock()
					continue
				}
				outcomes[result.State]++
				begun[result.Run] = result.State
				if result.State == rikki.Failed || !result.Recorded || !result.Stopped || (err == nil) != (result.State == rikki.Succeeded) {
					t.Errorf("result %+v, error %v", result, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Log(outcomes)
	if outcomes[rikki.Cancelled] == 0 || outcomes[rikki.Succeeded] == 0 {
		t.Errorf("outcomes %v: runs must have been cancelled, and must have succeeded", outcomes)
	}

	for record, err := range app.Runs(t.Context(), rikki.RunFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if !record.State.Final() {
			t.Errorf("run %s is left %s", record.ID, record.State)
		}
		if state, ok := begun[record.ID]; ok && state != record.State {
			t.Errorf("run %s ended %s, and the history says %s", record.ID, state, record.State)
		}
	}
	if status := app.Conn().Status(); status.References != 0 {
		t.Errorf("%d references are left", status.References)
	}
}

// A connection goes to whoever is next when a deadline has passed on it, once the answer has come after all, and when a command was
// given up before it was sent. A cancelled run must not kill what it does then.
func TestCancellingARunKillsNothingOfAnother(t *testing.T) {
	t.Parallel()
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		cancelBeside(t, func(ctx context.Context, run *rikki.Run, _ func(context.CancelFunc)) error {
			short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			if _, err := run.DB().Collection("c").InsertOne(short, bson.M{}); !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("an insert that takes longer than its deadline: %w", err)
			}
			return nil
		})
	})
	t.Run("never sent", func(t *testing.T) {
		t.Parallel()
		cancelBeside(t, func(ctx context.Context, run *rikki.Run, beforeInsert func(context.CancelFunc)) error {
			short, cancel := context.WithCancel(ctx)
			defer cancel()
			beforeInsert(cancel)
			if _, err := run.DB().Collection("c").InsertOne(short, bson.M{}); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("an insert whose context ends before it is sent: %w", err)
			}
			return nil
		})
	})
}

// cancelBeside cancels a run after it has given a command up, while another one uses that command's connection. beforeInsert says what
// to do when an insert has a connection and isn't sent yet.
func cancelBeside(t *testing.T, giveUp func(ctx context.Context, run *rikki.Run, beforeInsert func(context.CancelFunc)) error) {
	t.Helper()
	server := mongotest.Dedicated(t, nil)
	var insert atomic.Value
	insert.Store(context.CancelFunc(func() {}))
	cfg := &rikki.Config{}
	cfg.Conn.URI, cfg.Conn.Database, cfg.Conn.AppName, cfg.Conn.PoolSize = server.URI(), "shop", "neighbours", 2
	cfg.Conn.Monitor = &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		if e.CommandName == "insert" {
			insert.Load().(context.CancelFunc)()
		}
	}}
	passed := make(chan struct{})
	app := rikki.New(cfg).MustAdd(
		rikki.Func("first", func(ctx context.Context, run *rikki.Run) (any, error) {
			if err := giveUp(ctx, run, func(f context.CancelFunc) { insert.Store(f) }); err != nil {
				return nil, err
			}
			close(passed)
			<-ctx.Done()
			return nil, ctx.Err()
		}),
		rikki.Func("second", func(ctx context.Context, run *rikki.Run) (any, error) {
			return nil, run.DB().Collection("c").Distinct(ctx, "x", bson.D{}).Err()
		}),
	)
	t.Cleanup(func() { closeApp(t, app) })
	if err := server.FailPoint(t.Context(), bson.D{
		{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: "alwaysOn"}, {Key: "data", Value: bson.D{
			{Key: "failCommands", Value: bson.A{"insert", "distinct"}},
			{Key: "appName", Value: "neighbours"},
			{Key: "blockConnection", Value: true},
			{Key: "blockTimeMS", Value: 350},
		}},
	}); err != nil {
		t.Fatal(err)
	}
	admin, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Disconnect(context.Background()) }) // only reads
	free := occupy(t, app, admin)
	var both sync.WaitGroup
	defer both.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	both.Go(func() {
		if _, err := app.Run(ctx, "first", &rikki.RunOptions{NoHistory: true}); !errors.Is(err, rikki.ErrCancelled) {
			t.Errorf("the run that was cancelled: %v", err)
		}
	})
	select {
	case <-passed:
	case <-time.After(time.Minute):
		t.Error("the first run never gave its command up")
		return
	}
	both.Go(func() {
		if _, err := app.Run(t.Context(), "second", &rikki.RunOptions{NoHistory: true}); err != nil {
			t.Errorf("the run beside it: %v", err)
		}
	})
	underWay(t, admin, bson.D{{Key: "command.distinct", Value: "c"}})
	free()
	cancel()
}

// occupy takes one of an app's connections until free is called, so that there is only the other one for everybody else.
func occupy(t *testing.T, app *rikki.App, admin *mongo.Client) (free func()) {
	t.Helper()
	ref, err := app.Conn().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stream, err := ref.DB().Collection("c").Watch(ctx, mongo.Pipeline{{{Key: "$match", Value: bson.D{{Key: "never", Value: 1}}}}},
		options.ChangeStream().SetMaxAwaitTime(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() { stream.Next(ctx) })
	free = sync.OnceFunc(func() {
		stop()
		waiting.Wait()
		last := context.WithoutCancel(t.Context())
		_ = stream.Close(last) // it was cut off
		if err := ref.Release(last); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(free)
	underWay(t, admin, bson.D{{Key: "command.getMore", Value: bson.D{{Key: "$exists", Value: true}}}, {Key: "ns", Value: "shop.c"}})
	return free
}

// underWay waits until the server is at a command.
func underWay(t *testing.T, admin *mongo.Client, command bson.D) {
	t.Helper()
	for found := false; !found; {
		cursor, err := admin.Database("admin").Aggregate(t.Context(), mongo.Pipeline{{{Key: "$currentOp", Value: bson.D{}}}, {{Key: "$match", Value: command}}})
		if err != nil {
			t.Fatal(err)
		}
		found = cursor.Next(t.Context())
		_ = cursor.Close(t.Context())
	}
}
