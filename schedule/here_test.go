package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rikki-go/rikki"
)

// hereIn plays a schedule whose runs take so long, in a bubble with a clock of its own, and returns what happened.
func hereIn(ctx context.Context, t *testing.T, def Schedule, takes time.Duration, fails bool) (Tally, string, error) {
	t.Helper()
	c, err := compileStored("tick", def.stored(""))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var log []string
	tally, err := here(ctx, c, "tick", HereOptions{OnOccurrence: func(o Occurrence) {
		log = append(log, fmt.Sprintf("%d+%d %s", int(o.At.Sub(began).Seconds()), int(time.Since(o.At).Seconds()), o.State))
	}}, func(ctx context.Context, _ time.Time) (*rikki.Result, error) {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return &rikki.Result{State: rikki.Interrupted}, context.Cause(ctx)
		}
		if fails {
			return &rikki.Result{State: rikki.Failed}, errors.New("no paper")
		}
		return &rikki.Result{State: rikki.Succeeded}, nil
	})
	return tally, strings.Join(log, ", "), err
}

func TestHere(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		def   Schedule
		takes time.Duration
		fails bool
		tally Tally
		log   string
		err   string
	}{
		{
			"EndsAfterItsRuns",
			Schedule{Every: 5 * time.Second, MaxRuns: 2},
			time.Second, false,
			Tally{Fired: 2, Succeeded: 2},
			"5+0 fired, 5+1 succeeded, 10+0 fired, 10+1 succeeded", "",
		},
		{
			"SkipsWhatOverlaps",
			Schedule{Every: 5 * time.Second, MaxRuns: 2},
			7 * time.Second, false,
			Tally{Fired: 2, Succeeded: 2, Skipped: 1},
			"5+0 fired, 10+0 skipped, 5+7 succeeded, 15+0 fired, 15+7 succeeded", "",
		},
		{
			"LetsOneWait",
			Schedule{Every: 5 * time.Second, MaxRuns: 2, Overlap: Queue},
			7 * time.Second, false,
			Tally{Fired: 2, Succeeded: 2},
			"5+0 fired, 10+0 waiting, 5+7 succeeded, 10+2 fired, 10+9 succeeded", "",
		},
		{
			"AllowsOverlaps",
			Schedule{Every: 5 * time.Second, MaxRuns: 2, Overlap: Allow},
			7 * time.Second, false,
			Tally{Fired: 2, Succeeded: 2},
			"5+0 fired, 10+0 fired, 5+7 succeeded, 10+7 succeeded", "",
		},
		{
			"EndsWhenTooManyFail",
			Schedule{Every: 5 * time.Second, PauseAfter: 2},
			time.Second, true,
			Tally{Fired: 2, Failed: 2},
			"5+0 fired, 5+1 failed, 10+0 fired, 10+1 failed", "too many runs in a row have failed: 2, the last with: no paper",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tally, log, err := hereIn(t.Context(), t, row.def, row.takes, row.fails)
				if tally != row.tally || log != row.log || fmt.Sprint(err) != row.err && (err != nil || row.err != "") {
					t.Errorf("got %+v, %s, %v", tally, log, err)
				}
			})
		})
	}

	t.Run("AStopWaitsForTheRunUnderWay", func(t *testing.T) {
		t.Parallel()
		for takes, want := range map[time.Duration]string{10 * time.Second: "5+0 fired, 5+10 succeeded", time.Hour: "5+0 fired, 5+31 interrupted"} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(6*time.Second, cancel)
				_, log, err := hereIn(ctx, t, Schedule{Every: 5 * time.Second, Overlap: Allow, MaxRuns: 1}, takes, false)
				if log != want || err != nil {
					t.Errorf("%s, %v, want %s", log, err, want)
				}
			})
		}
	})
}
