package cli

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/rikki-go/rikki"
)

// batchView shows the steps of a batch while they go on: each that is under way has a bar of its own, and a line when it ends.
type batchView struct {
	p       *program
	session *session
	events  bool // print them as JSON

	mu    sync.Mutex
	views map[string]*runView // by run
}

// Observe implements [rikki.Observer]. The steps of a batch call it at the same time.
func (v *batchView) Observe(event rikki.Event) {
	if v.events {
		_ = v.p.term.Event(eventJSON{1, event}) // a reader that went away doesn't stop the batch
		return
	}
	v.session.connected.Store(true)
	if event.Step == "" {
		return // the batch itself: its steps are what there is to see
	}
	view := v.of(event)
	view.Observe(event)
	if event.Type == rikki.EventResult {
		view.close()
		v.ended(event.Step, event.Result)
	}
}

func (v *batchView) of(event rikki.Event) *runView {
	v.mu.Lock()
	defer v.mu.Unlock()
	view := v.views[event.Run]
	if view == nil {
		view = newRunView(v.p, event.Step, false)
		view.session = v.session
		v.views[event.Run] = view
	}
	return view
}

// ended says how a step ended, in one line.
func (v *batchView) ended(step string, result *rikki.Result) {
	shown := *result
	shown.Script = step
	line := outcome(&shown)
	if result.Failure != nil {
		line += " — " + plainText(result.Failure.Message)
	}
	if exitOfState(result.State) == ExitOK {
		v.p.term.Done("%s", line)
		return
	}
	v.p.term.Failed("%s", line)
}

// close takes all bars off the terminal.
func (v *batchView) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, view := range v.views {
		view.close()
	}
}

// tellStopping answers a signal at once.
func tellStopping(p *program, cause error) {
	if errors.Is(cause, rikki.ErrInterrupted) {
		p.term.Note("Stopping … Press Ctrl-C again to exit now.")
	}
}

// stepsOnly leaves out what the batch itself logs, which the view says too.
type stepsOnly struct{ slog.Handler }

// WithAttrs implements [slog.Handler].
func (s stepsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, attr := range attrs {
		if attr.Key == "script" && attr.Value.String() == batchName {
			return onlyErrors{s.Handler.WithAttrs(attrs)}
		}
	}
	return stepsOnly{s.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (s stepsOnly) WithGroup(name string) slog.Handler { return stepsOnly{s.Handler.WithGroup(name)} }

// onlyErrors leaves out all but errors.
type onlyErrors struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (o onlyErrors) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

// WithAttrs implements [slog.Handler].
func (o onlyErrors) WithAttrs(attrs []slog.Attr) slog.Handler {
	return onlyErrors{o.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (o onlyErrors) WithGroup(name string) slog.Handler { return onlyErrors{o.Handler.WithGroup(name)} }
