package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rikki-go/rikki/internal/store"
)

// world is a schedule under a clock of the test's own. What is decided takes effect at once.
type world struct {
	*compiled
	sch  store.Schedule
	now  time.Time
	ends map[string]store.RunEnd
	log  []string // what happened, in words
	runs int
}

var epoch = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, def Schedule, created time.Time) *world {
	t.Helper()
	def.Name, def.Script = "nightly", "report"
	c, err := compileStored("nightly", def.stored(""))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{compiled: c, now: created, ends: map[string]store.RunEnd{}}
	w.sch = store.Schedule{ID: "shop/nightly", Name: "nightly", Revision: 1, State: store.ScheduleActive, Upto: created, Definition: c.def}
	d := w.deciding()
	d.next()
	w.sch = d.sch
	return w
}

func (w *world) deciding() *deciding {
	return &deciding{compiled: w.compiled, sch: w.sch, now: w.now, newID: func() string { w.runs++; return fmt.Sprintf("r_%d", w.runs) }}
}

// at looks at the schedule at a time.
func (w *world) at(now time.Time) {
	w.now = now
	d := w.deciding()
	over, _ := d.settle(w.ends)
	for _, e := range over {
		w.log = append(w.log, fmt.Sprintf("%s %s", e.Run, e.state))
	}
	d.promote()
	d.advance()
	w.take(d)
}

func (w *world) take(d *deciding) {
	for _, o := range fresh(w.sch, d.sch) {
		line := fmt.Sprintf("%s %s", o.At.Format("02 15:04:05"), o.State)
		switch {
		case o.State == store.Firing:
			line += " " + o.Run
			w.ends[o.Run] = store.RunEnd{ID: o.Run, State: store.Running, Schedule: "nightly", At: o.At}
		case o.Count > 1:
			line += fmt.Sprintf(" ×%d", o.Count)
		}
		reason, _, _ := strings.Cut(o.Reason, ":")
		w.log = append(w.log, strings.TrimSpace(line+" "+strings.TrimPrefix(reason, "run ")))
	}
	w.sch = d.sch
	var open []store.OpenOccurrence
	for _, o := range w.sch.Open {
		if o.State != store.Skipping {
			open = append(open, o)
		}
	}
	w.sch.Open = open
}

func (w *world) end(run string, state store.State) {
	e := w.ends[run]
	e.State = state
	if state == store.Failed {
		e.Error = &store.RunError{Message: "no paper"}
	}
	w.ends[run] = e
}

func (w *world) want(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(w.log, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(w.log, "\n  "), strings.Join(want, "\n  "))
	}
}

func minute(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }

func TestOverlap(t *testing.T) {
	t.Parallel()
	play := func(policy Overlap) *world {
		w := newWorld(t, Schedule{Every: time.Minute, Overlap: policy}, epoch)
		w.at(minute(1))
		w.at(minute(2))
		w.at(minute(3))
		w.end("r_1", store.Succeeded)
		w.at(minute(3).Add(30 * time.Second))
		w.at(minute(4))
		return w
	}
	t.Run("SkipRecordsTheSkip", func(t *testing.T) {
		t.Parallel()
		play(Skip).want(t, "05 00:01:00 firing r_1", "05 00:02:00 skipping overlap", "05 00:03:00 skipping overlap", "r_1 succeeded", "05 00:04:00 firing r_2")
	})
	t.Run("QueueLetsOneWait", func(t *testing.T) {
		t.Parallel()
		play(Queue).want(t, "05 00:01:00 firing r_1", "05 00:02:00 waiting r_1 has not ended", "05 00:03:00 skipping overlap",
			"r_1 succeeded", "05 00:02:00 firing r_2", "05 00:04:00 waiting r_2 has not ended")
	})
	t.Run("AllowFires", func(t *testing.T) {
		t.Parallel()
		play(Allow).want(t, "05 00:01:00 firing r_1", "05 00:02:00 firing r_2", "05 00:03:00 firing r_3", "r_1 succeeded", "05 00:04:00 firing r_4")
	})
	t.Run("AllowHasALimit", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, Schedule{Every: time.Minute, Overlap: Allow}, epoch)
		for i := range maxOpen + 2 {
			w.at(minute(i + 1))
		}
		if n := len(w.sch.Open); n != maxOpen {
			t.Errorf("%d open", n)
		}
		if last := w.log[len(w.log)-1]; !strings.Contains(last, "skipping overlap") {
			t.Errorf("the last is %q", last)
		}
	})
	t.Run("RunsByHandAreInNoSlotsWay", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, Schedule{Every: time.Minute}, epoch)
		d := w.deciding()
		d.add(store.OpenOccurrence{Kind: store.KindManual, At: epoch, State: store.Firing, Run: "r_0"})
		w.take(d)
		w.at(minute(1))
		w.want(t, "05 00:00:00 firing r_0", "05 00:01:00 firing r_1")
	})
}

