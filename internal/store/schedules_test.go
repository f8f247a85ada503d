package store

import (
	"errors"
	"sync"
	"testing"
	"time"
)

func newSchedule(name string) Schedule {
	return Schedule{
		ID: ScheduleID("shop", name), Database: "shop", Name: name, Script: "report", Revision: 1, State: ScheduleActive,
		Definition: ScheduleDefinition{Script: "report", Every: 1000, Description: "$not {a: 1} field"},
		NextSlot:   longAgo(), NextAt: longAgo(), Upto: longAgo().Add(-time.Second),
	}
}

// useSchedules calls everything about schedules that talks to the server.
func useSchedules(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(s.EnsureScheduleIndexes(ctx))
	slot := OpenOccurrence{Kind: KindSlot, At: longAgo(), State: Firing, Run: NewID()}
	skipped := OpenOccurrence{Kind: KindSlot, At: longAgo().Add(time.Second), Until: longAgo().Add(time.Minute), Count: 60, State: Skipping, Reason: "$why"}
	sch := newSchedule("nightly")
	sch.Open = []OpenOccurrence{slot, skipped}
	sch, err := s.PutSchedule(ctx, sch)
	check(err)
	_, err = s.PutSchedule(ctx, sch)
	check(err)
	for _, o := range sch.Open {
		_, err = s.RecordOccurrence(ctx, sch, o)
		check(err)
	}
	check(s.EndOccurrence(ctx, sch, slot, "failed", "no paper", 1))
	check(s.CloseSkipped(ctx, sch.ID, []time.Time{skipped.At}))
	_, _, err = s.NextDue(ctx, "shop", []string{"report"})
	check(err)
	due, err := s.DueSchedules(ctx, "shop", []string{"report"}, 10)
	check(err)
	if len(due) != 1 || len(due[0].Open) != 1 || !due[0].Busy || due[0].Definition.Description != sch.Definition.Description {
		t.Fatalf("due: %+v", due)
	}
	for _, err := range s.BusySchedules(ctx, "shop", []string{"report"}) {
		check(err)
	}
	for _, err := range s.Schedules(ctx, ScheduleFilter{Database: "shop"}) {
		check(err)
	}
	for _, f := range []OccurrenceFilter{{Schedule: sch.ID}, {Database: "shop"}, {Database: "shop", ChangedSince: longAgo()}} {
		for _, err := range s.Occurrences(ctx, f) {
			check(err)
		}
	}
	_, err = s.RunEnds(ctx, []string{slot.Run})
	check(err)
	check(s.RemoveSchedule(ctx, due[0]))
}

