package occurrence

import (
	"fmt"
	"time"
)

// Definition says when something runs. Exactly one of Cron, Every and Once is set.
type Definition struct {
	// Key is the schedule's name. It seeds the jitter, so that schedules of the same second spread out; nothing else
	// depends on it.
	Key string

	// Cron is an expression of five fields or an @form.
	Cron string
	// WithSeconds makes it six fields, with the seconds first.
	WithSeconds bool

	// Every is an interval of at least a second, in whole milliseconds, counted from Anchor. A zero Anchor means Start, and
	// without that 1970-01-01T00:00:00Z, so that every 5 minutes is at 0, 5, 10 … past the hour.
	Every  time.Duration
	Anchor time.Time

	// Once is a single instant.
	Once time.Time

	// Zone is the IANA name of the time zone that Cron is written in and times are shown in; empty means UTC.
	Zone string

	// Start and End bound the slots: Start ≤ slot < End. Zero means no bound. All four instants are cut to the millisecond.
	Start, End time.Time

	// Jitter is the window after a slot in which its work starts; see [Plan.Due].
	Jitter time.Duration
}

// Slots lie within these years: outside of them no calendar of today is worth computing.
var (
	firstInstant = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	lastInstant  = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// Parse checks a definition and returns its plan, or an [*Error] with every problem found. It knows no present, so
// a schedule that has ended still parses; ask [Plan.Check] before saving a new one.
func Parse(def Definition) (*Plan, error) {
	var ps problems
	// What MongoDB gives back after a save must mean the same.
	for _, t := range []*time.Time{&def.Anchor, &def.Once, &def.Start, &def.End} {
		*t = t.Truncate(time.Millisecond)
	}
	loc := parseZone(&ps, def.Zone)
	p := &Plan{def: def, loc: loc, from: firstInstant, until: lastInstant}
	parseBounds(&ps, p)
	parseKind(&ps, p)
	if def.Jitter < 0 {
		ps.add("jitter", fmt.Sprintf("%v is negative; a slot never starts early", def.Jitter), "use 0 or more")
	}
	if err := ps.err(); err != nil {
		return nil, err
	}
	if _, ok := p.Next(time.Time{}); !ok {
		neverFires(&ps, p)
		return nil, ps.err()
	}
	return p, nil
}

func parseBounds(ps *problems, p *Plan) {
	def := p.def
	for _, b := range []struct {
		field string
		t     time.Time
	}{{"start", def.Start}, {"end", def.End}, {"anchor", def.Anchor}, {"once", def.Once}} {
		if !b.t.IsZero() && (b.t.Before(firstInstant) || !b.t.Before(lastInstant)) {
			ps.add(b.field, fmt.Sprintf("the year %d is outside of 1970 to 9999", b.t.UTC().Year()), "check the date")
		}
	}
	if !def.Start.IsZero() {
		p.from = def.Start
	}
	if !def.End.IsZero() {
		p.until = def.End
	}
	if !def.Start.IsZero() && !def.End.IsZero() && !def.Start.Before(def.End) {
		ps.add("end", fmt.Sprintf("%s is not after the start %s, so nothing would ever run", stamp(def.End), stamp(def.Start)),
			"move the end behind the start; the end itself is no longer part of the schedule")
	}
}

func parseKind(ps *problems, p *Plan) {
	def := p.def
	var kinds []string
	if def.Cron != "" {
		kinds = append(kinds, "cron")
		p.slots = parseCron(ps, def, p.loc)
	} else if def.WithSeconds {
		ps.add("cron", "seconds were asked for, but there is no expression", "set cron, or leave the seconds out")
	}
	if def.Every != 0 {
		kinds = append(kinds, "every")
		p.slots = parseEvery(ps, def)
	} else if !def.Anchor.IsZero() {
		ps.add("anchor", "there is no interval that it could anchor", "set every, or leave the anchor out; start bounds a schedule")
	}
	if !def.Once.IsZero() {
		kinds = append(kinds, "once")
		p.slots = instant(def.Once.UTC())
	}
	switch len(kinds) {
	case 0:
		ps.add("kind", "the schedule says no time", "set one of cron, every and once")
	case 1:
	default:
		ps.add("kind", fmt.Sprintf("the schedule says when in %d ways: %v", len(kinds), kinds), "keep one of them")
	}
}

// neverFires explains why a definition without other faults has no slot at all.
func neverFires(ps *problems, p *Plan) {
	fix := "widen start and end, or change the time"
	what := fmt.Sprintf("%s has no time between start and end, so it would never run", p.slots)
	_, possible := p.slots.next(firstInstant.Add(-1))
	switch {
	case p.def.Cron != "" && !possible:
		*ps = append(*ps, Problem{
			Field: "cron", Text: p.def.Cron, Width: len(p.def.Cron),
			What: "no date of the calendar fits, so it would never run", Fix: "check the day against the month",
		})
	case p.def.Cron != "":
		ps.add("cron", what, fix)
	case p.def.Every != 0:
		ps.add("every", what, fix)
	default:
		ps.add("once", what, fix)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
