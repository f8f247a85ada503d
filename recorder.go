package rikki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/lease"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/store"
)

// recorder keeps one run in the history: its record, its lease, its logs. A
// recorder that was never begun does nothing, so that a run without history
// takes the same path.
type recorder struct {
	ttl      time.Duration
	buffer   *logBuffer
	progress *Progress
	counters func() map[string]int64
	heed     func(store.Pulse) // is told how others see the run
	log      *slog.Logger

	ref    *conn.Ref
	store  *store.Store
	writer runWriter
	id     string
	epoch  int64
	keeper *lease.Keeper
	stop   chan struct{}
	done   chan struct{}
	ended  atomic.Bool // the record has its end, and no lease any more
}

// runWriter is what writes the beginning of a script and the end of a run.
type runWriter interface {
	Begin(ctx context.Context, id string, epoch int64) (store.Pulse, error)
	Finish(ctx context.Context, id string, epoch int64, end store.Finish) (store.State, error)
}

// flushRecords is how many log records are written at a time: what a slow
// server has taken need not be sent again.
const flushRecords = 1000

// flushInterval is how often logs and progress go to the history.
const flushInterval = time.Second

// begin writes the record and takes the lease, in one step.
func (r *recorder) begin(ctx context.Context, source *conn.Source, run store.NewRun) error {
	ref, err := source.Acquire(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	s := store.New(ref.DB())
	// A start that is given up half-way may leave a record, and with it a place
	// taken. It is bounded by the client's timeout; the caller looks at ctx.
	started, err := s.Start(context.WithoutCancel(ctx), run)
	if err != nil {
		defer func() { _ = ref.Release(context.WithoutCancel(ctx)) }() // the error above is what matters
		return recordError(run.Script, ref.Explain(err))
	}
	point.Reached("record.begun")
	r.keep(ctx, ref, started, began)
	return nil
}

// adopt goes on with a run whose lease this process has taken already.
func (r *recorder) adopt(ctx context.Context, h *hold) error {
	// The run is this process's whatever becomes of its start: only over this
	// connection can it be given back.
	connecting, cancel := context.WithTimeout(context.WithoutCancel(ctx), historyTimeout)
	defer cancel()
	ref, err := h.source.Acquire(connecting)
	if err != nil {
		return err
	}
	r.keep(ctx, ref, h.run, h.began)
	if h.writer != nil {
		r.writer = h.writer
	}
	return nil
}

// keep renews the lease and writes logs and progress until the recorder ends.
func (r *recorder) keep(ctx context.Context, ref *conn.Ref, run store.Run, began time.Time) {
	r.ref, r.store, r.id, r.epoch = ref, store.New(ref.DB()), run.ID, run.Lease.Epoch
	r.writer = r.store.Group(nil)
	r.keeper = lease.Keep(context.WithoutCancel(ctx), lease.Config{
		TTL: r.ttl, Began: began, Log: r.log,
		Renew: func(ctx context.Context) error { return r.beat(ctx, false) },
	})
	r.stop, r.done = make(chan struct{}), make(chan struct{})
	go r.flushLoop(r.keeper.Context()) //nolint:contextcheck // it lives as long as the lease, not as the caller
}

// beginScript makes the record say that the script begins, where that decides
// whether another process may begin it too. Before it, nothing of the script
// has happened.
func (r *recorder) beginScript(ctx context.Context) error {
	point.Reached("queue.before-begin")
	pulse, err := r.writer.Begin(context.WithoutCancel(ctx), r.id, r.epoch)
	if err != nil {
		return err
	}
	r.heed(pulse)
	point.Reached("queue.begun")
	return nil
}

func recordError(script string, err error) error {
	if busy, ok := errors.AsType[*store.BusyError](err); ok {
		holder := busy.Holder
		return &AlreadyRunningError{
			Script: script, Holder: holder.ID, Host: holder.Lease.Owner.Host, PID: holder.Lease.Owner.PID,
			Since: holder.StartedAt, Expires: holder.Lease.Expires.Sub(holder.ReadAt),
		}
	}
	return err
}

func (r *recorder) on() bool { return r.keeper != nil }

// context returns a context that ends when the lease is lost.
func (r *recorder) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if !r.on() {
		return ctx, func() { cancel(nil) }
	}
	detach := context.AfterFunc(r.keeper.Context(), func() { cancel(ErrLeaseLost) })
	return ctx, func() { detach(); cancel(nil) }
}

