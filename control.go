package rikki

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rikki-go/rikki/internal/store"
)

// ControlOptions says who controls a run from outside, and why. nil is fine.
type ControlOptions struct {
	// Actor replaces [Config.Actor].
	Actor string

	// Reason is kept with the run and in the audit log.
	Reason string

	// Params changes parameters of the run that [App.Retry] repeats, by their
	// names; nil takes one away.
	Params map[string]any

	// Rest says that [App.Retry] repeats only what the run has left undone, as
	// Params tell its script.
	Rest bool

	// Held makes the new run of [App.Retry] wait outside of the queue, paused, for
	// [App.Continue] or [App.Resume]: no process that serves the queue begins with it.
	Held bool

	// Force resumes a run though the program or the parameters are not those
	// that it began with.
	Force bool
}

// Control is a change that somebody asked for from outside.
type Control struct {
	Action string    `json:"action"` // pause, resume, cancel, retry
	Actor  string    `json:"actor"`
	Reason string    `json:"reason,omitempty"`
	From   State     `json:"from,omitempty"` // in the audit log
	To     State     `json:"to,omitempty"`
	Forced bool      `json:"forced,omitempty"`
	At     time.Time `json:"at"`
}

func controlOf(c *store.Control) *Control {
	if c == nil {
		return nil
	}
	return &Control{Action: string(c.Action), Actor: c.Actor, Reason: c.Reason, At: c.At}
}

// Pause asks a run to stop at its next checkpoint, wherever it runs; its
// process learns of it within a second or so, and the record that is returned
// says pausing. A run that nobody runs is paused at once: one that is queued, and
// one whose process has died. Scripts that aren't [Options.Resumable] can't be
// paused: the error is [ErrState].
func (a *App) Pause(ctx context.Context, id string, opts *ControlOptions) (Record, error) {
	return a.control(ctx, id, store.Pause, opts)
}

// Cancel ends a run, wherever it runs: its process, which learns of it within
// a second or so, stops it as if its caller had cancelled it, and the record
// that is returned says cancelling. A run that nobody runs is cancelled at once:
// one that is queued or rests, and one whose process has died.
func (a *App) Cancel(ctx context.Context, id string, opts *ControlOptions) (Record, error) {
	return a.control(ctx, id, store.Cancel, opts)
}

// Resume puts a run that is paused, interrupted or failed half-way
// ([Record.HalfWay]) back into the queue: a
// process that serves it ([App.Serve]) goes on from the last checkpoint, in the
// same run with the next attempt. To go on in this process, use [App.Continue].
//
// The error is [ErrState] when the run isn't at rest or its script isn't
// [Options.Resumable], and [ErrSourceChanged] when this program knows the script
// and isn't the version that the run began with, unless forced.
func (a *App) Resume(ctx context.Context, id string, opts *ControlOptions) (Record, error) {
	if opts == nil || !opts.Force {
		err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
			run, err := findRun(ctx, s, id)
			if err != nil {
				return err
			}
			return a.sameSource(run)
		})
		if err != nil {
			return Record{}, err
		}
	}
	return a.control(ctx, id, store.Resume, opts)
}

func (a *App) control(ctx context.Context, id string, action store.Action, opts *ControlOptions) (Record, error) {
	if opts == nil {
		opts = &ControlOptions{}
	}
	var record Record
	err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		found, err := findRun(ctx, s, id)
		if err != nil {
			return err
		}
		run, err := s.Control(ctx, found.ID, store.Request{
			Action: action, Actor: cmp.Or(opts.Actor, a.cfg.Actor), Reason: a.redactor.Text(opts.Reason), Force: store.Force(opts.Force),
		})
		record = recordOf(run)
		if err == nil && action == store.Resume {
			a.tellQueued(run.ID, run.Script)
		}
		return err
	})
	return record, err
}

// Retry queues a new run with the input of one that has ended. The new run's
// Parent is the old one. The error is [ErrState] when the old run has not ended,
// its input was not kept, or it is a backfill that has done documents, which would
// be done twice; and of type [*params.Error] when the input doesn't fit the script
// any more.
func (a *App) Retry(ctx context.Context, id string, opts *ControlOptions) (Record, error) {
	if opts == nil {
		opts = &ControlOptions{}
	}
	actor := cmp.Or(opts.Actor, a.cfg.Actor)
	var record Record
	err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		past, err := findRun(ctx, s, id)
		if err != nil {
			return err
		}
		next, err := a.again(past, opts.Params)
		if err != nil {
			return err
		}
		if !opts.Rest {
			if err := refuseTwice(ctx, s, past); err != nil {
				return err
			}
		}
		next.Actor, next.Held = actor, opts.Held
		run, err := s.Enqueue(ctx, next)
		if err != nil {
			return err
		}
		if !opts.Held {
			a.tellQueued(run.ID, run.Script)
		}
		record = recordOf(run)
		return s.Audit(ctx, store.Entry{
			Run: past.ID, Script: past.Script, Action: store.Retry, Actor: actor,
			Reason: a.redactor.Text(opts.Reason), From: past.State, To: past.State,
		})
	})
	return record, err
}

