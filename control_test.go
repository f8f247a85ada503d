package rikki_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/rikkitest"
)

// gate lets a test hold a script at one of its steps.
type gate struct {
	step    int
	reached chan struct{} // the script is there
	open    chan struct{} // it may go on
}

func newGate(step int) *gate {
	return &gate{step: step, reached: make(chan struct{}, 10), open: make(chan struct{})}
}

func (g *gate) at(ctx context.Context, _ *rikki.Run, step int) error {
	if step != g.step {
		return nil
	}
	g.reached <- struct{}{}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// outcome is what App.Run returned.
type outcome struct {
	result *rikki.Result
	err    error
}

// begin runs a script in a goroutine, and returns its run's ID once a script is
// at the gate.
func begin(t *testing.T, app *rikki.App, script string, g *gate) (id string, ended <-chan outcome) {
	t.Helper()
	done := make(chan outcome, 1)
	ctx := context.Background() // the test waits for its end
	go func() {
		result, err := app.Run(ctx, script, nil)
		done <- outcome{result, err}
	}()
	select {
	case <-g.reached:
	case out := <-done:
		t.Fatalf("the run ended before its gate: %+v, %v", out.result, out.err)
	}
	record, err := app.Record(t.Context(), "last")
	if err != nil {
		t.Fatal(err)
	}
	return record.ID, done
}

func TestPauseAndContinue(t *testing.T) {
	t.Parallel()
	db, g := rikkitest.DB(t), newGate(1)
	app := rikkitest.App(t, db, &steps{at: g.at})
	other := rikki.New(configOf(t, db)) // another process, that doesn't even know the script
	t.Cleanup(func() { closeApp(t, other) })

	id, ended := begin(t, app, "steps", g)
	record, err := other.Pause(t.Context(), id, &rikki.ControlOptions{Actor: "mira", Reason: "load"})
	if err != nil || record.State != rikki.Pausing {
		t.Fatalf("pause: %s, %v", record.State, err)
	}
	if _, err := other.Resume(t.Context(), id, nil); !errors.Is(err, rikki.ErrState) {
		t.Errorf("resume while pausing: %v", err)
	}
	close(g.open)
	out := <-ended
	if !errors.Is(out.err, rikki.ErrPaused) || out.result.State != rikki.Paused || !strings.Contains(out.err.Error(), "by mira: load") {
		t.Fatalf("the run ended with %+v, %v", out.result, out.err)
	}
	record, err = other.Record(t.Context(), id)
	if err != nil || record.State != rikki.Paused || record.Counters["steps"] != 2 || record.Checkpoint.IsZero() || record.Control.Actor != "mira" {
		t.Fatalf("paused: %+v, %v", record, err)
	}
	if _, err := other.Continue(t.Context(), id, nil); err == nil {
		t.Error("a program that doesn't know the script went on with it")
	}

	result, err := app.Continue(t.Context(), id, &rikki.RunOptions{Actor: "ann", Reason: "it is quiet again"})
	if err != nil || result.Run != id || result.State != rikki.Succeeded || result.Counters["steps"] != 3 || result.Progress.Done != 3 {
		t.Fatalf("continue: %+v, %v", result, err)
	}
	record, err = app.Record(t.Context(), id)
	if err != nil || record.Attempt != 2 || record.Epoch != 2 || record.Error != nil || record.State != rikki.Succeeded {
		t.Errorf("continued: %+v, %v", record, err)
	}
	if _, err := app.Continue(t.Context(), id, nil); !errors.Is(err, rikki.ErrState) {
		t.Errorf("continue what has ended: %v", err)
	}
	audit, err := app.Audit(t.Context(), id)
	if err != nil || len(audit) != 2 || audit[0].Action != "pause" || audit[0].From != rikki.Running || audit[0].To != rikki.Pausing || audit[0].At.IsZero() {
		t.Fatalf("audit: %+v, %v", audit, err)
	}
	if r := audit[1]; r.Action != "resume" || r.Actor != "ann" || r.Reason != "it is quiet again" || r.From != rikki.Paused || r.To != rikki.Running {
		t.Errorf("audit of what went on: %+v", r)
	}
}

func TestResumeThroughTheQueueGoesOnWithTheLogs(t *testing.T) {
	t.Parallel()
	g := newGate(1)
	app := rikkitest.App(t, rikkitest.DB(t), &steps{at: func(ctx context.Context, run *rikki.Run, step int) error {
		run.Log().Info("at a step", "step", step, "attempt", run.Attempt())
		return g.at(ctx, run, step)
	}})
	id := enqueue(t, app, "steps", nil)
	serving(t, app, rikki.ServeOptions{})
	<-g.reached
	if _, err := app.Pause(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	await(t, app, id, inState(rikki.Paused))
	if record, err := app.Resume(t.Context(), id, nil); err != nil || record.State != rikki.Queued {
		t.Fatalf("resume: %s, %v", record.State, err)
	}
	record := await(t, app, id, inState(rikki.Succeeded))
	if record.Attempt != 2 || record.Counters["steps"] != 3 {
		t.Errorf("resumed: %+v", record)
	}
	var got []string
	for log, err := range app.Logs(t.Context(), id, rikki.LogFilter{Text: "at a step"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(log.Attrs))
	}
	if len(got) != 3 || !strings.Contains(got[1], `"attempt":1`) || !strings.Contains(got[2], `"step":2`) || !strings.Contains(got[2], `"attempt":2`) {
		t.Errorf("logs of both attempts: %v", got)
	}
}

func TestCancelFromAnotherProcess(t *testing.T) {
	t.Parallel()

	t.Run("EndsTheContextAndWhatRunsOnTheServer", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		if _, err := db.Collection("docs").InsertOne(t.Context(), bson.D{{Key: "x", Value: 1}}); err != nil {
			t.Fatal(err)
		}
		sleeping := make(chan struct{})
		app := rikkitest.App(t, db, rikki.Func("sleeper", func(ctx context.Context, run *rikki.Run) (any, error) {
			close(sleeping)
			return nil, run.DB().Collection("docs").FindOne(ctx, bson.D{{Key: "$where", Value: "sleep(60000) || true"}}).Err()
		}))
		done := make(chan outcome, 1)
		go func() {
			result, err := app.Run(context.Background(), "sleeper", nil)
			done <- outcome{result, err}
		}()
		<-sleeping
		record, err := app.Cancel(t.Context(), "last", &rikki.ControlOptions{Actor: "mira"})
		if err != nil || record.State != rikki.Cancelling {
			t.Fatalf("cancel: %s, %v", record.State, err)
		}
		out := <-done
		if !errors.Is(out.err, rikki.ErrCancelled) || out.result.State != rikki.Cancelled || !out.result.Stopped || !strings.Contains(out.err.Error(), "by mira") {
			t.Errorf("ended with %+v, %v", out.result, out.err)
		}
		if got, err := app.Record(t.Context(), record.ID); err != nil || got.State != rikki.Cancelled {
			t.Errorf("record: %s, %v", got.State, err)
		}
		if again, err := app.Cancel(t.Context(), record.ID, nil); err != nil || again.State != rikki.Cancelled {
			t.Errorf("cancel again: %s, %v", again.State, err)
		}
		if _, err := app.Pause(t.Context(), record.ID, nil); !errors.Is(err, rikki.ErrState) {
			t.Errorf("pause what is cancelled: %v", err)
		}
	})

	t.Run("TakesAQueuedRunOut", func(t *testing.T) {
		t.Parallel()
		app := rikkitest.App(t, rikkitest.DB(t), &steps{})
		id := enqueue(t, app, "steps", nil)
		if record, err := app.Cancel(t.Context(), id, nil); err != nil || record.State != rikki.Cancelled {
			t.Fatalf("cancel: %s, %v", record.State, err)
		}
		next := enqueue(t, app, "steps", nil)
		serving(t, app, rikki.ServeOptions{})
		await(t, app, next, inState(rikki.Succeeded))
		if record, err := app.Record(t.Context(), id); err != nil || record.State != rikki.Cancelled || record.Attempt != 0 {
			t.Errorf("the cancelled run: %+v, %v", record, err)
		}
	})

	t.Run("ComesBeforeAPauseThatIsUnderWay", func(t *testing.T) {
		t.Parallel()
		g := newGate(1)
		app := rikkitest.App(t, rikkitest.DB(t), &steps{at: func(_ context.Context, run *rikki.Run, step int) error {
			return g.at(context.Background(), run, step) // deaf: nothing ends the wait but the gate
		}, opts: rikki.Options{Grace: time.Minute}})
		id, ended := begin(t, app, "steps", g)
		for _, control := range []func(context.Context, string, *rikki.ControlOptions) (rikki.Record, error){app.Pause, app.Cancel} {
			if _, err := control(t.Context(), id, nil); err != nil {
				t.Fatal(err)
			}
		}
		close(g.open)
		if out := <-ended; out.result.State != rikki.Cancelled || !errors.Is(out.err, rikki.ErrCancelled) {
			t.Errorf("ended with %+v, %v", out.result, out.err)
		}
	})
}

func TestControlWhenTheOwnerIsDead(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		control func(*rikki.App) func(context.Context, string, *rikki.ControlOptions) (rikki.Record, error)
		want    rikki.State
	}{
		"Pause": {func(a *rikki.App) func(context.Context, string, *rikki.ControlOptions) (rikki.Record, error) {
			return a.Pause
		}, rikki.Paused},
		"Cancel": {func(a *rikki.App) func(context.Context, string, *rikki.ControlOptions) (rikki.Record, error) {
			return a.Cancel
		}, rikki.Cancelled},
		"Resume": {func(a *rikki.App) func(context.Context, string, *rikki.ControlOptions) (rikki.Record, error) {
			return a.Resume
		}, rikki.Queued},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, g := rikkitest.DB(t), newGate(1)
			app := rikkitest.App(t, db, &steps{at: g.at})
			id, ended := begin(t, app, "steps", g)
			expireLease(t, db.Client().Database(db.Name()+"_history"), id)
			record, err := row.control(app)(t.Context(), id, nil)
			if err != nil || record.State != row.want {
				t.Errorf("got %s, %v, want %s at once", record.State, err, row.want)
			}
			close(g.open)
			// The owner lives after all, and finds that it has nothing to say any more.
			if out := <-ended; !errors.Is(out.err, rikki.ErrLeaseLost) || out.result.Recorded {
				t.Errorf("the old owner ended with %+v, %v", out.result, out.err)
			}
			if got, err := app.Record(t.Context(), id); err != nil || got.State != row.want {
				t.Errorf("afterwards: %s, %v", got.State, err)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	failed := false
	app := rikkitest.App(t, rikkitest.DB(t), rikki.FuncOf("flaky", func(_ context.Context, _ *rikki.Run, p struct{ Name string }) (any, error) {
		if !failed {
			failed = true
			return nil, errors.New("the first time fails")
		}
		return p.Name, nil
	}))
	result, err := app.Run(t.Context(), "flaky", &rikki.RunOptions{Params: map[string]any{"name": "x"}})
	if err == nil || result == nil {
		t.Fatal("the first run should fail")
	}
	record, err := app.Retry(t.Context(), result.Run, &rikki.ControlOptions{Actor: "mira"})
	if err != nil || record.State != rikki.Queued || record.Parent != result.Run || record.ID == result.Run || record.Actor != "mira" {
		t.Fatalf("retry: %+v, %v", record, err)
	}
	if _, err := app.Retry(t.Context(), record.ID, nil); !errors.Is(err, rikki.ErrState) {
		t.Errorf("retry of a queued run: %v", err)
	}
	serving(t, app, rikki.ServeOptions{})
	if got := await(t, app, record.ID, inState(rikki.Succeeded)); string(got.Result) != `"x"` {
		t.Errorf("result %s", got.Result)
	}
	if old, err := app.Record(t.Context(), result.Run); err != nil || old.State != rikki.Failed {
		t.Errorf("the old run: %s, %v", old.State, err)
	}
	if audit, err := app.Audit(t.Context(), result.Run); err != nil || len(audit) != 1 || audit[0].Action != "retry" {
		t.Errorf("audit: %+v, %v", audit, err)
	}
}

// A retry that goes on in this process isn't for those that serve the queue.
func TestRetryThatIsHeldIsNotTakenFromTheQueue(t *testing.T) {
	t.Parallel()
	app := rikkitest.App(t, rikkitest.DB(t), rikki.FuncOf("echo", func(_ context.Context, _ *rikki.Run, p struct{ Name string }) (any, error) {
		return p.Name, nil
	}))
	first, err := app.Run(t.Context(), "echo", &rikki.RunOptions{Params: map[string]any{"name": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	serving(t, app, rikki.ServeOptions{})
	held, err := app.Retry(t.Context(), first.Run, &rikki.ControlOptions{Held: true})
	if err != nil || held.State != rikki.Paused || held.Queue {
		t.Fatalf("retry: %+v, %v", held, err)
	}
	// Who takes a run that was queued later has seen that this one isn't to be taken.
	later, err := app.Retry(t.Context(), first.Run, nil)
	if err != nil {
		t.Fatal(err)
	}
	await(t, app, later.ID, inState(rikki.Succeeded))
	if now, err := app.Record(t.Context(), held.ID); err != nil || now.State != rikki.Paused || now.Attempt != 0 {
		t.Errorf("the held run is %s in attempt %d, %v", now.State, now.Attempt, err)
	}
	result, err := app.Continue(t.Context(), held.ID, nil)
	if err != nil || result.State != rikki.Succeeded {
		t.Fatalf("go on: %+v, %v", result, err)
	}
	if audit, err := app.Audit(t.Context(), held.ID); err != nil || len(audit) != 0 {
		t.Errorf("nobody resumed it: %+v, %v", audit, err)
	}
}

func TestResumeRefusesAnotherVersionUnlessForced(t *testing.T) {
	t.Parallel()
	db, g := rikkitest.DB(t), newGate(1)
	app := rikkitest.App(t, db, &steps{at: g.at})
	id, ended := begin(t, app, "steps", g)
	if _, err := app.Pause(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	<-ended
	runs := db.Client().Database(db.Name() + "_history").Collection("runs")
	set := func(field string, v any) {
		t.Helper()
		if _, err := runs.UpdateByID(t.Context(), id, bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: v}}}}); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string) {
		t.Helper()
		if _, err := app.Resume(t.Context(), id, nil); !errors.Is(err, rikki.ErrSourceChanged) {
			t.Errorf("resume with %s: %v", what, err)
		}
		if _, err := app.Continue(t.Context(), id, nil); !errors.Is(err, rikki.ErrSourceChanged) {
			t.Errorf("continue with %s: %v", what, err)
		}
		if record, err := app.Record(t.Context(), id); err != nil || record.State != rikki.Paused || record.Attempt != 1 {
			t.Errorf("a refusal changed the run: %+v, %v", record, err)
		}
	}
	set("input", `{}`) // as if the default had been another one
	refused("other parameters")
	set("input", `{"n":3}`)
	set("source.revision", "of long ago")
	refused("another source")

	// A program that knows no script can't tell. The process that serves finds out, gives the run back, and says why.
	stranger := rikki.New(configOf(t, db))
	t.Cleanup(func() { closeApp(t, stranger) })
	if _, err := stranger.Resume(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	serving(t, app, rikki.ServeOptions{})
	record := await(t, app, id, inState(rikki.Interrupted))
	if record.Error == nil || record.Error.Kind != "source" || !strings.Contains(record.Error.Message, "of long ago") {
		t.Errorf("given back: %+v", record.Error)
	}
	if _, err := stranger.Resume(t.Context(), id, &rikki.ControlOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if record := await(t, app, id, inState(rikki.Succeeded)); record.Counters["steps"] != 3 || record.Source.Revision == "of long ago" {
		t.Errorf("forced: %+v", record)
	}
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()

	t.Run("RefusesWhatDoesNotFitAndKeepsTheLastOne", func(t *testing.T) {
		t.Parallel()
		script := rikki.Func("hoarder", func(ctx context.Context, run *rikki.Run) (any, error) {
			if err := run.Checkpoint(ctx, "small"); err != nil {
				return nil, err
			}
			var last string
			for _, v := range []any{strings.Repeat("x", 2<<20), func() {}} {
				if err := run.Checkpoint(ctx, v); err == nil || !strings.Contains(err.Error(), "checkpoint can't be stored") {
					t.Errorf("got %v", err)
				}
			}
			found, err := run.LoadCheckpoint(&last)
			if !found || last != "small" {
				t.Errorf("last checkpoint: %q, %t", last, found)
			}
			var wrong []int
			if _, err := run.LoadCheckpoint(&wrong); err == nil {
				t.Error("a string was loaded as a list")
			}
			return last, err
		})
		rikkitest.Run(t, rikkitest.DB(t), script)
	})

	t.Run("WorksInATransactionWithoutBelongingToIt", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		boom := errors.New("boom")
		app := rikkitest.App(t, db, rikki.Func("tx", func(ctx context.Context, run *rikki.Run) (any, error) {
			return nil, run.Tx(ctx, func(ctx context.Context) error {
				if err := run.Checkpoint(ctx, 7); err != nil {
					return err
				}
				return boom
			})
		}))
		result, err := app.Run(t.Context(), "tx", nil)
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if record, err := app.Record(t.Context(), result.Run); err != nil || record.Checkpoint.IsZero() {
			t.Errorf("the checkpoint was aborted with the transaction: %+v, %v", record, err)
		}
	})

	t.Run("TellsAnInterruptedScriptToStop", func(t *testing.T) {
		t.Parallel()
		ctx, interrupt := context.WithCancelCause(t.Context())
		app := rikkitest.App(t, rikkitest.DB(t), &steps{opts: rikki.Options{Drain: time.Minute}, at: func(_ context.Context, run *rikki.Run, step int) error {
			if step == 1 {
				interrupt(rikki.ErrInterrupted)
				<-run.Stopping()
			}
			return nil
		}})
		result, err := app.Run(ctx, "steps", nil)
		if !errors.Is(err, rikki.ErrInterrupted) || result.State != rikki.Interrupted || result.Counters["steps"] != 2 {
			t.Fatalf("ended with %+v, %v", result, err)
		}
		result, err = app.Continue(t.Context(), result.Run, nil)
		if err != nil || result.Counters["steps"] != 3 {
			t.Errorf("continued: %+v, %v", result, err)
		}
	})

	t.Run("IsKeptInMemoryWithoutHistory", func(t *testing.T) {
		t.Parallel()
		result, err := rikkitest.Try(t, rikkitest.DB(t), &steps{}, &rikki.RunOptions{NoHistory: true})
		if err != nil || result.Counters["steps"] != 3 {
			t.Errorf("%+v, %v", result, err)
		}
	})

	t.Run("CanNotPauseAScriptThatDoesNotResume", func(t *testing.T) {
		t.Parallel()
		result, err := rikkitest.Try(t, rikkitest.DB(t), rikki.Func("odd", func(context.Context, *rikki.Run) (any, error) {
			return nil, rikki.ErrPaused
		}), nil)
		if err == nil || result.State != rikki.Failed || !strings.Contains(err.Error(), "Options.Resumable") {
			t.Errorf("%+v, %v", result, err)
		}
	})
}

// expireLease makes the owner of a run look dead: its lease ran out on the
// server's clock.
func expireLease(t *testing.T, history *mongo.Database, id string) {
	t.Helper()
	_, err := history.Collection("runs").UpdateByID(t.Context(), id, bson.A{bson.D{{Key: "$set", Value: bson.D{
		{Key: "lease.expires", Value: bson.D{{Key: "$subtract", Value: bson.A{"$$NOW", 1000}}}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
}
