// Command serve measures what App.Serve makes of empty scripts, as bench's peer
// agenda.mjs does of agenda's: it prints JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rikki-go/rikki"
)

// figures are what one execution measured.
type figures struct {
	Seconds float64   `json:"seconds"` // from the call of Serve to the last end in the history
	Waits   []float64 `json:"waits_ms"`
}

// script does nothing, and tells when it begins.
type script struct{ begun chan time.Time }

func (*script) Options() rikki.Options { return rikki.Options{Name: "empty", Concurrency: -1} }

func (s *script) Execute(context.Context, *rikki.Run) (any, error) {
	select {
	case s.begun <- time.Now():
	default:
	}
	return nil, nil
}

// ends counts the ends of runs, which the history has when they are told of.
type ends struct {
	mu   sync.Mutex
	left int
	done chan time.Time
}

func (e *ends) Observe(event rikki.Event) {
	if event.Type != rikki.EventResult {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.left--; e.left == 0 {
		e.done <- time.Now()
	}
}

func (e *ends) expect(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.left = n
}

func main() {
	runs := flag.Int("runs", 2000, "runs that wait when the queue begins to be served")
	workers := flag.Int("workers", 20, "runs at a time")
	singles := flag.Int("singles", 50, "runs that are queued one by one")
	flag.Parse()
	out, err := measure(context.Background(), *runs, *workers, *singles)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func measure(ctx context.Context, runs, workers, singles int) (figures, error) {
	s := &script{begun: make(chan time.Time, 1)}
	// What goes wrong is told; what goes well would be measured.
	warnings := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg := &rikki.Config{Log: warnings, HistoryDatabase: "bench_serve"}
	cfg.Conn.PoolSize = uint64(2 * workers) //nolint:gosec // small
	app := rikki.New(cfg).MustAdd(s)
	e := &ends{done: make(chan time.Time, 1)}
	serve := func() (stop func() error) {
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			ended <- app.Serve(ctx, &rikki.ServeOptions{Workers: workers, Observers: []rikki.Observer{rikki.ObserverFunc(e.Observe)}})
		}()
		return func() error { cancel(); return <-ended }
	}
	var f figures
	stop := serve()
	for i := range singles + 1 {
		e.expect(1)
		asked := time.Now()
		if _, err := app.Enqueue(ctx, "empty", nil); err != nil {
			return f, err
		}
		begun := <-s.begun
		<-e.done
		if i > 0 { // the first one makes the indexes
			f.Waits = append(f.Waits, float64(begun.Sub(asked))/float64(time.Millisecond))
		}
		time.Sleep(20*time.Millisecond + rand.N(80*time.Millisecond)) //nolint:gosec // any will do
	}
	if err := stop(); err != nil {
		return f, err
	}
	if runs > 0 {
		if err := enqueue(ctx, app, runs); err != nil {
			return f, err
		}
		e.expect(runs)
		began := time.Now()
		stop = serve()
		f.Seconds = (<-e.done).Sub(began).Seconds()
		if err := stop(); err != nil {
			return f, err
		}
	}
	return f, errors.Join(check(ctx, app, runs+singles+1), app.Close(ctx))
}

func enqueue(ctx context.Context, app *rikki.App, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for range n {
		group.Go(func() error {
			_, err := app.Enqueue(ctx, "empty", nil)
			return err
		})
	}
	return group.Wait()
}

// check demands that the history has every run, as succeeded.
func check(ctx context.Context, app *rikki.App, want int) error {
	n := 0
	for record, err := range app.Runs(ctx, rikki.RunFilter{Script: "empty"}) {
		if err != nil {
			return err
		}
		if record.State == rikki.Succeeded && record.Attempt == 1 {
			n++
		}
	}
	if n != want {
		return fmt.Errorf("%d of %d runs succeeded at the first attempt", n, want)
	}
	return nil
}
