package rikki

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rikki-go/rikki/conn"
)

// batchScript is the script that every app has: it runs others by a plan. It is
// the one place that starts steps, so a batch that was queued, retried or taken over
// by another process goes the way of any other run.
type batchScript struct {
	app    *App
	params struct {
		Plan string `help:"The plan as JSON; see App.Batch." required:"true"`
	}

	plan  *batchPlan
	ro    RunOptions // of the batch's own run
	actor string
	drain time.Duration
	limit time.Duration // the time budget, for words
}

func (b *batchScript) Options() Options {
	return Options{
		Name: batchName, Description: "Run several scripts as one.",
		Timeout: -1, Concurrency: -1, Resumable: true, DryRun: true,
		Grace: time.Nanosecond, // as long as its steps need: see adopt
	}
}

func (b *batchScript) Fresh() (Script, any) {
	fresh := &batchScript{app: b.app}
	return fresh, &fresh.params
}

// adopt fits the script to the run that it is for.
func (b *batchScript) adopt(x *execution) error {
	plan, err := decodePlan(b.params.Plan)
	if err != nil {
		return err
	}
	b.plan, b.ro, b.actor = plan, x.ro, x.ro.Actor
	if h := x.ro.hold; h != nil {
		b.drain, b.actor = h.drain, cmp.Or(b.actor, h.run.Actor)
	}
	if x.ro.part == nil || x.ro.hold != nil { // not just compiled
		if err := b.app.recheck(plan); err != nil {
			return err
		}
	}
	b.limit = x.timeout()
	// The batch stops when its steps have: it must not be given up before them.
	for _, step := range plan.Steps {
		if e, err := b.app.lookup(step.Script); err == nil {
			patience := max(e.opts.Drain, b.drain) + 2*e.opts.Grace + e.opts.CleanupTimeout + b.app.cfg.LeaseTTL
			x.opts.Grace = max(x.opts.Grace, patience)
		}
	}
	return nil
}

// Execute runs the steps.
func (b *batchScript) Execute(ctx context.Context, run *Run) (any, error) {
	r := &batchRun{
		batchScript: b, run: run, results: make([]*StepResult, len(b.plan.Steps)), began: make([]bool, len(b.plan.Steps)),
		ends: make(chan stepEnd, len(b.plan.Steps)), busy: make(map[string]int), done: make(map[string]string),
	}
	defer func() {
		if b.ro.part != nil && b.ro.part.report != nil {
			b.ro.part.report.name, b.ro.part.report.steps = b.plan.Name, r.all()
		}
	}()
	if err := r.recall(ctx); err != nil {
		return nil, err
	}
	err := r.perform(ctx)
	return r.summary(), err
}

// batchRun is a batch under way. Its fields belong to the goroutine of Execute;
// steps only send their end.
type batchRun struct {
	*batchScript
	run *Run

	source  *conn.Source // of the history, for the steps; nil for the app's own
	results []*StepResult
	began   []bool
	ends    chan stepEnd
	active  int
	busy    map[string]int    // steps under way, by script
	done    map[string]string // runs of the steps that need not be repeated
	rest    map[string]string // runs that can go on
	twice   map[string]error  // why a step may not begin anew: what it did would be done twice
	failed  string            // the first step that did
	stop    error             // why no further step begins, as the checkpoint says
}

type stepEnd struct {
	i      int
	result *StepResult
}

// perform runs what is left, and tells how it went.
func (r *batchRun) perform(ctx context.Context) error {
	closeSource := r.openSource(ctx)
	defer closeSource()
	steps, finish := r.context(ctx)
	defer finish()
	var group sync.WaitGroup
	defer group.Wait()

	r.run.Progress().SetTotal(int64(len(r.results)))
	for {
		r.begin(ctx, steps, &group)
		if r.active == 0 {
			break
		}
		r.end(ctx, <-r.ends)
	}
	r.skipRest(ctx)
	return r.verdict(ctx)
}

