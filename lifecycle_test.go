package rikki_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/params"
	"github.com/rikki-go/rikki/rikkitest"
)

// journal notes which hooks ran; tests share it with their script by pointer.
type journal struct {
	mu    sync.Mutex
	steps []string
}

func (j *journal) note(step string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps = append(j.steps, step)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.steps)
}

// staged is a script whose hooks do what the test wants.
type staged struct {
	journal  *journal
	opts     rikki.Options
	validate func(*rikki.Findings)
	setup    func(context.Context) error
	execute  func(context.Context, *rikki.Run) (any, error)
	cleanup  func(context.Context) error
}

func (s *staged) Options() rikki.Options { return s.opts }

func (s *staged) Validate(_ context.Context, _ *rikki.Run, findings *rikki.Findings) {
	s.journal.note("validate")
	if s.validate != nil {
		s.validate(findings)
	}
}

func (s *staged) Setup(ctx context.Context, _ *rikki.Run) error {
	s.journal.note("setup")
	if s.setup != nil {
		return s.setup(ctx)
	}
	return nil
}

func (s *staged) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	s.journal.note("execute")
	if s.execute != nil {
		return s.execute(ctx, run)
	}
	return nil, nil
}

func (s *staged) Cleanup(ctx context.Context, _ *rikki.Run) error {
	s.journal.note("cleanup")
	if s.cleanup != nil {
		return s.cleanup(ctx)
	}
	return nil
}

// waitForEnd is an Execute that does nothing until it is told to stop.
func waitForEnd(ctx context.Context, _ *rikki.Run) (any, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestHooks(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	all := []string{"validate", "setup", "execute", "cleanup"}
	tests := []struct {
		name   string
		script staged
		opts   rikki.RunOptions
		steps  []string
		state  rikki.State
		check  func(error) bool
	}{
		{
			name:  "AllRunInOrder",
			steps: all, state: rikki.Succeeded,
			check: func(err error) bool { return err == nil },
		},
		{
			name:   "AWarningDoesNotStopTheRun",
			script: staged{validate: func(f *rikki.Findings) { f.Warnf("careful") }},
			steps:  all, state: rikki.Succeeded,
			check: func(err error) bool { return err == nil },
		},
		{
			name: "ErrorsOfValidationStopBeforeSetupAndAreAllReported",
			script: staged{validate: func(f *rikki.Findings) {
				f.Errorf("first %d", 1)
				f.Warnf("only a warning")
				f.Errorf("second")
			}},
			steps: []string{"validate"}, state: rikki.Failed,
			check: func(err error) bool {
				var invalid *rikki.ValidationError
				return errors.As(err, &invalid) && len(invalid.Findings) == 2 && strings.Contains(err.Error(), "first 1; second")
			},
		},
		{
			name:   "AFailedSetupSkipsExecuteAndCleansUp",
			script: staged{setup: func(context.Context) error { return boom }},
			steps:  []string{"validate", "setup", "cleanup"}, state: rikki.Failed,
			check: func(err error) bool { return errors.Is(err, boom) && strings.Contains(err.Error(), "setup") },
		},
		{
			name:   "AFailedExecuteCleansUp",
			script: staged{execute: func(context.Context, *rikki.Run) (any, error) { return nil, boom }},
			steps:  all, state: rikki.Failed,
			check: func(err error) bool { return errors.Is(err, boom) },
		},
		{
			name:   "APanicIsAFailureWithItsStack",
			script: staged{execute: func(context.Context, *rikki.Run) (any, error) { panic(boom) }},
			steps:  all, state: rikki.Failed,
			check: func(err error) bool {
				var panicked *rikki.PanicError
				return errors.As(err, &panicked) && errors.Is(err, boom) && strings.Contains(panicked.Stack, "lifecycle_test.go")
			},
		},
		{
			name: "GoexitIsAFailure",
			script: staged{execute: func(context.Context, *rikki.Run) (any, error) {
				runtime.Goexit()
				return nil, nil
			}},
			steps: all, state: rikki.Failed,
			check: func(err error) bool { return err != nil && strings.Contains(err.Error(), "Goexit") },
		},
		{
			name:   "ATimeoutCancelsAndCleansUp",
			script: staged{execute: waitForEnd},
			opts:   rikki.RunOptions{Timeout: 50 * time.Millisecond},
			steps:  all, state: rikki.Failed,
			check: func(err error) bool { return errors.Is(err, rikki.ErrTimeout) && strings.Contains(err.Error(), "50ms") },
		},
		{
			name:   "AFailedCleanupFailsTheRun",
			script: staged{cleanup: func(context.Context) error { return boom }},
			steps:  all, state: rikki.Failed,
			check: func(err error) bool { return errors.Is(err, boom) && strings.Contains(err.Error(), "cleanup") },
		},
		{
			name:   "APanicInCleanupFailsTheRun",
			script: staged{cleanup: func(context.Context) error { panic("late") }},
			steps:  all, state: rikki.Failed,
			check: func(err error) bool { return err != nil && strings.Contains(err.Error(), "late") },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			script := test.script
			script.journal = &journal{}
			script.opts.Name = "staged"
			app := rikkitest.App(t, rikkitest.DB(t), &script)
			result, err := app.Run(t.Context(), "staged", &test.opts)
			if !test.check(err) {
				t.Errorf("unexpected error: %v", err)
			}
			if result.State != test.state {
				t.Errorf("state %s, want %s", result.State, test.state)
			}
			if diff := cmp.Diff(test.steps, script.journal.all()); diff != "" {
				t.Error("hooks (-want +got):\n" + diff)
			}
			if !result.Recorded || !result.Stopped {
				t.Errorf("recorded %t, stopped %t; want both", result.Recorded, result.Stopped)
			}
			record, err := app.Record(t.Context(), result.Run)
			if err != nil {
				t.Fatal(err)
			}
			if record.State != test.state {
				t.Errorf("the history says %s, want %s", record.State, test.state)
			}
		})
	}
}

