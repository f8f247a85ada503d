package rikki_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

// historyOf returns the maker of apps on one history, and that.
func historyOf(t *testing.T) (newApp func(cfg rikki.Config, scripts ...rikki.Script) *rikki.App, history *mongo.Database) {
	t.Helper()
	db := rikkitest.DB(t)
	history = db.Client().Database(mongotest.Name(t))
	t.Cleanup(func() {
		if err := history.Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return func(cfg rikki.Config, scripts ...rikki.Script) *rikki.App {
		cfg.Conn, cfg.HistoryDatabase = conn.Config{URI: rikkitest.URI(t), Database: db.Name()}, history.Name()
		app := rikki.New(&cfg).MustAdd(scripts...)
		t.Cleanup(func() { closeApp(t, app) })
		return app
	}, history
}

// age makes all runs of a script so much older.
func age(t *testing.T, history *mongo.Database, script string, by time.Duration) {
	t.Helper()
	older := func(field string) bson.E {
		return bson.E{Key: field, Value: bson.D{{Key: "$subtract", Value: bson.A{"$" + field, by.Milliseconds()}}}}
	}
	_, err := history.Collection("runs").UpdateMany(t.Context(), bson.D{{Key: "script", Value: script}},
		bson.A{bson.D{{Key: "$set", Value: bson.D{older("created_at"), older("started_at"), older("ended_at")}}}})
	if err != nil {
		t.Fatal(err)
	}
}

func runOften(t *testing.T, app *rikki.App, script string, times int) {
	t.Helper()
	for range times {
		if _, err := app.Run(t.Context(), script, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func countRuns(t *testing.T, app *rikki.App) map[string]int {
	t.Helper()
	n := make(map[string]int)
	for r, err := range app.Runs(t.Context(), rikki.RunFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n[r.Script]++
	}
	return n
}

func chatty(name string, keep rikki.Retention) *worker {
	w := working(name, func(_ context.Context, run *rikki.Run, _ *worker) (any, error) {
		run.Log().Info("hello")
		return nil, nil
	})
	w.opts.Retention = keep
	return w
}

const day = 24 * time.Hour

func TestPruneByTheWishesOfScriptAndConfig(t *testing.T) {
	t.Parallel()
	newApp, history := historyOf(t)
	app := newApp(rikki.Config{Retention: rikki.Retention{MaxAge: 10 * day, MinRuns: 2, MaxRuns: 4}},
		chatty("plain", rikki.Retention{}), chatty("forever", rikki.Retention{MaxAge: -1, MaxRuns: -1, LogAge: -1}),
		chatty("strange", rikki.Retention{MaxAge: 1000 * day, MaxRuns: 3}), chatty("many", rikki.Retention{}))
	for _, script := range []string{"plain", "forever", "strange"} {
		runOften(t, app, script, 3)
		age(t, history, script, 100*day)
	}
	runOften(t, app, "many", 6)
	runOften(t, app, "strange", 1)

	want := rikki.Pruned{Runs: 4, Scripts: map[string]int64{"plain": 1, "many": 2, "strange": 1}}
	if got, err := app.PrunePreview(t.Context(), "", nil); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("preview %v, %s", err, cmp.Diff(want, got))
	}
	// A program that doesn't know a script prunes by the wish that its runs carry.
	other := newApp(rikki.Config{Retention: rikki.Retention{MaxAge: 10 * day, MinRuns: 2, MaxRuns: 4}})
	if got, err := other.PrunePreview(t.Context(), "", nil); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("preview of another program %v, %s", err, cmp.Diff(want, got))
	}
	got, err := app.Prune(t.Context(), "", nil)
	// Four log records with their runs, and by default logs are kept for 30 days: two of plain, two of strange.
	want.Records = 4 + 4
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("pruned %v, %s", err, cmp.Diff(want, got))
	}
	if diff := cmp.Diff(map[string]int{"plain": 2, "forever": 3, "strange": 3, "many": 4}, countRuns(t, app)); diff != "" {
		t.Error(diff)
	}
	for r, err := range app.Runs(t.Context(), rikki.RunFilter{Script: "plain"}) {
		if err != nil || !r.LogsPruned {
			t.Errorf("%+v, %v: the log is said to be there", r, err)
		}
	}
	// What the caller says comes first.
	if got, err := app.Prune(t.Context(), "forever", &rikki.Retention{MaxAge: day, MinRuns: 1}); err != nil || got.Runs != 2 {
		t.Errorf("pruned %+v, %v", got, err)
	}
	if got, err := app.Prune(t.Context(), "", nil); err != nil || got.Runs != 0 || got.Records != 0 {
		t.Errorf("nothing should be left to prune: %+v, %v", got, err)
	}
}

func TestPruneWithoutHistory(t *testing.T) {
	t.Parallel()
	if _, err := rikki.New(&rikki.Config{NoHistory: true}).Prune(t.Context(), "", nil); !errors.Is(err, rikki.ErrNoHistory) {
		t.Errorf("got %v", err)
	}
}

func TestServePrunes(t *testing.T) {
	t.Parallel()
	newApp, history := historyOf(t)
	app := newApp(rikki.Config{Retention: rikki.Retention{MinRuns: 1}}, chatty("plain", rikki.Retention{}))
	runOften(t, app, "plain", 3)
	age(t, history, "plain", 100*day)
	for range 2 { // processes
		serving(t, app, rikki.ServeOptions{PruneEvery: 200 * time.Millisecond})
	}
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for countRuns(t, app)["plain"] != 1 {
		select {
		case <-deadline:
			t.Fatalf("%v are left", countRuns(t, app))
		case <-tick.C:
		}
	}
}

// TestBatchKnowsWhatIsDoneWhenItsStepsWerePruned: the records of steps may go before that of
// their batch.
func TestBatchKnowsWhatIsDoneWhenItsStepsWerePruned(t *testing.T) {
	t.Parallel()
	newApp, _ := historyOf(t)
	pause := true
	app := newApp(rikki.Config{}, chatty("good", rikki.Retention{}), &worker{
		opts: rikki.Options{Name: "rests", Resumable: true},
		do: func(context.Context, *rikki.Run, *worker) (any, error) {
			if pause {
				return nil, rikki.ErrPaused
			}
			return nil, nil
		},
	}, working("bad", fails))
	steps := []rikki.Step{{Script: "good"}, {Script: "rests"}}
	paused, err := app.Batch(t.Context(), rikki.Batch{Steps: steps}, nil)
	if !errors.Is(err, rikki.ErrPaused) || paused.State != rikki.Paused {
		t.Fatalf("got %v, %v", story(paused), err)
	}
	failed, err := app.Batch(t.Context(), rikki.Batch{Steps: []rikki.Step{{Script: "good"}, {Script: "bad"}}}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	if got, err := app.Prune(t.Context(), "good", &rikki.Retention{MaxAge: time.Nanosecond, MinRuns: -1}); err != nil || got.Runs != 2 {
		t.Fatalf("pruned %+v, %v", got, err)
	}
	pause = false
	again, err := app.ResumeBatch(t.Context(), paused.Run, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantStory(t, again, "good succeeded earlier", "rests succeeded")
	again, err = app.ResumeBatch(t.Context(), failed.Run, nil)
	if err == nil {
		t.Fatal("no error")
	}
	wantStory(t, again, "good succeeded earlier", "bad failed")
}
