package rikki_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/params"
	"github.com/rikki-go/rikki/rikkitest"
)

// steps is a script that goes on from its last checkpoint. Tests tell it to
// wait at a step.
type steps struct {
	N      int `default:"3"`
	opts   rikki.Options
	at     func(ctx context.Context, run *rikki.Run, step int) error
	worked *atomic.Int64
}

func (s *steps) Options() rikki.Options {
	o := s.opts
	o.Resumable = true
	return o
}

func (s *steps) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	next := 0
	if _, err := run.LoadCheckpoint(&next); err != nil {
		return nil, err
	}
	run.Progress().SetTotal(int64(s.N))
	for ; next < s.N; next++ {
		if s.at != nil {
			if err := s.at(ctx, run, next); err != nil {
				return nil, err
			}
		}
		run.Count("steps", 1)
		run.Progress().Add(1)
		if s.worked != nil {
			s.worked.Add(1)
		}
		if err := run.Checkpoint(ctx, next+1); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// serving runs App.Serve until the test ends or stop is called.
func serving(t *testing.T, app *rikki.App, opts rikki.ServeOptions) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	if opts.Poll == 0 {
		opts.Poll = 100 * time.Millisecond
	}
	go func() { ended <- app.Serve(ctx, &opts) }()
	stop = sync.OnceValue(func() error {
		cancel(rikki.ErrInterrupted)
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error("serve:", err)
		}
	})
	return stop
}

// await polls until the run's record is as wanted.
func await(t *testing.T, app *rikki.App, id string, want func(rikki.Record) bool) rikki.Record {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		record, err := app.Record(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if want(record) {
			return record
		}
		select {
		case <-deadline:
			t.Fatalf("run %s is still %s: %+v, error %+v", id, record.State, record, record.Error)
		case <-tick.C:
		}
	}
}

func inState(states ...rikki.State) func(rikki.Record) bool {
	return func(r rikki.Record) bool {
		return slices.Contains(states, r.State)
	}
}

