package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/params"
)

const (
	batchName = "batch" // of the command, and of the script of a batch's own run
	// parallelSteps is how many scripts run at a time when nobody says how many.
	parallelSteps = 4
)

type batchFlags struct {
	Plan        string `placeholder:"FILE" help:"Take the steps from this YAML file; - is standard input."`
	Resume      string `placeholder:"RUN" help:"Do what of this batch did not finish."`
	Parallel    bool   `help:"Several scripts at a time: 4, or as --concurrency says."`
	Concurrency int    `min:"1" placeholder:"N" help:"How many scripts may run at a time (default: 1)."`
	KeepGoing   bool   `help:"After a failure, go on with the steps that don't need what failed."`
	FailFast    bool   `help:"After a failure, begin no other step (the default)."`
	Force       bool   `help:"With --resume: go on though the program or the parameters have changed."`
	runFlags
}

func newBatchCommand(p *program) *cobra.Command {
	flags := &batchFlags{}
	c := &command{
		name: batchName, short: "Run several scripts as one.", args: []string{"[SCRIPT …]"}, flags: flags,
		long: "Runs the scripts one after the other over one connection, or several at a time. The batch is a run in the history;\n" +
			"each script is one too, and belongs to it. A plan has more: parameters, steps that wait for others, a time budget.\n" +
			"All mistakes are found before anything runs. Parameters come from the plan, then from the environment.",
		examples: []string{
			"batch SCRIPT SCRIPT --keep-going", "batch SCRIPT SCRIPT SCRIPT --parallel --concurrency=2", "batch --plan=nightly.yaml --timeout=1h",
			"batch --plan=nightly.yaml --dry-run", "batch --resume=last",
		},
		complete: func(context.Context, []string) []string { return p.scriptNames() },
	}
	c.run = func(ctx context.Context, args []string) error {
		job, err := p.readBatch(flags, args)
		if err != nil {
			return err
		}
		return p.batch(ctx, job)
	}
	return p.cobra(c)
}

// batchJob is a batch to be started, or one to go on with.
type batchJob struct {
	batch rikki.Batch
	flags runFlags
	past  string // the run of a batch that goes on
	retry bool   // do all of the past again
	force bool
	why   controlFlags
}

// readBatch reads the command line and the plan, and checks both. Nothing is connected.
func (p *program) readBatch(flags *batchFlags, args []string) (batchJob, error) {
	job := batchJob{flags: flags.runFlags, past: flags.Resume, force: flags.Force}
	if err := p.checkBatch(flags, args); err != nil || job.past != "" {
		return job, err
	}
	app, err := p.offline()
	if err != nil {
		return job, err
	}
	if flags.Plan != "" {
		err = p.readPlan(app, flags.Plan, &job)
	} else {
		for _, name := range args {
			job.batch.Steps = append(job.batch.Steps, rikki.Step{Script: name, Params: p.stepLayers(app, name)})
		}
	}
	if err != nil {
		return job, err
	}
	flags.override(&job)
	if flags.Plan != "" {
		return job, nil // checked, with lines
	}
	return job, app.CheckBatch(job.batch)
}

// override lets the command line win over the plan.
func (f *batchFlags) override(job *batchJob) {
	switch {
	case f.Concurrency > 0:
		job.batch.Concurrency = f.Concurrency
	case f.Parallel && job.batch.Concurrency <= 1:
		job.batch.Concurrency = parallelSteps
	}
	switch {
	case f.KeepGoing:
		job.batch.KeepGoing = true
	case f.FailFast:
		job.batch.KeepGoing = false
	}
}

