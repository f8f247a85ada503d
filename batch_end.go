package rikki

import (
	"context"
	"fmt"
	"strings"

	"github.com/rikki-go/rikki/conn"
)

// verdict is the batch's own error. The errors of its steps are not in its chain:
// whether the batch failed or was stopped is not for them to say.
func (r *batchRun) verdict(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	names, total := make(map[State][]string), 0
	for _, result := range r.results {
		switch {
		case result.Skipped != "":
			total++
		case !finished(result.State):
			total++
			fallthrough
		case result.State == SucceededWithErrors:
			names[result.State] = append(names[result.State], result.Step)
		}
	}
	text := func(state State) string { return strings.Join(names[state], ", ") + " " + pastTense(state) }
	switch {
	case total == 0 && names[SucceededWithErrors] != nil:
		return partlyDone(names[SucceededWithErrors])
	case total == 0:
		return nil
	case names[Failed] != nil:
		return fmt.Errorf("%s; %d of %d steps did not finish", text(Failed), total, len(r.results))
	case r.stop != nil:
		return r.stop
	case names[Cancelled] != nil:
		return fmt.Errorf("%w: %s", ErrCancelled, text(Cancelled))
	case names[Paused] != nil:
		return fmt.Errorf("%w: %s", ErrPaused, text(Paused))
	default:
		return fmt.Errorf("%w: %s", ErrInterrupted, text(Interrupted))
	}
}

// partlyDone are the steps of a batch that finished with errors, where all finished.
type partlyDone []string

func (p partlyDone) Error() string { return strings.Join(p, ", ") + " finished with errors" }

func (p partlyDone) Unwrap() error { return &PartialError{Failed: int64(len(p)), What: "steps"} }

// all is the results of the steps that have one.
func (r *batchRun) all() []StepResult {
	all := make([]StepResult, 0, len(r.results))
	for i, result := range r.results {
		if result == nil {
			step := r.plan.Steps[i]
			result = &StepResult{Step: step.Name, Script: step.Script, Skipped: "the batch did not get that far"}
		}
		all = append(all, *result)
	}
	return all
}

// stepSummary is what the batch's own record says of a step.
type stepSummary struct {
	Step    string `bson:"step"              json:"step"`
	Script  string `bson:"script"            json:"script"`
	Run     string `bson:"run,omitempty"     json:"run,omitempty"`
	State   State  `bson:"state,omitempty"   json:"state,omitempty"`
	Skipped string `bson:"skipped,omitempty" json:"skipped,omitempty"`
}

type batchSummary struct {
	Steps []stepSummary `bson:"steps" json:"steps"`
}

func (r *batchRun) summary() batchSummary {
	var sum batchSummary
	for _, result := range r.all() {
		step := stepSummary{Step: result.Step, Script: result.Script, Skipped: result.Skipped}
		if result.Result != nil {
			step.Run, step.State = result.Run, result.State
		}
		sum.Steps = append(sum.Steps, step)
	}
	return sum
}

// openSource makes room for the leases of many steps. Few fit into the app's own pool.
func (r *batchRun) openSource(ctx context.Context) func() {
	const few = 2
	if r.plan.Concurrency <= few || r.app.history == nil || r.ro.NoHistory {
		return func() {}
	}
	cfg := r.app.historyConfig()
	cfg.PoolSize = uint64(min(r.plan.Concurrency, len(r.plan.Steps)) + 1)
	r.source = conn.New(cfg)
	ref, err := r.source.Acquire(ctx)
	if err != nil {
		r.source = nil // the steps will say what is wrong
		return func() {}
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), historyTimeout)
		defer cancel()
		if err := ref.Release(ctx); err != nil {
			r.run.Log().DebugContext(ctx, "closing a connection", "error", err)
		}
		for _, result := range r.results {
			if result != nil && result.Result != nil && !result.Stopped {
				return // a script that doesn't stop keeps its lease, and with it the connection
			}
		}
		if err := r.source.Close(ctx); err != nil {
			r.run.Log().DebugContext(ctx, "closing the connection of the steps' leases", "error", err)
		}
	}
}
