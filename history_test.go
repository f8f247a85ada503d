package rikki_test

import (
	"context"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/mongotest"
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
