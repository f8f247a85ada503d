package pace

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Over any time, no more goes out than the rate allows, and one chunk and a burst.
func TestBucketKeepsTheRate(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		rate := []float64{0.5, 10, 333, 50_000}[seed%4]
		start := time.Unix(1e9, 0)
		now := start
		b := &bucket{}
		b.set(rate, now)
		total, largest := 0, 0
		for now.Sub(start) < 5*time.Minute {
			if wait := b.wait(now); wait > 0 {
				now = now.Add(wait)
				if again := b.wait(now); again > 0 {
					t.Fatalf("seed %d: after a wait of %s another of %s", seed, wait, again)
				}
			}
			n := 1 + random.IntN(b.chunk(500))
			b.take(n)
			total += n
			largest = max(largest, n)
			now = now.Add(time.Duration(random.IntN(100)) * time.Millisecond)
			if most := rate*(now.Sub(start).Seconds()+burst) + float64(largest) + 1; float64(total) > most {
				t.Fatalf("seed %d: %d documents after %s at %g/s", seed, total, now.Sub(start), rate)
			}
		}
		if least := rate * now.Sub(start).Seconds() * 0.9; rate <= 10 && float64(total) < least {
			t.Errorf("seed %d: only %d documents after %s at %g/s", seed, total, now.Sub(start), rate)
		}
	}
}

func TestBucketForgivesAnOldRate(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	b := &bucket{}
	b.set(10_000, now)
	b.take(10_000)
	b.set(10, now)
	if wait := b.wait(now); wait > time.Second+time.Millisecond {
		t.Errorf("wait %s after the rate fell, want a second", wait)
	}
	b.set(0, now)
	if wait := b.wait(now); wait != 0 {
		t.Errorf("wait %s without a limit", wait)
	}
}

func TestBucketAndClocksThatJump(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	b := &bucket{}
	b.set(100, now)
	b.take(100)
	b.wait(now.Add(-time.Hour))
	if wait := b.wait(now.Add(-time.Hour)); wait > time.Second+time.Millisecond {
		t.Errorf("wait %s after the clock was put back", wait)
	}
	b.wait(now.Add(time.Hour))
	if b.balance > 50 {
		t.Errorf("balance %g after the clock was put forward, want at most half a second", b.balance)
	}
}

// However low the limit is, a debt is no time that has passed over the end of all numbers.
func TestATinyRateIsALimit(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{MinRate, 1e-300, math.SmallestNonzeroFloat64} {
		now := time.Unix(1e9, 0)
		b := &bucket{}
		b.set(rate, now)
		b.take(b.chunk(500))
		if wait := b.wait(now); wait < time.Hour {
			t.Errorf("rate %g: the second document waits %s", rate, wait)
		}
	}
	b := &bucket{}
	b.set(math.MaxFloat64, time.Unix(1e9, 0))
	if n := b.chunk(500); n != 500 {
		t.Errorf("chunks of %d at the greatest rate, want 500", n)
	}
	for _, rate := range []float64{-1, 1e-10, 1e-300, math.NaN(), math.Inf(1)} {
		if CheckRate(rate) == nil {
			t.Errorf("rate %g is allowed", rate)
		}
	}
}
