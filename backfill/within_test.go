package backfill

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// What a worker does last has its time however it is stopped, and some seconds at most behind a stop. Ending it twice is fine, as a
// deferred call may.
func TestWithinGivesWhatIsStoppedAFewSecondsMore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		stopped time.Duration // after the beginning; negative for before it
		want    time.Duration
	}{
		"Undisturbed":       {time.Hour, abortLimit},
		"StoppedBefore":     {-1, stopLimit},
		"StoppedInBetween":  {time.Second, time.Second + stopLimit},
		"StoppedAtItsEnd":   {abortLimit - time.Second, abortLimit},
		"StoppedAtTheStart": {0, stopLimit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				if test.stopped < 0 {
					stop()
				}
				bounded, done := within(ctx, abortLimit)
				defer done()
				defer time.AfterFunc(max(test.stopped, 0), stop).Stop()
				began := time.Now()
				<-bounded.Done()
				done()
				if took := time.Since(began); took != test.want {
					t.Errorf("it had %s, want %s", took, test.want)
				}
			})
		})
	}
}
