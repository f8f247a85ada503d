package rikki

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/params"
	"github.com/rikki-go/rikki/preview"
)

// RunOptions says how one run differs from what its script says of itself. The
// zero value and nil are fine.
type RunOptions struct {
	// Params are the script's parameters: a map[string]any by name, a
	// json.RawMessage, a list of [params.Layer] with the most important
	// first, or a pointer to a filled struct of the script's own type. In a
	// struct a zero field means the default; everywhere else what is given
	// counts, zero or not.
	Params any

	// Timeout replaces [Options.Timeout].
	Timeout time.Duration

	// DryRun runs the script without changing anything; see [Options.DryRun].
	// The result has a [preview.Report].
	DryRun bool

	// NoHistory leaves this run out of the history.
	NoHistory bool

	// Trigger says what started the run: "api" unless told otherwise.
	Trigger string

	// Actor replaces [Config.Actor].
	Actor string

	// Parent is the run that this one repeats or belongs to.
	Parent string

	// Priority and NotBefore are for [App.Enqueue]: of the runs that are due,
	// the one with the greatest priority is next.
	Priority  int
	NotBefore time.Time

	// Schedule is the name of the schedule that the run is of, and ScheduledAt
	// the slot that it is for; the script sees both, see [Run.ScheduledAt].
	Schedule    string
	ScheduledAt time.Time

	// ID makes [App.Enqueue] idempotent: a run of the same schedule and slot
	// that has this ID already is left as it is. Default: a new ID.
	ID string

	// Reason is why [App.Continue] goes on, for the audit log.
	Reason string

	// Force makes [App.Continue] accept a program or parameters that are not
	// those that the run began with.
	Force bool

	// Observers are told of this run's events.
	Observers []Observer

	hold *hold // of a run that goes on; nil for a new one
	part *part // of a run that is a step of a batch; nil for any other
}

// Run runs a script and waits for its end.
//
// The error is nil if and only if the run succeeded. The result is nil if the
// run never began: an [*UnknownScriptError], a [*params.Error], an
// [*AlreadyRunningError], [ErrNoHistory], a [*conn.Error] or another failure to begin. Otherwise
// the error is the script's own, or one of [*ValidationError], [*PanicError],
// [ErrTimeout], [ErrCancelled], [ErrInterrupted] and [ErrLeaseLost].
//
// When ctx is cancelled, the run is asked to stop, cancelled and cleaned up,
// and only then Run returns; see [Options.Drain] and [Options.Grace].
func (a *App) Run(ctx context.Context, script string, opts *RunOptions) (*Result, error) {
	if opts == nil {
		opts = &RunOptions{}
	}
	x, err := a.prepare(script, *opts)
	if err != nil {
		return nil, err
	}
	if err := a.enter(); err != nil {
		return nil, err
	}
	defer a.runs.Done()
	return x.do(ctx)
}

// do runs what was prepared, from open to close.
func (x *execution) do(ctx context.Context) (*Result, error) {
	if err := x.open(ctx); err != nil {
		return nil, x.redactor.Error(err)
	}
	steered, release := x.run.steering.context(ctx)
	out := x.perform(steered)
	release()
	out.err = x.judgePause(out.err)
	defer func() { x.close(ctx, out.late) }()
	if err := x.cleanup(ctx); err != nil {
		x.log.Error("cleanup failed", "error", err)
		if out.err == nil {
			out.err = err
		}
	}
	var report *preview.Report
	if x.dry != nil {
		report = x.endDryRun(ctx, &out)
	}
	return x.finish(ctx, out, report)
}

