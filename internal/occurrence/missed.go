package occurrence

import (
	"fmt"
	"slices"
	"time"
)

// Policy says what becomes of slots that nobody fired in time.
type Policy string

// The policies.
const (
	// CatchUpOnce runs the newest missed slot, when it is within the window; the older ones are skipped. It is the default.
	CatchUpOnce Policy = "once"
	// CatchUpNone runs no missed slot.
	CatchUpNone Policy = "none"
	// CatchUpAll runs every missed slot within the window, the newest ones when there are more than the cap.
	CatchUpAll Policy = "all"
)

// What a zero field of [CatchUp] means.
const (
	DefaultWindow = 24 * time.Hour
	DefaultCap    = 100
	DefaultGrace  = 10 * time.Second
)

// CatchUp says which missed slots still run.
type CatchUp struct {
	// Policy: empty means [CatchUpOnce].
	Policy Policy
	// Window is how late a slot may still run. Zero means [DefaultWindow], negative means forever.
	Window time.Duration
	// Cap bounds how many slots run at once, whatever the policy. Zero or less means [DefaultCap].
	Cap int
	// Grace is how late a slot may be and still count as on time, so that no policy holds it back. Zero means [DefaultGrace],
	// negative means none.
	Grace time.Duration
}

// Check refuses a policy that does not exist.
func (c CatchUp) Check() error {
	if known := []Policy{"", CatchUpOnce, CatchUpNone, CatchUpAll}; !slices.Contains(known, c.Policy) {
		return &Error{Problems: []Problem{{
			Field: "catch-up", What: fmt.Sprintf("there is no policy %q", clip(string(c.Policy))), Fix: "use once, none or all",
		}}}
	}
	return nil
}

func (c CatchUp) withDefaults() CatchUp {
	if c.Window == 0 {
		c.Window = DefaultWindow
	}
	if c.Cap <= 0 {
		c.Cap = DefaultCap
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	return c
}

// Backlog is what [Missed] found.
type Backlog struct {
	// Run are the slots to run now, oldest first. They follow those of Skipped.
	Run []time.Time
	// Skipped are the slots to record as skipped.
	Skipped Span
	// Upto is the newest slot that is decided on by this backlog, or the given last: the next call's last.
	Upto time.Time
}

// Span is a row of slots of one plan without a gap; [Plan.Between] lists them.
type Span struct {
	First, Last time.Time
	// Count is how many there are, 0 for an empty span. It stops at [CountLimit], which then means that many or more: a
	// schedule of every second that was down for a year has 31 million.
	Count int
}

// CountLimit is where [Span] stops counting.
const CountLimit = 10_000

// Missed decides on the slots after last that are due by now: which of them run, and which are skipped. Slots up to and
// including last are decided already, so a clock that was set back finds nothing to do. For a new schedule, last is the time
// of its creation.
func Missed(p *Plan, last, now time.Time, rule CatchUp) Backlog {
	rule = rule.withDefaults()
	newest, ok := p.latestDue(now)
	if !ok || !newest.After(last) {
		return Backlog{Upto: last}
	}
	b := Backlog{Upto: newest}
	late := rule.Grace
	switch {
	case rule.Policy == CatchUpNone:
	case rule.Window < 0:
		late = now.Sub(firstInstant)
	default:
		late = max(late, rule.Window)
	}
	limit := rule.Cap
	for slot := newest; slot.After(last) && len(b.Run) < limit; {
		lateness := now.Sub(p.Due(slot))
		// Of the slots that are no longer on time, once takes the newest of all, or none.
		if lateness > late || (rule.Policy == CatchUpOnce || rule.Policy == "") && lateness > rule.Grace && len(b.Run) > 0 {
			break
		}
		b.Run = append(b.Run, slot)
		if slot, ok = p.Latest(slot.Add(-time.Millisecond)); !ok {
			break
		}
	}
	slices.Reverse(b.Run)
	b.Skipped = p.span(last, newest, b.Run)
	return b
}

// latestDue is the newest slot whose jitter, too, has passed. At most the newest slot is still waiting for that.
func (p *Plan) latestDue(now time.Time) (time.Time, bool) {
	slot, ok := p.Latest(now)
	if ok && p.Due(slot).After(now) {
		return p.Latest(slot.Add(-time.Millisecond))
	}
	return slot, ok
}

// span describes the slots in (last, newest] that come before those that run.
func (p *Plan) span(last, newest time.Time, run []time.Time) Span {
	if len(run) > 0 {
		var ok bool
		if newest, ok = p.Latest(run[0].Add(-time.Millisecond)); !ok || !newest.After(last) {
			return Span{}
		}
	}
	first, ok := p.Next(last)
	if !ok {
		return Span{}
	}
	s := Span{First: first, Last: newest, Count: 1}
	for slot := first; slot.Before(newest) && s.Count < CountLimit; s.Count++ {
		slot, _ = p.Next(slot)
	}
	return s
}