func enqueue(t *testing.T, app *rikki.App, script string, opts *rikki.RunOptions) string {
	t.Helper()
	id, err := app.Enqueue(t.Context(), script, opts)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestServe(t *testing.T) {
	t.Parallel()

	t.Run("RunsWhatIsQueuedWithItsParameters", func(t *testing.T) {
		t.Parallel()
		app := rikkitest.App(t, rikkitest.DB(t), &steps{})
		id := enqueue(t, app, "steps", &rikki.RunOptions{Params: map[string]any{"n": 5}, Actor: "mira", Trigger: "test", Priority: 2})
		queued, err := app.Record(t.Context(), id)
		if err != nil || queued.State != rikki.Queued || queued.Attempt != 0 || !queued.StartedAt.IsZero() || queued.Actor != "mira" ||
			string(queued.Input) != `{"n":5}` || !queued.Resumable || !queued.Queue || queued.Priority != 2 {
			t.Fatalf("queued: %+v, %v", queued, err)
		}
		stop := serving(t, app, rikki.ServeOptions{})
		got := await(t, app, id, inState(rikki.Succeeded))
		if string(got.Result) != "5" || got.Counters["steps"] != 5 || got.Attempt != 1 || got.Actor != "mira" || got.Trigger != "test" ||
			got.Progress.Done != 5 || got.StartedAt.Before(queued.CreatedAt) {
			t.Errorf("ended: %+v", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})

	t.Run("IsWokenByTheChangeStream", func(t *testing.T) {
		t.Parallel()
		app := rikkitest.App(t, rikkitest.DB(t), &steps{})
		ready := make(chan struct{}, 64)
		serving(t, app, rikki.ServeOptions{Poll: time.Hour, Report: func(rikki.ServeStatus) {
			select {
			case ready <- struct{}{}:
			default:
			}
		}})
		<-ready // the first look
		<-ready // the stream is open
		await(t, app, enqueue(t, app, "steps", nil), inState(rikki.Succeeded))
	})

	t.Run("DoesNotLetACancelledRunHaveTheGraceOfAProcessThatEnds", func(t *testing.T) {
		t.Parallel()
		begun := make(chan struct{})
		app := rikkitest.App(t, rikkitest.DB(t), rikki.Func("waits", func(ctx context.Context, run *rikki.Run) (any, error) {
			close(begun)
			return waitForEnd(ctx, run)
		}))
		id := enqueue(t, app, "waits", nil)
		serving(t, app, rikki.ServeOptions{Grace: time.Hour})
		<-begun
		if _, err := app.Cancel(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
		await(t, app, id, inState(rikki.Cancelled))
	})

	t.Run("FailsRunsWhoseParametersDoNotFitAnyMore", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		old := rikkitest.App(t, db, &steps{})
		id := enqueue(t, old, "steps", nil)
		app := rikki.New(configOf(t, db)).MustAdd(rikki.FuncOf("steps", func(context.Context, *rikki.Run, struct{ Other string }) (any, error) {
			return nil, errors.New("it must not run")
		}))
		t.Cleanup(func() { closeApp(t, app) })
		serving(t, app, rikki.ServeOptions{})
		got := await(t, app, id, inState(rikki.Failed))
		if got.Error == nil || got.Error.Kind != "parameters" || !strings.Contains(got.Error.Message, "n") {
			t.Errorf("error: %+v", got.Error)
		}
	})

	t.Run("KeepsTheLimits", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		var mu sync.Mutex
		active, most := map[string]int{}, map[string]int{}
		count := func(name string, n int) {
			mu.Lock()
			defer mu.Unlock()
			for _, key := range []string{name, "all"} {
				active[key] += n
				most[key] = max(most[key], active[key])
			}
		}
		full := make(chan struct{})
		script := func(name string, concurrency int) rikki.Script {
			return &limited{name: name, concurrency: concurrency, body: func(ctx context.Context) {
				count(name, 1)
				defer count(name, -1)
				mu.Lock()
				if most["all"] == 3 && most["many"] == 2 {
					select {
					case <-full:
					default:
						close(full)
					}
				}
				mu.Unlock()
				select { // until as many run as may
				case <-full:
				case <-ctx.Done():
				}
			}}
		}
		app := rikkitest.App(t, db, script("one", 1), script("many", 2), script("any", -1))
		var ids []string
		for range 4 {
			for _, name := range []string{"one", "many", "any"} {
				opts := &rikki.RunOptions{}
				if name == "many" {
					opts.Priority = 1
				}
				ids = append(ids, enqueue(t, app, name, opts))
			}
		}
		serving(t, app, rikki.ServeOptions{Workers: 3})
		for _, id := range ids {
			await(t, app, id, inState(rikki.Succeeded))
		}
		mu.Lock()
		defer mu.Unlock()
		if most["one"] != 1 || most["many"] != 2 || most["all"] != 3 {
			t.Errorf("at a time: %v, want one: 1, many: 2, all: 3", most)
		}
	})

	t.Run("NeedsAHistoryAndKnownScripts", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		cfg := configOf(t, db)
		cfg.NoHistory = true
		app := rikki.New(cfg).MustAdd(&steps{})
		t.Cleanup(func() { closeApp(t, app) })
		if err := app.Serve(t.Context(), nil); !errors.Is(err, rikki.ErrNoHistory) {
			t.Errorf("without history: %v", err)
		}
		if _, err := app.Enqueue(t.Context(), "steps", nil); !errors.Is(err, rikki.ErrNoHistory) {
			t.Errorf("queue without history: %v", err)
		}
		var unknown *rikki.UnknownScriptError
		if err := rikkitest.App(t, db, &steps{}).Serve(t.Context(), &rikki.ServeOptions{Scripts: []string{"step"}}); !errors.As(err, &unknown) {
			t.Errorf("unknown script: %v", err)
		}
	})
}

// limited is a script with a name and a limit of its own.
type limited struct {
	name        string
	concurrency int
	body        func(context.Context)
}

func (l *limited) Options() rikki.Options {
	return rikki.Options{Name: l.name, Concurrency: l.concurrency}
}

func (l *limited) Execute(ctx context.Context, _ *rikki.Run) (any, error) {
	l.body(ctx)
	return nil, nil
}

// configOf is a config for another app on the history of [rikkitest.App].
func configOf(t *testing.T, db *mongo.Database) *rikki.Config {
	t.Helper()
	cfg := &rikki.Config{HistoryDatabase: db.Name() + "_history", Actor: "test"}
	cfg.Conn.URI, cfg.Conn.Database = rikkitest.URI(t), db.Name()
	return cfg
}

type keyed struct {
	Key    params.Secret `required:"true"`
	Target string
	Force  bool
	seen   *atomic.Value
}

func (k *keyed) Execute(context.Context, *rikki.Run) (any, error) {
	k.seen.Store([]any{k.Key.Reveal(), k.Target, k.Force})
	return nil, nil
}

func TestEnqueue(t *testing.T) {
	t.Parallel()

	t.Run("TakesSecretsFromTheWorkersEnvironmentAndNothingElse", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		const canary = "s3cr3t-canary-of-the-worker"
		seen := &atomic.Value{}
		cfg := configOf(t, db)
		cfg.LookupEnv = func(name string) (string, bool) {
			env := map[string]string{"KEYED_KEY": canary, "KEYED_FORCE": "true", "KEYED_TARGET": "wrong"}
			v, ok := env[name]
			return v, ok
		}
		app := rikki.New(cfg).MustAdd(&keyed{seen: seen})
		t.Cleanup(func() { closeApp(t, app) })
		id := enqueue(t, app, "keyed", &rikki.RunOptions{Params: map[string]any{"target": "users"}})
		serving(t, app, rikki.ServeOptions{})
		record := await(t, app, id, inState(rikki.Succeeded))
		got, _ := seen.Load().([]any)
		if len(got) != 3 || got[0] != canary || got[1] != "users" || got[2] != false {
			t.Errorf("the script saw %v", got)
		}
		if data, err := json.Marshal(record); err != nil || strings.Contains(string(data), canary) {
			t.Errorf("the record has the secret: %s, %v", data, err)
		}
	})

	t.Run("RefusesWhatItCanNotCarryOrWhatIsWrong", func(t *testing.T) {
		t.Parallel()
		app := rikkitest.App(t, rikkitest.DB(t), &keyed{seen: &atomic.Value{}})
		for name, given := range map[string]any{
			"ASecret":          map[string]any{"key": "k"},
			"ASecretInAStruct": &keyed{Key: "k"},
			"APassword":        map[string]any{"target": "mongodb://u:pw@h/db"},
			"AWrongType":       map[string]any{"force": "perhaps"},
			"AnUnknownName":    json.RawMessage(`{"targe":"x"}`),
		} {
			var invalid *params.Error
			if _, err := app.Enqueue(t.Context(), "keyed", &rikki.RunOptions{Params: given}); !errors.As(err, &invalid) || strings.Contains(err.Error(), "pw@") {
				t.Errorf("%s: got %v, want a *params.Error", name, err)
			}
		}
		for record, err := range app.Runs(t.Context(), rikki.RunFilter{}) {
			t.Errorf("something was queued: %+v, %v", record, err)
		}
		var unknown *rikki.UnknownScriptError
		if _, err := app.Enqueue(t.Context(), "kyed", nil); !errors.As(err, &unknown) {
			t.Errorf("unknown script: %v", err)
		}
	})
}
