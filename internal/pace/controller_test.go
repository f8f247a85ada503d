package pace

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newController(t *testing.T, cfg Config) *Controller {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func next(t *testing.T, c *Controller) *Turn {
	t.Helper()
	turn, err := c.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

// waiting starts a worker that waits for a turn, and says whether it got one.
func waiting(t *testing.T, c *Controller) (got func() bool, turn func() *Turn) {
	t.Helper()
	turns := make(chan *Turn, 1)
	var have *Turn
	go func() {
		turn, err := c.Next(t.Context())
		if err == nil {
			turns <- turn
		}
		close(turns)
	}()
	got = func() bool {
		synctest.Wait()
		select {
		case turn, ok := <-turns:
			if ok {
				have = turn
			}
		default:
		}
		return have != nil
	}
	return got, func() *Turn { return have }
}

func TestFlows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{})
		turn := next(t, c)
		if turn.Docs != StartChunk || turn.Bytes != DefaultBytes || turn.Waited != 0 || c.Reason() != "" {
			t.Errorf("turn %+v, reason %q", turn, c.Reason())
		}
		turn.Done(Outcome{Docs: 500, Took: 50 * time.Millisecond, Commit: 5 * time.Millisecond})
		turn.Done(Outcome{Docs: 500, Took: time.Hour}) // counts once
		if turn = next(t, c); turn.Docs != 1000 {
			t.Errorf("next chunk %d, want 1,000", turn.Docs)
		}
		turn.Drop()
		s := c.Stats()
		if s.Chunks != 1 || s.Docs != 500 || s.P95 != 50*time.Millisecond || s.Throttled != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestFailedChunk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{})
		if !next(t, c).Failed(500, "transaction too large") {
			t.Error("nothing smaller than 500")
		}
		if turn := next(t, c); turn.Docs != 250 {
			t.Errorf("chunk of %d after a failure, want 250", turn.Docs)
		}
		if s := c.Stats(); s.Shrinks != 1 || s.LastShrink != "transaction too large" || s.Ceiling != 250 {
			t.Errorf("stats %+v", s)
		}
		if next(t, c).Failed(1, "x") {
			t.Error("there is something smaller than one document")
		}
	})
}

// A chunk that is tried again with fewer documents counts as any other: for the rate, the figures, and where one goes at a time.
func TestAFailedChunkKeepsItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{Rate: 100, Gentle: GentleAlways}})
		turn := next(t, c)
		turn.Failed(turn.Docs, "transaction too large")
		turn.Failed(turn.Docs/2, "transaction too large") // the same trouble
		got, second := waiting(t, c)
		time.Sleep(10 * time.Second)
		if got() {
			t.Error("another chunk while the first is tried again")
		}
		turn.Done(Outcome{Docs: turn.Docs / 2, Took: time.Millisecond})
		time.Sleep(time.Second)
		if !got() || second().Docs != turn.Docs/2 {
			t.Fatal("no next chunk of half the size")
		}
		second().Failed(50, "transaction too large")
		second().Done(Outcome{Docs: 500, Took: time.Millisecond}) // all of them at once, at 100/s
		if third := next(t, c); third.Waited < 3*time.Second {
			t.Errorf("waited %s behind 500 documents", third.Waited)
		}
		if s := c.Stats(); s.Shrinks != 2 || s.Docs != int64(500+turn.Docs/2) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestSignalPausesAndLetsGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{MaxLag: 5 * time.Second}, Sensors: []Sensor{{Name: Lag, MaxAge: 5 * time.Second}}})
		lag := func(d time.Duration) { c.Observe(Duration(Lag, d, 0)) }
		got, _ := waiting(t, c)
		if got() || !strings.Contains(c.Reason(), "no sample yet") {
			t.Fatalf("a turn before the first sample; reason %q", c.Reason())
		}
		lag(time.Second)
		if !got() {
			t.Fatal("no turn after a good sample")
		}
		lag(9 * time.Second)
		if c.Reason() != "" {
			t.Errorf("one sample paused the run: %s", c.Reason())
		}
		lag(9 * time.Second)
		if c.Reason() != "replication lag 9s above 5s" {
			t.Errorf("reason %q after two samples above", c.Reason())
		}
		got, turn := waiting(t, c)
		time.Sleep(3 * time.Second)
		lag(4 * time.Second)
		if got() || c.Reason() != "replication lag 4s, was above 5s" {
			t.Errorf("one good sample was enough; reason %q", c.Reason())
		}
		lag(4 * time.Second)
		if !got() || c.Reason() != "" || turn().Waited != 3*time.Second {
			t.Errorf("no turn after two good samples: %q", c.Reason())
		}
		if s := c.Stats(); s.Throttled != 3*time.Second || s.ByReason[Lag] != 3*time.Second || !s.Since.IsZero() {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(6 * time.Second)
		if c.Reason() != "replication lag can't be read: the last sample is 6s old" {
			t.Errorf("reason %q when the sampler died", c.Reason())
		}
		lag(time.Second)
		if c.Reason() != "" {
			t.Errorf("reason %q when it came back", c.Reason())
		}
	})
}

func TestLimitChangedWhilePaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{MaxLag: 5 * time.Second}})
		lag := func(d time.Duration) { c.Observe(Duration(Lag, d, 0)) }
		lag(9 * time.Second) // the first sample counts at once
		got, _ := waiting(t, c)
		if got() {
			t.Fatal("a turn above the limit")
		}
		limit := 20 * time.Second
		if err := c.SetOverrides(Override{MaxLag: &limit, Expires: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		lag(9 * time.Second)
		lag(9 * time.Second)
		if !got() {
			t.Fatalf("still paused two samples after the limit went up: %s", c.Reason())
		}
		time.Sleep(time.Minute) // the override expires
		lag(9 * time.Second)
		lag(9 * time.Second)
		if got, _ = waiting(t, c); got() {
			t.Fatal("a turn above the old limit")
		}
		limit = 0
		if err := c.SetOverrides(Override{MaxLag: &limit}); err != nil || !got() {
			t.Errorf("paused without a limit: %v, %s", err, c.Reason())
		}
	})
}

func TestUnknownByPolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{
			Settings: Settings{MaxLag: 5 * time.Second},
			Sensors:  []Sensor{{Name: Lag}, {Name: FlowControl, OnUnknown: IgnoreUnknown, MaxAge: time.Second}},
		})
		if c.Reason() != "replication lag can't be read: no sample yet" {
			t.Errorf("before the first sample: reason %q", c.Reason())
		}
		c.Observe(LagBetween(time.Now(), time.Time{}))
		if c.Reason() != "replication lag can't be read: a member reports no time" {
			t.Errorf("reason %q", c.Reason())
		}
		c.Observe(LagBetween(time.Now(), time.Now().Add(time.Second))) // a member ahead of the sample
		c.Observe(Unreadable(FlowControl, "not authorized"))
		c.Observe(Duration(Lag, 0, 0))
		time.Sleep(time.Minute)
		if c.Reason() != "" {
			t.Errorf("reason %q, want none", c.Reason())
		}
		if s := c.Stats(); strings.Join(s.Unreadable, " ") != FlowControl {
			t.Errorf("unreadable %v", s.Unreadable)
		}
		c.Observe(Flag(FlowControl, true, "flow control slows all writers down"))
		c.Observe(Flag(FlowControl, true, "flow control slows all writers down"))
		if c.Reason() != "flow control slows all writers down" {
			t.Errorf("reason %q", c.Reason())
		}
	})
}

func TestNonsenseIsUnknown(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
		c := newController(t, Config{Settings: Settings{MaxLag: time.Second}})
		c.Observe(Signal{Name: Lag, Value: v, Seconds: true})
		if !strings.Contains(c.Reason(), "can't be read: it makes no sense") {
			t.Errorf("%v: reason %q", v, c.Reason())
		}
	}
}

// All workers wait when commits are slow, so nobody would notice that they are fast again: probes do.
func TestSlowCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{})
		commit := func(took time.Duration) {
			turn := next(t, c)
			time.Sleep(took)
			turn.Done(Outcome{Docs: turn.Docs, Took: took, Commit: took})
		}
		for range 20 {
			commit(10 * time.Millisecond)
		}
		commit(3 * time.Second)
		if c.Reason() != "" {
			t.Errorf("one slow commit paused the run: %s", c.Reason())
		}
		commit(3 * time.Second)
		if !strings.HasPrefix(c.Reason(), "commit latency 3s above 1s") {
			t.Fatalf("reason %q", c.Reason())
		}
		one, _ := waiting(t, c)
		two, _ := waiting(t, c)
		if one() || two() {
			t.Fatal("a turn right after slow commits")
		}
		time.Sleep(minCooldown)
		if one() == two() {
			t.Fatalf("probes: %v and %v, want exactly one", one(), two())
		}
		time.Sleep(maxCooldown) // the worker with the probe is dead
		if !one() || !two() {
			t.Fatal("no second probe")
		}
		c.Observe(Duration(Commit, 20*time.Millisecond, 0))
		c.Observe(Duration(Commit, 20*time.Millisecond, 0))
		if c.Reason() != "" {
			t.Errorf("reason %q after two fast commits", c.Reason())
		}
		// A limit that somebody set counts from the first sample on.
		if err := c.SetSettings(Settings{MaxCommit: 15 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		commit(20 * time.Millisecond)
		commit(20 * time.Millisecond)
		if c.Reason() == "" {
			t.Error("not paused above the limit")
		}
		if err := c.SetSettings(Settings{MaxCommit: -1}); err != nil || c.Reason() != "" {
			t.Errorf("paused without a limit: %v, %s", err, c.Reason())
		}
	})
}

func TestProbesSlowDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{MaxCommit: time.Second}})
		chunks := 0
		for start := time.Now(); time.Since(start) < 5*time.Minute; chunks++ {
			turn := next(t, c)
			time.Sleep(2 * time.Second)
			turn.Done(Outcome{Docs: turn.Docs, Took: 2 * time.Second, Commit: 2 * time.Second})
		}
		if chunks < 15 || chunks > 30 {
			t.Errorf("%d chunks in five minutes of trouble", chunks)
		}
	})
}

func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{Rate: 200}})
		var mu sync.Mutex
		total := 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var workers sync.WaitGroup
		for range 4 {
			workers.Go(func() {
				for {
					turn, err := c.Next(ctx)
					if err != nil {
						return
					}
					if turn.Docs > 200 {
						t.Errorf("chunk of %d, more than a second's", turn.Docs)
					}
					time.Sleep(10 * time.Millisecond)
					mu.Lock()
					total += turn.Docs
					mu.Unlock()
					turn.Done(Outcome{Docs: turn.Docs, Took: 10 * time.Millisecond})
				}
			})
		}
		time.Sleep(30*time.Second + 123*time.Millisecond)
		if c.Reason() != "rate limit of 200 documents/s" {
			t.Errorf("reason %q", c.Reason())
		}
		workers.Wait()
		if total < 11_800 || total > 12_400 {
			t.Errorf("%d documents in a minute at 200/s", total)
		}
		if s := c.Stats(); s.ByReason[keyRate] < 50*time.Second || s.Throttled > time.Minute {
			t.Errorf("stats %+v", s)
		}
		if c.Reason() != "" {
			t.Errorf("reason %q without workers", c.Reason())
		}
	})
}

func TestRateIsPaidForWhatWasDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{Rate: 100, Chunk: 100}})
		next(t, c).Done(Outcome{Docs: 10, Took: time.Millisecond})
		if turn := next(t, c); turn.Waited > 101*time.Millisecond {
			t.Errorf("waited %s for ten documents, want 100ms", turn.Waited)
		} else {
			turn.Drop()
		}
		if turn := next(t, c); turn.Waited != 0 {
			t.Errorf("waited %s for a turn that was dropped", turn.Waited)
		}
	})
}

func TestScriptThrottles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls, busy := 0, 0
		c := newController(t, Config{Throttle: func(context.Context) (time.Duration, string, error) {
			busy++
			if busy > 1 {
				t.Error("called twice at the same time")
			}
			time.Sleep(time.Millisecond)
			busy--
			switch calls++; calls {
			case 1:
				return 10 * time.Second, "the shop is busy", nil
			case 2:
				return 0, "", errors.New("no answer")
			}
			return 0, "", nil
		}})
		one, _ := waiting(t, c)
		two, _ := waiting(t, c)
		time.Sleep(5 * time.Second)
		if one() || two() || c.Reason() != "the shop is busy" {
			t.Errorf("reason %q", c.Reason())
		}
		time.Sleep(5*time.Second + 500*time.Millisecond)
		if one() || two() || c.Reason() != "the script's throttle can't be read: no answer" {
			t.Errorf("reason %q", c.Reason())
		}
		time.Sleep(time.Second)
		if !one() || !two() || c.Reason() != "" {
			t.Errorf("no turn when the script lets go: %q", c.Reason())
		}
		if s := c.Stats(); s.ByReason[keyScript] < 11*time.Second || s.ByReason[keyScript] > 11*time.Second+10*time.Millisecond {
			t.Errorf("throttled %v", s.ByReason)
		}
	})
}

func TestOutsideOfTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it begins at midnight UTC, 2000-01-01
		window, err := ParseWindow("22:00-05:00", time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		c := newController(t, Config{Settings: Settings{Window: window}})
		next(t, c).Done(Outcome{Docs: 1})
		time.Sleep(5*time.Hour + time.Minute)
		got, turn := waiting(t, c)
		if got() || c.Reason() != "outside of the window 22:00-05:00 UTC, which opens in 16h59m" {
			t.Errorf("reason %q", c.Reason())
		}
		time.Sleep(16*time.Hour + 59*time.Minute)
		if !got() || turn().Waited != 16*time.Hour+59*time.Minute {
			t.Errorf("no turn when the window opens: %q", c.Reason())
		}
	})
}

func TestLiveTuning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{Workers: 2}})
		chunk, workers, rate := 50, 4, 7.5
		if err := c.SetOverrides(Override{Chunk: &chunk, Expires: time.Now().Add(time.Minute)}, Override{Workers: &workers}, Override{Rate: &rate, Expires: time.Now().Add(-1)}); err != nil {
			t.Fatal(err)
		}
		turn := next(t, c)
		if s := c.Settings(); turn.Docs != 50 || s.Workers != 4 || s.Rate != 0 {
			t.Errorf("chunk %d, settings %+v", turn.Docs, s)
		}
		turn.Done(Outcome{Docs: 50, Took: time.Millisecond})
		if turn = next(t, c); turn.Docs != 50 {
			t.Errorf("chunk %d, want the one that was set", turn.Docs)
		}
		time.Sleep(time.Minute)
		turn.Done(Outcome{Docs: 50, Took: time.Millisecond})
		if turn = next(t, c); turn.Docs != 100 {
			t.Errorf("chunk %d after the override expired, want it to grow from 50", turn.Docs)
		}
		chunk = 0
		bad := -1
		if err := c.SetOverrides(Override{Workers: &bad}); err == nil || c.Settings().Workers != 4 {
			t.Errorf("-1 workers: %v, now %d", err, c.Settings().Workers)
		}
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Sensors: []Sensor{{Name: FlowControl}}})
		gone := errors.New("paused by somebody")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(gone) })
		if _, err := c.Next(ctx); !errors.Is(err, gone) {
			t.Errorf("next: %v, want the cause", err)
		}
		if s := c.Stats(); s.Throttled != time.Minute || !s.Since.IsZero() {
			t.Errorf("stats %+v", s)
		}
		if _, err := c.Next(ctx); !errors.Is(err, gone) {
			t.Errorf("next with a context that ended: %v", err)
		}
	})
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	bad := Settings{Chunk: MaxChunk + 1, Workers: -1, Rate: math.NaN(), MaxLag: -1, Target: time.Hour, Bytes: -1}
	_, err := New(Config{Settings: bad})
	if err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("%v; want six faults", err)
	}
	c := newController(t, Config{})
	if c.SetSettings(bad) == nil || c.Settings().Chunk != 0 {
		t.Error("bad settings were taken")
	}
}

// Workers, tuning, samples and status at the same time; for the race detector.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Config{Settings: Settings{MaxLag: time.Second, Rate: 10_000}, Throttle: func(context.Context) (time.Duration, string, error) { return 0, "", nil }})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for n := 0; ; n++ {
					turn, err := c.Next(ctx)
					if err != nil {
						return
					}
					time.Sleep(time.Duration(turn.Docs) * 100 * time.Microsecond)
					if (n+i)%17 == 0 {
						turn.Failed(turn.Docs, "too slow")
						turn.Drop()
						continue
					}
					turn.Done(Outcome{Docs: turn.Docs, Took: time.Duration(turn.Docs) * 100 * time.Microsecond, Commit: 5 * time.Millisecond})
				}
			})
		}
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				c.Observe(Duration(Lag, time.Duration(n%5)*500*time.Millisecond, 0))
				chunk := n % 3 * 100
				if err := c.SetOverrides(Override{Chunk: &chunk, Expires: time.Now().Add(time.Second)}); err != nil {
					t.Error(err)
				}
				_ = c.Stats()
				time.Sleep(300 * time.Millisecond)
			}
		})
		all.Wait()
		if s := c.Stats(); s.Docs == 0 || s.Throttled > 5*time.Second {
			t.Errorf("stats %+v", s)
		}
	})
}
