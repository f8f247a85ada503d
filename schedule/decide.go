package schedule

import (
	"fmt"
	"slices"
	"time"

	"github.com/rikki-go/rikki/internal/occurrence"
	"github.com/rikki-go/rikki/internal/store"
)

// What is decided here is pure: a schedule as it was read, with the server's time of that reading, becomes the schedule
// that is to be written in its place. Nothing has happened until that write went through.

// deciding is one decision.
type deciding struct {
	*compiled
	sch   store.Schedule
	now   time.Time // of the server
	newID func() string
}

func (d *deciding) add(o store.OpenOccurrence) {
	o.Since, o.Revision = d.now, d.sch.Revision
	// What is decided on isn't shared with whoever read the schedule.
	d.sch.Open = append(slices.Clip(d.sch.Open), o)
}

func (d *deciding) skip(span occurrence.Span, reason string) {
	if span.Count == 0 {
		return
	}
	d.add(store.OpenOccurrence{
		Kind: store.KindSlot, At: span.First, Until: span.Last, Count: span.Count, State: store.Skipping, Reason: reason,
	})
}

func (d *deciding) fire(slot time.Time) {
	d.sch.Fired++
	d.add(store.OpenOccurrence{Kind: store.KindSlot, At: slot, State: store.Firing, Run: d.newID()})
}

// inTheWay are the slots that haven't ended: those with a run, and the one that waits.
func (d *deciding) inTheWay() (running, waiting *store.OpenOccurrence) {
	for i, o := range d.sch.Open {
		switch {
		case o.Kind != store.KindSlot:
		case o.State == store.Firing:
			running = &d.sch.Open[i]
		case o.State == store.Waiting:
			waiting = &d.sch.Open[i]
		}
	}
	return running, waiting
}

// advance decides on the slots that are due.
func (d *deciding) advance() {
	if d.sch.State != store.ScheduleActive || d.sch.NextAt.After(d.now) {
		return
	}
	backlog := occurrence.Missed(d.plan, d.sch.Upto, d.now, d.rule)
	d.sch.Upto = backlog.Upto
	d.skip(backlog.Skipped, "missed: nobody served the schedule in time")
	run := backlog.Run
	if n := len(run); n > 1 && d.def.Overlap == string(Skip) && d.def.CatchUp != string(CatchUpAll) {
		// They would be in each other's way; the newest is the one that matters.
		d.skip(occurrence.Span{First: run[0], Last: run[n-2], Count: n - 1}, "missed: a later one was due, too")
		run = run[n-1:]
	}
	together := d.def.CatchUp == string(CatchUpAll)
	running, _ := d.inTheWay()
	for _, slot := range run {
		if d.spent() {
			break
		}
		if !together {
			running, _ = d.inTheWay()
		}
		d.slot(slot, running)
	}
	d.next()
}

// slot decides on one slot that is due, with the run that is in its way, if any.
func (d *deciding) slot(slot time.Time, running *store.OpenOccurrence) {
	one := occurrence.Span{First: slot, Last: slot, Count: 1}
	_, waiting := d.inTheWay()
	switch {
	case len(d.sch.Open) >= maxOpen:
		d.skip(one, fmt.Sprintf("overlap: %d runs of the schedule have not ended", maxOpen))
	case running == nil && waiting == nil, d.def.Overlap == string(Allow):
		d.fire(slot)
	case d.def.Overlap == string(Queue) && waiting == nil:
		d.sch.Fired++
		d.add(store.OpenOccurrence{Kind: store.KindSlot, At: slot, State: store.Waiting, Reason: "run " + running.Run + " has not ended"})
	case waiting != nil:
		d.skip(one, "overlap: the slot of "+waiting.At.UTC().Format(time.RFC3339)+" is waiting already")
	default:
		d.skip(one, "overlap: run "+running.Run+" has not ended")
	}
}

// spent tells whether no slot may fire any more.
func (d *deciding) spent() bool { return d.def.MaxRuns > 0 && d.sch.Fired >= int64(d.def.MaxRuns) }

// next sets the slot that comes next, or completes the schedule.
func (d *deciding) next() {
	d.sch.NextSlot, d.sch.NextAt = time.Time{}, time.Time{}
	if d.sch.State != store.ScheduleActive {
		return
	}
	slot, ok := d.plan.Next(d.sch.Upto)
	switch {
	case d.spent():
		d.complete("max_runs", fmt.Sprintf("all %d runs have been started", d.def.MaxRuns))
	case ok:
		d.sch.NextSlot, d.sch.NextAt = slot, d.plan.Due(slot)
	case !d.def.Once.IsZero():
		d.complete("ended", "its only time has come")
	default:
		d.complete("ended", "its last time has passed")
	}
}

func (d *deciding) complete(kind, text string) {
	d.sch.State = store.ScheduleCompleted
	d.sch.Note = &store.ScheduleNote{Kind: kind, Text: text, At: d.now}
}

