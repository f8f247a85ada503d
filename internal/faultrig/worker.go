//go:build linux

package faultrig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"go.uber.org/goleak"
)

const (
	workerEnv = "RIKKI_FAULTRIG_WORKER" // which function the process runs
	argsEnv   = "RIKKI_FAULTRIG_ARGS"   // what it is given, as JSON
	eventFile = 3                       // where it says what happens
)

// Workers are functions that run in processes of their own, by name. The function's error is the process's exit code 1;
// 3 means that it ended well and left a goroutine or a file open (I7).
type Workers map[string]func(ctx context.Context, w *Worker) error

// Worker is a worker process from within.
type Worker struct {
	given given

	mu  sync.Mutex
	out *os.File
}

// given is what the test gives a worker process.
type given struct {
	Args   json.RawMessage   `json:"args,omitempty"`
	Crash  *Crash            `json:"crash,omitempty"`
	Routes map[string]string `json:"routes,omitempty"`
}

// work is a worker process's whole life. SIGTERM ends its context with the cause [ErrTerminated], once: a second one kills.
func work(name string, workers Workers) int {
	w := &Worker{out: os.NewFile(eventFile, "events")}
	fn, ok := workers[name]
	if !ok {
		fmt.Fprintln(os.Stderr, "faultrig: no worker named", name)
		return 2
	}
	if err := json.Unmarshal([]byte(os.Getenv(argsEnv)), &w.given); err != nil {
		fmt.Fprintln(os.Stderr, "faultrig:", err)
		return 2
	}
	if c := w.given.Crash; c != nil {
		defer c.arm(w)()
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		signal.Stop(term)
		w.Say("terminating", nil)
		cancel(ErrTerminated)
	}()
	before, ignore := openFiles(), goleak.IgnoreCurrent()
	if err := fn(ctx, w); err != nil {
		w.Say("error", err.Error())
		fmt.Fprintln(os.Stderr, name+":", err)
		return 1
	}
	w.Say("done", nil)
	if err := left(before, ignore); err != nil {
		w.Say("left", err.Error())
		fmt.Fprintln(os.Stderr, name+" has left something open (I7):", err)
		return leftCode
	}
	return 0
}

// ErrTerminated is the cause of a worker's end of context.
var ErrTerminated = errors.New("the worker process was told to end")

// Args decodes what the test gave the worker.
func (w *Worker) Args(into any) error { return json.Unmarshal(w.given.Args, into) }

// Event is something that a worker process said.
type Event struct {
	Name  string          `json:"event"`
	Value json.RawMessage `json:"value,omitempty"`
}

// Say tells the test that something has happened. It returns when the line has been written.
func (w *Worker) Say(event string, value any) {
	raw, err := json.Marshal(value)
	if err == nil {
		raw, err = json.Marshal(Event{Name: event, Value: raw})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		_, err = w.out.Write(append(raw, '\n'))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faultrig: say", event+":", err)
	}
}

// Routes are the ways through a proxy that the test laid for this process; see [Routes.Dialer].
func (w *Worker) Routes() *Routes { return &Routes{to: w.given.Routes} }
