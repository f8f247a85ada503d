package rikkitest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// DB returns an empty database for this test alone, dropped at its end. All
// tests of a binary share one server, which the first one starts.
func DB(t testing.TB) *mongo.Database {
	t.Helper()
	return mongotest.DB(t)
}

// URI returns the address of the server of [DB], without a database.
func URI(t testing.TB) string {
	t.Helper()
	return mongotest.URI(t)
}

// App returns an app whose scripts work on db, with a run history of its own
// that disappears with the test. Its log goes to the test's output.
func App(t testing.TB, db *mongo.Database, scripts ...rikki.Script) *rikki.App {
	t.Helper()
	app := rikki.New(&rikki.Config{
		Conn:            conn.Config{URI: URI(t), Database: db.Name()},
		HistoryDatabase: db.Name() + "_history",
		Actor:           "test",
		Log:             slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err := app.Add(scripts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := app.Close(ctx); err != nil {
			t.Error("closing the app:", err)
		}
		if err := db.Client().Database(db.Name() + "_history").Drop(ctx); err != nil {
			t.Error("dropping the history:", err)
		}
	})
	return app
}

// Run runs script on db and returns its result. The test ends at once if the
// run fails. Zero fields of the script mean their defaults.
func Run(t testing.TB, db *mongo.Database, script rikki.Script) *rikki.Result {
	t.Helper()
	result, err := Try(t, db, script, nil)
	if err != nil {
		t.Fatalf("running %T: %v", script, err)
	}
	return result
}

// Try is like [Run] for runs that may fail or that differ from the usual: it
// returns what [rikki.App.Run] does.
func Try(t testing.TB, db *mongo.Database, script rikki.Script, opts *rikki.RunOptions) (*rikki.Result, error) {
	t.Helper()
	app := App(t, db, script)
	name := ""
	if c, ok := script.(rikki.Configured); ok {
		name = c.Options().Name
	}
	if name == "" {
		name = app.Scripts()[0].Name
	}
	return app.Run(t.Context(), name, opts)
}