// pause stops the schedule from firing. A slot that waits is skipped.
func (d *deciding) pause(kind, by, text string) {
	d.sch.State = store.SchedulePaused
	d.sch.Note = &store.ScheduleNote{Kind: kind, By: by, Text: text, At: d.now}
	d.sch.NextSlot, d.sch.NextAt = time.Time{}, time.Time{}
	d.sch.Open = slices.Clone(d.sch.Open)
	for i := range d.sch.Open {
		if o := &d.sch.Open[i]; o.State == store.Waiting {
			o.State, o.Reason, o.Since = store.Skipping, "paused: "+text, d.now
			o.Count, o.Until = 1, o.At
			d.sch.Fired--
		}
	}
}

// resume lets it fire again, from now on: what passed meanwhile is recorded as skipped.
func (d *deciding) resume() {
	d.pass("paused")
	d.sch.Failures, d.sch.Note, d.sch.State = 0, nil, store.ScheduleActive
	d.next()
}

// pass skips all that is due.
func (d *deciding) pass(reason string) {
	backlog := occurrence.Missed(d.plan, d.sch.Upto, d.now, occurrence.CatchUp{Policy: occurrence.CatchUpNone, Grace: -1})
	d.skip(backlog.Skipped, reason)
	for _, slot := range backlog.Run { // with no grace at all, what is due in this very millisecond may still run
		d.skip(occurrence.Span{First: slot, Last: slot, Count: 1}, reason)
	}
	d.sch.Upto = backlog.Upto
}

// refuse skips what is due because the parameters don't fit the script any more, and pauses the schedule.
func (d *deciding) refuse(why error) {
	text := "the parameters don't fit the script: " + why.Error()
	d.pass("params: " + text)
	d.pause("params", "", text)
}

// promote fires the slot that waits when nothing is in its way any more.
func (d *deciding) promote() {
	running, waiting := d.inTheWay()
	if waiting == nil || running != nil {
		return
	}
	d.sch.Open = slices.Clone(d.sch.Open)
	_, waiting = d.inTheWay()
	waiting.State, waiting.Run, waiting.Reason, waiting.Since = store.Firing, d.newID(), "", d.now
}

// ended is an occurrence whose run has ended.
type ended struct {
	store.OpenOccurrence
	state    store.OccurrenceState
	reason   string
	failures int
}

// unqueuedAfter is how long the process that decided on an occurrence has for queueing its run, before others do it.
const unqueuedAfter = 3 * time.Second

// settle takes what has ended out of the schedule, and returns it beside the occurrences whose run still has to be queued.
// A schedule with too many failures in a row pauses itself.
func (d *deciding) settle(ends map[string]store.RunEnd) (over []ended, unqueued []store.OpenOccurrence) {
	open := make([]store.OpenOccurrence, 0, len(d.sch.Open))
	for _, o := range d.sch.Open {
		if o.State != store.Firing {
			open = append(open, o)
			continue
		}
		end, ok := ends[o.Run]
		ok = ok && end.Schedule == d.sch.Name && end.At.Equal(o.At)
		switch {
		case ok && rests(end):
			over = append(over, d.end(o, end))
			continue
		case ok:
			o.Queued = true
		case o.Queued:
			over = append(over, ended{OpenOccurrence: o, state: store.OccurrenceLost, reason: "the record of run " + o.Run + " is gone"})
			continue
		case d.now.Sub(o.Since) >= unqueuedAfter:
			unqueued = append(unqueued, o)
		}
		open = append(open, o)
	}
	d.sch.Open = open
	if limit := d.def.PauseAfter; limit > 0 && len(over) > 0 && d.sch.Failures >= limit && d.sch.State == store.ScheduleActive {
		last := over[len(over)-1]
		d.pause("failures", "", fmt.Sprintf("%d runs in a row have failed, run %s last: %s", d.sch.Failures, last.Run, last.reason))
	}
	return over, unqueued
}

// rests tells whether a run is over for its schedule: it has ended, or lies there and nobody will go on with it unasked.
func rests(end store.RunEnd) bool {
	return end.State.Final() || end.State == store.Interrupted && !end.Ready
}

// end judges a run that is over. Of slots, failures in a row are counted; a process that died over its run is one. A run that
// was cancelled, or stopped with its process in good order, says nothing about the script.
func (d *deciding) end(o store.OpenOccurrence, end store.RunEnd) ended {
	e := ended{OpenOccurrence: o, state: store.OccurrenceState(end.State)}
	if end.Error != nil && end.State != store.Succeeded {
		e.reason = end.Error.Message
	}
	failed := end.State == store.Failed || end.State == store.Interrupted && end.Lapses > 0
	if failed && e.reason == "" && end.State == store.Interrupted {
		e.reason = "the process died"
	}
	switch {
	case o.Kind != store.KindSlot:
	case failed:
		d.sch.Failures++
		e.failures = d.sch.Failures
	case end.State == store.Succeeded, end.State == store.SucceededWithErrors:
		d.sch.Failures = 0
	}
	return e
}