// checkBatch refuses command lines that make no sense.
func (p *program) checkBatch(f *batchFlags, args []string) error {
	sources := 0
	for _, given := range []bool{len(args) > 0, f.Plan != "", f.Resume != ""} {
		if given {
			sources++
		}
	}
	usage := func(what, why, fix string) error {
		return &problemError{What: what, Why: why, Fix: fix, Code: ExitUsage}
	}
	switch {
	case sources == 0 && len(p.app.Scripts) == 0:
		return usage("this program has no scripts", "", "make one: "+p.call("new", "script", "NAME"))
	case sources == 0:
		return usage("batch needs the names of scripts, or a plan", "",
			"one of\n"+p.call(batchName, strings.Join(p.plainScriptNames(), " "))+"\n"+p.call(batchName, "--plan=FILE"))
	case sources > 1:
		return usage("batch takes scripts, a plan or a batch to resume, and only one of them", "", "see "+p.call(batchName, "--help"))
	case f.KeepGoing && f.FailFast:
		return usage("--keep-going and --fail-fast contradict each other", "", "choose one")
	case f.Force && f.Resume == "":
		return usage("--force is for a batch that is resumed: say --resume too", "", "")
	case f.Resume != "" && (f.Parallel || f.Concurrency > 0 || f.KeepGoing || f.FailFast || f.DryRun || f.NoHistory):
		return usage("--resume goes on as the batch began", "the plan, and how it is run, are those of the batch",
			"leave the other flags out: "+p.call(batchName, "--resume="+f.Resume))
	}
	return nil
}

// stepLayers are the parameters of a step that has none in a plan.
func (p *program) stepLayers(app *rikki.App, name string) any {
	script, err := app.Script(name)
	if err != nil {
		return nil // the check says so
	}
	return []params.Layer{script.Params.FromEnv(p.env.Lookup, envPrefix(name))}
}

// batch runs the batch and tells how it went.
func (p *program) batch(ctx context.Context, job batchJob) error {
	if job.flags.Events && !p.flags.JSON {
		p.flags.JSON = true
		p.term = p.newTerm()
	}
	s, err := p.open(ctx, func(cfg *rikki.Config) {
		cfg.NoHistory = cfg.NoHistory || job.flags.NoHistory
		if cfg.NoHistory {
			cfg.Actor = cmp.Or(cfg.Actor, "nobody") // nobody is told
		}
		if n := job.batch.Concurrency; cfg.Conn.PoolSize == 0 && n > 1 {
			cfg.Conn.PoolSize = uint64(2 * n)
		}
		if cfg.Log != nil {
			cfg.Log = slog.New(stepsOnly{cfg.Log.Handler()})
		}
	})
	if err != nil {
		return causeOf(ctx, err)
	}
	view := &batchView{p: p, session: s, events: job.flags.Events, views: make(map[string]*runView)}
	result, runErr := s.performBatch(ctx, job, view)
	view.close()
	var own *rikki.Result
	if result != nil {
		own = &result.Result
	}
	if closeErr := s.end(ctx, own); closeErr != nil {
		p.term.Warn("closing the connection: %v", closeErr)
	}
	if result == nil {
		return causeOf(ctx, s.explain(runErr))
	}
	return view.tell(result)
}

func (s *session) performBatch(ctx context.Context, job batchJob, view *batchView) (*rikki.BatchResult, error) {
	patience := lateAfter
	if term.IsTerminal(s.p.std.Err) {
		patience = 0 // as with one script
	}
	defer s.announce(patience)()
	if err := s.prepare(ctx, job.flags.DryRun); err != nil {
		return nil, err
	}
	if !s.p.flags.Quiet {
		defer context.AfterFunc(ctx, func() { tellStopping(s.p, context.Cause(ctx)) })()
	}
	opts := &rikki.RunOptions{
		Timeout: job.flags.Timeout, DryRun: job.flags.DryRun, NoHistory: job.flags.NoHistory, Actor: job.flags.Actor,
		Trigger: "cli", Force: job.force, Observers: []rikki.Observer{rikki.InStep(view)},
	}
	switch {
	case job.retry:
		why := job.why.options()
		why.Held = true
		record, err := s.runs.Retry(ctx, job.past, why)
		if err != nil {
			return nil, err
		}
		return s.continueBatch(ctx, record.ID, opts)
	case job.past != "":
		result, err := s.runs.ResumeBatch(ctx, job.past, opts)
		if errors.Is(err, rikki.ErrNotFound) || is[*rikki.AmbiguousError](err) {
			return nil, s.noRun(job.past, err)
		}
		return result, err
	default:
		return s.runs.Batch(ctx, job.batch, opts)
	}
}

