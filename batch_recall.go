package rikki

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/rikki-go/rikki/internal/store"
)

// recall learns what of the batch was done before, by an earlier attempt or an
// earlier batch.
func (r *batchRun) recall(ctx context.Context) error {
	if (r.ro.hold == nil && len(r.plan.Done)+len(r.plan.Rest) == 0) || !r.run.place.recorder.on() {
		return nil
	}
	var saved map[string]string
	if _, err := r.run.LoadCheckpoint(&saved); err != nil {
		return err
	}
	plan := *r.plan
	plan.Done = merged(plan.Done, saved)
	var seen look
	err := r.app.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		var err error
		if seen, err = r.settled(ctx, s, &plan); err == nil {
			err = seen.refuse(ctx, s)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("what the batch has done before can't be found out: %w", err)
	}
	r.rest = make(map[string]string)
	for step, run := range seen.rest {
		r.rest[step] = run.ID
	}
	r.twice = seen.twice
	done := int64(0)
	for i, step := range r.plan.Steps {
		run, ok := seen.done[step.Name]
		if !ok {
			continue
		}
		r.done[step.Name] = run.ID
		r.results[i] = &StepResult{Step: step.Name, Script: step.Script, Earlier: true, Result: resultOf(run)}
		done++
	}
	r.run.Progress().restore(done, int64(len(r.results)), "")
	return nil
}

// settled looks back when no step of an earlier attempt is under way any more: the
// steps of a process that was killed keep their leases a little longer than
// it kept that of the batch.
func (r *batchRun) settled(ctx context.Context, s *store.Store, plan *batchPlan) (look, error) {
	const pause = 200 * time.Millisecond
	deadline := time.Now().Add(2 * r.app.cfg.LeaseTTL)
	for {
		seen, err := lookBack(ctx, s, r.run.ID(), plan)
		if err != nil || len(seen.active) == 0 {
			return seen, err
		}
		if time.Now().After(deadline) {
			return seen, fmt.Errorf("%w: step %s is still under way as %s", ErrState, seen.active[0].Step, seen.active[0].ID)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return seen, context.Cause(ctx)
		}
	}
}

// look is what is known of a batch's steps.
type look struct {
	done   map[string]store.Run
	rest   map[string]store.Run // can go on
	over   map[string]store.Run // ended for good, and did not finish
	active []store.Run
	twice  map[string]error // why a step may not begin anew
}

// refuse finds the steps that may not begin anew: those whose last run did documents, and did not take them back.
func (l *look) refuse(ctx context.Context, s *store.Store) error {
	l.twice = make(map[string]error)
	for _, runs := range []map[string]store.Run{l.rest, l.over} {
		for step, run := range runs {
			err := refuseTwice(ctx, s, run)
			if err != nil && !errors.Is(err, ErrState) {
				return err
			}
			l.twice[step] = err
		}
	}
	return nil
}

// lookBack finds the runs of a batch's steps: those that belong to it, and those that
// its plan names.
func lookBack(ctx context.Context, s *store.Store, batch string, plan *batchPlan) (look, error) {
	seen := look{done: make(map[string]store.Run), rest: make(map[string]store.Run), over: make(map[string]store.Run)}
	known := make(map[string]bool, len(plan.Steps))
	for _, step := range plan.Steps {
		known[step.Name] = true
	}
	runs, err := s.Children(ctx, batch)
	if err != nil {
		return seen, err
	}
	newest := make(map[string]bool)
	for _, run := range runs {
		if known[run.Step] {
			seen.add(run.Step, run, !newest[run.Step])
			newest[run.Step] = true
		}
	}
	for step, id := range merged(plan.Rest, plan.Done) {
		if _, ok := seen.done[step]; ok || !known[step] {
			continue
		}
		run, err := s.Run(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound) && plan.Done[step] == id:
			seen.done[step] = store.Run{ID: id, State: Succeeded} // its record was pruned
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return seen, err
		default:
			seen.add(step, run, !newest[step])
		}
	}
	return seen, nil
}

func (l *look) add(step string, run store.Run, newest bool) {
	switch {
	case finished(run.State):
		if _, ok := l.done[step]; !ok {
			l.done[step] = run
		}
		delete(l.rest, step)
		delete(l.over, step)
	case run.State.Active():
		l.active = append(l.active, run)
	case newest && run.Resumable && (run.State == Paused || run.State == Interrupted || run.HalfWay):
		l.rest[step] = run
	case newest:
		l.over[step] = run
	}
}

// merged is both maps in one; the second wins.
func merged(a, b map[string]string) map[string]string {
	all := make(map[string]string, len(a)+len(b))
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// resultOf is a run of the history as the result that it had.
func resultOf(run store.Run) *Result {
	record := recordOf(run)
	result := &Result{
		Run: run.ID, Script: run.Script, State: run.State, Failure: record.Error, Findings: record.Findings, Counters: run.Counters,
		Progress: record.Progress, DryRun: run.DryRun, Started: run.StartedAt, Duration: record.Duration, Stopped: true, Recorded: true,
	}
	return result
}

// fromSummary adds what the record of a batch that has ended says of its steps,
// whose own records may have been pruned since.
func (p *batchPlan) fromSummary(past store.Run) {
	var sum batchSummary
	if past.Result.IsZero() || past.Result.Unmarshal(&sum) != nil {
		return
	}
	for _, step := range sum.Steps {
		if finished(step.State) {
			p.Done = merged(p.Done, map[string]string{step.Step: step.Run})
		}
	}
}
