package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/rikkitest"
)

// stoppedUndo is an undo that was interrupted in its third chunk; meanwhile is called there, while the undo is under way.
func stoppedUndo(t *testing.T, app *rikki.App, run string, meanwhile func()) string {
	t.Helper()
	var chunks atomic.Int64
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	unhook := point.Hook(func(name string) {
		if name == "undo.chunk" && chunks.Add(1) == 3 {
			meanwhile()
			cancel(rikki.ErrInterrupted)
		}
	})
	defer unhook()
	result, err := backfill.Undo(ctx, app, run, &rikki.RunOptions{Params: &backfill.UndoRun{Chunk: 20, Workers: 1}})
	if !errors.Is(err, rikki.ErrInterrupted) {
		t.Fatalf("%+v, %v", result, err)
	}
	return result.Run
}

// everything prunes whatever may be pruned.
func everything(t *testing.T, app *rikki.App) {
	t.Helper()
	if _, err := app.Prune(t.Context(), "", &rikki.Retention{MaxAge: time.Nanosecond, MinRuns: -1}); err != nil {
		t.Error(err)
	}
}

// TestAPruneLeavesWhatAnUndoReads: while it is under way, while it is interrupted, paused or queued, and of an undo of an undo.
func TestAPruneLeavesWhatAnUndoReads(t *testing.T) { //nolint:paralleltest // the points of the code are one for the process
	db := rikkitest.DB(t)
	seedChurn(t, db, 300)
	before := contents(t, db)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&churn{}))
	run := runChurn(t, app, nil)
	after := contents(t, db)

	undo := stoppedUndo(t, app, run, func() { everything(t, app) })
	everything(t, app)
	if preview, err := app.PrunePreview(t.Context(), "", &rikki.Retention{MaxAge: time.Nanosecond, MinRuns: -1}); err != nil || !strings.Contains(preview.Kept[run], undo) {
		t.Errorf("the preview says %+v, %v", preview, err)
	}
	if _, err := app.Pause(t.Context(), undo, nil); err != nil {
		t.Fatal(err)
	}
	everything(t, app)
	if _, err := app.Resume(t.Context(), undo, nil); err != nil {
		t.Fatal(err)
	}
	everything(t, app)
	if result, err := app.Continue(t.Context(), undo, nil); err != nil || contents(t, db) != before {
		t.Fatalf("%+v, %v", result, err)
	}

	redo := stoppedUndo(t, app, undo, func() { everything(t, app) })
	everything(t, app)
	if result, err := app.Continue(t.Context(), redo, nil); err != nil || contents(t, db) != after {
		t.Fatalf("the undo of the undo: %+v, %v", result, err)
	}
	queued, err := backfill.QueueUndo(t.Context(), app, redo, nil)
	if err != nil {
		t.Fatal(err)
	}
	everything(t, app)
	if result, err := app.Continue(t.Context(), queued, nil); err != nil || contents(t, db) != before {
		t.Fatalf("a queued one: %+v, %v", result, err)
	}
	everything(t, app)
	if _, err := app.Record(t.Context(), run); !errors.Is(err, rikki.ErrNotFound) {
		t.Errorf("the run is kept though nobody needs it: %v", err)
	}
}

// TestAPruneLeavesTheFailuresThatAreTriedAgain: a queued run with --failed-of, without a parent, keeps that run.
func TestAPruneLeavesTheFailuresThatAreTriedAgain(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 30)
	var repaired atomic.Bool
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things"}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		if doc.Lookup("_id").AsInt64() == 7 && !repaired.Load() {
			return backfill.None(), errors.New("not seven")
		}
		return increment(ctx, doc)
	}))
	run, err := app.Run(t.Context(), "scripted", nil)
	if !isPartial(err, 1) {
		t.Fatal(err)
	}
	repaired.Store(true)
	queued, err := app.Enqueue(t.Context(), "scripted", &rikki.RunOptions{Params: map[string]any{"failed-of": run.Run}})
	if err != nil {
		t.Fatal(err)
	}
	everything(t, app)
	if result, err := app.Continue(t.Context(), queued, nil); err != nil || result.Value.(*backfill.Summary).Changed != 1 {
		t.Errorf("%+v, %v", result, err)
	}
	once(t, db.Collection("things"), 30)
}

