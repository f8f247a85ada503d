package rikki

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/store"
)

// ServeOptions says how a process serves the queue. The zero value and nil are
// fine.
type ServeOptions struct {
	// Workers is how many runs this process performs at a time, beside those
	// whose script has ended and whose end is being recorded. Default 4. The
	// limit of each script, [Options.Concurrency], counts over all processes.
	Workers int

	// Scripts are the names of those to run. Default: all that the app knows.
	Scripts []string

	// Grace is how long runs may go on when the process is asked to end, before
	// their contexts are cancelled. Default 30 s.
	Grace time.Duration

	// Poll is how often the queue is looked at even if nothing tells of a
	// change. Default 2 s.
	Poll time.Duration

	// PruneEvery is how often old runs are pruned, as [App.Prune] does. Any
	// number of processes may do it. Default 10 min; negative for never.
	PruneEvery time.Duration

	// Report is told how the process stands, after each look into the queue
	// and whenever a run begins or ends. It must be quick.
	Report func(ServeStatus)

	// Observers are told of the events of the runs, beside [Config.Observers].
	Observers []Observer
}

// ServeStatus is how a process that serves the queue stands.
type ServeStatus struct {
	// Ready tells whether it takes runs: it reaches the queue, and wasn't asked
	// to end.
	Ready bool `json:"ready"`

	// Draining tells that it was asked to end and waits for its runs.
	Draining bool `json:"draining"`

	Active  int `json:"active"`  // runs under way, with those whose end is being recorded
	Workers int `json:"workers"` // how many scripts there may be at a time

	// Looked is when the queue was last reached, and Err why it isn't.
	Looked time.Time `json:"looked_at,omitzero"`
	Err    error     `json:"-"`
}

const (
	defaultWorkers    = 4
	defaultServeGrace = 30 * time.Second
	defaultPoll       = 2 * time.Second
	minPoll           = 50 * time.Millisecond
	defaultPruneEvery = 10 * time.Minute
)

func (o ServeOptions) withDefaults() ServeOptions {
	o.Workers = max(cmp.Or(o.Workers, defaultWorkers), 1)
	o.Grace = cmp.Or(o.Grace, defaultServeGrace)
	o.Poll = max(cmp.Or(o.Poll, defaultPoll), minPoll)
	o.PruneEvery = cmp.Or(o.PruneEvery, defaultPruneEvery)
	if o.Report == nil {
		o.Report = func(ServeStatus) {}
	}
	return o
}

// Serve runs what is queued, until ctx ends: runs that [App.Enqueue] or a retry
// put there, that were resumed, and those whose process died or was stopped
// though their script could go on ([Options.Resumable]). Any number of processes may
// serve one queue; each run is taken by one of them. A process takes the runs of
// the scripts that it knows on the database of its own URI.
//
// When ctx ends, Serve takes no more runs, asks those under way to stop
// ([Run.Stopping], [Run.Checkpoint]) and waits for them as long as
// [ServeOptions.Grace] lasts; then their contexts are cancelled. Runs that didn't come
// to their end are interrupted, and another process goes on with those that can
// resume. Serve returns nil when all have stopped.
//
// An error at the beginning, such as [ErrNoHistory] or one of the connection, is
// returned; later ones are logged, and the queue is tried again.
func (a *App) Serve(ctx context.Context, opts *ServeOptions) error {
	if opts == nil {
		opts = &ServeOptions{}
	}
	if a.history == nil {
		return ErrNoHistory
	}
	if err := a.enter(); err != nil {
		return err
	}
	defer a.runs.Done()
	s, err := a.newServer(opts.withDefaults())
	if err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.close(ctx)
	return s.serve(ctx)
}

// server is one process's share in the queue.
type server struct {
	app    *App
	opts   ServeOptions
	claim  store.Claim
	log    *slog.Logger
	source *conn.Source // of the history: a pool that is large enough for all workers
	ref    *conn.Ref
	script *conn.Ref // keeps the scripts' connection open between runs
	store  *store.Store
	group  *store.Group  // of the workers' writes
	wake   chan struct{} // something new may wait
	freed  chan struct{} // a place is free
	swept  time.Time     // when this process last looked for dead ones; of the loop alone

	workers sync.WaitGroup
	stream  sync.WaitGroup

	mu     sync.Mutex
	status ServeStatus
	busy   int // places that are taken
	stuck  int // runs whose script did not stop
}

func (a *App) newServer(o ServeOptions) (*server, error) {
	s := &server{
		app: a, opts: o, log: a.cfg.Log, wake: make(chan struct{}, 1), freed: make(chan struct{}, 1), status: ServeStatus{Workers: o.Workers},
		claim: store.Claim{Taker: a.taker(), Database: a.source.Database(), Scripts: make(map[string]int)},
	}
	names := o.Scripts
	if names == nil {
		for _, info := range a.allScripts() {
			names = append(names, info.Name)
		}
		names = append(names, batchName)
	}
	var errs []error
	for _, name := range names {
		e, err := a.lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.claim.Scripts[name] = e.opts.Concurrency
	}
	return s, errors.Join(errs...)
}

