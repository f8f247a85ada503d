package schedule

import (
	"context"
	"errors"
	"fmt"

	"github.com/rikki-go/rikki/internal/store"
)

// Where definitions come from.
const (
	originCode = "code"
	originFile = "file"
	originCLI  = "cli"

	noteGone = "gone"
)

// Applied is what [Scheduler.Sync] did with one definition.
type Applied struct {
	Name string `json:"name"`
	// Action is "created", "changed", "unchanged", "kept" (the stored one was changed by hand, see Drift), "paused" (it isn't
	// defined any more) or "restored" (it is again), or "refused", with Err.
	Action string   `json:"action"`
	Drift  []string `json:"drift,omitempty"`
	Err    error    `json:"-"`
}

// mine compiles the definitions of this program, without those that are wrong.
func (s *Scheduler) mine() map[string]*compiled {
	list := make(map[string]*compiled, len(s.opts.Schedules))
	for _, def := range s.opts.Schedules {
		if c, err := compile(s.app, def); err == nil {
			list[nameOf(def)] = c
		}
	}
	return list
}

// Check finds what is wrong with the definitions of this program, without a connection.
func (s *Scheduler) Check() error {
	var errs []error
	names := map[string]bool{}
	for _, def := range s.opts.Schedules {
		_, err := compile(s.app, def)
		if err == nil && names[nameOf(def)] {
			err = problems{{Field: "name", What: "two schedules have the name " + nameOf(def), Fix: "give one of them another"}}.err(nameOf(def))
		}
		names[nameOf(def)] = true
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Sync stores the definitions of this program. Whoever spoke last wins: a definition that has changed since it was last taken
// from the program replaces what is stored, also what was changed by hand; one that hasn't changed leaves a change by hand
// alone, and [Info.Drift] tells. Whether a schedule is paused is no part of its definition and stays.
//
// A schedule that came from this program and is no longer defined there pauses itself, if its script is known here; it
// goes on when it is defined again.
//
// Any process may do this at any time. The error lists what is wrong with the definitions, and nothing is stored then. What
// can't be stored because it has no time ahead is refused in the result.
func (s *Scheduler) Sync(ctx context.Context) ([]Applied, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	var list []Applied
	err := s.with(ctx, func(ctx context.Context, st *store.Store) error {
		if len(s.opts.Schedules) > 0 {
			if err := st.EnsureScheduleIndexes(ctx); err != nil {
				return err
			}
		}
		defined := map[string]bool{}
		for _, def := range s.opts.Schedules {
			done, err := s.apply(ctx, st, def)
			if err != nil {
				return fmt.Errorf("store schedule %s: %w", nameOf(def), err)
			}
			defined[nameOf(def)] = true
			list = append(list, done)
			s.tell(ctx, done)
		}
		gone, err := s.pauseGone(ctx, st, defined)
		list = append(list, gone...)
		return err
	})
	return list, err
}

func (s *Scheduler) tell(ctx context.Context, done Applied) {
	switch done.Action {
	case "kept":
		s.log.WarnContext(ctx, "the stored schedule was changed by hand and stays so", "schedule", done.Name, "drift", done.Drift)
	case "refused":
		s.log.WarnContext(ctx, "the schedule could not be stored", "schedule", done.Name, "error", done.Err)
	case "unchanged":
	default:
		s.log.InfoContext(ctx, "schedule "+done.Action, "schedule", done.Name)
	}
}

// apply stores one definition if it is news.
func (s *Scheduler) apply(ctx context.Context, st *store.Store, def Schedule) (Applied, error) {
	c, err := compile(s.app, def)
	if err != nil {
		return Applied{}, err
	}
	done := Applied{Name: nameOf(def)}
	mark := hash(c.def)
	origin := store.ScheduleOrigin{Kind: originCode, Program: s.opts.Program, By: s.opts.Program, Applied: mark}
	o := s.options(&ChangeOptions{Actor: s.opts.Program, Note: "as the program defines it"})
	for {
		sch, err := s.change(ctx, st, s.id(done.Name), func(d *deciding) error {
			done.Action, done.Drift = "unchanged", nil
			if d.sch.Origin.Applied == mark && d.sch.Origin.Kind == originCode {
				if hash(d.sch.Definition) != mark {
					done.Action, done.Drift = "kept", differences(d.sch.Definition, c.def, "the program")
				}
			} else {
				done.Action = "changed"
				if err := d.redefine(c, origin); err != nil {
					return err
				}
			}
			if n := d.sch.Note; n != nil && n.Kind == noteGone && d.sch.State == store.SchedulePaused && d.plan != nil {
				done.Action = "restored"
				d.resume()
			}
			return nil
		})
		if isNotFound(err) {
			done.Action = "created"
			sch, err = s.create(ctx, st, done.Name, c, origin)
		}
		switch {
		case errors.Is(err, store.ErrConflict):
			continue // another process has created it
		case errors.Is(err, ErrNeverRuns):
			done.Action, done.Err = "refused", err
			return done, nil
		case err != nil || done.Action == "unchanged" || done.Action == "kept":
			return done, err
		}
		return done, s.audit(ctx, st, sch, map[string]string{"created": "create"}[done.Action]+map[string]string{"changed": "change", "restored": "resume"}[done.Action], o)
	}
}

// pauseGone pauses what this program defined once and no longer does.
func (s *Scheduler) pauseGone(ctx context.Context, st *store.Store, defined map[string]bool) ([]Applied, error) {
	var list []Applied
	text := "program " + s.opts.Program + " doesn't define it any more"
	for sch, err := range st.Schedules(ctx, store.ScheduleFilter{Database: s.database(), States: []store.ScheduleState{store.ScheduleActive}}) {
		if err != nil {
			return list, err
		}
		if defined[sch.Name] || sch.Origin.Kind != originCode || sch.Origin.Program != s.opts.Program || !s.knows(sch.Script) {
			continue
		}
		done, err := s.change(ctx, st, sch.ID, func(d *deciding) error {
			if d.sch.State == store.ScheduleActive {
				d.pause(noteGone, "", text)
			}
			return nil
		})
		if err != nil && !isNotFound(err) {
			return list, err
		}
		list = append(list, Applied{Name: sch.Name, Action: "paused"})
		s.tell(ctx, list[len(list)-1])
		s.tellPause(sch, done)
	}
	return list, nil
}

// withDrift is a schedule for the public, compared with this program's own definition.
func (s *Scheduler) withDrift(sch store.Schedule, mine map[string]*compiled) Info {
	info := s.infoOf(sch)
	if c, ok := mine[sch.Name]; ok {
		info.Drift = differences(sch.Definition, c.def, "the program")
	}
	return info
}