// TestAnUndoNoticesThatItsJournalIsGone: whoever deletes a part of it while it is undone. It says how much is left, and doesn't succeed.
func TestAnUndoNoticesThatItsJournalIsGone(t *testing.T) { //nolint:paralleltest // the points of the code are one for the process
	for _, which := range []string{"the oldest", "all that is left"} {
		t.Run(which, func(t *testing.T) { //nolint:paralleltest // see above
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), 200)
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Chunk: 10, Workers: 1}, increment))
			run, err := app.Run(t.Context(), "scripted", nil)
			if err != nil {
				t.Fatal(err)
			}
			journal := db.Client().Database(db.Name() + "_history").Collection("journal")
			var chunks atomic.Int64
			unhook := point.Hook(func(name string) {
				if name != "undo.chunk" || chunks.Add(1) != 2 {
					return
				}
				filter := bson.D{{Key: "_id.r", Value: run.Run}}
				if which == "the oldest" {
					filter = append(filter, bson.E{Key: "c", Value: bson.D{{Key: "$lt", Value: 2}}})
				}
				if _, err := journal.DeleteMany(t.Context(), filter); err != nil {
					t.Error(err)
				}
			})
			result, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{Params: &backfill.UndoRun{Chunk: 7, Workers: 1}})
			unhook()
			if !errors.Is(err, backfill.ErrNoUndo) || result.State != rikki.Failed || !strings.Contains(err.Error(), "lost") && !strings.Contains(err.Error(), "pruned") {
				t.Errorf("%+v, %v", result, err)
			}
		})
	}
}

// again changes each document so many times: each item is another value for one of few documents.
func again(docs, times int) rikki.Script {
	items := backfill.Items(func(_ context.Context, after bson.RawValue) iter.Seq2[backfill.Item, error] {
		return func(yield func(backfill.Item, error) bool) {
			from := 0
			if !after.IsZero() {
				from = int(after.AsInt64())
			}
			for i := from + 1; i <= docs*times; i++ {
				if !yield(backfill.Item{Key: i, Value: bson.D{{Key: "to", Value: i}}}, nil) {
					return
				}
			}
		}
	})
	return function(backfill.Options{Collection: "things", Source: items, Chunk: docs}, func(_ context.Context, item bson.Raw) (backfill.Change, error) {
		to := item.Lookup("to").AsInt64()
		return backfill.Set("v", to).For(to % int64(docs)), nil
	})
}

// TestUndosThatFollowOneAnother: what any of the earlier undos took back is not taken for a change of others, however often the run changed a
// document, and however the undos ended.
func TestUndosThatFollowOneAnother(t *testing.T) { //nolint:paralleltest // the points of the code are one for the process
	const docs, times = 50, 40
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, docs)
	before := raws(t, things)
	app := rikkitest.App(t, db, again(docs, times))
	run, err := app.Run(t.Context(), "scripted", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := things.UpdateByID(t.Context(), 7, bson.D{{Key: "$set", Value: bson.D{{Key: "v", Value: "others'"}}}}); err != nil {
		t.Fatal(err)
	}
	first, err := backfill.Undo(t.Context(), app, run.Run, nil)
	if !isPartial(err, times) {
		t.Fatalf("%+v, %v", first, err)
	}
	second := stoppedUndo(t, app, run.Run, func() {})
	if _, err := app.Cancel(t.Context(), second, nil); err != nil {
		t.Fatal(err)
	}
	third, err := backfill.Undo(t.Context(), app, run.Run, nil)
	if !isPartial(err, times) {
		t.Fatalf("the third undo: %+v, %v", third, err)
	}
	// The document is as the run left it again: now all of it can be taken back.
	if _, err := things.UpdateByID(t.Context(), 7, bson.D{{Key: "$set", Value: bson.D{{Key: "v", Value: int64(docs*times - docs + 7)}}}}); err != nil {
		t.Fatal(err)
	}
	if fourth, err := backfill.Undo(t.Context(), app, run.Run, nil); err != nil || undone(t, fourth).Changed == 0 {
		t.Fatalf("the fourth undo: %+v, %v", fourth, err)
	}
	asBefore(t, things, before)
}

