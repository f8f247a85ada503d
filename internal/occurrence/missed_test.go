package occurrence

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEvery(t *testing.T) {
	t.Parallel()

	t.Run("IsAnchoredAndNotMovedByWhenItIsAsked", func(t *testing.T) {
		t.Parallel()
		anchor := instantOf(t, "2027-01-01T00:07:30Z")
		p := plan(t, Definition{Every: 90 * time.Minute, Anchor: anchor})
		for _, offset := range []time.Duration{-1000 * time.Hour, -time.Nanosecond, 0, time.Nanosecond, time.Millisecond, 89 * time.Minute, 1e6 * time.Hour} {
			after := anchor.Add(offset)
			next, ok := p.Next(after)
			gap := next.Sub(after)
			if !ok || gap <= 0 || gap > 90*time.Minute || next.Sub(anchor)%(90*time.Minute) != 0 {
				t.Errorf("after %v: %v", after, next)
			}
		}
	})

	t.Run("BeginsWithItsStart", func(t *testing.T) {
		t.Parallel()
		start := instantOf(t, "2027-01-01T00:07:30Z")
		p := plan(t, Definition{Every: time.Hour, Start: start, End: start.Add(2 * time.Hour)})
		var got []time.Duration
		for slot := range p.Between(start.Add(-time.Hour), start.Add(24*time.Hour)) {
			got = append(got, slot.Sub(start))
		}
		if diff := cmp.Diff([]time.Duration{0, time.Hour}, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("SurvivesTheDatabasesMilliseconds", func(t *testing.T) {
		t.Parallel()
		start := instantOf(t, "2027-01-01T00:00:00.0009Z")
		a := plan(t, Definition{Every: time.Second, Start: start})
		b := plan(t, Definition{Every: time.Second, Start: start.Truncate(time.Millisecond)})
		if diff := cmp.Diff(a.Preview(3, time.Time{}), b.Preview(3, time.Time{})); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLatestIsTheLastThatNextFinds(t *testing.T) {
	t.Parallel()
	start := instantOf(t, "2026-03-01T00:00:00Z")
	for _, def := range []Definition{
		{Cron: "30 2 * * *", Zone: "Europe/Berlin"},
		{Cron: "0 0 29 2 *"},
		{Cron: "*/7 1,2 * * 6,0", Zone: "Australia/Lord_Howe", Start: start},
		{Every: 97 * time.Minute, Start: start, End: start.AddDate(0, 3, 0)},
		{Once: start.AddDate(0, 1, 0)},
	} {
		p := plan(t, def)
		var last time.Time
		next, more := p.Next(start.Add(-1))
		if def.Start.IsZero() {
			last, _ = p.Latest(start.Add(-1))
		}
		for at := start; at.Before(start.AddDate(1, 0, 0)); at = at.Add(5*time.Hour + 13*time.Second) {
			for more && !next.After(at) {
				last = next
				next, more = p.Next(next)
			}
			if got, ok := p.Latest(at); ok == last.IsZero() || !got.Equal(last) {
				t.Fatalf("%v: at %v the latest is %v, want %v", p, at, got, last)
			}
		}
	}
}

func TestMissed(t *testing.T) {
	t.Parallel()
	noon := instantOf(t, "2027-06-01T12:00:00Z")
	hourly := plan(t, Definition{Cron: "0 * * * *"})
	h := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }

	for _, c := range []struct {
		name      string
		last, now time.Time
		rule      CatchUp
		run       []time.Time
		skipped   Span
		upto      time.Time
	}{
		{name: "NothingIsDue", last: h(0), now: h(1).Add(-time.Second), upto: h(0)},
		{name: "ASlotOnTimeRunsUnderEveryPolicy", last: h(0), now: h(1).Add(time.Second), rule: CatchUp{Policy: CatchUpNone}, run: []time.Time{h(1)}, upto: h(1)},
		{name: "NoneSkipsALateSlot", last: h(0), now: h(1).Add(time.Minute), rule: CatchUp{Policy: CatchUpNone}, skipped: Span{h(1), h(1), 1}, upto: h(1)},
		{name: "OnceRunsTheNewest", last: h(0), now: h(5).Add(time.Minute), run: []time.Time{h(5)}, skipped: Span{h(1), h(4), 4}, upto: h(5)},
		{name: "OnceSkipsAllOutsideItsWindow", last: h(0), now: h(5).Add(time.Minute), rule: CatchUp{Window: 30 * time.Second}, skipped: Span{h(1), h(5), 5}, upto: h(5)},
		{name: "TheWindowIncludesItsEnd", last: h(4), now: h(5).Add(time.Minute), rule: CatchUp{Window: time.Minute}, run: []time.Time{h(5)}, upto: h(5)},
		{name: "AllRunsAllWithinTheWindow", last: h(0), now: h(5), rule: CatchUp{Policy: CatchUpAll, Window: 2 * time.Hour}, run: []time.Time{h(3), h(4), h(5)}, skipped: Span{h(1), h(2), 2}, upto: h(5)},
		{name: "AllKeepsTheNewestUpToItsCap", last: h(0), now: h(5), rule: CatchUp{Policy: CatchUpAll, Cap: 2}, run: []time.Time{h(4), h(5)}, skipped: Span{h(1), h(3), 3}, upto: h(5)},
		{name: "AllForever", last: h(-100), now: h(-1), rule: CatchUp{Policy: CatchUpAll, Window: -1}, run: between(hourly, h(-99), h(0)), upto: h(-1)},
		{name: "ANegativeGraceHoldsEverythingBack", last: h(0), now: h(1), rule: CatchUp{Policy: CatchUpNone, Grace: -1}, skipped: Span{h(1), h(1), 1}, upto: h(1)},
		{name: "AClockSetBackFindsNothing", last: h(5), now: h(4).Add(30 * time.Minute), rule: CatchUp{Policy: CatchUpAll}, upto: h(5)},
		{name: "CountingStops", last: h(-30_000), now: h(0), skipped: Span{h(-29_999), h(-1), CountLimit}, run: []time.Time{h(0)}, upto: h(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := Missed(hourly, c.last, c.now, c.rule)
			if diff := cmp.Diff(Backlog{Run: c.run, Skipped: c.skipped, Upto: c.upto}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}

	t.Run("UnknownPoliciesAreRefused", func(t *testing.T) {
		t.Parallel()
		if err := (CatchUp{Policy: "always"}).Check(); err == nil {
			t.Error("accepted")
		}
		if err := (CatchUp{}).Check(); err != nil {
			t.Error(err)
		}
	})
}

func between(p *Plan, from, to time.Time) (list []time.Time) {
	for slot := range p.Between(from, to) {
		list = append(list, slot)
	}
	return list
}

// A scheduler asks every now and then, its clock jumps back and forth, daylight saving comes and goes: every slot is decided
// on exactly once, in order.
func TestEverySlotIsDecidedOnceThoughTheClockJumps(t *testing.T) {
	t.Parallel()
	for _, policy := range []Policy{CatchUpNone, CatchUpOnce, CatchUpAll} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			for _, def := range []Definition{
				{Cron: "*/10 * * * *", Zone: "Europe/Berlin"},
				{Cron: "*/10 1-3 * * *", Zone: "Europe/Berlin", Key: "nightly", Jitter: 20 * time.Minute},
				{Every: 7 * time.Minute, Key: "seven", Jitter: 3 * time.Minute},
			} {
				p := plan(t, def)
				begin := instantOf(t, "2027-10-29T00:00:00Z")
				now, last := begin, begin
				var decided []time.Time
				steps := []time.Duration{time.Second, 5 * time.Minute, time.Hour, -time.Hour, 3 * time.Hour, -time.Minute, 0, 26 * time.Hour, -2 * time.Hour}
				for i := range 60 {
					now = now.Add(steps[i%len(steps)])
					b := Missed(p, last, now, CatchUp{Policy: policy, Window: 2 * time.Hour, Cap: 5})
					if b.Skipped.Count > 0 {
						decided = append(decided, between(p, b.Skipped.First, b.Skipped.Last.Add(1))...)
					}
					for _, slot := range b.Run {
						if p.Due(slot).After(now) {
							t.Fatalf("%v ran at %v, before it was due", slot, now)
						}
					}
					decided, last = append(decided, b.Run...), b.Upto
				}
				if diff := cmp.Diff(between(p, begin.Add(1), last.Add(1)), decided); diff != "" || len(decided) < 50 {
					t.Errorf("%v: %d decided (-want +got):\n%s", p, len(decided), diff)
				}
			}
		})
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	from := instantOf(t, "2027-03-27T00:00:00Z")

	t.Run("IsTheSameEverywhereAndSpreads", func(t *testing.T) {
		t.Parallel()
		quarters := map[int]int{}
		for key := range 400 {
			def := Definition{Key: fmt.Sprint("schedule-", key), Cron: "@daily", Jitter: 4 * time.Minute}
			a, b := plan(t, def), plan(t, def)
			slot, _ := a.Next(from)
			due := a.Due(slot)
			if !due.Equal(b.Due(slot)) {
				t.Fatal("two plans of one definition differ")
			}
			late := due.Sub(slot)
			if late < 0 || late >= 4*time.Minute || late%time.Millisecond != 0 {
				t.Fatalf("%v late", late)
			}
			quarters[int(late/time.Minute)]++
		}
		for q := range 4 {
			if quarters[q] < 60 { // 100 on average
				t.Errorf("quarters of the window: %v", quarters)
			}
		}
	})

	t.Run("NeverReachesTheNextSlot", func(t *testing.T) {
		t.Parallel()
		p := plan(t, Definition{Key: "k", Cron: "*/10 1-3 * * *", Zone: "Europe/Berlin", Jitter: 30 * time.Hour})
		var before time.Time
		for slot := range p.Between(from, from.AddDate(0, 0, 3)) {
			due := p.Due(slot)
			if next, _ := p.Next(slot); !due.Before(next) || !due.After(before) {
				t.Errorf("slot %v is due at %v, after %v", slot, due, before)
			}
			before = due
		}
	})
}
