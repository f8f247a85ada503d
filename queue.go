package rikki

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/redact"
	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/params"
)

// Enqueue records a run that waits for a process which serves the queue
// ([App.Serve]) and knows the script, and returns the run's ID. The parameters
// are checked here, and again where the run begins.
//
// A queued run can't carry secrets, which would have to be stored: the process
// that runs it takes them from its environment ([Config.LookupEnv]). Of the options,
// NoHistory and Observers have no meaning here.
func (a *App) Enqueue(ctx context.Context, script string, opts *RunOptions) (string, error) {
	if opts == nil {
		opts = &RunOptions{}
	}
	e, err := a.lookup(script)
	if err != nil {
		return "", err
	}
	x := &execution{app: a, entry: e, opts: e.opts, ro: *opts, redactor: a.redactor.Clone()}
	input, err := x.storedInput(opts.Params, inQueue)
	if err != nil {
		return "", err
	}
	x.run = &Run{id: cmp.Or(opts.ID, store.NewID())}
	run := x.newRun()
	run.Input = input
	run.Priority, run.NotBefore = opts.Priority, opts.NotBefore
	run.Source = store.Source{} // whoever runs it says which
	err = a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		_, err := s.Enqueue(ctx, run)
		if errors.Is(err, store.ErrDuplicateID) && opts.ID != "" && queuedBefore(ctx, s, run) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", err
	}
	a.tellQueued(run.ID, script)
	return run.ID, nil
}

// queuedBefore tells whether the run that has this ID is the same occurrence of
// the same schedule.
func queuedBefore(ctx context.Context, s *store.Store, run store.NewRun) bool {
	there, err := s.Run(ctx, run.ID)
	return err == nil && run.Schedule != "" && there.ID == run.ID && there.Database == run.Database && there.Script == run.Script &&
		there.Schedule == run.Schedule && there.ScheduledAt.Equal(run.ScheduledAt)
}

// carrier is what takes the parameters of a run to the place and time where it
// begins, in words: secrets can't go with it.
type carrier struct{ what, where string }

//nolint:gochecknoglobals // words
var (
	inQueue = carrier{"a queued run", "in the environment of the processes that serve the queue"}
	inBatch = carrier{"a batch", "in the environment"}
)

// storedInput checks the parameters of a run that will begin later, fills
// x.params and returns what can be stored.
func (x *execution) storedInput(given any, by carrier) (string, error) {
	spec := x.entry.spec
	x.script, x.params = x.entry.fresh()
	layers, err := x.layers(given)
	if err := params.Join(err, x.refuseSecrets(layers, by), x.withoutSecrets(filled(spec, x.params, layers))); err != nil {
		return "", err
	}
	data, err := spec.JSON(x.params)
	if err != nil {
		return "", err
	}
	if redact.Text(string(data)) != string(data) {
		return "", &params.Error{Problems: []params.Problem{{
			Message: "a parameter contains a password, and " + by.what + " can't carry secrets: " +
				"make the parameter a params.Secret, and set it " + by.where,
		}}}
	}
	return string(data), nil
}

// refuseSecrets finds secrets that were given on purpose. Those of the
// environment are left where they are.
func (x *execution) refuseSecrets(layers []params.Layer, by carrier) error {
	var problems []params.Problem
	for _, field := range x.entry.spec.Fields() {
		isGiven := func(l params.Layer) bool { return l.Origin() != params.OriginEnv && l.Has(field.Path) }
		if field.Secret && slices.ContainsFunc(layers, isGiven) {
			problems = append(problems, params.Problem{
				Field: field.Path, Name: field.Path,
				Message: by.what + " can't carry a secret: leave it out, and set " +
					strings.Join(slices.Compact(field.EnvNames(envPrefix(x.entry.name))), " or ") + " " + by.where,
			})
		}
	}
	if len(layers) == 0 && len(x.entry.spec.Secrets(x.params)) > 0 {
		problems = append(problems, params.Problem{Message: by.what + " can't carry secrets: leave them out of the struct"})
	}
	if len(problems) == 0 {
		return nil
	}
	return &params.Error{Problems: problems}
}

// withoutSecrets forgives that secrets are missing: they come from elsewhere.
func (x *execution) withoutSecrets(err error) error {
	invalid, ok := errors.AsType[*params.Error](err)
	if !ok {
		return err
	}
	secret := make(map[string]bool)
	for _, field := range x.entry.spec.Fields() {
		secret[field.Path] = field.Secret
	}
	left := slices.DeleteFunc(slices.Clone(invalid.Problems), func(p params.Problem) bool {
		return p.Origin == "" && secret[p.Field]
	})
	if len(left) == 0 {
		return nil
	}
	return &params.Error{Problems: left}
}