// TestAnUndoneUndoCountsNoMore: the run is undone by a first undo, in part, and by a second, which leaves the rest to the first; then the first is
// undone. What it gave back must be taken again by a third.
func TestAnUndoneUndoCountsNoMore(t *testing.T) { //nolint:paralleltest // the points of the code are one for the process
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 300)
	before := raws(t, things)
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Chunk: 10, Workers: 1}, increment))
	run, err := app.Run(t.Context(), "scripted", nil)
	if err != nil {
		t.Fatal(err)
	}
	first := stoppedUndo(t, app, run.Run, func() {})
	if _, err := app.Cancel(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	second, err := backfill.Undo(t.Context(), app, run.Run, nil)
	if err != nil || undone(t, second).Changed == 300 {
		t.Fatalf("%+v, %v", second, err)
	}
	asBefore(t, things, before)
	if redo, err := backfill.Undo(t.Context(), app, first, nil); err != nil || undone(t, redo).Changed == 0 {
		t.Fatalf("%+v, %v", redo, err)
	}
	third, err := backfill.Undo(t.Context(), app, run.Run, nil)
	if err != nil || undone(t, third).Changed == 0 {
		t.Errorf("%+v, %v", third, err)
	}
	asBefore(t, things, before)
}

// TestARedoAndAnUndoGiveWayToEachOther: what an undo has taken back isn't given back while another undo of the same run is under way or rests, and the
// run isn't undone meanwhile either.
func TestARedoAndAnUndoGiveWayToEachOther(t *testing.T) { //nolint:paralleltest // the points of the code are one for the process
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 300)
	before := raws(t, things)
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Chunk: 10, Workers: 1}, increment))
	run, err := app.Run(t.Context(), "scripted", nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, of, says string) {
		t.Helper()
		for _, dry := range []bool{false, true} {
			result, err := backfill.Undo(t.Context(), app, of, &rikki.RunOptions{DryRun: dry})
			if !errors.Is(err, backfill.ErrNoUndo) || !strings.Contains(err.Error(), says) || result != nil {
				t.Errorf("%s, dry run %t: %+v, %v", what, dry, result, err)
			}
		}
	}
	cancel := func(id string) {
		t.Helper()
		if _, err := app.Cancel(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
	}
	first := stoppedUndo(t, app, run.Run, func() {})
	cancel(first)
	second := stoppedUndo(t, app, run.Run, func() {
		refused("a redo beside an undo", first, "which undoes "+run.Run+", is running; wait for it")
	})
	refused("a redo beside an undo that rests", first, second+", which undoes "+run.Run+", is interrupted; resume or cancel it")
	cancel(second)
	redo := stoppedUndo(t, app, first, func() {
		refused("an undo beside a redo", run.Run, "which undoes "+first+", is running; wait for it")
	})
	refused("an undo beside a redo that rests", run.Run, redo+", which undoes "+first+", is interrupted; resume or cancel it")
	if result, err := app.Continue(t.Context(), redo, nil); err != nil {
		t.Fatalf("%+v, %v", result, err)
	}
	if last, err := backfill.Undo(t.Context(), app, run.Run, nil); err != nil || undone(t, last).Conflicts != 0 {
		t.Errorf("%+v, %v", last, err)
	}
	asBefore(t, things, before)
}