// again is the new run that repeats an old one. A program that doesn't know
// the script can repeat it too; whoever runs it checks the input then.
func (a *App) again(past store.Run, change map[string]any) (store.NewRun, error) {
	switch {
	case past.State.Active() || past.State == Queued:
		return store.NewRun{}, fmt.Errorf("%w: run %s is %s; only what has ended can be repeated", ErrState, past.ID, past.State)
	case past.Input == "":
		return store.NewRun{}, fmt.Errorf("%w: the parameters of run %s were not kept, or contain a password; "+
			"run %s with its parameters instead", ErrState, past.ID, past.Script)
	}
	resumable, input := past.Resumable, past.Input
	var masked any
	if !past.Params.IsZero() {
		masked = past.Params
	}
	if len(change) > 0 {
		var err error
		if input, masked, err = changedInput(input, change); err != nil {
			return store.NewRun{}, err
		}
	}
	if e, err := a.lookup(past.Script); err == nil {
		filled, err := e.replay(input)
		if err != nil {
			return store.NewRun{}, err
		}
		if len(change) > 0 {
			data, err := e.spec.JSON(filled)
			if err != nil {
				return store.NewRun{}, err
			}
			input, masked = string(data), e.spec.Masked(filled)
		}
		resumable = e.opts.Resumable
	}
	return store.NewRun{
		ID: store.NewID(), Script: past.Script, Params: masked, Input: input, Resumable: resumable,
		Trigger: "retry", Parent: past.ID, Database: past.Database, DryRun: past.DryRun, Timeout: past.Timeout,
		Priority: past.Priority, RikkiVersion: Version(),
	}, nil
}

// refuseTwice refuses to repeat a backfill that has done documents: each of them would be done once more. One whose undo has come to
// its end has done nothing.
func refuseTwice(ctx context.Context, s *store.Store, past store.Run) error {
	if past.DryRun || past.Attempt == 0 {
		return nil
	}
	if past.Script == batchName {
		return refuseSteps(ctx, s, past)
	}
	done, err := s.Done(ctx, past.ID)
	if err != nil || done.Matched == 0 {
		return err
	}
	advice := "what failed is tried again with runs retry --failed-only; to do all of it once more, run the script"
	switch {
	case past.HalfWay:
		advice = "go on where it stopped with runs resume"
	case past.State == Cancelled || past.State == Failed:
		advice = "undo it first with runs undo, or run the script anew if doing documents twice does no harm"
	}
	return fmt.Errorf("%w: run %s has done %d documents, and a retry would do them twice; %s", ErrState, past.ID, done.Matched, advice)
}

// refuseSteps refuses to repeat a batch of whose steps one may not be repeated.
func refuseSteps(ctx context.Context, s *store.Store, batch store.Run) error {
	steps, err := s.Children(ctx, batch.ID)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if step.Step == "" {
			continue
		}
		if err := refuseTwice(ctx, s, step); err != nil {
			return fmt.Errorf("%w; what is left of the batch is done with batch --resume=%s", err, batch.ID)
		}
	}
	return nil
}

// changedInput changes stored input, which has no secrets, and returns it as a value too.
func changedInput(input string, change map[string]any) (string, any, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(input), &fields); err != nil {
		return "", nil, fmt.Errorf("the parameters of the run: %w", err)
	}
	for name, value := range change {
		if value == nil {
			delete(fields, name)
			continue
		}
		data, err := json.Marshal(value)
		if err != nil {
			return "", nil, fmt.Errorf("the parameter %s: %w", name, err)
		}
		fields[name] = data
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return "", nil, fmt.Errorf("the parameters of the run: %w", err)
	}
	var shown map[string]any
	if err := json.Unmarshal(data, &shown); err != nil {
		return "", nil, fmt.Errorf("the parameters of the run: %w", err)
	}
	return string(data), shown, nil
}

// Audit lists what was done to a run from outside, the oldest first.
func (a *App) Audit(ctx context.Context, id string) ([]Control, error) {
	var controls []Control
	err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		run, err := findRun(ctx, s, id)
		if err != nil {
			return err
		}
		entries, err := s.Entries(ctx, run.ID)
		for _, e := range entries {
			controls = append(controls, Control{
				Action: string(e.Action), Actor: e.Actor, Reason: e.Reason, From: e.From, To: e.To, Forced: e.Forced, At: e.At,
			})
		}
		return err
	})
	return controls, err
}
