package occurrence

import (
	"fmt"
	"iter"
	"time"
)

// Plan is a checked [Definition]: a strictly increasing row of slots. It is immutable, and safe for concurrent use.
type Plan struct {
	def         Definition
	loc         *time.Location
	from, until time.Time // from ≤ slot < until
	slots       slots
}

// slots is one kind of schedule, without bounds.
type slots interface {
	// next returns the first slot after t, in UTC.
	next(t time.Time) (time.Time, bool)
	fmt.Stringer
}

// Definition returns what the plan was made of.
func (p *Plan) Definition() Definition { return p.def }

// Location returns the plan's time zone.
func (p *Plan) Location() *time.Location { return p.loc }

// Next returns the first slot after the given time, in UTC, or false when there is none.
func (p *Plan) Next(after time.Time) (time.Time, bool) {
	if after.Before(p.from) {
		after = p.from.Add(-time.Nanosecond)
	}
	if !after.Before(p.until) {
		return time.Time{}, false
	}
	slot, ok := p.slots.next(after)
	if !ok || !slot.Before(p.until) {
		return time.Time{}, false
	}
	return slot, true
}

// Latest returns the last slot that is not after now, or false when there is none.
func (p *Plan) Latest(now time.Time) (time.Time, bool) {
	if now.After(p.until) {
		now = p.until
	}
	// A slot in (lo, now] is known, or the plan has not begun. Doubling steps find a near slot fast.
	lo, step := now, time.Second
	for {
		if lo = lo.Add(-step); lo.Before(p.from) {
			lo = p.from.Add(-time.Nanosecond)
		}
		if p.hasSlot(lo, now) {
			break
		}
		if lo.Before(p.from) {
			return time.Time{}, false
		}
		step = min(step*2, 100*365*24*time.Hour)
	}
	// The last slot is in (lo, now], and none is in (hi, now].
	for hi := now; hi.Sub(lo) > time.Millisecond; {
		if mid := lo.Add(hi.Sub(lo) / 2); p.hasSlot(mid, now) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return p.Next(lo)
}

// hasSlot says whether there is a slot in (after, until].
func (p *Plan) hasSlot(after, until time.Time) bool {
	slot, ok := p.Next(after)
	return ok && !slot.After(until)
}

// Between lists the slots with from ≤ slot < to, oldest first.
func (p *Plan) Between(from, to time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		slot, ok := p.Next(from.Add(-time.Nanosecond))
		for ok && slot.Before(to) && yield(slot) {
			slot, ok = p.Next(slot)
		}
	}
}

// Preview returns the next n slots after now, fewer where the plan ends, in the plan's time zone.
func (p *Plan) Preview(n int, now time.Time) []time.Time {
	var list []time.Time
	for slot, ok := p.Next(now); ok && len(list) < n; slot, ok = p.Next(slot) {
		list = append(list, slot.In(p.loc))
	}
	return list
}

// Check refuses what must not be saved as a new schedule: one that has no slot after now. The error is [ErrNoSlot].
func (p *Plan) Check(now time.Time) error {
	if _, ok := p.Next(now); ok {
		return nil
	}
	last, ok := p.Latest(now)
	if !ok {
		return fmt.Errorf("%w: it has no slot after %s", ErrNoSlot, stamp(now))
	}
	return fmt.Errorf("%w: its last time, %s, is past (it is %s); choose a later time or end",
		ErrNoSlot, last.In(p.loc).Format(time.RFC3339), stamp(now))
}

// String describes the plan to a person: "at 02:30 on weekdays, Europe/Berlin".
func (p *Plan) String() string {
	text := p.slots.String()
	if at, ok := p.slots.(instant); ok {
		text = "once at " + time.Time(at).In(p.loc).Format("2006-01-02 15:04:05")
	}
	if p.def.Every == 0 {
		text += ", " + p.loc.String()
	}
	if !p.def.Start.IsZero() {
		text += ", from " + p.def.Start.In(p.loc).Format("2006-01-02 15:04")
	}
	if !p.def.End.IsZero() {
		text += ", until " + p.def.End.In(p.loc).Format("2006-01-02 15:04")
	}
	if p.def.Jitter > 0 {
		text += ", spread over " + words(p.def.Jitter)
	}
	return text
}

// instant is the one slot of Once.
type instant time.Time

func (i instant) next(t time.Time) (time.Time, bool) {
	at := time.Time(i)
	return at, at.After(t)
}

func (i instant) String() string { return "once at " + stamp(time.Time(i)) }