// prepare does all of a run that needs no connection.
func (a *App) prepare(name string, ro RunOptions) (*execution, error) {
	e, err := a.lookup(name)
	if err != nil {
		return nil, err
	}
	x := &execution{app: a, entry: e, opts: e.opts, ro: ro, redactor: a.redactor.Clone(), buffer: &logBuffer{}}
	x.script, x.params = e.fresh()
	if err := x.fill(ro.Params); err != nil {
		return nil, err
	}

	if b, ok := x.script.(*batchScript); ok {
		if err := b.adopt(x); err != nil {
			return nil, err
		}
	}

	if x.opts.NeedsHistory && !ro.DryRun && (ro.NoHistory || a.history == nil) {
		return nil, fmt.Errorf("%w, and %s keeps its place there", ErrNoHistory, name)
	}
	if ro.DryRun {
		x.dry = newDryRun(a)
	}
	id, attempt := store.NewID(), 1
	if ro.hold != nil {
		id, attempt = ro.hold.run.ID, ro.hold.run.Attempt
		ro.Schedule, ro.ScheduledAt = ro.hold.run.Schedule, ro.hold.run.ScheduledAt
	}
	x.bus = a.newBus(id, name, attempt, ro.Observers)
	x.bus.step = ro.stepName()
	x.run = &Run{
		app: a, id: id, script: name, attempt: attempt, dryRun: ro.DryRun, schedule: ro.Schedule, scheduledAt: ro.ScheduledAt,
		progress: newProgress(time.Now, x.redactor.Text, func(p ProgressState) {
			p.Failed = x.run.failed()
			x.bus.publish(Event{Type: EventProgress, Progress: &p})
		}),
		stopping: make(chan struct{}),
		steering: &steering{told: func(s State) { x.bus.publish(Event{Type: EventState, State: s}) }},
		kept:     func() { x.bus.publish(Event{Type: EventCheckpoint}) },
		monitor:  a.monitor,
	}
	own := a.cfg.Log.Handler().WithAttrs([]slog.Attr{slog.String(keyRun, id), slog.String(keyScript, name)})
	if step := ro.stepName(); step != "" {
		own = own.WithAttrs([]slog.Attr{slog.String(keyStep, step)})
	}
	x.log = slog.New(x.redactor.Handler(slog.NewMultiHandler(own, &runHandler{buffer: x.buffer, publish: x.bus.publish})))
	x.run.log = x.log
	x.recorder = &recorder{
		ttl: a.cfg.LeaseTTL, buffer: x.buffer, progress: x.run.progress, counters: x.run.countersCopy, log: x.log,
		heed: x.run.steering.heed,
	}
	x.run.place = &place{recorder: x.recorder}
	x.restore()
	return x, nil
}

// fill sets the script's parameters and makes its secrets known to the
// redactor.
func (x *execution) fill(given any) error {
	spec := x.entry.spec
	layers, err := x.layers(given)
	if err := params.Join(err, filled(spec, x.params, layers)); err != nil {
		return err
	}
	for _, secret := range spec.Secrets(x.params) {
		x.redactor.Add(secret)
	}
	return nil
}

// filled fills parameters. What of the script's own is called for it, such as CheckParams, may panic.
func filled(spec *params.Spec, into any, layers []params.Layer) (err error) {
	guard(&err, func() error { return spec.Fill(into, layers...) })
	return err
}

// layers turns the forms of [RunOptions.Params] into layers. A struct becomes
// the parameters themselves.
func (x *execution) layers(given any) ([]params.Layer, error) {
	spec := x.entry.spec
	switch given := given.(type) {
	case nil:
		return nil, nil
	case []params.Layer:
		return given, nil
	case json.RawMessage:
		layer, err := spec.FromJSON(given, params.OriginAPI)
		return []params.Layer{layer}, err
	case map[string]any:
		layer, err := spec.FromMap(given, params.OriginAPI)
		return []params.Layer{layer}, err
	}
	src, dst := reflect.ValueOf(given), reflect.ValueOf(x.params)
	if src.Type() != dst.Type() || src.IsNil() {
		return nil, fmt.Errorf("parameters of script %s: got a %T; pass a map[string]any, a json.RawMessage or a %T", x.entry.name, given, x.params)
	}
	dst.Elem().Set(reflect.ValueOf(cloneStruct(given)).Elem())
	return nil, nil
}

