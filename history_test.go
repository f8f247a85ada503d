package rikki_test

import (
	"context"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestWithHistory(t *testing.T) {
	t.Parallel()

	t.Run("LendsTheHistorysDatabase", func(t *testing.T) {
		t.Parallel()
		db := mongotest.DB(t)
		app := rikki.New(&rikki.Config{HistoryDatabase: db.Name()})
		defer func() { _ = app.Close(context.Background()) }()
		want := errors.New("mine")
		err := app.WithHistory(t.Context(), func(_ context.Context, got *mongo.Database) error {
			if got.Name() != db.Name() {
				t.Errorf("database %s, want %s", got.Name(), db.Name())
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Errorf("error %v, want what the function returned", err)
		}
	})

	t.Run("SaysWhenThereIsNone", func(t *testing.T) {
		t.Parallel()
		app := rikki.New(&rikki.Config{NoHistory: true})
		defer func() { _ = app.Close(context.Background()) }()
		err := app.WithHistory(t.Context(), func(context.Context, *mongo.Database) error { return nil })
		if !errors.Is(err, rikki.ErrNoHistory) {
			t.Errorf("error %v, want ErrNoHistory", err)
		}
	})
}

// A script that keeps its place in the history has nothing to do where there is none, but for dry runs.
func TestScriptThatNeedsTheHistory(t *testing.T) {
	t.Parallel()
	script := &staged{journal: &journal{}, opts: rikki.Options{Name: "needy", NeedsHistory: true}}
	script.execute = func(context.Context, *rikki.Run) (any, error) { return nil, nil }
	off := rikki.New(&rikki.Config{NoHistory: true}).MustAdd(script)
	defer func() { _ = off.Close(context.Background()) }()
	for name, err := range map[string]error{
		"Config":     second(off.Run(t.Context(), "needy", nil)),
		"RunOptions": second(rikkitest.Try(t, rikkitest.DB(t), script, &rikki.RunOptions{NoHistory: true})),
	} {
		if !errors.Is(err, rikki.ErrNoHistory) {
			t.Errorf("%s: error %v, want ErrNoHistory", name, err)
		}
	}
	if _, err := rikkitest.Try(t, rikkitest.DB(t), script, &rikki.RunOptions{NoHistory: true, DryRun: true}); err != nil {
		t.Errorf("a dry run: %v", err)
	}
}

func second(_ *rikki.Result, err error) error { return err }

// Whoever sees that a run has ended may read all of its log, however slow the writes of logs are.
func TestTheLogIsThereWhenTheRunHasEnded(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, nil)
	cfg := &rikki.Config{}
	cfg.Conn.URI, cfg.Conn.Database, cfg.Conn.AppName = server.URI(), "shop", "talker"
	app := rikki.New(cfg).MustAdd(rikki.Func("talk", func(_ context.Context, run *rikki.Run) (any, error) {
		run.Log().Info("the last word")
		return nil, nil
	}))
	t.Cleanup(func() { closeApp(t, app) })
	if _, err := app.Run(t.Context(), "talk", nil); err != nil { // the indexes are there from now on
		t.Fatal(err)
	}
	if err := server.FailPoint(t.Context(), bson.D{
		{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: "alwaysOn"}, {Key: "data", Value: bson.D{
			{Key: "failCommands", Value: bson.A{"insert"}},
			{Key: "appName", Value: "talker-history"},
			{Key: "blockConnection", Value: true},
			{Key: "blockTimeMS", Value: 500},
		}},
	}); err != nil {
		t.Fatal(err)
	}
	begun := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := app.Run(t.Context(), "talk", &rikki.RunOptions{Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) {
			if e.Type == rikki.EventState && e.State == rikki.Running {
				begun <- e.Run
			}
		})}})
		ended <- err
	}()
	id := <-begun
	await(t, app, id, inState(rikki.Succeeded))
	words := 0
	for _, err := range app.Logs(t.Context(), id, rikki.LogFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		words++
	}
	if words != 1 {
		t.Errorf("the run has succeeded, and its log has %d records", words)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
