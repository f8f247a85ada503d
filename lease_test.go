package rikki_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

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

// stopper is how the clients of a process connect that is stopped while it opens the connections of a run: the history's waits for the
// stop, and the scripts' causes it.
type stopper struct {
	net.Dialer
	history bool
	stopped context.Context
	stop    context.CancelFunc
}

func (s *stopper) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if !s.history {
		s.stop()
	}
	<-s.stopped.Done()
	return s.Dialer.DialContext(ctx, network, address)
}

func TestRunWhoseProcessIsStoppedWhileItConnectsIsGivenBackAtOnce(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	script := rikki.Func("never", func(context.Context, *rikki.Run) (any, error) { return nil, errors.New("the script has begun") })
	id := enqueue(t, rikkitest.App(t, db, script), "never", nil)

	stopped, stop := context.WithCancel(t.Context())
	cfg, histories := configOf(t, db), 0
	cfg.Conn.ClientOptions = func(o *options.ClientOptions) {
		history := strings.HasSuffix(*o.AppName, "-history")
		if history {
			histories++
		}
		if !history || histories > 1 { // the first one takes the run
			o.SetDialer(&stopper{history: history, stopped: stopped, stop: stop})
		}
	}
	app := rikki.New(cfg).MustAdd(script)
	t.Cleanup(func() { closeApp(t, app) })
	if _, err := app.Continue(stopped, id, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the run was continued: %v", err)
	}
	record, err := app.Record(t.Context(), id)
	if err != nil || record.State != rikki.Interrupted || record.Error == nil || record.Error.Kind != "connection" {
		t.Errorf("the run is %s (%+v), %v; want it interrupted, without waiting for the lease to expire", record.State, record.Error, err)
	}
	if histories < 3 {
		t.Errorf("the history was connected to %d times: the stop did not come while the run opened its connections", histories)
	}
}

// A run that is interrupted while it connects has not begun, and its caller learns no ID: nothing may be left that waits to be gone on with.
func TestRunThatIsInterruptedWhileItConnectsIsOver(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	script := rikki.Func("never", func(context.Context, *rikki.Run) (any, error) { return nil, errors.New("the script has begun") })
	others := rikkitest.App(t, db, script)

	caller, interrupt := context.WithCancelCause(t.Context())
	cfg := configOf(t, db)
	cfg.Conn.ClientOptions = func(o *options.ClientOptions) {
		if strings.HasSuffix(*o.AppName, "-history") {
			return
		}
		o.SetDialer(dialer(func(ctx context.Context) error {
			for only(ctx, others).ID == "" && ctx.Err() == nil { // until the record is there
			}
			interrupt(rikki.ErrInterrupted)
			return errors.New("too late")
		}))
	}
	app := rikki.New(cfg).MustAdd(script)
	t.Cleanup(func() { closeApp(t, app) })
	if result, err := app.Run(caller, "never", nil); result != nil || err == nil {
		t.Fatalf("the run began: %+v, %v", result, err)
	}
	if record := only(t.Context(), others); record.State != rikki.Cancelled {
		t.Errorf("the run is %s; want it cancelled, since it never began: %+v", record.State, record)
	}
}

// only is the run that is in the history, if there is one.
func only(ctx context.Context, app *rikki.App) rikki.Record {
	for record, err := range app.Runs(ctx, rikki.RunFilter{}) {
		if err == nil {
			return record
		}
	}
	return rikki.Record{}
}

// dialer is what happens to those who connect.
type dialer func(context.Context) error

func (d dialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return nil, d(ctx) }