// open acquires the connection and begins the record at the same time: both
// begin with a round trip or two, and most scripts are short.
func (x *execution) open(ctx context.Context) error {
	a := x.app
	x.started = time.Now()
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		ref, err := x.source().Acquire(gctx)
		x.ref = ref
		return err
	})
	if a.history != nil && !x.ro.NoHistory {
		group.Go(func() error { return x.beginRecord(gctx) })
	}
	if err := group.Wait(); err != nil {
		x.abandon(ctx, err)
		return err
	}
	if x.dry != nil {
		if err := x.dry.begin(ctx, x.ref, x.opts.DryRun); err != nil {
			x.abandon(ctx, err)
			return err
		}
		x.run.preview, x.run.dry = x.dry.session, x.dry
	}
	if h := x.ro.hold; h != nil && h.run.Unbegun {
		if err := x.recorder.beginScript(ctx); err != nil {
			x.abandon(ctx, err)
			return err
		}
	}
	x.run.ref = x.ref
	a.monitor.watch(x.run.id)
	x.bus.publish(Event{Type: EventState, State: Running})
	return nil
}

// beginRecord begins the record; an account that may not write to Rikki's
// database is no reason not to run, unless the script needs it.
func (x *execution) beginRecord(ctx context.Context) error {
	if h := x.ro.hold; h != nil {
		return x.recorder.adopt(ctx, h)
	}
	err := x.recorder.begin(ctx, x.ro.part.history(x.app.history), x.newRun())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNoAccess) && x.opts.NeedsHistory && x.dry == nil:
		return fmt.Errorf("%s keeps its place in the history's database %s, and did not begin: %w", x.entry.name, x.app.cfg.HistoryDatabase, err)
	case errors.Is(err, store.ErrNoAccess):
		x.log.Warn("this run leaves no history and has no lease: the account may not write to the database "+
			x.app.cfg.HistoryDatabase, "error", err, "fix", "grant it readWrite there, or say --no-history")
		return nil
	default:
		return err
	}
}

// abandon undoes what of open had succeeded.
func (x *execution) abandon(caller context.Context, err error) {
	state := x.unbegun(caller)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), historyTimeout)
	defer cancel()
	if x.recorder.on() {
		_, _ = x.recorder.finish(ctx, store.Finish{ // the error of open is what the caller gets
			State: state, Error: &store.RunError{Kind: "connection", Message: x.redactor.Text(err.Error())}, Back: x.givenBack(caller),
		})
		x.recorder.end(ctx)
	}
	if x.ref != nil {
		_ = x.ref.Release(ctx)
	}
}

func (x *execution) newRun() store.NewRun {
	a := x.app
	_, version := buildSource()
	shown := x.entry.spec.Masked(x.params)
	if b, ok := x.script.(*batchScript); ok {
		shown = b.plan.shown()
	}
	return store.NewRun{
		ID: x.run.id, Script: x.entry.name, Concurrency: x.opts.Concurrency,
		TTL: a.cfg.LeaseTTL, Owner: a.owner,
		Actor: cmp.Or(x.ro.Actor, a.cfg.Actor), Trigger: cmp.Or(x.ro.Trigger, "api"),
		Source:       storedSource(),
		RikkiVersion: version, Database: a.source.Database(), DryRun: x.ro.DryRun,
		Attempt: x.run.attempt, Timeout: max(x.timeout(), 0),
		Params: shown, Input: x.keptInput(), Resumable: x.opts.Resumable,
		Parent: x.ro.Parent, Step: x.ro.part.name(), Schedule: x.ro.Schedule, ScheduledAt: x.ro.ScheduledAt,
		Keep: a.keepFor(x.opts), Needs: x.needs(),
	}
}

// needs are the runs that the script reads what the history has of. A dry run is over in a moment.
func (x *execution) needs() []string {
	if n, ok := x.script.(needer); ok && !x.ro.DryRun {
		return n.NeedsRuns()
	}
	return nil
}