// envPrefix begins the environment variables of a script's parameters.
func envPrefix(script string) string {
	return strings.ToUpper(strings.ReplaceAll(script, "-", "_")) + "_"
}

// keptInput is the input from which this run could be done again, or "" when
// it contains what must not be stored.
func (x *execution) keptInput() string {
	data, err := x.entry.spec.JSON(x.params)
	if err != nil || redact.Text(string(data)) != string(data) {
		return ""
	}
	return string(data)
}

// hold is a run that exists already and that this process owns from now on.
type hold struct {
	run    store.Run
	began  time.Time // before its lease was taken
	source *conn.Source
	writer *store.Group  // nil unless there are others to write with
	drain  time.Duration // how long it may go on when it is asked to stop
	force  bool
	ended  func() // is told when the script has ended, before the history is; may be nil
}

// replay is the parameters that stored input stands for.
func (e *entry) replay(input string, more ...params.Layer) (any, error) {
	layer, err := e.spec.FromJSON(json.RawMessage(input), params.OriginAPI)
	if err != nil {
		return nil, err
	}
	x := &execution{entry: e}
	_, x.params = e.fresh()
	return x.params, x.withoutSecrets(filled(e.spec, x.params, append([]params.Layer{layer}, more...)))
}

// replayLayers are the input of a run that goes on and, from the environment,
// its secrets and nothing else.
func (e *entry) replayLayers(input string, lookup func(string) (string, bool)) ([]params.Layer, error) {
	layer, err := e.spec.FromJSON(json.RawMessage(cmp.Or(input, "{}")), params.OriginAPI)
	if err != nil {
		return nil, err
	}
	secret := make(map[string]bool)
	for _, field := range e.spec.Fields() {
		if field.Secret {
			for _, name := range field.EnvNames(envPrefix(e.name)) {
				secret[name] = true
			}
		}
	}
	env := e.spec.FromEnv(func(name string) (string, bool) {
		if !secret[name] {
			return "", false
		}
		return lookup(name)
	}, envPrefix(e.name))
	return []params.Layer{layer, env}, nil
}

// sameSource tells whether this program may go on with a run: it is the version
// that the run began with, and the input still means the same.
func (a *App) sameSource(run store.Run) error {
	e, err := a.lookup(run.Script)
	if err != nil || run.Fresh() {
		return nil //nolint:nilerr // what isn't known here can't be compared; whoever runs it will
	}
	if mine := storedSource(); run.Source != mine {
		return fmt.Errorf("%w: run %s is of %s, and this is %s; resume it with the same program, or by force",
			ErrSourceChanged, run.ID, sourceName(run.Source), sourceName(mine))
	}
	if run.Input == "" {
		return fmt.Errorf("%w: the parameters of run %s were not kept", ErrState, run.ID)
	}
	now, err := e.replay(run.Input)
	if err != nil {
		return err
	}
	data, err := e.spec.JSON(now)
	if err != nil {
		return err
	}
	if forced := run.Control != nil && run.Control.Forced; string(data) != run.Input && !forced {
		return fmt.Errorf("%w: the parameters of run %s were %s and would be %s; resume it by force if that is right",
			ErrSourceChanged, run.ID, run.Input, data)
	}
	return nil
}

func storedSource() store.Source {
	source, _ := buildSource()
	return store.Source{Module: source.Module, Version: source.Version, Revision: source.Revision, Modified: source.Modified}
}

func sourceName(s store.Source) string {
	name := cmp.Or(s.Revision, s.Version, "an unknown version")
	if s.Modified {
		name += " with changes"
	}
	return name
}

// Continue runs a run that is queued, paused, interrupted or failed half-way in
// this process, now, and waits for its end as [App.Run] does. It goes on from the last checkpoint,
// in the same run with the next attempt, and leaves the queue. Its parameters are
// those that it began with; secrets come from [Config.LookupEnv]. Of the options,
// Actor and Reason, which the audit log has, Force and Observers have a meaning here.
//
// The result is nil if the run didn't go on: [ErrNotFound], [ErrState],
// [ErrSourceChanged], an [*UnknownScriptError], an [*AlreadyRunningError], a
// [*params.Error] or a failure of the connection.
func (a *App) Continue(ctx context.Context, id string, opts *RunOptions) (*Result, error) {
	if opts == nil {
		opts = &RunOptions{}
	}
	if err := a.enter(); err != nil {
		return nil, err
	}
	defer a.runs.Done()
	return a.resume(ctx, id, opts)
}

