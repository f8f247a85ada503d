package schedule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rikki-go/rikki/internal/store"
)

// ChangeOptions says who changes a schedule, and why. nil is fine.
type ChangeOptions struct {
	// Actor replaces [Options.Actor].
	Actor string

	// Note is kept in the audit log, and with a schedule that is paused.
	Note string

	// Replace lets [Scheduler.Save] change a schedule that exists.
	Replace bool

	// Origin is where a definition that is saved comes from: "cli" unless told otherwise. See [Scheduler.Sync].
	Origin string
}

func (s *Scheduler) options(o *ChangeOptions) ChangeOptions {
	if o == nil {
		o = &ChangeOptions{}
	}
	opts := *o
	opts.Actor = cmp.Or(opts.Actor, s.opts.Actor, s.app.Actor())
	opts.Origin = cmp.Or(opts.Origin, originCLI)
	if len(opts.Note) > maxText {
		opts.Note = opts.Note[:maxText]
	}
	return opts
}

var errStop = errors.New("stop") // ends a listing

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

func contains[T comparable](list []T, v T) bool { return slices.Contains(list, v) }

func nameOf(def Schedule) string { return cmp.Or(def.Name, def.Script) }

// Save stores a schedule. One that exists is changed only if the options say so: it goes on where it is, but when its times or its
// number of runs are changed it begins anew, from now on. A pause stays.
//
// The error is an [*Error] that lists everything that is wrong, a [*rikki.UnknownScriptError], [ErrNeverRuns] or [ErrExists].
func (s *Scheduler) Save(ctx context.Context, def Schedule, opts *ChangeOptions) (Info, error) {
	o := s.options(opts)
	c, err := compile(s.app, def)
	if err != nil {
		return Info{}, err
	}
	var saved store.Schedule
	err = s.with(ctx, func(ctx context.Context, st *store.Store) error {
		if err := st.EnsureScheduleIndexes(ctx); err != nil {
			return err
		}
		origin := store.ScheduleOrigin{Kind: o.Origin, By: o.Actor}
		saved, err = s.save(ctx, st, nameOf(def), c, origin, o)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return s.withDrift(saved, s.mine()), nil
}

// save creates the schedule or changes it.
func (s *Scheduler) save(ctx context.Context, st *store.Store, name string, c *compiled, origin store.ScheduleOrigin, o ChangeOptions) (store.Schedule, error) {
	action := "change"
	sch, err := s.change(ctx, st, s.id(name), func(d *deciding) error {
		if !o.Replace {
			return fmt.Errorf("%w: %s", ErrExists, name)
		}
		return d.redefine(c, origin)
	})
	if isNotFound(err) {
		action = "create"
		sch, err = s.create(ctx, st, name, c, origin)
		if errors.Is(err, store.ErrConflict) {
			return s.save(ctx, st, name, c, origin, o) // it exists now
		}
	}
	if err != nil {
		return sch, err
	}
	return sch, s.audit(ctx, st, sch, action, o)
}

func (s *Scheduler) create(ctx context.Context, st *store.Store, name string, c *compiled, origin store.ScheduleOrigin) (store.Schedule, error) {
	now, err := st.ServerTime(ctx)
	if err != nil {
		return store.Schedule{}, err
	}
	if err := c.plan.Check(now); err != nil {
		return store.Schedule{}, err
	}
	d := &deciding{compiled: c, now: now, newID: store.NewID, sch: store.Schedule{
		ID: s.id(name), Database: s.database(), Name: name, Script: c.def.Script, Revision: 1, Definition: c.def, Origin: origin,
		State: store.ScheduleActive, Upto: now,
	}}
	d.next()
	return st.PutSchedule(ctx, d.sch)
}

// redefine gives the schedule another definition.
func (d *deciding) redefine(c *compiled, origin store.ScheduleOrigin) error {
	if origin.Applied == "" {
		origin.Applied = d.sch.Origin.Applied // an edit by hand is no news from the code
		if d.sch.Origin.Kind != originCLI {
			origin.Kind, origin.Program = d.sch.Origin.Kind, d.sch.Origin.Program
		}
	}
	old := d.sch.Definition
	d.sch.Origin = origin
	if hash(old) == hash(c.def) {
		return nil
	}
	d.compiled = c
	d.sch.Definition, d.sch.Script = c.def, c.def.Script
	d.sch.Revision++
	if !sameTiming(old, c.def) {
		if err := c.plan.Check(d.now); err != nil {
			return err
		}
		d.sch.Fired = 0
		if d.now.After(d.sch.Upto) {
			d.sch.Upto = d.now
		}
		if d.sch.State == store.ScheduleCompleted {
			d.sch.State, d.sch.Note = store.ScheduleActive, nil
		}
	}
	d.next()
	return nil
}

// Pause keeps a schedule from firing until it is resumed. What is under way goes on; a slot that waits is skipped.
func (s *Scheduler) Pause(ctx context.Context, name string, opts *ChangeOptions) (Info, error) {
	o := s.options(opts)
	return s.manage(ctx, name, "pause", o, func(d *deciding) error {
		if d.sch.State == store.ScheduleCompleted {
			return fmt.Errorf("%w: %s is completed", ErrState, name)
		}
		if d.sch.State == store.SchedulePaused && d.sch.Note != nil && d.sch.Note.Kind == noteUser && d.sch.Note.Text == o.Note {
			return nil
		}
		d.pause(noteUser, o.Actor, o.Note)
		return nil
	})
}

// Resume lets a schedule fire again, from now on; the slots that have passed meanwhile are recorded as skipped. It forgets the
// failures.
func (s *Scheduler) Resume(ctx context.Context, name string, opts *ChangeOptions) (Info, error) {
	o := s.options(opts)
	return s.manage(ctx, name, "resume", o, func(d *deciding) error {
		switch {
		case d.sch.State == store.ScheduleCompleted:
			return fmt.Errorf("%w: %s is completed", ErrState, name)
		case d.sch.State == store.ScheduleActive:
			return nil
		case d.plan == nil:
			return fmt.Errorf("%w: this version of the program can't read its definition", ErrState)
		}
		if s.knows(d.sch.Script) {
			if _, err := s.app.Input(d.sch.Script, paramsOf(d.def.Input)); err != nil {
				return fmt.Errorf("the parameters of schedule %s don't fit its script any more: %w", name, err)
			}
		}
		d.resume()
		return nil
	})
}

const noteUser = "user"

// manage makes one change, carries out what follows from it, and notes it in the audit log.
func (s *Scheduler) manage(ctx context.Context, name, action string, o ChangeOptions, fn func(d *deciding) error) (Info, error) {
	var info Info
	err := s.with(ctx, func(ctx context.Context, st *store.Store) error {
		before, err := s.find(ctx, st, name)
		if err != nil {
			return err
		}
		sch, err := s.change(ctx, st, before.ID, func(d *deciding) error {
			before = d.sch
			return fn(d)
		})
		if err != nil {
			return err
		}
		info = s.withDrift(sch, s.mine())
		if sch.Version == before.Version {
			return nil
		}
		return errors.Join(s.carryOut(ctx, st, sch, fresh(before, sch), nil), s.audit(ctx, st, sch, action, o))
	})
	return info, err
}

// Remove deletes a schedule. What it has decided already is carried out, runs under way go on, and its occurrences stay.
func (s *Scheduler) Remove(ctx context.Context, name string, opts *ChangeOptions) error {
	o := s.options(opts)
	return s.with(ctx, func(ctx context.Context, st *store.Store) error {
		const attempts = 20
		for range attempts {
			sch, err := s.find(ctx, st, name)
			if err != nil {
				return err
			}
			if err := s.carryOut(ctx, st, sch, nil, slices.DeleteFunc(slices.Clone(sch.Open), func(o store.OpenOccurrence) bool {
				return o.State == store.Waiting || o.Queued
			})); err != nil && s.knows(sch.Script) {
				return err
			}
			if sch, err = st.Schedule(ctx, sch.ID); err != nil {
				return err
			}
			if err := st.RemoveSchedule(ctx, sch); !errors.Is(err, store.ErrConflict) {
				return errors.Join(err, s.audit(ctx, st, sch, "remove", o))
			}
		}
		return fmt.Errorf("%w: %s", ErrConflict, name)
	})
}

func (s *Scheduler) audit(ctx context.Context, st *store.Store, sch store.Schedule, action string, o ChangeOptions) error {
	return st.Audit(ctx, store.Entry{
		Schedule: sch.ID, Script: sch.Script, Action: store.Action(action), Actor: o.Actor, Reason: o.Note,
	})
}

// Change is what somebody has done to a schedule.
type Change struct {
	Action string    `json:"action"` // create, change, pause, resume, trigger, backfill, remove
	Actor  string    `json:"actor"`
	Note   string    `json:"note,omitempty"`
	At     time.Time `json:"at"`
}

// Changes lists what was done to a schedule, the oldest first, also after it was removed.
func (s *Scheduler) Changes(ctx context.Context, name string) ([]Change, error) {
	var list []Change
	err := s.with(ctx, func(ctx context.Context, st *store.Store) error {
		entries, err := st.Entries(ctx, s.id(name))
		for _, e := range entries {
			list = append(list, Change{Action: string(e.Action), Actor: e.Actor, Note: e.Reason, At: e.At})
		}
		slices.SortStableFunc(list, func(a, b Change) int { return a.At.Compare(b.At) })
		return err
	})
	return list, err
}
