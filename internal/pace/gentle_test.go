package pace

import (
	"testing"
	"testing/synctest"
	"time"
)

const bustle = 200 // commands of others a second

func TestGentleWithOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{Workers: 2}})
		first, second := next(t, c), next(t, c)
		first.Done(Outcome{Docs: first.Docs, Took: 50 * time.Millisecond})
		second.Done(Outcome{Docs: second.Docs, Took: 50 * time.Millisecond})

		c.SetOthers(Others{Rate: bustle})
		one := next(t, c) // after the rest of the chunk before
		if one.Docs != 70 {
			t.Errorf("a chunk of %d documents, want the 70 that take 7 ms at once", one.Docs)
		}
		got, other := waiting(t, c)
		if got() {
			t.Error("two chunks at a time")
		}
		one.Done(Outcome{Docs: 70, Took: 10 * time.Millisecond})
		time.Sleep(2 * time.Millisecond)
		if got() {
			t.Error("no rest after a chunk")
		}
		time.Sleep(time.Millisecond)
		if !got() {
			t.Error("the rest has no end")
		}
		other().Drop()
		s := c.Stats()
		if s.Gentle != "others send 200 commands/s" || s.GentleFor != 15*time.Millisecond+500*time.Microsecond || s.Throttled != 0 || s.Reason != "" {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestGentleUntilOthersAreGone(t *testing.T) {
	t.Parallel()
	c := newController(t, Config{})
	is := func(gentle bool, when string) {
		t.Helper()
		if got := c.Stats().Gentle != ""; got != gentle {
			t.Errorf("%s: gentle is %t", when, got)
		}
	}
	is(false, "at first")
	c.SetOthers(Others{Rate: gentleRate - 1})
	is(false, "with hardly anybody")
	c.SetOthers(Others{Rate: bustle})
	is(true, "with others")
	c.SetOthers(Others{})
	c.SetOthers(Others{})
	c.SetOthers(Others{Rate: bustle})
	c.SetOthers(Others{})
	c.SetOthers(Others{})
	is(true, "soon after")
	c.SetOthers(Others{})
	is(false, "after three quiet looks")
	c.SetOthers(Others{Unknown: "no right"})
	is(true, "when nobody knows")
	if err := c.SetOverrides(Override{Gentle: new(GentleNever)}); err != nil {
		t.Fatal(err)
	}
	is(false, "never")
	if err := c.SetOverrides(Override{Gentle: new(GentleAlways)}); err != nil {
		t.Fatal(err)
	}
	c.SetOthers(Others{})
	is(true, "always")
}

// A worker that waited for a signal and then for its turn was throttled by the signal, as long as that said so.
func TestWaitingForATurnIsNotThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{Gentle: GentleAlways, MaxLag: time.Second}})
		turn := next(t, c)
		c.Observe(Duration(Lag, time.Minute, 0))
		c.Observe(Duration(Lag, time.Minute, 0))
		got, _ := waiting(t, c)
		got()
		time.Sleep(10 * time.Second)
		c.Observe(Duration(Lag, 0, 0))
		c.Observe(Duration(Lag, 0, 0))
		time.Sleep(time.Minute)
		if got() {
			t.Fatal("two chunks at a time")
		}
		turn.Drop()
		if s := c.Stats(); !got() || s.Throttled != 10*time.Second || !s.Since.IsZero() {
			t.Errorf("throttled for %s, since %s", s.Throttled, s.Since)
		}
	})
}

// Where the majority is far away, a commit alone takes longer than a chunk should.
func TestSizeDoesNotFallBySlowCommits(t *testing.T) {
	t.Parallel()
	for gentle, least := range map[Gentle]int{GentleNever: 1900, GentleAlways: 130} {
		synctest.Test(t, func(t *testing.T) {
			c := newController(t, Config{Settings: Settings{Gentle: gentle}})
			const commit, perDoc = 150 * time.Millisecond, 50 * time.Microsecond
			for range 100 {
				turn := next(t, c)
				took := commit + time.Duration(turn.Docs)*perDoc
				time.Sleep(took)
				turn.Done(Outcome{Docs: turn.Docs, Took: took, Commit: commit})
			}
			if size := next(t, c).Docs; size < least {
				t.Errorf("gentle %s: chunks of %d documents beside a commit of %s", gentle, size, commit)
			}
		})
	}
}