// TestAnUndoWithSeveralWorkers: a run over a collection is undone by several workers at a time, byte for byte, whoever goes on with it with
// how many.
func TestAnUndoWithSeveralWorkers(t *testing.T) { //nolint:paralleltest // the points of the code are one for the process
	db := rikkitest.DB(t)
	things := db.Collection("things")
	for i := range 2000 {
		insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "n", Value: i}, {Key: "name", Value: fmt.Sprint("name ", i)}})
	}
	before := raws(t, things)
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Chunk: 20, Workers: 2}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
		if doc.Lookup("_id").AsInt64()%5 == 0 {
			return backfill.Delete(), nil
		}
		return backfill.Unset("n").Set("name", 5), nil
	}))
	run, err := app.Run(t.Context(), "scripted", nil)
	if err != nil {
		t.Fatal(err)
	}
	// Two chunks are at this point at the same time; or else one waits there until all is done, which the test would notice.
	var mu sync.Mutex
	met, alone := make(chan struct{}), 0
	var chunks atomic.Int64
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	unhook := point.Hook(func(name string) {
		if name != "undo.chunk" {
			return
		}
		mu.Lock()
		alone++
		if alone == 2 {
			close(met)
		}
		mu.Unlock()
		select {
		case <-met:
		case <-ctx.Done():
		}
		if chunks.Add(1) == 6 {
			cancel(rikki.ErrInterrupted)
		}
	})
	result, err := backfill.Undo(ctx, app, run.Run, &rikki.RunOptions{Params: &backfill.UndoRun{Chunk: 20, Workers: 2}})
	unhook()
	if !errors.Is(err, rikki.ErrInterrupted) {
		t.Fatalf("%+v, %v", result, err)
	}
	if result, err = app.Continue(t.Context(), result.Run, nil); err != nil || undone(t, result).Matched != 2000 {
		t.Fatalf("%+v, %v", result, err)
	}
	asBefore(t, things, before)
	if redo, err := backfill.Undo(t.Context(), app, result.Run, &rikki.RunOptions{Params: &backfill.UndoRun{Workers: 4}}); err != nil || undone(t, redo).Matched != 2000 {
		t.Fatalf("%+v, %v", redo, err)
	}
	if again, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{Params: &backfill.UndoRun{Workers: 3}}); err != nil || undone(t, again).Matched != 2000 {
		t.Fatalf("%+v, %v", again, err)
	}
	asBefore(t, things, before)
}

// TestAnUndoKeepsTheOrderWhereItMatters: however many workers it may have, what a run changed more than once, what it wrote elsewhere and what a
// unique index knows comes back in its order.
func TestAnUndoKeepsTheOrderWhereItMatters(t *testing.T) {
	t.Parallel()
	count := func(t *testing.T, db *mongo.Database, run string) int64 {
		t.Helper()
		n, err := db.Client().Database(db.Name()+"_history").Collection("partitions").CountDocuments(t.Context(), bson.D{{Key: "_id.r", Value: run}, {Key: "_id.n", Value: bson.D{{Key: "$gte", Value: 0}}}})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for name, script := range map[string]rikki.Script{
		"Rows": again(50, 20),
		"Key":  function(backfill.Options{Collection: "things", Key: "k", Chunk: 10}, increment),
		"Also": function(backfill.Options{Collection: "things", Chunk: 10}, func(_ context.Context, _ bson.Raw) (backfill.Change, error) {
			return backfill.None().AlsoUpdate("totals", "all", bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}), nil
		}),
		"Elsewhere": function(backfill.Options{Collection: "things", Chunk: 10, Workers: 1}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
			return backfill.Set("v", doc.Lookup("_id")).For(0), nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			if _, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
				t.Fatal(err)
			}
			for i := range 300 {
				insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "k", Value: 300 - i}})
			}
			insert(t, db.Collection("totals"), bson.D{{Key: "_id", Value: "all"}, {Key: "n", Value: 0}})
			before, totals := raws(t, things), raws(t, db.Collection("totals"))
			app := rikkitest.App(t, db, script)
			run, err := app.Run(t.Context(), "scripted", nil)
			if err != nil {
				t.Fatal(err)
			}
			undo, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{Params: &backfill.UndoRun{Workers: 4, Chunk: 10}})
			if err != nil {
				t.Fatalf("%+v, %v", undo, err)
			}
			asBefore(t, things, before)
			asBefore(t, db.Collection("totals"), totals)
			if n := count(t, db, undo.Run); n != 1 {
				t.Errorf("%d partitions", n)
			}
		})
	}
}