// resume is Continue for callers that are counted in.
func (a *App) resume(ctx context.Context, id string, opts *RunOptions) (*Result, error) {
	h := &hold{source: opts.part.history(a.history), drain: opts.part.grace(), force: opts.Force}
	err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		a.sweep(ctx, s)
		past, err := findRun(ctx, s, id)
		if err != nil {
			return err
		}
		e, err := a.lookup(past.Script)
		if err != nil {
			return err
		}
		if !opts.Force {
			if err := a.sameSource(past); err != nil {
				return err
			}
		}
		if _, err := a.prepareAgain(&hold{run: past}, *opts); err != nil {
			return err
		}
		h.began = time.Now()
		h.run, err = s.Take(ctx, past.ID, e.opts.Concurrency, a.taker(), store.Force(opts.Force))
		if err == nil && opts.part == nil && past.State != Queued && (past.Attempt > 0 || past.Control != nil) {
			a.noteResumed(ctx, s, past, h.run, *opts)
		}
		return recordError(past.Script, err)
	})
	if err != nil {
		return nil, err
	}
	return a.goOn(ctx, h, *opts)
}

// noteResumed puts into the audit log who goes on with a run that rested. The run is taken by then, and goes on in any case.
func (a *App) noteResumed(ctx context.Context, s *store.Store, past, now store.Run, opts RunOptions) {
	err := s.Audit(ctx, store.Entry{
		Run: now.ID, Script: now.Script, Action: store.Resume, Actor: cmp.Or(opts.Actor, a.cfg.Actor), Reason: a.redactor.Text(opts.Reason),
		From: past.State, To: now.State, Forced: opts.Force,
	})
	if err != nil {
		a.Log().Warn("the audit log doesn't say who goes on with the run", "run_id", now.ID, "error", err)
	}
}

func (a *App) taker() store.Taker {
	return store.Taker{Owner: a.owner, TTL: a.cfg.LeaseTTL, Source: storedSource()}
}

// goOn performs a run that this process has taken.
func (a *App) goOn(ctx context.Context, h *hold, ro RunOptions) (*Result, error) {
	x, err := a.prepareAgain(h, ro)
	if err == nil && !h.force {
		err = a.sameSource(h.run)
	}
	if err != nil {
		return nil, errors.Join(err, a.refuse(ctx, h, err))
	}
	return x.do(ctx)
}

// prepareAgain is like prepare for a run that exists.
func (a *App) prepareAgain(h *hold, ro RunOptions) (*execution, error) {
	e, err := a.lookup(h.run.Script)
	if err != nil {
		return nil, err
	}
	layers, err := e.replayLayers(h.run.Input, a.cfg.lookupEnv())
	if err != nil {
		return nil, err
	}
	ro.hold, ro.Params, ro.DryRun, ro.NoHistory = h, layers, h.run.DryRun, false
	// The history has no word for a run without timeout but zero.
	ro.Timeout = cmp.Or(h.run.Timeout, -1)
	return a.prepare(h.run.Script, ro)
}

// refuse gives a run back that can't go on here, and says why.
func (a *App) refuse(ctx context.Context, h *hold, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), historyTimeout)
	defer cancel()
	end := store.Finish{State: Failed, Error: &store.RunError{Kind: "parameters", Message: a.redactor.Text(why.Error())}}
	if panicked, ok := errors.AsType[*PanicError](why); ok {
		end.Error.Kind, end.Error.Stack = "panic", a.redactor.Text(panicked.Stack)
	}
	if errors.Is(why, ErrSourceChanged) {
		end.State, end.Hold, end.Error.Kind = Interrupted, true, "source"
	}
	return h.source.With(ctx, func(ctx context.Context, ref *conn.Ref) error {
		_, err := store.New(ref.DB()).Finish(ctx, h.run.ID, h.run.Lease.Epoch, end)
		return err
	})
}

// unbegun is the state of a run whose connections could not be opened. One from
// the queue can be tried again. Any other is over: its caller gets no result and
// so no ID, and there is nothing of it to go on with.
func (x *execution) unbegun(caller context.Context) State {
	switch {
	case x.ro.hold != nil:
		return Interrupted
	case caller.Err() != nil && !errors.Is(stopReason(caller), ErrTimeout):
		return Cancelled
	default:
		return Failed
	}
}

// givenBack is how a run from the queue goes back whose script did not begin.
func (x *execution) givenBack(caller context.Context) *store.Back {
	if x.ro.hold == nil {
		return nil
	}
	return &store.Back{Fresh: x.ro.hold.run.Unbegun, Failed: caller.Err() == nil}
}

func (c Config) lookupEnv() func(string) (string, bool) {
	if c.LookupEnv != nil {
		return c.LookupEnv
	}
	return os.LookupEnv
}