func (s *server) open(ctx context.Context) error {
	cfg := s.app.historyConfig()
	// A place may have two runs, one of which is being recorded. Beside them: the loop, the stream, and the pruning.
	cfg.PoolSize = 2*uint64(s.opts.Workers) + 3 //nolint:gosec // at least 1
	s.source = conn.New(cfg)
	var err error
	if s.ref, err = s.source.Acquire(ctx); err != nil {
		return err
	}
	s.store = store.New(s.ref.DB())
	s.group = s.store.Group(s.active)
	if s.script, err = s.app.source.Acquire(ctx); err != nil {
		_ = s.ref.Release(context.WithoutCancel(ctx)) // the error above is what matters
		return err
	}
	return nil
}

func (s *server) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), historyTimeout)
	defer cancel()
	for _, ref := range []*conn.Ref{s.script, s.ref} {
		if err := ref.Release(ctx); err != nil {
			s.log.Debug("closing a connection", "error", err)
		}
	}
	if s.stuck > 0 {
		return // a script that doesn't stop keeps its lease, and with it the connection
	}
	if err := s.source.Close(ctx); err != nil {
		s.log.Debug("closing the queue's connection", "error", err)
	}
}

// serve takes runs until ctx ends, and then waits for them.
func (s *server) serve(ctx context.Context) error {
	runs, interrupt := context.WithCancelCause(context.WithoutCancel(ctx))
	defer interrupt(nil)
	if err := s.look(ctx, runs); err != nil {
		return publicError(err)
	}
	s.stream.Go(func() { s.watch(ctx) })
	s.stream.Go(func() { s.prune(ctx) })
	for s.wait(ctx) {
		if err := s.look(ctx, runs); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "the queue can't be reached, trying again", "error", err)
		}
	}
	s.report(func(st *ServeStatus) { st.Ready, st.Draining = false, true })
	s.log.InfoContext(ctx, "no more runs are taken; waiting for those under way", "grace", s.opts.Grace.String())
	interrupt(ErrInterrupted)
	s.workers.Wait()
	s.stream.Wait()
	if s.stuck > 0 {
		return fmt.Errorf("%d scripts did not stop when they were cancelled and may still be writing", s.stuck)
	}
	return nil
}

// wait returns when it is time for a look, or false when ctx has ended.
func (s *server) wait(ctx context.Context) bool {
	// Processes that were started together shall not ask together.
	poll := time.NewTimer(s.opts.Poll*3/4 + rand.N(s.opts.Poll/2)) //nolint:gosec // spreads load, protects nothing
	defer poll.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-poll.C:
	case <-s.freed:
		s.gather(ctx)
	}
	return ctx.Err() == nil
}

// gatherTime is how long at most a free place waits for others: short runs end together, as they began, and taking several costs
// the server little more than taking one.
const gatherTime = 2 * time.Millisecond

func (s *server) gather(ctx context.Context) {
	more := time.NewTimer(gatherTime)
	defer more.Stop()
	for s.idle() < s.opts.Workers {
		select {
		case <-s.freed:
			continue
		case <-ctx.Done():
		case <-s.wake:
		case <-more.C:
		}
		return
	}
}

// poke makes the loop look soon. Any number of pokes is one look.
func poke(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// look takes as many runs as there are idle workers. A stop doesn't cut that
// off, since what was taken must be known.
func (s *server) look(ctx, runs context.Context) error {
	if time.Since(s.swept) >= s.opts.Poll/2 {
		if _, err := s.store.Sweep(ctx); err != nil {
			return s.looked(err)
		}
		s.swept = time.Now()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*historyTimeout)
	defer cancel()
	idle := s.idle()
	if idle == 0 {
		return s.looked(nil)
	}
	began := time.Now()
	taken, err := s.store.Claim(ctx, s.claim, idle)
	if len(taken) > 0 {
		point.Reached("queue.claimed")
	}
	for _, run := range taken {
		s.perform(runs, run, began)
	}
	return s.looked(err)
}

func (s *server) looked(err error) error {
	s.report(func(st *ServeStatus) {
		st.Ready, st.Err = err == nil, err
		if err == nil {
			st.Looked = time.Now()
		}
	})
	return err
}

func (s *server) report(change func(*ServeStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
	s.opts.Report(s.status)
}

// changed wakes the loop. What is new is looked at at once.
func (s *server) changed(news bool) {
	if news {
		poke(s.wake)
	} else {
		poke(s.freed)
	}
}

// watch wakes the loop when the queue has changed, where the server can tell.
func (s *server) watch(ctx context.Context) {
	const first, most = 200 * time.Millisecond, 30 * time.Second
	for pause := first; ctx.Err() == nil; pause = min(2*pause, most) {
		began := time.Now()
		err := s.store.Watch(ctx, s.claim.Database, s.changed)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, store.ErrNoStream):
			s.log.DebugContext(ctx, "no change streams here: the queue is looked at every so often", "poll", s.opts.Poll.String())
			return
		case time.Since(began) > most:
			pause = first // it worked for a while
		}
		s.log.DebugContext(ctx, "the change stream broke, opening another", "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
