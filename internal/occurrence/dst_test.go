package occurrence

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The moves of the clocks in words, beside the oracle's check of all of them.
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{"ASkippedTimeRunsOnceAtTheJump", "30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", []string{
			"2027-03-28 03:00:00 CEST", "2027-03-29 02:30:00 CEST",
		}},
		{"SeveralSkippedTimesRunOnceTogether", "*/15 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", []string{
			"2027-03-28 03:00:00 CEST", "2027-03-29 02:00:00 CEST",
		}},
		{"ASkippedTimeThatMeetsAnotherRunsOnce", "0 2,3 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", []string{
			"2027-03-28 03:00:00 CEST", "2027-03-29 02:00:00 CEST",
		}},
		{"ARepeatedTimeRunsTheFirstTime", "30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", []string{
			"2027-10-31 02:30:00 CEST", "2027-11-01 02:30:00 CET",
		}},
		{"TheSecondPassOfARepeatedHourHasNoSlot", "*/30 2 * * *", "Europe/Berlin", "2027-10-31T01:10:00Z", []string{
			"2027-11-01 02:00:00 CET",
		}},
		{"RangesOfHoursWaitForTheClock", "*/30 1-3 * * *", "Europe/Berlin", "2027-10-30T23:15:00Z", []string{
			"2027-10-31 01:30:00 CEST", "2027-10-31 02:00:00 CEST", "2027-10-31 02:30:00 CEST", "2027-10-31 03:00:00 CET",
		}},
		{"EveryQuarterRunsInBothHours", "*/30 * * * *", "Europe/Berlin", "2027-10-30T23:45:00Z", []string{
			"2027-10-31 02:00:00 CEST", "2027-10-31 02:30:00 CEST", "2027-10-31 02:00:00 CET", "2027-10-31 02:30:00 CET", "2027-10-31 03:00:00 CET",
		}},
		{"EveryHourHasNoGapInSpring", "30 * * * *", "America/New_York", "2027-03-14T05:45:00Z", []string{
			"2027-03-14 01:30:00 EST", "2027-03-14 03:30:00 EDT",
		}},
		{"HalfAnHourIsSkippedOnLordHowe", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{
			"2026-10-04 02:30:00 +11", "2026-10-05 02:15:00 +11",
		}},
		{"HalfAnHourIsRepeatedOnLordHowe", "45 1 * * *", "Australia/Lord_Howe", "2027-04-03T00:00:00Z", []string{
			"2027-04-04 01:45:00 +11", "2027-04-05 01:45:00 +1030",
		}},
		{"MidnightDoesNotExistInSaoPaulo", "@daily", "America/Sao_Paulo", "2018-11-03T12:00:00Z", []string{
			"2018-11-04 01:00:00 -02", "2018-11-05 00:00:00 -02",
		}},
		{"ADayIsSkippedInSamoa", "0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", []string{
			"2011-12-29 12:00:00 -10", "2011-12-31 00:00:00 +14", "2011-12-31 12:00:00 +14",
		}},
		{"ADayIsSkippedOnKwajalein", "0 12 20-22 8 *", "Pacific/Kwajalein", "1993-08-20T00:00:00Z", []string{
			"1993-08-20 12:00:00 -12", "1993-08-22 00:00:00 +12", "1993-08-22 12:00:00 +12",
		}},
		{"ALeapDayIsADay", "0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", []string{
			"2028-02-29 00:00:00 UTC", "2032-02-29 00:00:00 UTC",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := plan(t, Definition{Cron: c.cron, Zone: c.zone})
			got := zoned(p, p.Preview(len(c.want), instantOf(t, c.after)))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSecondsFollowTheSameRule(t *testing.T) {
	t.Parallel()
	p := plan(t, Definition{Cron: "*/20 59 2 * * *", WithSeconds: true, Zone: "Europe/Berlin"})
	got := zoned(p, p.Preview(4, instantOf(t, "2027-10-31T00:30:00Z"))) // 02:30 CEST
	want := []string{"2027-10-31 02:59:00 CEST", "2027-10-31 02:59:20 CEST", "2027-10-31 02:59:40 CEST", "2027-11-01 02:59:00 CET"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	now := instantOf(t, "2026-11-23T00:00:00Z")
	for _, c := range []struct {
		def  Definition
		want []string
	}{
		{Definition{Cron: "30 2 * * *", Zone: "Europe/Berlin"}, []string{
			"02:30 does not exist on 2027-03-28: clocks in Europe/Berlin go from 02:00 to 03:00; it runs once, at 03:00 CEST",
			"02:30 comes twice on 2027-10-31: clocks in Europe/Berlin go back from 03:00 to 02:00; it runs once, the first time, at 02:30 CEST",
		}},
		{Definition{Cron: "30 2 * * 1-5", Zone: "Europe/Berlin"}, nil}, // clocks are moved on Sundays
		{Definition{Cron: "0 2 * * *", Zone: "Europe/Berlin", End: instantOf(t, "2027-06-01T00:00:00Z")}, []string{
			"02:00 does not exist on 2027-03-28: clocks in Europe/Berlin go from 02:00 to 03:00; it runs once, at 03:00 CEST",
		}},
		{Definition{Cron: "0 3 * * *", Zone: "Europe/Berlin"}, nil},
		{Definition{Cron: "*/15 * * * *", Zone: "Europe/Berlin"}, nil},
		{Definition{Cron: "30 2 * * *"}, nil},
		{Definition{Every: time.Hour, Zone: "Europe/Berlin"}, nil},
	} {
		var got []string
		p := plan(t, c.def)
		for _, w := range p.Warnings(now) {
			got = append(got, w.Text)
			if next, ok := p.Next(w.Slot.Add(-1)); !ok || !next.Equal(w.Slot) {
				t.Errorf("%+v warns of %v, which is no slot", c.def, w.Slot)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.def, diff)
		}
	}
}
