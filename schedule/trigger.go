package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/params"
)

// TriggerOptions says how a run by hand differs from those of the schedule. nil is fine.
type TriggerOptions struct {
	ChangeOptions

	// Params replace those of the schedule, one by one; a struct replaces all of them. Any form that
	// [rikki.RunOptions] takes.
	Params any
}

// Trigger queues a run of the schedule's script now, whatever the state of the schedule. It is no slot: it counts neither as a
// run nor as a failure of the schedule, and stands in no slot's way.
func (s *Scheduler) Trigger(ctx context.Context, name string, opts *TriggerOptions) (Occurrence, error) {
	if opts == nil {
		opts = &TriggerOptions{}
	}
	o := s.options(&opts.ChangeOptions)
	var run string
	info, err := s.manage(ctx, name, "trigger", o, func(d *deciding) error {
		input, err := s.overlay(d.sch, opts.Params)
		if err != nil {
			return err
		}
		if len(d.sch.Open) >= maxOpen {
			return fmt.Errorf("%w: %d runs of the schedule have not ended", ErrState, len(d.sch.Open))
		}
		run = d.newID()
		d.add(store.OpenOccurrence{
			Kind: store.KindManual, At: d.now, State: store.Firing, Run: run, Actor: o.Actor, Input: input,
		})
		return nil
	})
	if err != nil {
		return Occurrence{}, err
	}
	for _, open := range info.Open {
		if open.Run == run {
			return open, nil
		}
	}
	return Occurrence{}, fmt.Errorf("%w: the run got another ID; see what is open of %s", ErrConflict, name)
}

// overlay is the schedule's parameters with others over them.
func (s *Scheduler) overlay(sch store.Schedule, given any) (string, error) {
	script, err := s.app.Script(sch.Script)
	if err != nil {
		return "", err
	}
	layers, err := layersOf(script, given)
	if err != nil {
		return "", err
	}
	if given != nil && layers == nil {
		input, err := s.app.Input(sch.Script, given)
		return string(input), err
	}
	if sch.Definition.Input != "" {
		stored, err := script.Params.FromJSON([]byte(sch.Definition.Input), params.OriginAPI)
		if err != nil {
			return "", err
		}
		layers = append(layers, stored)
	}
	if layers == nil {
		layers = []params.Layer{}
	}
	input, err := s.app.Input(sch.Script, layers)
	return string(input), err
}

// layersOf is what is given, in layers; nil for a struct.
func layersOf(script rikki.ScriptInfo, given any) ([]params.Layer, error) {
	var layer params.Layer
	var err error
	switch given := given.(type) {
	case []params.Layer:
		return given, nil
	case json.RawMessage:
		layer, err = script.Params.FromJSON(given, params.OriginAPI)
	case map[string]any:
		layer, err = script.Params.FromMap(given, params.OriginAPI)
	default:
		return nil, nil
	}
	return []params.Layer{layer}, err
}

// BackfillOptions selects what a backfill of a schedule runs.
type BackfillOptions struct {
	ChangeOptions

	// From and To bound the slots, From ≤ slot < To. Those that are still to come are left out: they fire by themselves.
	From, To time.Time

	// DryRun only says which slots would run.
	DryRun bool
}

// BackfillReport says what a backfill has queued.
type BackfillReport struct {
	Slots []time.Time `json:"slots"`          // that run, in the schedule's zone
	Ran   int         `json:"ran"`            // slots within the range that have run before
	Runs  []string    `json:"runs,omitempty"` // in the order of Slots
}

// Backfill queues a run for each slot of a past range that has not run: that was skipped, or lies before the schedule was made. A
// script learns from [rikki.Run.ScheduledAt] which one it is for. Runs that are due now come before them.
func (s *Scheduler) Backfill(ctx context.Context, name string, opts BackfillOptions) (BackfillReport, error) {
	o := s.options(&opts.ChangeOptions)
	var report BackfillReport
	if !opts.From.Before(opts.To) {
		return report, problems{{Field: "to", What: "the range ends before it begins", Fix: "give a later time"}}.err(name)
	}
	var ran map[int64]bool
	plan := func(d *deciding) error {
		report = BackfillReport{}
		if d.plan == nil {
			return fmt.Errorf("%w: this version of the program can't read its definition", ErrState)
		}
		slots, err := d.past(opts.From, opts.To, ran, &report)
		if err != nil || opts.DryRun {
			return err
		}
		if len(slots)+len(d.sch.Open) > maxOpen {
			return fmt.Errorf("%w: %d runs of the schedule have not ended", ErrState, len(d.sch.Open))
		}
		for _, slot := range slots {
			run := d.newID()
			report.Runs = append(report.Runs, run)
			d.add(store.OpenOccurrence{Kind: store.KindBackfill, At: slot, State: store.Firing, Run: run, Actor: o.Actor})
		}
		return nil
	}
	err := s.with(ctx, func(ctx context.Context, st *store.Store) error {
		sch, err := s.find(ctx, st, name)
		if err != nil {
			return err
		}
		if !s.knows(sch.Script) {
			_, err := s.app.Script(sch.Script)
			return err
		}
		ran, err = slotsThatRan(ctx, st, sch, opts)
		return err
	})
	if err != nil {
		return report, err
	}
	_, err = s.manage(ctx, name, "backfill", o, plan)
	return report, err
}

// slotsThatRan finds the slots of the range that need no backfill.
func slotsThatRan(ctx context.Context, st *store.Store, sch store.Schedule, opts BackfillOptions) (map[int64]bool, error) {
	ran := map[int64]bool{}
	for o, err := range st.Occurrences(ctx, store.OccurrenceFilter{
		Schedule: sch.ID, Kinds: []store.OccurrenceKind{store.KindSlot, store.KindBackfill}, Since: opts.From, Until: opts.To,
	}) {
		if err != nil {
			return nil, err
		}
		if o.State != store.OccurrenceSkipped {
			ran[o.At.UnixMilli()] = true
		}
	}
	return ran, nil
}

// past lists the slots of the range that are decided on and didn't run.
func (d *deciding) past(from, to time.Time, ran map[int64]bool, report *BackfillReport) ([]time.Time, error) {
	for _, o := range d.sch.Open {
		if o.State != store.Skipping && o.Kind != store.KindManual {
			ran[o.At.UnixMilli()] = true
		}
	}
	var slots []time.Time
	for slot := range d.plan.Between(from, to) {
		switch {
		case slot.After(d.sch.Upto):
			return slots, nil
		case ran[slot.UnixMilli()]:
			report.Ran++
		case len(slots) == maxBackfill:
			return nil, problems{{
				Field: "to", What: fmt.Sprintf("the range has more than %d slots, which would be as many runs", maxBackfill),
				Fix: "backfill up to " + slot.In(d.plan.Location()).Format(time.RFC3339) + " first",
			}}.err(d.sch.Name)
		default:
			slots = append(slots, slot)
			report.Slots = append(report.Slots, slot.In(d.plan.Location()))
		}
	}
	return slots, nil
}
