package store

import (
	"regexp"
	"slices"
	"testing"
	"time"
)

func TestNewID(t *testing.T) {
	t.Parallel()

	t.Run("LooksTheSameEveryTimeAndIsNew", func(t *testing.T) {
		t.Parallel()
		shape := regexp.MustCompile(`^r_[0-9a-hjkmnp-tv-z]{12}$`)
		a, b := NewID(), NewID()
		if !shape.MatchString(a) || !shape.MatchString(b) {
			t.Errorf("got %s and %s", a, b)
		}
		if newID(longAgo(), 1) == newID(longAgo(), 2) {
			t.Error("the random part makes no difference")
		}
	})

	t.Run("SortsByTimeToTheMillisecondUntil2159", func(t *testing.T) {
		t.Parallel()
		var ids []string
		for _, at := range []time.Time{
			time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), // a clock that is wrong
			time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
			time.Date(2026, 1, 1, 0, 0, 0, 1e6, time.UTC),
			time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC),
			time.Date(2159, 1, 1, 0, 0, 0, 0, time.UTC),
		} {
			ids = append(ids, newID(at, 0xFFFFFFFF), newID(at.Add(time.Millisecond), 0))
		}
		ids = slices.Compact(ids)
		// What precedes 2020 counts as its first millisecond.
		if !slices.IsSorted(ids[2:]) {
			t.Errorf("not in the order of time: %v", ids)
		}
	})

	t.Run("ForgivesHowPeopleTypeIDs", func(t *testing.T) {
		t.Parallel()
		for _, typed := range []string{"r_0abc1", "0abc1", "R_OABCI", " r_oabcl "} {
			if got := cleanID(typed); got != "r_0abc1" {
				t.Errorf("%q: got %q", typed, got)
			}
		}
	})
}
