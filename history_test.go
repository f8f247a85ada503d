package rikki_test

import (
	"context"
	"errors"
	"testing"

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