func TestCatchUp(t *testing.T) {
	t.Parallel()
	play := func(def Schedule) *world {
		def.Every = time.Minute
		w := newWorld(t, def, epoch)
		w.at(minute(5).Add(30 * time.Second)) // nobody was there for the first five
		w.at(minute(6))
		return w
	}
	t.Run("OnceRunsTheNewest", func(t *testing.T) {
		t.Parallel()
		play(Schedule{Overlap: Allow}).want(t, "05 00:01:00 skipping ×4 missed", "05 00:05:00 firing r_1", "05 00:06:00 firing r_2")
	})
	t.Run("NoneRunsNone", func(t *testing.T) {
		t.Parallel()
		play(Schedule{CatchUp: CatchUpNone}).want(t, "05 00:01:00 skipping ×5 missed", "05 00:06:00 firing r_1")
	})
	t.Run("AllRunsAllEvenIfOverlapsAreSkipped", func(t *testing.T) {
		t.Parallel()
		play(Schedule{CatchUp: CatchUpAll}).want(t, "05 00:01:00 firing r_1", "05 00:02:00 firing r_2", "05 00:03:00 firing r_3", "05 00:04:00 firing r_4",
			"05 00:05:00 firing r_5", "05 00:06:00 skipping overlap")
	})
	t.Run("AllHasACap", func(t *testing.T) {
		t.Parallel()
		play(Schedule{CatchUp: CatchUpAll, Cap: 2, Overlap: Allow}).want(t, "05 00:01:00 skipping ×3 missed", "05 00:04:00 firing r_1", "05 00:05:00 firing r_2", "05 00:06:00 firing r_3")
	})
	t.Run("TheWindowEnds", func(t *testing.T) {
		t.Parallel()
		play(Schedule{CatchUp: CatchUpAll, Window: 2 * time.Minute, Overlap: Allow}).want(t,
			"05 00:01:00 skipping ×3 missed", "05 00:04:00 firing r_1", "05 00:05:00 firing r_2", "05 00:06:00 firing r_3")
	})
}

func TestTheEndOfASchedule(t *testing.T) {
	t.Parallel()
	t.Run("MaxRuns", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, Schedule{Every: time.Minute, MaxRuns: 2, Overlap: Allow}, epoch)
		for i := range 5 {
			w.at(minute(i))
		}
		w.want(t, "05 00:01:00 firing r_1", "05 00:02:00 firing r_2")
		if w.sch.State != store.ScheduleCompleted || w.sch.Note.Kind != "max_runs" || !w.sch.NextAt.IsZero() {
			t.Errorf("%+v", w.sch)
		}
	})
	t.Run("Once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, Schedule{Once: minute(2)}, epoch)
		w.at(minute(1))
		w.at(minute(2))
		w.at(minute(3))
		w.want(t, "05 00:02:00 firing r_1")
		if w.sch.State != store.ScheduleCompleted || w.sch.Note.Kind != "ended" {
			t.Errorf("%+v", w.sch)
		}
	})
	t.Run("EndDate", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, Schedule{Every: time.Minute, End: minute(2)}, epoch)
		w.at(minute(1))
		w.at(minute(2))
		w.want(t, "05 00:01:00 firing r_1")
		if w.sch.State != store.ScheduleCompleted {
			t.Errorf("%+v", w.sch)
		}
	})
}

// A clock that is set back an hour names no slot again, and the schedule goes on where it was.
func TestClockJumpingBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Schedule{Every: time.Minute, Overlap: Allow}, epoch)
	for i := range 3 {
		w.at(minute(i + 1))
	}
	for i := range 63 {
		w.at(minute(i - 57))
	}
	w.at(minute(4))
	w.want(t, "05 00:01:00 firing r_1", "05 00:02:00 firing r_2", "05 00:03:00 firing r_3", "05 00:04:00 firing r_4", "05 00:05:00 firing r_5")
}

