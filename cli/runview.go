package cli

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/term"
)

// silentFor is how long a script may be silent before its run is shown as running all the same.
const silentFor = 500 * time.Millisecond

// runView shows one run while it goes on. It observes the run, and is told of signals.
type runView struct {
	p       *program
	session *session
	script  string
	events  bool // print them as JSON

	mu     sync.Mutex
	run    string // ID, once there is one
	bar    *term.Bar
	timer  *time.Timer
	last   rikki.ProgressState
	closed bool
}

func newRunView(p *program, script string, events bool) *runView {
	return &runView{p: p, script: script, events: events}
}

// eventJSON is an event as the outside gets to see it; fields are only ever added.
type eventJSON struct {
	V int `json:"v"`
	rikki.Event
}

// Observe implements [rikki.Observer].
func (v *runView) Observe(event rikki.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.events {
		_ = v.p.term.Event(eventJSON{1, event}) // a reader that went away doesn't stop the run
		return
	}
	switch {
	case event.Type == rikki.EventState && event.State == rikki.Running:
		v.run = event.Run
		v.session.connected.Store(true)
		v.timer = time.AfterFunc(silentFor, func() {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.open()
		})
	case event.Type == rikki.EventProgress:
		v.last = *event.Progress
		v.open()
		v.bar.Set(sampleOf(v.last))
	}
}

// open shows the bar, unless it is there or the run is over. It needs the lock.
func (v *runView) open() {
	if v.bar != nil || v.closed {
		return
	}
	v.bar = v.p.term.Progress(term.Head{Script: v.script, Run: v.run, Target: v.session.where()})
}

func sampleOf(p rikki.ProgressState) term.Sample {
	sample := term.Sample{Done: p.Done, Total: p.Total, Errors: p.Failed, Rate: p.Rate, ETA: p.ETA}
	if p.Message != "" {
		sample.Detail = []string{p.Message}
	}
	return sample
}

// stopping answers a signal at once.
func (v *runView) stopping(cause error) {
	if !errors.Is(cause, rikki.ErrInterrupted) {
		return
	}
	v.p.term.Note("Stopping … Press Ctrl-C again to exit now.")
}

// close takes the bar off the terminal.
func (v *runView) close() {
	v.mu.Lock()
	v.closed = true
	if v.timer != nil {
		v.timer.Stop()
	}
	bar := v.bar
	v.mu.Unlock()
	bar.Done()
}

// resultJSON is the one object of --json.
type resultJSON struct {
	V int `json:"v"`
	*rikki.Result
	Code int `json:"code"`
}

// tell says how the run ended, and returns the exit code as an error.
func (v *runView) tell(result *rikki.Result, err error) error {
	p := v.p
	code := exitOfRun(result.State, err)
	switch {
	case v.events: // the last event has it
	case p.flags.JSON:
		if err := p.term.Result(resultJSON{1, result, code}); err != nil {
			return err
		}
	default:
		if err := v.tellPeople(result, err, code); err != nil {
			return err
		}
	}
	if code == ExitOK {
		return nil
	}
	return exitError(code)
}

func (v *runView) tellPeople(result *rikki.Result, err error, code int) error {
	p := v.p
	if err := p.printPreview(result); err != nil {
		return err
	}
	if result.State == rikki.Failed {
		problem := term.Problem{What: outcome(result), Why: plain(err), Fix: v.fix(result, err), Code: code}
		if waited, _ := mostlyWaited(result); waited != "" {
			problem.Why += "; " + waited
		}
		if p.flags.Debug {
			problem.Stack = stackOf(err)
		}
		p.term.Problem(problem)
		return nil
	}
	if err := p.printResult(result.Value); err != nil {
		return err
	}
	line, more := outcome(result), ""
	if result.Recorded && !p.alone {
		more = "→  " + p.call("runs", "show", result.Run)
		if v.resumes(result) {
			more = "→  " + p.call("runs", "resume", result.Run)
		}
	}
	if code == ExitOK {
		p.tellLine(p.term.Done, line, more)
		return nil
	}
	p.tellLine(p.term.Failed, line, more)
	v.tellMore(result, err)
	if !result.Stopped {
		p.term.Warn("the script did not stop and may still have been writing when this program ended")
	}
	return nil
}

// tellMore says why a run paused by itself, and where to look for what it left.
func (v *runView) tellMore(result *rikki.Result, err error) {
	p := v.p
	if why := plain(err); result.State == rikki.Paused && why != plain(rikki.ErrPaused) {
		p.term.Note("%s", why)
		if isDenied(err) {
			p.term.Note("%s", deniedFix)
		}
	}
	if errors.Is(err, rikki.ErrLeaseLost) {
		p.term.Note("Its lease was lost: the server that has the history could not be reached for too long, or another process goes on with the run. What was committed stays.")
		p.term.Next(p.call("runs", "show", result.Run))
		return
	}
	if waited, instead := mostlyWaited(result); waited != "" && result.State != rikki.SucceededWithErrors {
		p.term.Note("%s", strings.TrimSuffix(waited+": "+instead, ": "))
	}
	ended := result.State == rikki.SucceededWithErrors
	if !result.Recorded || p.alone || !ended && result.State != rikki.Paused {
		return
	}
	switch value := result.Value.(type) {
	case *backfill.Summary:
		if value.Failed > 0 {
			p.term.Next(p.call("runs", "failures", result.Run))
		}
		if value.Failed > 0 && ended {
			p.term.Next(p.call("runs", "retry", result.Run, "--failed-only"))
		}
	case *backfill.Undone:
		if value.Summary != nil && value.Conflicts > 0 {
			p.term.Next(p.call("runs", "failures", result.Run))
		}
	}
}

// resumes tells whether the run can go on where it stopped.
func (v *runView) resumes(result *rikki.Result) bool {
	script, err := v.session.runs.Script(result.Script)
	return result.State == rikki.Paused || result.HalfWay || result.State == rikki.Interrupted && err == nil && script.Options.Resumable
}

// tellLine says how a run ended and what to type to see more of it: on one line, unless that is too long for the
// terminal.
func (p *program) tellLine(tell func(string, ...any), line, more string) {
	const sign = 2 // columns
	switch width := p.term.Width(); {
	case more == "":
		tell("%s", line)
	case width > 0 && sign+utf8.RuneCountInString(line)+3+utf8.RuneCountInString(more) > width:
		tell("%s", line)
		p.term.Next(more)
	default:
		tell("%s   %s", line, more)
	}
}

// fix says what can be done about a failed run.
func (v *runView) fix(result *rikki.Result, err error) string {
	var invalid *rikki.ValidationError
	var panicked *rikki.PanicError
	fix := ""
	switch {
	case errors.As(err, &invalid):
		fix = "nothing was changed; correct what was found, and run it again"
	case errors.Is(err, rikki.ErrNotPreviewable):
		fix = "nothing was changed; to preview it, honour run.DryRun() in the script and declare Options.DryRun"
	case errors.Is(err, rikki.ErrTimeout):
		fix = "give it longer: --timeout=DURATION, or Timeout in the script's Options"
		if _, instead := mostlyWaited(result); instead != "" {
			fix = instead + "\nor " + fix
		}
	case errors.As(err, &panicked):
		fix = "a fault in the script: --debug shows where"
	case isDenied(err):
		fix = deniedFix
	}
	if result.Recorded && !v.p.alone {
		if fix != "" {
			fix += "\n"
		}
		fix += "details: " + v.p.call("runs", "show", result.Run)
	}
	return fix
}

// causeOf is why a context ended, or the error itself.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && err != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}
