package rikki

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/store"
)

// A Batch is several scripts run as one: one after the other, or several at a
// time, each after those that it needs. See [App.Batch].
type Batch struct {
	// Name is shown for people; it has no meaning.
	Name string

	// Steps are what to run, in the order in which they begin as far as they
	// don't need each other.
	Steps []Step

	// Concurrency is how many steps may run at a time. Zero means one.
	Concurrency int

	// KeepGoing lets steps begin after another one has failed, unless they need
	// it. By default no further step begins. Those under way are never disturbed.
	KeepGoing bool
}

// A Step is one run of a script within a batch.
type Step struct {
	// Name tells steps apart. Default: the script's name, and for further steps
	// of the same script that with a number: lowercase, lowercase-2.
	Name string

	// Script is the name of the script.
	Script string

	// Params are as [RunOptions.Params]. They can't contain secrets, which come
	// from [Config.LookupEnv].
	Params any

	// After names the steps that must have succeeded before this one begins.
	After []string

	// Timeout replaces [Options.Timeout].
	Timeout time.Duration
}

// BatchResult is how a batch ended: the result of its own run, and its steps.
type BatchResult struct {
	Result

	Name  string       `json:"name,omitempty"`
	Steps []StepResult `json:"steps"`
}

// StepResult is how one step of a batch ended.
type StepResult struct {
	Step   string `json:"step"`
	Script string `json:"script"`

	// Skipped is why the step didn't begin. Then there is no Result.
	Skipped string `json:"skipped,omitempty"`

	// Earlier tells that the step had finished before the batch was resumed.
	Earlier bool `json:"earlier,omitempty"`

	*Result
}

// batchName is the script of the runs of batches.
const batchName = "batch"

// Batch runs several scripts over one shared connection and waits for all of
// them. The batch is a run of its own in the history, of the script "batch";
// each step is a run with that one as its Parent, on the same path as [App.Run].
//
// Everything that can be wrong with the batch is found before anything runs, and
// returned as one [*params.Error]: unknown scripts, parameters that are not valid,
// missing secrets, needs that don't exist or go round in a circle. Steps of one
// script run at a time as often as its [Options.Concurrency] allows.
//
// A step whose need has failed is skipped. When ctx is cancelled, the steps under
// way are asked to stop, cancelled and cleaned up as with [App.Run], and no other
// begins. Of the options, Timeout is the time budget of the whole batch, without
// limit by default, and Observers are told of the events of the batch and of all
// steps, by several goroutines at a time; Params has no meaning.
//
// The error is nil if and only if all steps succeeded. The result is nil if the
// batch never began.
func (a *App) Batch(ctx context.Context, batch Batch, opts *RunOptions) (*BatchResult, error) {
	plan, err := a.compile(batch)
	if err != nil {
		return nil, err
	}
	return a.runBatch(ctx, plan, opts)
}

// CheckBatch tells what is wrong with a batch, as [App.Batch] would, without
// a connection. Problems have the field's path as Field: steps[1].params.limit.
func (a *App) CheckBatch(batch Batch) error {
	_, err := a.compile(batch)
	return err
}

// ResumeBatch repeats what of a batch did not finish, and what was skipped. Steps
// that succeeded are left alone; one that was paused or interrupted goes on from its
// last checkpoint if its script is [Options.Resumable]. The ID "last" is that of the newest batch.
//
// A batch that was paused or interrupted, as when its process was killed, goes on
// as the same run with the next attempt. One that failed or was cancelled has
// ended for good, so a new run does the rest, with the old one as its Parent. A
// step that ended for good, as one that was cancelled, begins anew; if it is a
// backfill that has done documents, it fails until what it did is undone.
// Parameters are those that the batch began with; of the options, Timeout, Actor,
// Trigger, Force and Observers have a meaning here.
//
// The errors are those of [App.Continue]; [ErrState] also when the batch still runs
// or has nothing left to do.
func (a *App) ResumeBatch(ctx context.Context, id string, opts *RunOptions) (*BatchResult, error) {
	if opts == nil {
		opts = &RunOptions{}
	}
	var past store.Run
	err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		a.sweep(ctx, s)
		var err error
		if id == "last" {
			past, err = s.Latest(ctx, batchName)
		} else {
			past, err = s.Run(ctx, id)
		}
		if err != nil {
			return err
		}
		return resumableBatch(past)
	})
	if err != nil {
		return nil, err
	}
	if !past.State.Final() {
		ro := *opts
		ro.part = &part{report: &batchReport{}}
		result, err := a.Continue(ctx, past.ID, &ro)
		return ro.part.report.result(result), err
	}
	if !opts.Force {
		if err := a.sameSource(past); err != nil {
			return nil, err
		}
	}
	plan, err := a.rest(ctx, past)
	if err != nil {
		return nil, err
	}
	ro := *opts
	ro.Parent, ro.DryRun = past.ID, past.DryRun
	if ro.Timeout == 0 {
		ro.Timeout = past.Timeout
	}
	return a.runBatch(ctx, plan, &ro)
}

