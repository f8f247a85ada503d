package schedule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rikki-go/rikki"
)

// HereOptions says how [Here] runs a script. nil is fine.
type HereOptions struct {
	// Grace is how long a run may go on after ctx has ended, before it is interrupted. Default 30 s.
	Grace time.Duration

	// OnOccurrence is told of every slot as it fires, is skipped, and ends. It must be quick.
	OnOccurrence func(Occurrence)

	// Observers are told of the events of the runs.
	Observers []rikki.Observer
}

// Tally counts what [Here] did.
type Tally struct {
	Fired     int `json:"fired"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"` // and whatever else isn't a success
	Skipped   int `json:"skipped"`
}

const defaultGrace = 30 * time.Second

// Here runs a script by a schedule in this process alone, by its clock, until the schedule has no more slots or ctx ends. Nothing of the
// schedule is stored, nothing is caught up, and no queue is needed: the runs go through [rikki.App.Run] and are in the history as
// others are. A slot that comes while a run is under way does as [Schedule.Overlap] says.
//
// When ctx ends, Here begins no more runs and waits for the one under way. The error says what is wrong with the schedule, or that
// [Schedule.PauseAfter] runs in a row have failed.
func Here(ctx context.Context, app *rikki.App, def Schedule, opts *HereOptions) (Tally, error) {
	c, err := compile(app, def)
	if err != nil {
		return Tally{}, err
	}
	var o HereOptions
	if opts != nil {
		o = *opts
	}
	name := nameOf(def)
	return here(ctx, c, name, o, func(ctx context.Context, slot time.Time) (*rikki.Result, error) {
		return app.Run(ctx, def.Script, &rikki.RunOptions{
			Params: paramsOf(c.def.Input), Timeout: millis(c.def.Timeout), Trigger: "schedule", Schedule: name, ScheduledAt: slot,
			Observers: o.Observers,
		})
	})
}

// herald is what a run of here says when it has ended.
type herald struct {
	occurrence Occurrence
	err        error
}

// hereLoop is the state of [Here]. One goroutine owns it.
type hereLoop struct {
	*compiled
	name    string
	opts    HereOptions
	run     func(ctx context.Context, slot time.Time) (*rikki.Result, error)
	ended   chan herald
	active  int
	waiting time.Time // the slot that waits, or zero
	tally   Tally
	row     int // of failures
}

// here is [Here] without a database.
func here(ctx context.Context, c *compiled, name string, o HereOptions, run func(ctx context.Context, slot time.Time) (*rikki.Result, error)) (Tally, error) {
	if o.OnOccurrence == nil {
		o.OnOccurrence = func(Occurrence) {}
	}
	o.Grace = cmp.Or(o.Grace, defaultGrace)
	if err := c.plan.Check(time.Now()); err != nil {
		return Tally{}, err
	}
	runs, interrupt := context.WithCancelCause(context.WithoutCancel(ctx))
	defer interrupt(nil)
	l := &hereLoop{compiled: c, name: name, opts: o, run: run, ended: make(chan herald)}
	err := l.loop(ctx, runs)
	var grace *time.Timer
	if l.active > 0 && ctx.Err() != nil {
		grace = time.AfterFunc(o.Grace, func() { interrupt(context.Cause(ctx)) })
		defer grace.Stop()
	}
	for l.active > 0 {
		select {
		case e := <-l.ended:
			err = errors.Join(err, l.end(e))
		case <-over(ctx, grace):
			grace = time.AfterFunc(o.Grace, func() { interrupt(context.Cause(ctx)) })
			defer grace.Stop()
		}
	}
	return l.tally, err
}

// over tells of the end of ctx, unless the grace has begun already.
func over(ctx context.Context, grace *time.Timer) <-chan struct{} {
	if grace != nil {
		return nil
	}
	return ctx.Done()
}

// loop fires slot after slot until there are no more, ctx ends, or too many have failed.
func (l *hereLoop) loop(ctx, runs context.Context) error {
	last := time.Now()
	for {
		slot, ok := l.plan.Next(last)
		if !ok || l.def.MaxRuns > 0 && l.tally.Fired >= l.def.MaxRuns {
			break
		}
		timer := time.NewTimer(time.Until(l.plan.Due(slot)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case e := <-l.ended:
			timer.Stop()
			if err := l.next(runs, e); err != nil {
				return err
			}
		case <-timer.C:
			last = slot
			l.slot(runs, slot)
		}
	}
	for !l.waiting.IsZero() {
		select {
		case <-ctx.Done():
			return nil
		case e := <-l.ended:
			if err := l.next(runs, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// next takes note of a run that has ended, and fires the slot that waited for it.
func (l *hereLoop) next(runs context.Context, e herald) error {
	if err := l.end(e); err != nil {
		return err
	}
	if slot := l.waiting; !slot.IsZero() && l.active == 0 {
		l.waiting = time.Time{}
		l.begin(runs, slot)
	}
	return nil
}

func (l *hereLoop) slot(runs context.Context, slot time.Time) {
	switch {
	case l.active == 0, l.def.Overlap == string(Allow):
		l.tally.Fired++
		l.begin(runs, slot)
	case l.def.Overlap == string(Queue) && l.waiting.IsZero():
		l.tally.Fired++
		l.waiting = slot
		l.tell(slot, Waiting, "", "the run before has not ended")
	default:
		l.tally.Skipped++
		l.tell(slot, Skipped, "", "overlap: the run before has not ended")
	}
}

func (l *hereLoop) tell(slot time.Time, state Outcome, run, reason string) {
	l.opts.OnOccurrence(Occurrence{
		Schedule: l.name, Script: l.def.Script, Kind: Slot, State: state, At: slot.In(l.plan.Location()), Run: run, Reason: reason, Count: 1,
	})
}

func (l *hereLoop) begin(ctx context.Context, slot time.Time) {
	l.active++
	l.tell(slot, Fired, "", "")
	go func() { // l.active counts it, and here waits for that
		result, err := l.run(ctx, slot)
		e := herald{err: err, occurrence: Occurrence{At: slot, State: Failed}}
		if result != nil {
			e.occurrence.Run, e.occurrence.State = result.Run, Outcome(result.State)
		}
		l.ended <- e
	}()
}

// end counts a run that has ended.
func (l *hereLoop) end(e herald) error {
	l.active--
	reason := ""
	if e.err != nil {
		reason = e.err.Error()
	}
	l.tell(e.occurrence.At, e.occurrence.State, e.occurrence.Run, reason)
	switch e.occurrence.State {
	case Succeeded, SucceededWithErrors:
		l.tally.Succeeded++
		l.row = 0
		return nil
	case Failed:
		l.row++
	default:
	}
	l.tally.Failed++
	if limit := l.def.PauseAfter; limit > 0 && l.row >= limit {
		return fmt.Errorf("%w: %d, the last with: %w", errTooManyFailed, l.row, e.err)
	}
	return nil
}

var errTooManyFailed = errors.New("too many runs in a row have failed")
