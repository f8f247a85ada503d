package rikki_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
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
			for range rounds {
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration(random.Int64N(int64(40*time.Millisecond))), cancel)
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