func resumableBatch(past store.Run) error {
	switch {
	case past.Script != batchName && past.Step != "":
		return fmt.Errorf("%w: run %s is a step of batch %s: resume that", ErrState, past.ID, past.Parent)
	case past.Script != batchName:
		return fmt.Errorf("%w: run %s is of script %s, not a batch", ErrState, past.ID, past.Script)
	case past.State.Active():
		return fmt.Errorf("%w: batch %s is %s", ErrState, past.ID, past.State)
	case finished(past.State):
		return fmt.Errorf("%w: all steps of batch %s have finished; nothing is left to do", ErrState, past.ID)
	}
	return nil
}

// runBatch runs a plan that was checked, as any other script.
func (a *App) runBatch(ctx context.Context, plan *batchPlan, opts *RunOptions) (*BatchResult, error) {
	ro := RunOptions{}
	if opts != nil {
		ro = *opts
	}
	data, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("the plan can't be stored: %w", err)
	}
	if len(data) > maxPlan {
		return nil, fmt.Errorf("the plan has %d bytes, and at most %d can be stored: make several batches of it", len(data), maxPlan)
	}
	ro.Params = map[string]any{"plan": string(data)}
	ro.part = &part{report: &batchReport{}}
	result, err := a.Run(ctx, batchName, &ro)
	return ro.part.report.result(result), err
}

// maxPlan is what the history keeps of a run's input, less its quotes.
const maxPlan = 400 << 10

// rest is the plan for what a batch that has ended left to do.
func (a *App) rest(ctx context.Context, past store.Run) (*batchPlan, error) {
	plan, err := planOf(past.Input)
	if err != nil {
		return nil, fmt.Errorf("batch %s can't go on: %w", past.ID, err)
	}
	plan.fromSummary(past)
	err = a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		seen, err := lookBack(ctx, s, past.ID, plan)
		if err != nil {
			return err
		}
		plan.Done, plan.Rest = make(map[string]string), make(map[string]string)
		for step, run := range seen.done {
			plan.Done[step] = run.ID
		}
		for _, runs := range []map[string]store.Run{seen.rest, seen.over} {
			for step, run := range runs {
				plan.Rest[step] = run.ID
			}
		}
		return nil
	})
	return plan, err
}

// part is what a run that belongs to a batch gets from it.
type part struct {
	step   string
	drain  time.Duration // how long the step may go on when it is interrupted
	source *conn.Source  // of the history: a pool that is large enough for all steps
	report *batchReport  // of the batch's own run: takes its steps
}

func (p *part) name() string {
	if p == nil {
		return ""
	}
	return p.step
}

// stepName is the step that the run is, of a batch.
func (ro *RunOptions) stepName() string {
	if ro.hold != nil {
		return cmp.Or(ro.part.name(), ro.hold.run.Step)
	}
	return ro.part.name()
}

func (p *part) grace() time.Duration {
	if p == nil {
		return 0
	}
	return p.drain
}

// history is where the run is recorded: there, unless the batch says otherwise.
func (p *part) history(there *conn.Source) *conn.Source {
	if p == nil || p.source == nil {
		return there
	}
	return p.source
}

// batchReport takes the steps of a batch out of its run.
type batchReport struct {
	name  string
	steps []StepResult
}

func (r *batchReport) result(own *Result) *BatchResult {
	if own == nil {
		return nil
	}
	b := &BatchResult{Result: *own, Name: r.name, Steps: r.steps}
	b.Value = nil
	for _, step := range r.steps {
		if step.Result != nil && !step.Stopped {
			b.Stopped = false
		}
	}
	return b
}