func TestOneRecordPerRunHoldsWhatMatters(t *testing.T) {
	t.Parallel()
	type parameters struct {
		Batch int           `default:"5"`
		Token params.Secret `env:"NOPE"`
	}
	script := rikki.FuncOf("full", func(_ context.Context, run *rikki.Run, p parameters) (any, error) {
		run.Count("modified", 3)
		run.Count("modified", 4)
		run.Progress().SetTotal(10)
		run.Progress().Add(7)
		run.Log().Info("hello", "n", int64(1)<<60, "token", p.Token.Reveal())
		return map[string]any{"big": int64(1)<<53 + 1, "list": []string{"a"}}, nil
	})
	app := rikkitest.App(t, rikkitest.DB(t), script)
	result, err := app.Run(t.Context(), "full", &rikki.RunOptions{
		Params: map[string]any{"token": "s3cr3t-canary"}, Actor: "ann", Trigger: "cli",
	})
	if err != nil {
		t.Fatal(err)
	}
	var records []rikki.Record
	for record, err := range app.Runs(t.Context(), rikki.RunFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, record)
	}
	if len(records) != 1 {
		t.Fatalf("%d records, want 1", len(records))
	}
	record, err := app.Record(t.Context(), records[0].ID) // a list is without results
	if err != nil {
		t.Fatal(err)
	}
	if record.ID != result.Run || record.Actor != "ann" || record.Trigger != "cli" || record.Host == "" || record.PID == 0 || record.Source.Module == "" {
		t.Errorf("who and where: %+v", record)
	}
	if record.StartedAt.IsZero() || record.EndedAt.IsZero() || record.Epoch != 1 {
		t.Errorf("times and epoch: %+v", record)
	}
	if record.Counters["modified"] != 7 || record.Progress == nil || record.Progress.Done != 7 || record.Progress.Total != 10 {
		t.Errorf("counters %v, progress %+v", record.Counters, record.Progress)
	}
	wantJSON(t, "result", record.Result, `{"big":9007199254740993,"list":["a"]}`)
	wantJSON(t, "params", record.Params, `{"batch":5,"token":"***"}`)

	var logs []rikki.LogRecord
	for l, err := range app.Logs(t.Context(), record.ID, rikki.LogFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	i := slices.IndexFunc(logs, func(l rikki.LogRecord) bool { return l.Message == "hello" })
	if i < 0 {
		t.Fatalf("the record is missing in %+v", logs)
	}
	if text := string(logs[i].Attrs); !strings.Contains(text, "1152921504606846976") || strings.Contains(text, "canary") {
		t.Errorf("attributes %s: want the exact number, and no secret", text)
	}
}

