package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// halting is a backfill in chunks of ten that stands still at its 45th document until it is stopped or told to go on.
func halting(reached chan<- struct{}, on *atomic.Bool) rikki.Script {
	opts := backfill.Options{Collection: "things", Chunk: 10, Workers: 1, Script: rikki.Options{Drain: time.Millisecond}}
	return function(opts, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		if doc.Lookup("_id").AsInt64() == 45 && !on.Load() {
			select {
			case reached <- struct{}{}:
			default:
			}
			<-ctx.Done()
			return backfill.None(), context.Cause(ctx)
		}
		return increment(ctx, doc)
	})
}

// halfDone tells whether some documents are counted and others are not.
func halfDone(t *testing.T, things *mongo.Collection) bool {
	t.Helper()
	_, least, most := each(t, things)
	if most > 1 {
		t.Fatalf("a document was done %d times", most)
	}
	return least == 0 && most == 1
}

// A step that the time budget of its batch stops half-way goes on at its cursors when the batch is resumed.
func TestABatchOutOfTimeGoesOnAtTheCursorsOfItsSteps(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 100)
	var on atomic.Bool
	app := rikkitest.App(t, db, halting(nil, &on))
	batch := rikki.Batch{Steps: []rikki.Step{{Script: "scripted"}}}
	var first *rikki.BatchResult
	for budget := time.Second; !halfDone(t, things); budget *= 2 { // until it was long enough for some chunks
		var err error
		if first, err = app.Batch(t.Context(), batch, &rikki.RunOptions{Timeout: budget}); !errors.Is(err, rikki.ErrTimeout) || first.State != rikki.Failed {
			t.Fatalf("%+v, %v", first, err)
		}
	}
	step := first.Steps[0]
	if step.State != rikki.Interrupted || !strings.Contains(step.Failure.Message, "time budget of the batch") {
		t.Fatalf("the step: %+v, %+v", step.Result, step.Failure)
	}
	on.Store(true)
	second, err := app.ResumeBatch(t.Context(), first.Run, &rikki.RunOptions{Timeout: time.Minute}) // as long as a busy machine may need
	if err != nil || second.Steps[0].Run != step.Run {
		t.Errorf("%+v, %v", second, err)
	}
	once(t, things, 100)
}

// A step that was cancelled half-way has ended for good. No batch begins it anew, however often it is resumed, until it was undone.
func TestABatchDoesNoDocumentsTwice(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 100)
	var on atomic.Bool
	reached := make(chan struct{}, 1)
	app := rikkitest.App(t, db, halting(reached, &on))
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-reached
		cancel(rikki.ErrCancelled)
	}()
	result, err := app.Batch(ctx, rikki.Batch{Steps: []rikki.Step{{Script: "scripted"}}}, nil)
	if !errors.Is(err, rikki.ErrCancelled) || result.Steps[0].State != rikki.Cancelled || !halfDone(t, things) {
		t.Fatalf("%+v, %v", result, err)
	}
	step := result.Steps[0].Run
	done, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}) // how many chunks there were is the plan's
	if err != nil {
		t.Fatal(err)
	}
	on.Store(true)
	for range 2 { // what is known of the step is handed on
		if result, err = app.ResumeBatch(t.Context(), result.Run, nil); err == nil || result.State != rikki.Failed {
			t.Fatalf("%+v, %v", result, err)
		}
		if f := result.Steps[0].Failure; f == nil || !strings.Contains(f.Message, fmt.Sprintf("run %s has done %d documents", step, done)) || !strings.Contains(f.Message, "undo it first") {
			t.Errorf("the step says %+v", f)
		}
		if !halfDone(t, things) {
			t.Error("it was begun anew")
		}
	}
	if _, err := backfill.Undo(t.Context(), app, step, nil); err != nil {
		t.Fatal(err)
	}
	if result, err = app.ResumeBatch(t.Context(), result.Run, nil); err != nil || result.Steps[0].Run == step {
		t.Errorf("%+v, %v", result, err)
	}
	once(t, things, 100)
	// A retry repeats all of a batch.
	if _, err := app.Retry(t.Context(), result.Run, nil); !errors.Is(err, rikki.ErrState) || !strings.Contains(err.Error(), "batch --resume="+result.Run) {
		t.Errorf("a retry: %v", err)
	}
}