// A wall-clock time that daylight saving skips runs once, at the jump; one that it repeats runs once.
func TestDST(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		day  time.Time
		want string
	}{
		{time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), "29 01:00:00 firing r_1"},
		{time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC), "25 00:30:00 firing r_1"},
	} {
		w := newWorld(t, Schedule{Cron: "30 2 * * *", Zone: "Europe/Berlin"}, row.day)
		for i := range 24 * 60 {
			w.at(row.day.Add(time.Duration(i) * time.Minute))
		}
		w.want(t, row.want)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	t.Run("PauseAfterSoManyInARow", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, Schedule{Every: time.Minute, PauseAfter: 2}, epoch)
		for i, state := range []store.State{store.Failed, store.Succeeded, store.Failed, store.Cancelled, store.Failed} {
			w.at(minute(i + 1))
			w.end(fmt.Sprintf("r_%d", i+1), state)
		}
		w.at(minute(6))
		if w.sch.State != store.SchedulePaused || w.sch.Note.Kind != "failures" || !strings.Contains(w.sch.Note.Text, "r_5 last: no paper") {
			t.Errorf("%+v %+v", w.sch, w.sch.Note)
		}
		w.log = nil
		w.at(minute(10))
		d := w.deciding()
		d.resume()
		w.take(d)
		w.at(minute(11))
		w.want(t, "05 00:06:00 skipping ×5 paused", "05 00:11:00 firing r_6")
		if w.sch.Failures != 0 {
			t.Errorf("%d failures after the schedule was resumed", w.sch.Failures)
		}
	})
	t.Run("RunsByHandAndBackfillsDontCount", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, Schedule{Every: time.Minute, PauseAfter: 1}, epoch)
		for i, kind := range []store.OccurrenceKind{store.KindManual, store.KindBackfill} {
			d := w.deciding()
			d.add(store.OpenOccurrence{Kind: kind, At: epoch, State: store.Firing, Run: fmt.Sprintf("m_%d", i)})
			w.take(d)
			w.end(fmt.Sprintf("m_%d", i), store.Failed)
		}
		w.at(epoch)
		if w.sch.State != store.ScheduleActive || w.sch.Failures != 0 || len(w.sch.Open) != 0 {
			t.Errorf("%+v", w.sch)
		}
	})
	t.Run("ADeadProcessCountsAnOrderlyStopDoesNot", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, Schedule{Every: time.Minute}, epoch)
		w.at(minute(1))
		w.end("r_1", store.Interrupted)
		w.at(minute(2))
		if w.sch.Failures != 0 {
			t.Errorf("an orderly stop counts: %d", w.sch.Failures)
		}
		w.end("r_2", store.Interrupted)
		e := w.ends["r_2"]
		e.Lapses = 1
		e.Ready = true
		w.ends["r_2"] = e
		w.at(minute(2).Add(time.Second))
		if len(w.sch.Open) != 1 {
			t.Error("a run that the queue goes on with is over")
		}
		e.Ready = false
		w.ends["r_2"] = e
		w.at(minute(2).Add(2 * time.Second))
		if w.sch.Failures != 1 {
			t.Errorf("%d failures after a process died", w.sch.Failures)
		}
	})
}

func TestOpenOccurrencesAreCompleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Schedule{Every: time.Minute}, epoch)
	w.at(minute(1))
	mine := w.ends["r_1"]
	delete(w.ends, "r_1") // the process died before it queued the run

	look := func(after time.Duration) []store.OpenOccurrence {
		w.now = minute(1).Add(after)
		d := w.deciding()
		_, unqueued := d.settle(w.ends)
		return unqueued
	}
	if got := look(time.Second); len(got) != 0 {
		t.Errorf("it is taken over at once: %v", got)
	}
	if got := look(unqueuedAfter); len(got) != 1 || got[0].Run != "r_1" {
		t.Errorf("it isn't completed: %v", got)
	}
	other := mine
	other.Schedule = "other"
	w.ends["r_1"] = other
	if got := look(unqueuedAfter); len(got) != 1 {
		t.Error("the run of another schedule is taken for its own")
	}
	w.ends["r_1"] = mine
	w.at(minute(1).Add(time.Second))
	if !w.sch.Open[0].Queued {
		t.Error("that the run was seen isn't noted")
	}
	delete(w.ends, "r_1") // its record was deleted
	w.log = nil
	w.at(minute(1).Add(time.Minute - time.Second))
	w.want(t, "r_1 lost")
}
