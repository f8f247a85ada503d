package schedule

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/params"
)

// step brings one schedule up to date: what has ended is taken out, what is due is decided on, in one write. Then what
// was decided is carried out. ends is how its runs stand, or nil to look.
func (s *Scheduler) step(ctx context.Context, st *store.Store, sch store.Schedule, ends map[string]store.RunEnd) error {
	plan, err := s.compiled(sch)
	switch {
	case err != nil && sch.State == store.ScheduleActive:
		return s.retire(ctx, st, sch, err)
	case err != nil:
		plan = cached{compiled: &compiled{def: sch.Definition}} // it fires nothing
	}
	if ids := openRuns(sch); ends == nil && len(ids) > 0 {
		if ends, err = st.RunEnds(ctx, ids); err != nil {
			return err
		}
	}
	d := &deciding{compiled: plan.compiled, sch: sch, now: sch.ReadAt, newID: store.NewID}
	over, unqueued := d.settle(ends)
	for _, e := range over {
		if err := st.EndOccurrence(ctx, sch, e.OpenOccurrence, e.state, e.reason, e.failures); err != nil {
			return err
		}
	}
	if len(over) > 0 {
		if err := s.reached("schedule.ended"); err != nil {
			return err
		}
	}
	d.promote()
	if due := d.sch.State == store.ScheduleActive && !d.sch.NextAt.After(d.now); due && plan.invalid != nil {
		d.refuse(plan.invalid)
	} else {
		d.advance()
	}
	done := d.sch
	if !reflect.DeepEqual(d.sch, sch) {
		if done, err = st.PutSchedule(ctx, d.sch); err != nil {
			return err
		}
		if err := s.reached("schedule.decided"); err != nil {
			return err
		}
		for _, e := range over {
			s.opts.OnOccurrence(endOf(sch, e, done.ReadAt))
		}
		s.tellPause(sch, done)
	}
	return s.carryOut(ctx, st, done, fresh(sch, done), unqueued)
}

// reached names a place where a crash is worth a test.
func (s *Scheduler) reached(name string) error {
	point.Reached(name)
	if s.crash != nil {
		return s.crash(name)
	}
	return nil
}

// fresh lists what this step has decided.
func fresh(before, after store.Schedule) []store.OpenOccurrence {
	old := make(map[string]bool, len(before.Open))
	for _, o := range before.Open {
		old[string(o.State)+store.OccurrenceID(before.ID, o)] = true
	}
	var list []store.OpenOccurrence
	for _, o := range after.Open {
		if !old[string(o.State)+store.OccurrenceID(after.ID, o)] {
			list = append(list, o)
		}
	}
	return list
}

// carryOut records what was decided and queues the runs. All of it is idempotent. What an earlier process has left is
// completed, too.
func (s *Scheduler) carryOut(ctx context.Context, st *store.Store, sch store.Schedule, decided, left []store.OpenOccurrence) error {
	began := time.Now()
	for _, o := range sch.Open {
		if o.State == store.Skipping && sch.ReadAt.Sub(o.Since) >= unqueuedAfter {
			left = append(left, o)
		}
	}
	var skipped []time.Time
	for i, o := range slices.Concat(decided, left) {
		if time.Since(began) > callTimeout {
			return errors.New("it took too long to queue the runs; the rest follows")
		}
		if err := s.carry(ctx, st, sch, o, i < len(decided)); err != nil {
			return err
		}
		if o.State == store.Skipping {
			skipped = append(skipped, o.At)
		}
	}
	if len(skipped) == 0 {
		return nil
	}
	return st.CloseSkipped(ctx, sch.ID, skipped)
}

// carry records one occurrence and queues its run. It tells of it if this process has decided on it.
func (s *Scheduler) carry(ctx context.Context, st *store.Store, sch store.Schedule, o store.OpenOccurrence, mine bool) error {
	recorded, err := st.RecordOccurrence(ctx, sch, o)
	if err == nil {
		err = s.reached("schedule.recorded")
	}
	if err != nil {
		return err
	}
	if o.State == store.Firing {
		if recorded.Run != o.Run {
			return s.drop(ctx, st, sch, o) // the slot has fired before
		}
		if recorded.State != store.OccurrenceFired {
			return nil // it is over, and whoever saw that closes it
		}
		if err := s.enqueue(ctx, st, sch, o); err != nil {
			return err
		}
		if err := s.reached("schedule.queued"); err != nil {
			return err
		}
	}
	if mine {
		s.opts.OnOccurrence(occurrenceOf(recorded))
	}
	return nil
}

// enqueue queues the run of an occurrence, unless it is there already.
func (s *Scheduler) enqueue(ctx context.Context, st *store.Store, sch store.Schedule, o store.OpenOccurrence) error {
	input, trigger, priority := sch.Definition.Input, "schedule", sch.Definition.Priority
	switch o.Kind {
	case store.KindManual:
		input, trigger = o.Input, "manual"
	case store.KindBackfill:
		trigger, priority = "backfill", priority-1 // what is due now comes first
	case store.KindSlot:
	}
	actor := o.Actor
	if actor == "" {
		actor = "schedule " + sch.Name
	}
	_, err := s.app.Enqueue(ctx, sch.Script, &rikki.RunOptions{
		ID: o.Run, Schedule: sch.Name, ScheduledAt: o.At, Trigger: trigger, Actor: actor, Priority: priority,
		Timeout: millis(sch.Definition.Timeout), Params: paramsOf(input),
	})
	_, invalid := errors.AsType[*params.Error](err)
	switch {
	case invalid:
		return s.reject(ctx, st, sch, o, err)
	case errors.Is(err, store.ErrDuplicateID):
		return s.rename(ctx, st, sch, o)
	case err != nil:
		return fmt.Errorf("queue run %s: %w", o.Run, err)
	}
	return nil
}

