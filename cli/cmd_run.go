package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/params"
)

const runName = "run"

// runFlags are the flags of a run, beside those of its script.
type runFlags struct {
	DryRun    bool          `help:"Say what would be done, and change nothing."`
	Timeout   time.Duration `placeholder:"DURATION" help:"End the run after this time; -1 for never (90s, 1h30m, or milliseconds)."`
	NoHistory bool          `help:"Leave no record of the run; nothing stops it from running twice at a time."`
	Actor     string        `placeholder:"NAME" help:"Who starts the run (default: the user)."`
	Events    bool          `short:"f" help:"Print every event as a line of JSON on standard output."`
}

func newRunCommand(p *program) *cobra.Command {
	c := &command{
		name: runName, short: "Run a script.", args: []string{"SCRIPT"},
		long: "Everything after the script's name is read as its parameters. " + p.call("run", "SCRIPT", "--help") + " lists them.",
		examples: []string{
			"run SCRIPT --dry-run", "run SCRIPT --timeout=90s --json", "run SCRIPT --config=@params.json",
			"run SCRIPT --queue --at=+2h",
		},
		flags: &struct {
			runFlags
			queueFlags
		}{},
		complete: func(context.Context, []string) []string { return p.scriptNames() },
	}
	c.parse = func(ctx context.Context, args []string) error {
		job, err := p.readRun(ctx, args)
		if err != nil {
			return err
		}
		if job.queue.Queue {
			return p.enqueue(ctx, job)
		}
		return p.run(ctx, job)
	}
	return p.cobra(c)
}

// job is a run to be started.
type job struct {
	script rikki.ScriptInfo
	flags  runFlags
	queue  queueFlags
	layers []params.Layer
	past   *past // what goes on or is repeated; nil for a new run

	// do runs what is more than a script with its parameters; nil for any other.
	do func(ctx context.Context, s *session, opts *rikki.RunOptions) (*rikki.Result, error)
}

// readRun reads the command line of a run: the script, and the flags of the program, the run and the script in one
// go, so that everything that is wrong is told at once. Nothing is connected.
func (p *program) readRun(ctx context.Context, args []string) (job, error) {
	app, err := p.offline()
	if err != nil {
		return job{}, err
	}
	name := p.scriptOf(app, args)
	script, nameErr := app.Script(name)
	if nameErr != nil {
		script.Params, err = params.Of(&struct{}{})
		if err != nil {
			return job{}, err
		}
	}
	global, err := p.globalSpec()
	if err != nil {
		return job{}, err
	}
	j := job{script: script}
	run, err := p.runSpec()
	if err != nil {
		return job{}, err
	}
	queue, err := p.queueSpec()
	if err != nil {
		return job{}, err
	}
	parsed, argErr := params.Parser{
		Specs: []*params.Spec{global, run, script.Params.Named(name), queue.Named(name)}, Stdin: p.std.In,
	}.Parse(args)
	setErr := p.setUp(parsed.Flags[0])
	if uriErr := refuseURI(args); uriErr != nil {
		return job{}, uriErr
	}
	if nameErr != nil {
		return job{}, p.noScript(name, nameErr)
	}
	runErr := run.Fill(&j.flags, parsed.Flags[1], parsed.File[1])
	queueErr := params.Join(queue.Fill(&j.queue, parsed.Flags[3], parsed.File[3]), j.queue.check(j.flags))
	j.layers = []params.Layer{parsed.Flags[2], script.Params.FromEnv(p.env.Lookup, envPrefix(name)), parsed.File[2]}
	err = params.Join(p.extraWords(name, parsed.Rest), argErr, setErr, runErr, queueErr)
	fillErr := p.fillScript(&j)
	switch {
	case j.queue.Queue && onlySecretsMissing(script, fillErr):
		return j, err // the process that runs it has them
	case err != nil || !onlySecretsMissing(script, fillErr):
		return j, params.Join(err, fillErr)
	case !p.term.Interactive():
		return j, secretsMissing(script, fillErr)
	}
	asked, err := p.askSecrets(ctx, &j)
	if err != nil {
		return job{}, err
	}
	j.layers = append(j.layers, asked...)
	return j, p.fillScript(&j)
}

// envPrefix begins the environment variables of a script's parameters.
func envPrefix(script string) string {
	return strings.ToUpper(strings.ReplaceAll(script, "-", "_")) + "_"
}

// scriptOf finds the script's name on the command line before the script's flags are known: the first word that
// belongs to no flag or, where an unknown flag may have taken that, any word that is a script's name.
func (p *program) scriptOf(app *rikki.App, args []string) string {
	if p.alone {
		return app.Scripts()[0].Name
	}
	if word := first(args); word != "" && !strings.HasPrefix(word, "-") {
		return word
	}
	words := p.wordsOf(args)
	isScript := func(word string) bool { _, err := app.Script(word); return err == nil }
	if len(words) > 0 && isScript(words[0]) {
		return words[0]
	}
	if i := slices.IndexFunc(args, isScript); i >= 0 && !slices.Contains(args[:i], "--") {
		return args[i]
	}
	return first(words)
}

func (p *program) noScript(name string, err error) error {
	if name != "" {
		return err
	}
	problem := &problemError{What: "run needs the name of a script", Code: ExitUsage, Err: err}
	if names := p.plainScriptNames(); len(names) > 0 {
		problem.Fix = "one of " + strings.Join(names, ", ") + ", as " + p.call("list") + " shows"
	} else {
		problem.Why = "this program has no scripts"
		problem.Fix = "make one: " + p.call("new", "script", "NAME")
	}
	return problem
}

