package occurrence

import "time"

// A wall-clock reading is kept as a time.Time in UTC with the digits that the clock shows.

// segment is a stretch of time, [start, end), in which a zone's clocks are not moved, though they need not be moved at its
// ends. A zero start or end means there is none.
type segment struct {
	start, end time.Time
	offset     time.Duration
}

func segmentAt(t time.Time, loc *time.Location) segment {
	local := t.In(loc)
	start, end := local.ZoneBounds()
	_, offset := local.Zone()
	// Where a zone's table ends and its rule takes over, from 2038 on, ZoneBounds takes every year for one of 365 days: on 31
	// December of a leap year it says that the present stretch is over. The year's end is an edge anyway, and a harmless one.
	if !end.IsZero() && !end.After(t) {
		end = time.Date(t.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return segment{start: start, end: end, offset: time.Duration(offset) * time.Second}
}

// wall is what the clock shows at t.
func (s segment) wall(t time.Time) time.Time { return t.UTC().Add(s.offset) }

// maxShift is more than any zone's clocks were ever moved: they crossed the date line, with a day and some minutes.
const maxShift = 36 * time.Hour

// onward is what the clock shows at t that stands still while the real one, set back, catches up: the latest reading
// that was shown until t. Whole seconds are enough: clocks are moved on those, and cron knows nothing finer.
func onward(t time.Time, loc *time.Location) time.Time {
	seg := segmentAt(t, loc)
	latest := seg.wall(t)
	for !seg.start.IsZero() && t.Sub(seg.start) < maxShift {
		edge := seg.start
		seg = segmentAt(edge.Add(-time.Second), loc)
		if shown := seg.wall(edge).Add(-time.Second); shown.After(latest) {
			latest = shown
		}
	}
	return latest
}

// reach is the first instant at which the clock shows w or, where w is skipped, a later time. It is after t, given that
// w is later than onward(t).
func reach(w, t time.Time, loc *time.Location) time.Time {
	for seg := segmentAt(t, loc); ; seg = segmentAt(seg.end, loc) {
		at := w.Add(-seg.offset)
		if !seg.start.IsZero() && at.Before(seg.start) {
			return seg.start.UTC()
		}
		if seg.end.IsZero() || at.Before(seg.end) {
			return at.UTC()
		}
	}
}