// beat renews the lease, and reports progress if it changed. With onlyNews it
// only looks what others want of the run when there is nothing to report.
func (r *recorder) beat(ctx context.Context, onlyNews bool) error {
	beat := store.Beat{TTL: r.ttl}
	state, changed := r.progress.take()
	switch {
	case changed:
		beat.Progress = storedProgress(state)
		beat.Counters = r.counters()
	case onlyNews:
		pulse, err := r.store.Look(ctx, r.id, r.epoch)
		if err == nil {
			r.heed(pulse)
		}
		return err
	}
	point.Reached("lease.before-renewal")
	pulse, err := r.store.Beat(ctx, r.id, r.epoch, beat)
	point.Reached("lease.renewed")
	if err == nil {
		r.heed(pulse)
	}
	if r.ended.Load() && errors.Is(err, store.ErrLeaseLost) {
		return nil // the end overtook this renewal
	}
	if errors.Is(err, store.ErrLeaseLost) {
		return fmt.Errorf("%w: %w", lease.ErrLost, err)
	}
	return err
}

// flushLoop writes logs and progress until the recorder ends. A failure isn't
// the run's: the lease decides whether the history is out of reach for too long.
func (r *recorder) flushLoop(lease context.Context) {
	defer close(r.done)
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			ctx, cancel := context.WithTimeout(lease, historyTimeout)
			_ = r.flushLogs(ctx)
			_ = r.beat(ctx, true)
			cancel()
		case <-r.stop:
			return
		}
	}
}

func (r *recorder) flushLogs(ctx context.Context) error {
	records := r.buffer.take()
	for len(records) > 0 {
		some := min(len(records), flushRecords)
		if err := r.store.AppendLogs(ctx, r.id, records[:some]); err != nil {
			r.buffer.putBack(records)
			return err
		}
		records = records[some:]
	}
	return nil
}

// finish writes the end of the run, and returns the state that the history has
// now. It keeps trying while the history can't be reached and the lease lasts.
// The log goes first: whoever sees that a run has ended may read all of it.
func (r *recorder) finish(ctx context.Context, end store.Finish) (store.State, error) {
	close(r.stop)
	<-r.done
	end.LogsDropped = r.buffer.droppedCount()

	point.Reached("record.before-end")
	logsErr := r.flushLast(ctx)
	state, err := retryOnce(ctx, func() (store.State, error) { return r.writer.Finish(ctx, r.id, r.epoch, end) })
	r.ended.Store(err == nil)
	point.Reached("record.ended")
	if logsErr != nil && err == nil {
		logsErr = r.flushLogs(ctx)
	}
	if logsErr != nil && err == nil {
		r.log.Warn("some log records are missing in the history", "error", logsErr)
	}
	return state, err
}

// flushLast writes the rest of the log. It may take half of the time that there
// is for the end: the record matters more.
func (r *recorder) flushLast(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	return r.flushLogs(ctx)
}

// retryOnce tries again after an error, unless the lease is lost. The same end
// written twice is written once.
func retryOnce(ctx context.Context, fn func() (store.State, error)) (store.State, error) {
	state, err := fn()
	if err == nil || errors.Is(err, store.ErrLeaseLost) || ctx.Err() != nil {
		return state, err
	}
	return fn()
}

// release frees the place of a script whose run had ended before it did.
func (r *recorder) release(ctx context.Context) {
	if !r.on() {
		return
	}
	if err := r.store.Release(ctx, r.id, r.epoch); err != nil && !errors.Is(err, store.ErrLeaseLost) {
		r.log.Warn("the place of a script that has ended stays taken until its lease expires", "error", err)
	}
}

// end stops renewing the lease and gives the connection back.
func (r *recorder) end(ctx context.Context) {
	if !r.on() {
		return
	}
	r.keeper.Stop()
	if err := r.ref.Release(ctx); err != nil {
		r.log.Debug("closing the history's connection", "error", err)
	}
}

func storedProgress(p ProgressState) *store.Progress {
	return &store.Progress{Done: p.Done, Total: p.Total, Message: p.Message, Rate: p.Rate}
}

// storedResult turns a script's result into what BSON can hold, in the shape
// of its JSON, so that the history shows what the caller saw.
func storedResult(result any) (any, error) {
	if result == nil {
		return nil, nil
	}
	data, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("the result can't be encoded as JSON: %w", err)
	}
	value, ok := decodeJSON(data)
	if !ok {
		return string(data), nil
	}
	return value, nil
}
