package rikki_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/locked"
	"github.com/rikki-go/rikki/rikkitest"
)

// watcher remembers what it observed.
type watcher struct {
	mu     sync.Mutex
	events []rikki.Event
}

func (w *watcher) Observe(e rikki.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// told lists the types of the events that aren't of the excluded ones, states by their name.
func (w *watcher) told(except ...rikki.EventType) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var told []string
	for _, e := range w.events {
		switch {
		case slices.Contains(except, e.Type):
		case e.Type == rikki.EventState:
			told = append(told, string(e.State))
		default:
			told = append(told, string(e.Type))
		}
	}
	return told
}

func TestObserversSeeEverything(t *testing.T) {
	t.Parallel()

	quiet := []rikki.EventType{rikki.EventLog, rikki.EventProgress}
	check := func(t *testing.T, w *watcher, want string) {
		t.Helper()
		if got := strings.Join(w.told(quiet...), " "); got != want {
			t.Errorf("observed %s, want %s", got, want)
		}
		for i, e := range w.events {
			if i > 0 && e.Attempt == w.events[i-1].Attempt && e.Seq != w.events[i-1].Seq+1 {
				t.Errorf("event %d has number %d after %d", i, e.Seq, w.events[i-1].Seq)
			}
		}
	}

	t.Run("RetryAndFinding", func(t *testing.T) {
		t.Parallel()
		w := &watcher{}
		tries := 0
		app := rikkitest.App(t, rikkitest.DB(t), &staged{
			journal: &journal{}, opts: rikki.Options{Name: "again", Retry: rikki.RetryPolicy{Tries: 2, Initial: time.Millisecond}},
			validate: func(f *rikki.Findings) { f.Warnf("the moon is full") },
			execute: func(context.Context, *rikki.Run) (any, error) {
				if tries++; tries == 1 {
					return nil, rikki.Transient(errors.New("busy: mongodb://bob:geheim@db1/x"))
				}
				return nil, nil
			},
		})
		if _, err := app.Run(t.Context(), "again", &rikki.RunOptions{Observers: []rikki.Observer{w}}); err != nil {
			t.Fatal(err)
		}
		check(t, w, "running finding retry succeeded result")
		for _, e := range w.events {
			if r := e.Retry; r != nil && (r.Try != 1 || r.Of != 2 || strings.Contains(r.Error, "geheim") || !strings.Contains(r.Error, "busy")) {
				t.Errorf("retry %+v", r)
			}
		}
	})

	t.Run("CheckpointsPausesAndTheQueue", func(t *testing.T) {
		t.Parallel()
		w, g := &watcher{}, newGate(1)
		cfg := configOf(t, rikkitest.DB(t))
		cfg.Observers = []rikki.Observer{w}
		app := rikki.New(cfg).MustAdd(&steps{at: g.at})
		t.Cleanup(func() { closeApp(t, app) })
		id := enqueue(t, app, "steps", nil)
		stop := serving(t, app, rikki.ServeOptions{})
		<-g.reached
		if _, err := app.Pause(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
		close(g.open)
		await(t, app, id, inState(rikki.Paused))
		// Resumed while nobody serves: otherwise the next start may be told before the resuming itself.
		if err := stop(); err != nil {
			t.Error(err)
		}
		if _, err := app.Resume(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
		stop = serving(t, app, rikki.ServeOptions{})
		await(t, app, id, inState(rikki.Succeeded))
		if err := stop(); err != nil {
			t.Error(err)
		}
		closeApp(t, app)
		// The process may learn of the pause before its second checkpoint or with it.
		got := strings.Join(w.told(rikki.EventLog, rikki.EventProgress, rikki.EventCheckpoint), " ")
		if want := "queued running pausing paused result queued running succeeded result"; got != want {
			t.Errorf("observed %s, want %s", got, want)
		}
		if n := len(w.told()) - len(w.told(rikki.EventCheckpoint)); n != 3 {
			t.Errorf("%d checkpoints, not 3", n)
		}
	})
}

func TestObserverCannotHarmARun(t *testing.T) {
	t.Parallel()

	t.Run("ByHanging", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		seen := make(chan rikki.Event, 100)
		hang := rikki.ObserverFunc(func(e rikki.Event) { <-release; seen <- e })
		w := &watcher{}
		app := rikkitest.App(t, rikkitest.DB(t), rikki.Func("quick", func(context.Context, *rikki.Run) (any, error) { return nil, nil }))
		result, err := app.Run(t.Context(), "quick", &rikki.RunOptions{Observers: []rikki.Observer{hang, w}})
		if err != nil || !result.Recorded {
			t.Errorf("result %+v, %v", result, err)
		}
		if got := strings.Join(w.told(), " "); got != "running succeeded result" {
			t.Errorf("the other observer saw %s", got)
		}
		close(release)
		for e := range seen {
			if e.Type == rikki.EventResult {
				break
			}
		}
	})

	t.Run("ByBeingSlow", func(t *testing.T) {
		t.Parallel()
		const logs = 3 * 4096
		release := make(chan struct{})
		slow, fast := &watcher{}, &watcher{}
		app := rikkitest.App(t, rikkitest.DB(t), rikki.Func("chatty", func(_ context.Context, run *rikki.Run) (any, error) {
			for i := range logs {
				run.Log().Debug("line", "n", i)
			}
			close(release)
			return nil, nil
		}))
		_, err := app.Run(t.Context(), "chatty", &rikki.RunOptions{Observers: []rikki.Observer{
			rikki.ObserverFunc(func(e rikki.Event) { <-release; slow.Observe(e) }), rikki.InStep(fast),
		}})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(fast.told()); n != logs+3 {
			t.Errorf("the observer in step saw %d events, not %d", n, logs+3)
		}
		closeApp(t, app) // waits for the slow one
		told := slow.told()
		if n := len(told); n > 4096+10 || n < 4096 || told[n-1] != "result" || told[n-2] != "succeeded" {
			t.Errorf("the slow one saw %d events, the last %s", n, told[max(0, n-2):])
		}
		seq := int64(0)
		for _, e := range slow.events {
			if e.Seq <= seq {
				t.Fatalf("event %d came after %d", e.Seq, seq)
			}
			seq = e.Seq
		}
	})

	for name, harm := range map[string]func(){
		"ByPanicking": func() { panic("oh no") }, "ByEndingItsGoroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log locked.Buffer
			bad, good := &watcher{}, &watcher{}
			cfg := configOf(t, rikkitest.DB(t))
			cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			cfg.Observers = []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) { bad.Observe(e); harm() }), good}
			app := rikki.New(cfg).MustAdd(rikki.Func("calm", func(context.Context, *rikki.Run) (any, error) { return nil, nil }))
			result, err := app.Run(t.Context(), "calm", nil)
			if err != nil || result.State != rikki.Succeeded {
				t.Errorf("result %+v, %v", result, err)
			}
			closeApp(t, app)
			for who, w := range map[string]*watcher{"bad": bad, "good": good} {
				if got := strings.Join(w.told(), " "); got != "running succeeded result" {
					t.Errorf("the %s observer saw %s", who, got)
				}
			}
			if n := strings.Count(log.String(), "an observer panicked"); n != 1 {
				t.Errorf("the panic is logged %d times, not once:\n%s", n, log.String())
			}
		})
	}
}