func wantJSON(t *testing.T, what string, got json.RawMessage, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%s: %v in %s", what, err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("%s %s (-want +got):\n%s", what, got, diff)
	}
}

func TestTimeoutKillsWhatTheServerStillDoes(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	if _, err := db.Collection("slow").InsertOne(t.Context(), bson.D{{Key: "n", Value: 0}}); err != nil {
		t.Fatal(err)
	}
	// An update that would take half a minute on the server, which doesn't
	// notice that its client has gone.
	spin := bson.D{{Key: "$function", Value: bson.D{
		{Key: "body", Value: "function(){ for (let i = 0; i < 300; i++) { sleep(100) } return 1 }"},
		{Key: "args", Value: bson.A{}},
		{Key: "lang", Value: "js"},
	}}}
	script := rikki.Func("spin", func(ctx context.Context, run *rikki.Run) (any, error) {
		_, err := run.DB().Collection("slow").UpdateOne(ctx, bson.D{{Key: "n", Value: 0}},
			bson.A{bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: spin}}}}})
		return nil, err
	})
	busy := func() int {
		var ops []bson.M
		cursor, err := db.Client().Database("admin").Aggregate(context.Background(), bson.A{
			bson.D{{Key: "$currentOp", Value: bson.D{{Key: "allUsers", Value: true}}}},
			bson.D{{Key: "$match", Value: bson.D{{Key: "ns", Value: db.Name() + ".slow"}, {Key: "active", Value: true}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := cursor.All(context.Background(), &ops); err != nil {
			t.Fatal(err)
		}
		return len(ops)
	}
	result, err := rikkitest.Try(t, db, script, &rikki.RunOptions{Timeout: time.Second})
	if !errors.Is(err, rikki.ErrTimeout) || !result.Stopped {
		t.Fatalf("result %+v, error %v; want a timeout and a stopped script", result, err)
	}
	deadline := time.Now().Add(time.Minute)
	for busy() > 0 {
		if time.Now().After(deadline) {
			t.Fatal("the update is still going on at the server")
		}
		runtime.Gosched()
	}
	n, err := db.Collection("slow").CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
	if err != nil || n != 0 {
		t.Fatalf("%d documents were changed after the timeout (%v)", n, err)
	}
}

func TestScriptThatIgnoresItsContextKeepsItsPlace(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	script := &staged{
		journal: &journal{}, opts: rikki.Options{Name: "deaf", Grace: 20 * time.Millisecond},
		execute: func(context.Context, *rikki.Run) (any, error) { <-let; return nil, nil },
	}
	app := rikkitest.App(t, rikkitest.DB(t), script)
	result, err := app.Run(t.Context(), "deaf", &rikki.RunOptions{Timeout: 20 * time.Millisecond})
	if !errors.Is(err, rikki.ErrTimeout) || result.Stopped || result.State != rikki.Failed {
		t.Fatalf("result %+v, error %v; want a timeout of a script that did not stop", result, err)
	}
	if steps := script.journal.all(); !slices.Contains(steps, "cleanup") {
		t.Errorf("steps %v: cleanup is missing", steps)
	}
	record, err := app.Record(t.Context(), result.Run)
	if err != nil || !record.NotStopped {
		t.Errorf("record %+v, %v: want it to say that the script has not stopped", record, err)
	}
	var busy *rikki.AlreadyRunningError
	if _, err := app.Run(t.Context(), "deaf", nil); !errors.As(err, &busy) || busy.Holder != result.Run {
		t.Errorf("a second run beside the deaf one: %v, want it refused", err)
	}
	close(let)
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := app.Run(t.Context(), "deaf", nil)
		if err == nil {
			return
		}
		if !errors.As(err, &busy) || time.Now().After(deadline) {
			t.Fatal("the place is not freed after the script has ended: ", err)
		}
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		cause error
		state rikki.State
		want  error
	}{
		{"ASignalInterrupts", rikki.ErrInterrupted, rikki.Interrupted, rikki.ErrInterrupted},
		{"ACallerCancels", nil, rikki.Cancelled, rikki.ErrCancelled},
		{"AnotherCauseIsKept", errors.New("because"), rikki.Cancelled, rikki.ErrCancelled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			script := &staged{journal: &journal{}, opts: rikki.Options{Name: "waits"}}
			script.execute = func(ctx context.Context, run *rikki.Run) (any, error) {
				cancel(test.cause)
				return waitForEnd(ctx, run)
			}
			app := rikkitest.App(t, rikkitest.DB(t), script)
			result, err := app.Run(ctx, "waits", nil)
			if !errors.Is(err, test.want) || test.cause != nil && !errors.Is(err, test.cause) {
				t.Errorf("error %v, want %v because of %v", err, test.want, test.cause)
			}
			record, err := app.Record(t.Context(), result.Run)
			if err != nil || record.State != test.state || result.State != test.state {
				t.Errorf("result %s, record %s (%v); want %s", result.State, record.State, err, test.state)
			}
			if steps := script.journal.all(); !slices.Contains(steps, "cleanup") {
				t.Errorf("steps %v: cleanup is missing", steps)
			}
		})
	}
}

func TestDrainLetsAScriptEndByItself(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	script := &staged{journal: &journal{}, opts: rikki.Options{Name: "drains", Drain: time.Minute}}
	script.execute = func(ctx context.Context, run *rikki.Run) (any, error) {
		cancel(rikki.ErrInterrupted)
		<-run.Stopping()
		if err := run.DB().Client().Ping(ctx, nil); err != nil {
			return nil, fmt.Errorf("the context must still be good: %w", err)
		}
		return "half", nil
	}
	result, err := rikkitest.App(t, rikkitest.DB(t), script).Run(ctx, "drains", nil)
	if !errors.Is(err, rikki.ErrInterrupted) || result.State != rikki.Interrupted || result.Value != "half" {
		t.Errorf("result %+v, error %v; want it interrupted with what it returned", result, err)
	}
}

func TestRunsOfOneScriptAreLimited(t *testing.T) {
	t.Parallel()
	started, let := make(chan string, 3), make(chan struct{})
	hold := func(_ context.Context, run *rikki.Run) (any, error) {
		started <- run.ID()
		<-let
		return nil, nil
	}
	script := &staged{journal: &journal{}, opts: rikki.Options{Name: "two", Concurrency: 2}, execute: hold}
	db := rikkitest.DB(t)
	app := rikkitest.App(t, db, script)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := app.Run(t.Context(), "two", nil); err != nil {
				t.Error(err)
			}
		})
	}
	first, second := <-started, <-started
	var busy *rikki.AlreadyRunningError
	if _, err := app.Run(t.Context(), "two", nil); !errors.As(err, &busy) {
		t.Errorf("a third run: %v, want it refused", err)
	} else if busy.Holder != first && busy.Holder != second {
		t.Errorf("the holder is %s, want %s or %s", busy.Holder, first, second)
	}
	close(let)
	wg.Wait()
}

func TestOneRunsFailureLeavesTheConnectionOfOthersAlone(t *testing.T) {
	t.Parallel()
	failed := make(chan struct{})
	steady := rikki.Func("steady", func(ctx context.Context, run *rikki.Run) (any, error) {
		<-failed
		return nil, run.Client().Ping(ctx, nil)
	})
	bad := rikki.Func("bad", func(context.Context, *rikki.Run) (any, error) { panic("now") })
	app := rikkitest.App(t, rikkitest.DB(t), steady, bad)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := app.Run(t.Context(), "steady", nil); err != nil {
			t.Error("the neighbour of a failing run: ", err)
		}
	})
	if _, err := app.Run(t.Context(), "bad", nil); err == nil {
		t.Error("want the bad script to fail")
	}
	close(failed)
	wg.Wait()
}
