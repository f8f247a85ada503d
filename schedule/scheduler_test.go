package schedule_test

import (
	"testing"
	"time"

	"github.com/rikki-go/rikki/schedule"
)

// Each slot of a schedule of every second fires within its second.
func TestEverySecondFiresInItsSecond(t *testing.T) {
	t.Parallel()
	b := setup(t, schedule.Options{})
	b.save(t, schedule.Schedule{Script: "report", Every: time.Second, Overlap: schedule.Allow})
	b.serve(t)
	told := b.await(t, "five slots", func(told []schedule.Occurrence) bool { return count(told, schedule.Succeeded) >= 5 })
	seen := map[time.Time]bool{}
	for _, o := range b.occurrences(t, schedule.OccurrenceFilter{Schedule: "report"}) {
		if o.State == schedule.Skipped {
			t.Errorf("slot %s was skipped: %s", o.At, o.Reason)
		}
		if late := o.CreatedAt.Sub(o.At); late >= time.Second || late < 0 {
			t.Errorf("slot %s fired %s after its time", o.At, late)
		}
		if seen[o.At] {
			t.Errorf("slot %s twice", o.At)
		}
		seen[o.At] = true
	}
	run, err := b.app.Record(t.Context(), told[0].Run)
	if err != nil {
		t.Fatal(err)
	}
	if run.Schedule != "report" || !run.ScheduledAt.Equal(told[0].At) || run.Trigger != "schedule" || run.Actor != "schedule report" {
		t.Errorf("the run doesn't say whose it is: %+v", run)
	}
}
