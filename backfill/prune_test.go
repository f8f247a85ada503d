package backfill_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// TestPruningTakesTheJournalAlong: with a run goes all that it has kept, and with a run that stays nothing.
func TestPruningTakesTheJournalAlong(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 60)
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things"}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		if doc.Lookup("_id").Int32() == 7 {
			return backfill.None(), errors.New("not seven")
		}
		return increment(ctx, doc)
	}))
	history := db.Client().Database(db.Name() + "_history")
	kept := func(run string) (all bool, none bool) {
		all, none = true, true
		for _, name := range []string{"journal", "failures", "partitions"} {
			n, err := history.Collection(name).CountDocuments(t.Context(), bson.D{{Key: "_id.r", Value: run}})
			if err != nil {
				t.Fatal(err)
			}
			all, none = all && n > 0, none && n == 0
		}
		return all, none
	}
	var runs []string
	for range 2 {
		result, err := app.Run(t.Context(), "scripted", nil)
		if _, ok := errors.AsType[*rikki.PartialError](err); !ok {
			t.Fatal(err)
		}
		if all, _ := kept(result.Run); !all {
			t.Fatal("the run has kept no journal, no failures or no partitions")
		}
		runs = append(runs, result.Run)
	}
	pruned, err := app.Prune(t.Context(), "scripted", &rikki.Retention{MaxAge: time.Nanosecond, MinRuns: 1})
	if err != nil || pruned.Runs != 1 {
		t.Fatalf("pruned %+v, %v", pruned, err)
	}
	if _, none := kept(runs[0]); !none {
		t.Error("something of the pruned run is left")
	}
	if all, _ := kept(runs[1]); !all {
		t.Error("something of the run that stays is gone")
	}
	if _, err := backfill.Undo(t.Context(), app, runs[0], nil); !errors.Is(err, rikki.ErrNotFound) {
		t.Errorf("its undo: %v", err)
	}
	if _, err := backfill.Undo(t.Context(), app, runs[1], nil); err != nil {
		t.Errorf("the undo of the run that stays: %v", err)
	}
}
