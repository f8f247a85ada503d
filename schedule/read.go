package schedule

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/params"
)

// Filter selects schedules. Its zero value selects all of the database.
type Filter struct {
	Script string
	States []State
}

// Schedules lists the schedules of the database by name, and at the end those of this program that aren't stored yet.
func (s *Scheduler) Schedules(ctx context.Context, filter Filter) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		mine, seen := s.mine(), map[string]bool{}
		err := s.with(ctx, func(ctx context.Context, st *store.Store) error {
			for sch, err := range st.Schedules(ctx, store.ScheduleFilter{Database: s.database(), Script: filter.Script, States: filter.States}) {
				if err != nil {
					return err
				}
				seen[sch.Name] = true
				if !yield(s.withDrift(sch, mine), nil) {
					return errStop
				}
			}
			return nil
		})
		if err == errStop { //nolint:errorlint // it is ours
			return
		}
		if err != nil {
			yield(Info{}, err)
			return
		}
		if len(filter.States) > 0 && !contains(filter.States, Undeployed) {
			return
		}
		for _, def := range s.opts.Schedules {
			c, ok := mine[nameOf(def)]
			if !ok || seen[nameOf(def)] || filter.Script != "" && filter.Script != def.Script {
				continue
			}
			info := Info{Schedule: public(nameOf(def), c.def), Database: s.database(), State: Undeployed, When: c.plan.String(), Origin: originCode, Program: s.opts.Program}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// Schedule returns one schedule by name. The error is [ErrNotFound], with the nearest name.
func (s *Scheduler) Schedule(ctx context.Context, name string) (Info, error) {
	var info Info
	err := s.with(ctx, func(ctx context.Context, st *store.Store) error {
		sch, err := s.find(ctx, st, name)
		if err == nil {
			info = s.withDrift(sch, s.mine())
		}
		return err
	})
	return info, err
}

// find reads a schedule, or says which name may have been meant.
func (s *Scheduler) find(ctx context.Context, st *store.Store, name string) (store.Schedule, error) {
	sch, err := st.Schedule(ctx, s.id(name))
	if err == nil || !isNotFound(err) {
		return sch, err
	}
	var names []string
	for other, err := range st.Schedules(ctx, store.ScheduleFilter{Database: s.database()}) {
		if err != nil {
			return sch, err
		}
		names = append(names, other.Name)
	}
	if near := params.Nearest(name, names); near != "" {
		return sch, fmt.Errorf("%w: %s. Did you mean %s?", ErrNotFound, name, near)
	}
	return sch, fmt.Errorf("%w: %s", ErrNotFound, name)
}

// Preview returns the next n slots after now of a definition, in its zone, and what daylight saving does to the year that follows.
// It needs no connection. The error is an [*Error], [ErrNeverRuns], or that the script isn't known.
func (s *Scheduler) Preview(def Schedule, n int, now time.Time) (slots []time.Time, warnings []string, err error) {
	c, err := compile(s.app, def)
	if err != nil {
		return nil, nil, err
	}
	if err := c.plan.Check(now); err != nil {
		return nil, nil, err
	}
	slots, warnings = c.preview(n, now)
	return slots, warnings, nil
}

func (c *compiled) preview(n int, now time.Time) (slots []time.Time, warnings []string) {
	if c.def.MaxRuns > 0 {
		n = min(n, c.def.MaxRuns)
	}
	for _, w := range c.plan.Warnings(now) {
		warnings = append(warnings, w.Text)
	}
	return c.plan.Preview(n, now), warnings
}

// Slots returns the next n slots of a stored schedule, in its zone. Of one that isn't active there are none.
func (s *Scheduler) Slots(ctx context.Context, name string, n int) (slots []time.Time, warnings []string, err error) {
	err = s.with(ctx, func(ctx context.Context, st *store.Store) error {
		sch, err := s.find(ctx, st, name)
		if err != nil {
			return err
		}
		c, err := compileStored(sch.Name, sch.Definition)
		if err != nil || sch.State != Active {
			return err
		}
		if c.def.MaxRuns > 0 {
			n = min(n, c.def.MaxRuns-int(sch.Fired))
		}
		slots, warnings = c.plan.Preview(n, sch.Upto), nil
		_, warnings = c.preview(n, sch.ReadAt)
		return nil
	})
	return slots, warnings, err
}

// OccurrenceFilter selects occurrences of the database.
type OccurrenceFilter struct {
	Schedule string
	States   []Outcome
	Kinds    []Kind
	// Since and Until bound the slot.
	Since, Until time.Time
	// ChangedSince selects what has changed at this time of the server or later, in the order of the changes, for who follows
	// what happens. Writes become visible a moment after their time, so ask from some seconds before the last change that
	// was seen. Without it, the newest slots come first.
	ChangedSince time.Time
	Limit        int // 0 means all
}

// Occurrences lists what became of the slots of one schedule, or of all.
func (s *Scheduler) Occurrences(ctx context.Context, filter OccurrenceFilter) iter.Seq2[Occurrence, error] {
	return func(yield func(Occurrence, error) bool) {
		f := store.OccurrenceFilter{
			Database: s.database(), States: filter.States, Kinds: filter.Kinds, Since: filter.Since, Until: filter.Until,
			ChangedSince: filter.ChangedSince, Limit: filter.Limit,
		}
		if filter.Schedule != "" {
			f.Schedule = s.id(filter.Schedule)
		}
		err := s.with(ctx, func(ctx context.Context, st *store.Store) error {
			for o, err := range st.Occurrences(ctx, f) {
				if err != nil {
					return err
				}
				if !yield(occurrenceOf(o), nil) {
					return errStop
				}
			}
			return nil
		})
		if err != nil && err != errStop { //nolint:errorlint // it is ours
			yield(Occurrence{}, err)
		}
	}
}

// Next is [Scheduler.Preview] for a definition without a script: of when alone.
func Next(def Schedule, n int, now time.Time) (slots []time.Time, warnings []string, err error) {
	var ps problems
	def.check(&ps, 0)
	c := plan(&ps, nameOf(def), def.stored(""))
	if err := ps.err(nameOf(def)); err != nil {
		return nil, nil, err
	}
	if err := c.plan.Check(now); err != nil {
		return nil, nil, err
	}
	slots, warnings = c.preview(n, now)
	return slots, warnings, nil
}
