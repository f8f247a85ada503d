package rikki

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/preview"
)

// finish records the outcome and makes the result.
func (x *execution) finish(caller context.Context, out outcome, report *preview.Report) (*Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), x.endTime(out.err))
	defer cancel()
	progress := x.run.progress.finish()
	progress.Failed = x.run.failed()
	out.err = x.redactor.Error(out.err)
	result := &Result{
		Run: x.run.id, Script: x.entry.name, State: stateOf(out.err), Value: x.masked(out.value),
		Failure: failureOf(out.err), Findings: x.findings.All(), Counters: x.run.countersCopy(),
		DryRun: x.ro.DryRun, Preview: report, Started: x.started.UTC(), Duration: time.Since(x.started), Stopped: out.late == nil,
	}
	result.HalfWay = result.State == Failed && x.run.placed.Load() && x.opts.Resumable && x.recorder.on()
	if progress.Done != 0 || progress.Total != 0 {
		result.Progress = &progress
	}
	if h := x.ro.hold; h != nil && h.ended != nil && result.Stopped {
		h.ended()
	}
	if x.recorder.on() {
		if err := x.record(ctx, result, progress); err != nil {
			x.log.Error("the history doesn't have the outcome of this run", "error", err)
			if errors.Is(err, store.ErrLeaseLost) && out.err == nil {
				out.err = ErrLeaseLost
				result.State, result.Failure = stateOf(out.err), failureOf(out.err)
			}
		}
		out.err = x.lastWord(result, out.err)
	}
	x.bus.publish(Event{Type: EventState, State: result.State})
	x.bus.publish(Event{Type: EventResult, Result: result})
	x.bus.settle()
	return result, out.err
}

// endTime is how long the history is tried to be told of the end: as long as
// the lease lasts. A process that is asked to end has less, and others learn from
// the lease what it could not tell.
func (x *execution) endTime(why error) time.Duration {
	if errors.Is(why, ErrInterrupted) {
		return min(x.app.cfg.LeaseTTL, historyTimeout)
	}
	return x.app.cfg.LeaseTTL
}

// masked returns a result as it is, unless its JSON has a secret of this run.
func (x *execution) masked(value any) any {
	data, err := json.Marshal(value)
	if err != nil {
		return value // record says so
	}
	if safe := x.redactor.Text(string(data)); safe != string(data) && json.Valid([]byte(safe)) {
		return json.RawMessage(safe)
	}
	return value
}

func (x *execution) record(ctx context.Context, result *Result, progress ProgressState) error {
	end := store.Finish{
		State: result.State, HalfWay: result.HalfWay, Counters: result.Counters, Stuck: !result.Stopped, Progress: storedProgress(progress),
	}
	for _, f := range result.Findings {
		end.Findings = append(end.Findings, store.Finding{Level: string(f.Level), Message: x.redactor.Text(f.Message)})
	}
	value, err := storedResult(result.Value)
	if err != nil {
		x.log.Warn("the history doesn't have the run's result", "error", err)
	}
	end.Result = value
	if f := result.Failure; f != nil {
		end.Error = &store.RunError{Kind: f.Kind, Message: f.Message, Stack: x.redactor.Text(f.Stack)}
	}
	state, err := x.recorder.finish(ctx, end)
	result.Recorded = err == nil
	if err == nil {
		result.State = state // somebody may have asked for another one meanwhile
		result.HalfWay = result.HalfWay && state == Failed
	}
	return err
}

// close gives everything back. A script that didn't stop loses its connection
// if no other run shares it, but keeps its lease: as long as it may be writing,
// no other run of it may begin.
func (x *execution) close(caller context.Context, late <-chan outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), historyTimeout)
	defer cancel()
	x.app.monitor.forget(x.run.id)

	var group errgroup.Group
	if late == nil {
		group.Go(func() error { x.recorder.end(ctx); return nil })
	} else {
		x.app.runs.Go(func() { x.linger(context.WithoutCancel(caller), late) })
	}
	if err := x.ref.Release(ctx); err != nil {
		x.app.cfg.Log.Debug("closing the connection", "error", err)
	}
	_ = group.Wait()
}

// linger waits for a script that outlived its run, and then frees its place.
func (x *execution) linger(ctx context.Context, late <-chan outcome) {
	<-late
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	x.recorder.release(ctx)
	x.recorder.end(ctx)
}