// extraWords refuses words that no flag and no argument takes.
func (p *program) extraWords(script string, words []string) error {
	if !p.alone {
		if i := slices.Index(words, script); i >= 0 {
			words = slices.Delete(slices.Clone(words), i, i+1)
		}
	}
	if len(words) == 0 {
		return nil
	}
	var problems []params.Problem
	for _, word := range words {
		problems = append(problems, params.Problem{
			Message: "unexpected argument " + quote(word) + ": parameters are flags, --name=value, and a value with spaces needs quotes",
		})
	}
	return &params.Error{Problems: problems}
}

// fillScript checks the script's parameters on a copy.
func (p *program) fillScript(j *job) error {
	return j.script.Params.Fill(j.script.Fresh(), j.layers...)
}

// run starts the run and tells how it went.
func (p *program) run(ctx context.Context, j job) error {
	if j.flags.Events && !p.flags.JSON {
		p.flags.JSON = true
		p.term = p.newTerm()
	}
	view := newRunView(p, j.script.Name, j.flags.Events)
	s, err := p.open(ctx, func(cfg *rikki.Config) {
		cfg.NoHistory = cfg.NoHistory || j.flags.NoHistory
		if cfg.NoHistory {
			cfg.Actor = cmp.Or(cfg.Actor, "nobody") // nobody is told
		}
	})
	if err != nil {
		return causeOf(ctx, err)
	}
	view.session = s
	result, runErr := p.perform(ctx, s, j, view)
	if closeErr := s.end(ctx, result); closeErr != nil {
		p.term.Warn("closing the connection: %v", closeErr)
	}
	if result == nil {
		return causeOf(ctx, runErr)
	}
	return view.tell(result, runErr)
}

// perform seeds an embedded database and runs the script there.
func (p *program) perform(ctx context.Context, s *session, j job, view *runView) (*rikki.Result, error) {
	patience := lateAfter
	if term.IsTerminal(p.std.Err) {
		patience = 0 // who runs a script by hand wants to see where, before it changes anything
	}
	defer s.announce(patience)()
	if err := s.prepare(ctx, j.flags.DryRun || j.past != nil && j.past.record.DryRun); err != nil {
		return nil, err
	}
	if !p.flags.Quiet {
		defer context.AfterFunc(ctx, func() { view.stopping(context.Cause(ctx)) })()
	}
	opts := &rikki.RunOptions{
		Params: j.layers, Timeout: j.flags.Timeout, DryRun: j.flags.DryRun, NoHistory: j.flags.NoHistory,
		Trigger: "cli", Actor: j.flags.Actor, Observers: []rikki.Observer{rikki.InStep(view)},
	}
	do := func() (*rikki.Result, error) { return s.runs.Run(ctx, j.script.Name, opts) }
	switch {
	case j.do != nil:
		do = func() (*rikki.Result, error) { return j.do(ctx, s, opts) }
	case j.past != nil:
		do = func() (*rikki.Result, error) { return s.again(ctx, j.past, opts) }
	}
	result, err := do()
	view.close()
	return result, err
}

// end closes the session. A script that doesn't stop isn't waited for.
func (s *session) end(ctx context.Context, result *rikki.Result) error {
	if result == nil || result.Stopped {
		return s.close(ctx)
	}
	given, cancel := context.WithCancelCause(ctx)
	cancel(errors.New("the script did not stop"))
	_ = s.runs.Close(given) // its complaint is what the result says already
	s.runs = nil
	return s.close(ctx)
}

// printResult prints what the script returned: a string as it is, anything else as JSON.
func (p *program) printResult(value any) error {
	switch value := value.(type) {
	case nil:
		return nil
	case *backfill.Forecast:
		return p.printForecast(value)
	case *backfill.Summary:
		return p.printSummary(value)
	case *backfill.UndoForecast:
		return p.printUndoForecast(value)
	case *backfill.Undone:
		return p.printUndone(value)
	case string:
		return p.term.Print("%s", value)
	case fmt.Stringer:
		if _, ok := value.(json.Marshaler); !ok {
			return p.term.Print("%s", value.String())
		}
	}
	return p.term.Result(value)
}

// outcome is the one line that says how a run ended.
func outcome(result *rikki.Result) string {
	line := result.Script
	if result.DryRun {
		line += " (dry run)"
	}
	line += " " + verb(result.State) + " " + term.Duration(result.Duration)
	counts := countText(result.Counters, result.Progress)
	if summary, ok := result.Value.(*backfill.Summary); ok && counts == "" && summary.Matched == 0 && result.State == rikki.Succeeded {
		counts = "no document matched"
	}
	if result.DryRun && counts != "" {
		counts += ", nothing kept"
	}
	if counts != "" {
		line += " — " + counts
	}
	return line
}

func verb(state rikki.State) string {
	switch state {
	case rikki.Succeeded:
		return "finished in"
	case rikki.SucceededWithErrors:
		return "finished, with errors, in"
	case rikki.Interrupted:
		return "was interrupted after"
	case rikki.Paused:
		return "was paused after"
	case rikki.Cancelled:
		return "was cancelled after"
	default:
		return "failed after"
	}
}

// countText is what a run counted: "999,997 modified, 3 failed".
func countText(counters map[string]int64, progress *rikki.ProgressState) string {
	if len(counters) == 0 {
		if progress == nil || progress.Done == 0 {
			return ""
		}
		return term.Count(progress.Done) + " done"
	}
	names := make([]string, 0, len(counters))
	for name := range counters {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(-cmp.Compare(counters[a], counters[b]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = term.Count(counters[name]) + " " + strings.ReplaceAll(name, "_", " ")
	}
	return strings.Join(names, ", ")
}