// change reads the schedule again and again until a change of it goes through.
func (s *Scheduler) change(ctx context.Context, st *store.Store, id string, fn func(d *deciding) error) (store.Schedule, error) {
	const attempts = 20
	for range attempts {
		sch, err := st.Schedule(ctx, id)
		if err != nil {
			return sch, err
		}
		plan, err := s.compiled(sch)
		if err != nil {
			plan = cached{compiled: &compiled{def: sch.Definition}, invalid: err}
		}
		d := &deciding{compiled: plan.compiled, sch: sch, now: sch.ReadAt, newID: store.NewID}
		if err := fn(d); err != nil {
			return sch, err
		}
		if reflect.DeepEqual(d.sch, sch) {
			return sch, nil
		}
		done, err := st.PutSchedule(ctx, d.sch)
		if !errors.Is(err, store.ErrConflict) {
			return done, err
		}
	}
	return store.Schedule{}, fmt.Errorf("%w: %s", ErrConflict, id)
}

// same is the place of an open occurrence in the schedule as it is now, or -1.
func (d *deciding) same(o store.OpenOccurrence) int {
	for i, other := range d.sch.Open {
		if other.Kind == o.Kind && other.At.Equal(o.At) && other.Run == o.Run && other.State == o.State {
			return i
		}
	}
	return -1
}

// drop takes an occurrence out that has fired before.
func (s *Scheduler) drop(ctx context.Context, st *store.Store, sch store.Schedule, o store.OpenOccurrence) error {
	_, err := s.change(ctx, st, sch.ID, func(d *deciding) error {
		d.take(o)
		return nil
	})
	return err
}

func (d *deciding) take(o store.OpenOccurrence) {
	var open []store.OpenOccurrence
	i := d.same(o)
	for j, other := range d.sch.Open {
		if j != i {
			open = append(open, other)
		}
	}
	d.sch.Open = open
}

// rename gives the run of an occurrence another id: its own is that of another run.
func (s *Scheduler) rename(ctx context.Context, st *store.Store, sch store.Schedule, o store.OpenOccurrence) error {
	renamed := o
	renamed.Was, renamed.Run = o.Run, store.NewID()
	done, err := s.change(ctx, st, sch.ID, func(d *deciding) error {
		i := d.same(o)
		if i < 0 {
			return fmt.Errorf("%w: somebody else was faster", store.ErrConflict)
		}
		d.sch.Open = append([]store.OpenOccurrence(nil), d.sch.Open...)
		d.sch.Open[i] = renamed
		return nil
	})
	if err != nil {
		return err
	}
	return s.carry(ctx, st, done, renamed, false)
}

// reject ends an occurrence whose parameters this program doesn't take though the one that decided on it did, and pauses the schedule.
func (s *Scheduler) reject(ctx context.Context, st *store.Store, sch store.Schedule, o store.OpenOccurrence, why error) error {
	text := "the parameters don't fit the script: " + why.Error()
	if err := st.EndOccurrence(ctx, sch, o, store.OccurrenceState(store.Failed), text, 0); err != nil {
		return err
	}
	done, err := s.change(ctx, st, sch.ID, func(d *deciding) error {
		d.take(o)
		if d.sch.State == store.ScheduleActive && o.Kind == store.KindSlot {
			d.pause("params", "", text)
		}
		return nil
	})
	if err == nil {
		s.tellPause(sch, done)
	}
	return err
}

// retire pauses a schedule whose definition this program can't read.
func (s *Scheduler) retire(ctx context.Context, st *store.Store, sch store.Schedule, why error) error {
	d := &deciding{compiled: &compiled{def: sch.Definition}, sch: sch, now: sch.ReadAt, newID: store.NewID}
	d.pause("definition", "", why.Error())
	done, err := st.PutSchedule(ctx, d.sch)
	if err == nil {
		s.tellPause(sch, done)
	}
	return err
}

func (s *Scheduler) tellPause(before, after store.Schedule) {
	if before.State != after.State && after.State == store.SchedulePaused {
		s.log.Warn("the schedule has paused itself", "schedule", after.Name, "why", after.Note.Text)
		s.opts.OnPause(s.infoOf(after))
	}
}

// maxPlans bounds the cache.
const maxPlans = 5000

// compiled returns the plan of a schedule, from the cache where it can.
func (s *Scheduler) compiled(sch store.Schedule) (cached, error) {
	s.mu.Lock()
	plan, ok := s.plans[sch.ID]
	s.mu.Unlock()
	if ok && plan.revision == sch.Revision && plan.created.Equal(sch.CreatedAt) {
		return plan, nil
	}
	c, err := compileStored(sch.Name, sch.Definition)
	if err != nil {
		return cached{}, err
	}
	plan = cached{revision: sch.Revision, created: sch.CreatedAt, compiled: c}
	if s.knows(sch.Script) {
		_, plan.invalid = s.app.Input(sch.Script, paramsOf(sch.Definition.Input))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.plans) >= maxPlans {
		clear(s.plans)
	}
	s.plans[sch.ID] = plan
	return plan, nil
}
