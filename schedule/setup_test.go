package schedule_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
	"github.com/rikki-go/rikki/schedule"
)

// Report is the script of the tests.
type Report struct {
	Size int    `default:"5" min:"1"`
	How  string `enum:"well,badly" default:"well"`
}

func (r *Report) Execute(context.Context, *rikki.Run) (any, error) {
	if r.How == "badly" {
		return nil, errors.New("the printer is on fire")
	}
	return r.Size, nil
}

// Stay goes on until it is let go.
type Stay struct{ gate chan struct{} }

func (s *Stay) Options() rikki.Options { return rikki.Options{Name: "stay", Concurrency: -1} }

func (s *Stay) Execute(ctx context.Context, _ *rikki.Run) (any, error) {
	select {
	case <-s.gate:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// bundle is an app on a database of the test's own, with its scheduler and what that told.
type bundle struct {
	*schedule.Scheduler
	app *rikki.App
	db  *mongo.Database

	mu   sync.Mutex
	told []schedule.Occurrence
	news chan struct{}
}

func setup(t *testing.T, opts schedule.Options, scripts ...rikki.Script) *bundle {
	t.Helper()
	db := mongotest.DB(t)
	b := &bundle{db: db, news: make(chan struct{}, 1)}
	if scripts == nil {
		scripts = []rikki.Script{&Report{}}
	}
	b.app = rikkitest.App(t, db, scripts...)
	b.Scheduler = b.scheduler(opts)
	return b
}

// scheduler is another one on the same database, as another process has it.
func (b *bundle) scheduler(opts schedule.Options) *schedule.Scheduler {
	opts.Poll = 50 * time.Millisecond
	given := opts.OnOccurrence
	opts.OnOccurrence = func(o schedule.Occurrence) {
		if given != nil {
			given(o)
		}
		b.mu.Lock()
		b.told = append(b.told, o)
		b.mu.Unlock()
		select {
		case b.news <- struct{}{}:
		default:
		}
	}
	return schedule.New(b.app, &opts)
}

// serve fires and runs until stop is called or the test ends.
func (b *bundle) serve(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error("schedules:", err)
		}
	})
	group.Go(func() {
		if err := b.app.Serve(ctx, &rikki.ServeOptions{Poll: 100 * time.Millisecond, Observers: []rikki.Observer{b.Scheduler}}); err != nil {
			t.Error("serve:", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(rikki.ErrInterrupted); group.Wait() })
	t.Cleanup(stop)
	return stop
}

const patience = time.Minute

// await waits until the occurrences that were told of are as wanted.
func (b *bundle) await(t *testing.T, what string, done func(told []schedule.Occurrence) bool) []schedule.Occurrence {
	t.Helper()
	deadline := time.After(patience)
	for {
		b.mu.Lock()
		told := slices.Clone(b.told)
		b.mu.Unlock()
		if done(told) {
			return told
		}
		select {
		case <-b.news:
		case <-deadline:
			t.Fatalf("no %s within %s; told of %+v", what, patience, told)
		}
	}
}

func count(told []schedule.Occurrence, state schedule.Outcome) int {
	n := 0
	for _, o := range told {
		if o.State == state {
			n++
		}
	}
	return n
}

func (b *bundle) save(t *testing.T, def schedule.Schedule) schedule.Info {
	t.Helper()
	info, err := b.Save(t.Context(), def, &schedule.ChangeOptions{Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func (b *bundle) info(t *testing.T, name string) schedule.Info {
	t.Helper()
	info, err := b.Scheduler.Schedule(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func (b *bundle) occurrences(t *testing.T, filter schedule.OccurrenceFilter) []schedule.Occurrence {
	t.Helper()
	var list []schedule.Occurrence
	for o, err := range b.Occurrences(t.Context(), filter) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	slices.Reverse(list)
	return list
}
