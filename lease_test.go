package rikki_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestRunThatLosesItsLeaseStopsAndChangesNoRecord(t *testing.T) {
	t.Parallel()
	db, history := rikkitest.DB(t), mongotest.Name(t)
	runs := db.Client().Database(history).Collection("runs")
	var cause func() error
	script := rikki.Func("loser", func(ctx context.Context, run *rikki.Run) (any, error) {
		cause = func() error { return context.Cause(ctx) }
		// Somebody who takes the run over does so with the next epoch.
		res, err := runs.UpdateByID(ctx, run.ID(), bson.D{
			{Key: "$inc", Value: bson.D{{Key: "lease.epoch", Value: 1}}},
			{Key: "$set", Value: bson.D{{Key: "lease.owner.instance", Value: "somebody else"}}},
		})
		if err != nil || res.ModifiedCount != 1 {
			return nil, errors.Join(err, errors.New("the test could not take the run over"))
		}
		return waitForEnd(ctx, run)
	})
	app := rikki.New(&rikki.Config{
		Conn: conn.Config{URI: rikkitest.URI(t), Database: db.Name()}, HistoryDatabase: history, LeaseTTL: 3 * time.Second,
	}).MustAdd(script)
	t.Cleanup(func() {
		closeApp(t, app)
		if err := db.Client().Database(history).Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	result, err := app.Run(t.Context(), "loser", nil)
	if !errors.Is(err, rikki.ErrLeaseLost) || result.Recorded || result.State != rikki.Interrupted {
		t.Fatalf("result %+v, error %v; want the lease lost and nothing recorded", result, err)
	}
	if !errors.Is(cause(), rikki.ErrLeaseLost) {
		t.Errorf("the script's context ended because of %v", cause())
	}
	var stored struct {
		State string `bson:"state"`
		Lease struct {
			Epoch int64 `bson:"epoch"`
		} `bson:"lease"`
	}
	if err := runs.FindOne(t.Context(), bson.D{{Key: "_id", Value: result.Run}}).Decode(&stored); err != nil {
		t.Fatal(err)
	}
	if stored.State != "running" || stored.Lease.Epoch != 2 {
		t.Errorf("the stale owner changed the record: %+v", stored)
	}
}