// context is that of the steps: it ends when the batch shall stop, for a reason
// that makes sense to them.
func (r *batchRun) context(ctx context.Context) (context.Context, func()) {
	steps, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	quit := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-r.run.Stopping():
			cancel(r.reason(r.run.steering.stop()))
		case <-ctx.Done():
			cancel(r.reason(context.Cause(ctx)))
		case <-quit:
		}
	})
	return steps, func() { close(quit); watcher.Wait(); cancel(nil) }
}

// reason is why a step is stopped, seen from the step.
func (r *batchRun) reason(cause error) error {
	switch {
	case errors.Is(cause, ErrTimeout), errors.Is(cause, context.DeadlineExceeded):
		// It is no decision about the step: it can go on where it was when the batch is resumed.
		return fmt.Errorf("%w: the time budget of the batch, %s, is used up", ErrInterrupted, r.limit)
	case errors.Is(cause, ErrLeaseLost):
		return fmt.Errorf("%w: the batch lost its lease", ErrInterrupted)
	case errors.Is(cause, ErrCancelled), errors.Is(cause, ErrInterrupted):
		return cause
	default:
		return ErrInterrupted
	}
}

// begin starts the steps that may, and skips those that never will.
func (r *batchRun) begin(ctx, steps context.Context, group *sync.WaitGroup) {
	for again := true; again; {
		again = false
		for i, step := range r.plan.Steps {
			if r.began[i] || r.results[i] != nil {
				continue
			}
			ready, never := r.needs(step)
			if never != "" {
				r.skip(i, never)
				again = true // others may need this one
				continue
			}
			if ready && r.hold(ctx) == "" && r.active < r.plan.Concurrency && r.room(step.Script) {
				r.start(steps, i, group)
			}
		}
	}
}

// needs tells whether all that the step needs has succeeded, or why that will
// never be.
func (r *batchRun) needs(step plannedStep) (ready bool, never string) {
	ready = true
	for _, need := range step.After {
		result := r.result(need)
		switch {
		case result == nil:
			ready = false
		case result.Skipped != "":
			return false, fmt.Sprintf("needs %s, which was skipped", need)
		case !finished(result.State):
			return false, fmt.Sprintf("needs %s, which %s", need, pastTense(result.State))
		}
	}
	return ready, ""
}

func (r *batchRun) result(name string) *StepResult {
	for i, step := range r.plan.Steps {
		if step.Name == name {
			return r.results[i]
		}
	}
	return nil
}

// finished tells whether a run has done its work, so that it isn't repeated and
// others may build on it.
func finished(state State) bool { return state == Succeeded || state == SucceededWithErrors }

func pastTense(state State) string {
	if state == Failed {
		return "failed"
	}
	return "was " + state.String()
}

// hold is why no further step begins, or "".
func (r *batchRun) hold(ctx context.Context) string {
	stop := r.stop
	select {
	case <-r.run.Stopping():
		stop = r.run.steering.stop()
	case <-ctx.Done():
		stop = context.Cause(ctx)
	default:
	}
	switch {
	case stop == nil && r.failed != "" && !r.plan.KeepGoing:
		return r.failed + " failed before it"
	case stop == nil:
		return ""
	case errors.Is(stop, ErrPaused):
		return "the batch was paused"
	case errors.Is(stop, ErrCancelled):
		return "the batch was cancelled"
	case errors.Is(stop, ErrTimeout):
		return "the time budget is used up"
	default:
		return "the batch was interrupted"
	}
}

// room tells whether another run of the script may begin.
func (r *batchRun) room(script string) bool {
	e, err := r.app.lookup(script)
	return err != nil || e.opts.Concurrency < 0 || r.busy[script] < e.opts.Concurrency
}

func (r *batchRun) start(ctx context.Context, i int, group *sync.WaitGroup) {
	step := r.plan.Steps[i]
	r.began[i] = true
	r.active++
	r.busy[step.Script]++
	r.run.Log().Debug("step begins", "step", step.Name)
	rest, twice := r.rest[step.Name], r.twice[step.Name]
	group.Go(func() {
		r.ends <- stepEnd{i, &StepResult{Step: step.Name, Script: step.Script, Result: r.step(ctx, step, rest, twice)}}
	})
}