// continueBatch runs here what a retry has made.
func (s *session) continueBatch(ctx context.Context, id string, opts *rikki.RunOptions) (*rikki.BatchResult, error) {
	result, err := s.runs.ResumeBatch(ctx, id, opts)
	if result == nil {
		err = s.drop(ctx, id, err)
	}
	return result, err
}

// tell shows how the batch and its steps ended, and returns the exit code as an error.
func (v *batchView) tell(result *rikki.BatchResult) error {
	p := v.p
	code := exitOfState(result.State)
	switch {
	case v.events: // the last event has it
	case p.flags.JSON:
		if err := p.term.Result(batchJSON{1, result, code}); err != nil {
			return err
		}
	default:
		if err := v.tellPeople(result, code); err != nil {
			return err
		}
	}
	if code == ExitOK {
		return nil
	}
	return exitError(code)
}

// batchJSON is the one object of --json.
type batchJSON struct {
	V int `json:"v"`
	*rikki.BatchResult
	Code int `json:"code"`
}

func (v *batchView) tellPeople(result *rikki.BatchResult, code int) error {
	p := v.p
	for _, step := range result.Steps {
		if step.Result == nil || step.Preview == nil || len(step.Preview.Collections) == 0 {
			continue
		}
		if err := p.term.Print("%s:", step.Step); err != nil {
			return err
		}
		if err := p.printPreview(step.Result); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(p.term.Out()) // the table follows, and would fail too
	}
	if err := p.term.Table(stepsTable(p, result.Steps)); err != nil {
		return err
	}
	line, more := batchOutcome(result), ""
	switch {
	case !result.Recorded:
	case code == ExitOK || code == ExitPartly:
		more = "→  " + p.call("runs", "show", result.Run)
	case !result.DryRun:
		more = "→  " + p.call(batchName, "--resume="+result.Run)
	}
	tell := p.term.Failed
	if code == ExitOK {
		tell = p.term.Done
	}
	p.tellLine(tell, line, more)
	if !result.Stopped {
		p.term.Warn("a script did not stop and may still have been writing when this program ended")
	}
	return nil
}

// batchOutcome is the one line that says how a batch ended.
func batchOutcome(result *rikki.BatchResult) string {
	line := strings.TrimSpace(batchName + " " + result.Name)
	if result.DryRun {
		line += " (dry run)"
	}
	line += " " + verb(result.State) + " " + term.Duration(result.Duration)
	counts := make(map[string]int)
	for _, step := range result.Steps {
		counts[stepState(step)]++
	}
	var parts []string
	for _, state := range rikki.States() {
		if n := counts[state.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if n := counts["skipped"]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", n))
	}
	line += " — " + strings.Join(parts, ", ")
	if f := result.Failure; f != nil && f.Kind == "timeout" {
		line += "; its time budget is used up"
	}
	return line
}

// stepState is the word for how a step ended.
func stepState(step rikki.StepResult) string {
	if step.Result == nil {
		return "skipped"
	}
	return step.State.String()
}

// stepsTable is the summary of a batch.
func stepsTable(p *program, steps []rikki.StepResult) term.Table {
	table := term.Table{Columns: []term.Column{
		{Name: "Step", Flex: true},
		{Name: "State"},
		{Name: "Took", Align: term.Right},
		{Name: "Done", Flex: true},
		{Name: "Run"},
		{Name: "Note", Flex: true},
	}}
	for _, step := range steps {
		name := step.Step
		if step.Script != step.Step && !strings.HasPrefix(step.Step, step.Script+"-") {
			name += " (" + step.Script + ")"
		}
		row := []string{name, "– skipped", "", "", "", step.Skipped}
		if p.term.Plain() {
			row[0], row[1] = step.Step, "skipped"
		}
		if r := step.Result; r != nil {
			row = []string{name, stateText(r.State), term.Duration(r.Duration), countText(r.Counters, r.Progress), r.Run, stepNote(step)}
			if p.term.Plain() {
				row[0], row[1], row[2] = step.Step, string(r.State), r.Duration.Round(time.Millisecond).String()
			}
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}

func stepNote(step rikki.StepResult) string {
	switch {
	case step.Earlier:
		return "in an earlier attempt"
	case step.Failure != nil:
		return strings.TrimPrefix(plainText(step.Failure.Message), "the run ")
	default:
		return ""
	}
}
