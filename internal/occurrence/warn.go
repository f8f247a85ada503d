package occurrence

import (
	"fmt"
	"time"
)

// Warning is a slot that daylight saving moves or holds back.
type Warning struct {
	// Slot is when it runs.
	Slot time.Time
	// Text says what happens, for a person.
	Text string
}

// Warnings lists what the year after now holds for a cron expression that follows the clock on the wall: a time that
// is skipped, or repeated, when the clocks are moved. There are none for plans that follow time passing.
func (p *Plan) Warnings(now time.Time) []Warning {
	c, ok := p.slots.(calendar)
	if !ok || !c.onward {
		return nil
	}
	var list []Warning
	for seg := segmentAt(now, p.loc); !seg.end.IsZero() && seg.end.Before(now.AddDate(1, 0, 0)); {
		next := segmentAt(seg.end, p.loc)
		if w, ok := p.warning(c, seg, next); ok && !w.Slot.Before(p.from) && w.Slot.Before(p.until) && w.Slot.After(now) {
			list = append(list, w)
		}
		seg = next
	}
	return list
}

// warning tells what happens to the expression where seg gives way to next.
func (p *Plan) warning(c calendar, seg, next segment) (Warning, bool) {
	edge := seg.end
	before, after := seg.wall(edge), next.wall(edge)
	first, last := before, after
	if after.Before(before) {
		first, last = after, before
	}
	w := c.reading(first.Add(-time.Second))
	if w.IsZero() || !w.Before(last) {
		return Warning{}, false
	}
	const clock = "15:04"
	date, zone := w.Format("2006-01-02"), p.loc.String()
	if before.Before(after) {
		return Warning{Slot: edge.UTC(), Text: fmt.Sprintf("%s does not exist on %s: clocks in %s go from %s to %s; it runs once, at %s",
			w.Format(clock), date, zone, before.Format(clock), after.Format(clock), edge.In(p.loc).Format("15:04 MST"))}, true
	}
	slot := w.Add(-seg.offset).UTC()
	return Warning{Slot: slot, Text: fmt.Sprintf("%s comes twice on %s: clocks in %s go back from %s to %s; it runs once, the first time, at %s",
		w.Format(clock), date, zone, before.Format(clock), after.Format(clock), slot.In(p.loc).Format("15:04 MST"))}, true
}