// step runs one step to its end, on the path of all runs. It is counted in by the batch.
func (r *batchRun) step(ctx context.Context, step plannedStep, rest string, twice error) *Result {
	began := time.Now()
	ro := RunOptions{
		Timeout: step.Timeout, DryRun: r.run.DryRun(), NoHistory: r.ro.NoHistory, Force: r.ro.Force, Observers: r.ro.Observers,
		Trigger: batchName, Actor: r.actor, Parent: r.run.ID(),
		part: &part{step: step.Name, drain: r.drain, source: r.source},
	}
	result, err := r.again(ctx, rest, ro)
	if result == nil && (rest == "" || errors.Is(err, ErrState) || errors.Is(err, ErrNotFound)) {
		if err = twice; err == nil {
			result, err = r.afresh(ctx, step, ro)
		}
	}
	if result != nil {
		return result
	}
	if ctx.Err() != nil {
		err = stopError(stopReason(ctx), err)
	}
	return &Result{
		Script: step.Script, State: stateOf(err), Failure: failureOf(r.app.redactor.Error(err)), DryRun: ro.DryRun,
		Started: began.UTC(), Duration: time.Since(began), Stopped: true,
	}
}

// again goes on with a run that rests.
func (r *batchRun) again(ctx context.Context, run string, ro RunOptions) (*Result, error) {
	if run == "" {
		return nil, ErrNotFound
	}
	return r.app.resume(ctx, run, &ro)
}

// afresh begins a new run of the step.
func (r *batchRun) afresh(ctx context.Context, step plannedStep, ro RunOptions) (*Result, error) {
	e, err := r.app.lookup(step.Script)
	if err != nil {
		return nil, err
	}
	layers, err := e.replayLayers(string(step.Input), r.app.cfg.lookupEnv())
	if err != nil {
		return nil, err
	}
	ro.Params = layers
	x, err := r.app.prepare(step.Script, ro)
	if err != nil {
		return nil, err
	}
	return x.do(ctx)
}

// end takes the result of a step, and says so to whoever looks.
func (r *batchRun) end(ctx context.Context, end stepEnd) {
	step, result := r.plan.Steps[end.i], end.result
	r.results[end.i] = result
	r.active--
	r.busy[step.Script]--
	attrs := []any{"step", step.Name, "run", result.Run, "state", string(result.State), "took", result.Duration.String()}
	if finished(result.State) {
		r.done[step.Name] = result.Run
		r.run.Progress().Add(1)
		r.run.Log().InfoContext(ctx, "step ended", attrs...)
	} else {
		if r.failed == "" && result.State == Failed {
			r.failed = step.Name
		}
		if f := result.Failure; f != nil {
			attrs = append(attrs, "error", f.Message)
		}
		r.run.Log().WarnContext(ctx, "step ended", attrs...)
	}
	r.save(ctx)
}

// save makes the step's end durable, and learns what others want of the batch. The
// steps' own runs have their ends too, so a failure to save costs nothing.
func (r *batchRun) save(ctx context.Context) {
	err := r.run.Checkpoint(ctx, maps.Clone(r.done))
	switch {
	case err == nil:
	case errors.Is(err, ErrPaused), errors.Is(err, ErrCancelled), errors.Is(err, ErrInterrupted), errors.Is(err, ErrLeaseLost):
		r.stop = err
	case ctx.Err() == nil:
		r.run.Log().WarnContext(ctx, "the checkpoint of the batch can't be stored", "error", err)
	}
}

func (r *batchRun) skip(i int, why string) {
	step := r.plan.Steps[i]
	r.results[i] = &StepResult{Step: step.Name, Script: step.Script, Skipped: why}
	r.run.Log().Warn("step skipped", "step", step.Name, "why", why)
}

// skipRest skips what has not begun when nothing can begin any more.
func (r *batchRun) skipRest(ctx context.Context) {
	for i := range r.results {
		if r.results[i] == nil {
			r.skip(i, r.hold(ctx))
		}
	}
}