func TestSchedules(t *testing.T) {
	t.Parallel()

	t.Run("OfManyWritersOfOneVersionOneWins", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		const writers = 20
		for version := range 3 {
			read := newSchedule("nightly")
			if version > 0 {
				var err error
				if read, err = b.Schedule(t.Context(), read.ID); err != nil {
					t.Fatal(err)
				}
			}
			var group sync.WaitGroup
			won := make(chan int, writers)
			for i := range writers {
				group.Go(func() {
					mine := read
					mine.Fired = int64(i)
					_, err := b.PutSchedule(t.Context(), mine)
					switch {
					case err == nil:
						won <- i
					case !errors.Is(err, ErrConflict):
						t.Error(err)
					}
				})
			}
			group.Wait()
			if len(won) != 1 {
				t.Fatalf("%d writers of version %d won", len(won), version)
			}
			if got, err := b.Schedule(t.Context(), read.ID); err != nil || got.Fired != int64(<-won) || got.Version != int64(version+1) {
				t.Errorf("stored %+v, %v", got, err)
			}
		}
	})

	t.Run("TheServersClockSaysWhatIsDue", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		past, future, paused := newSchedule("past"), newSchedule("future"), newSchedule("paused")
		future.NextAt = time.Now().Add(time.Hour)
		paused.NextAt = time.Time{}
		for _, sch := range []Schedule{past, future, paused} {
			if _, err := b.PutSchedule(t.Context(), sch); err != nil {
				t.Fatal(err)
			}
		}
		due, err := b.DueSchedules(t.Context(), "shop", []string{"report"}, 10)
		if err != nil || len(due) != 1 || due[0].Name != "past" {
			t.Fatalf("due: %+v, %v", due, err)
		}
		left, some, err := b.NextDue(t.Context(), "shop", []string{"report"})
		if err != nil || !some || left > 0 {
			t.Errorf("left %s, %t, %v, want something that is due", left, some, err)
		}
		if err := b.RemoveSchedule(t.Context(), due[0]); err != nil {
			t.Fatal(err)
		}
		left, some, err = b.NextDue(t.Context(), "shop", []string{"report"})
		if err != nil || !some || left < 50*time.Minute {
			t.Errorf("left %s, %t, %v, want an hour", left, some, err)
		}
		if _, some, err = b.NextDue(t.Context(), "shop", []string{"other"}); err != nil || some {
			t.Errorf("something of a script that has no schedule: %v", err)
		}
		if _, some, err = b.NextDue(t.Context(), "lab", []string{"report"}); err != nil || some {
			t.Errorf("something of another database: %v", err)
		}
	})

	t.Run("AnOccurrenceHasOneRun", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		sch := newSchedule("nightly")
		first := OpenOccurrence{Kind: KindSlot, At: longAgo(), State: Firing, Run: "r_1"}
		second := first
		second.Run = "r_2"
		for _, o := range []OpenOccurrence{first, second, first} {
			if got, err := b.RecordOccurrence(t.Context(), sch, o); err != nil || got.Run != "r_1" || got.State != OccurrenceFired {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		if err := b.EndOccurrence(t.Context(), sch, second, "failed", "", 0); err != nil {
			t.Fatal(err)
		}
		if err := b.EndOccurrence(t.Context(), sch, first, "succeeded", "", 0); err != nil {
			t.Fatal(err)
		}
		if err := b.EndOccurrence(t.Context(), sch, first, "failed", "", 0); err != nil {
			t.Fatal(err)
		}
		if got, err := b.RecordOccurrence(t.Context(), sch, first); err != nil || got.State != "succeeded" || got.EndedAt.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		renamed := first
		renamed.Run, renamed.Was = "r_3", "r_1"
		if got, err := b.RecordOccurrence(t.Context(), sch, renamed); err != nil || got.Run != "r_3" || got.State != OccurrenceFired {
			t.Errorf("%+v, %v", got, err)
		}
	})

	t.Run("WhatWaitsOrWasSkippedMayFire", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		sch := newSchedule("nightly")
		record := func(o OpenOccurrence) Occurrence {
			t.Helper()
			got, err := b.RecordOccurrence(t.Context(), sch, o)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		o := OpenOccurrence{Kind: KindSlot, At: longAgo(), State: Waiting}
		record(o)
		o.State, o.Run = Firing, "r_1"
		if got := record(o); got.State != OccurrenceFired || got.Run != "r_1" {
			t.Errorf("what waited: %+v", got)
		}
		skip := OpenOccurrence{Kind: KindSlot, At: longAgo().Add(time.Second), State: Skipping, Reason: "overlap"}
		record(skip)
		late := skip
		late.State, late.Run, late.Reason = Firing, "r_2", ""
		if got := record(late); got.State != OccurrenceSkipped {
			t.Errorf("a slot that was skipped fired by itself: %+v", got)
		}
		late.Kind = KindBackfill
		if got := record(late); got.State != OccurrenceFired || got.Run != "r_2" || got.Kind != KindBackfill {
			t.Errorf("a backfill of what was skipped: %+v", got)
		}
	})

	t.Run("ListsPageByPage", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		sch := newSchedule("nightly")
		const n = pageSize + 30
		for i := range n {
			o := OpenOccurrence{Kind: KindSlot, At: longAgo().Add(time.Duration(i) * time.Second), State: Skipping}
			if _, err := b.RecordOccurrence(t.Context(), sch, o); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range []OccurrenceFilter{{Schedule: sch.ID}, {Database: "shop"}, {Database: "shop", ChangedSince: longAgo()}} {
			seen := map[string]bool{}
			for o, err := range b.Occurrences(t.Context(), f) {
				if err != nil {
					t.Fatal(err)
				}
				seen[o.ID] = true
			}
			if len(seen) != n {
				t.Errorf("%+v: %d occurrences, want %d", f, len(seen), n)
			}
		}
	})
}
