package pace

import (
	"math/rand/v2"
	"testing"
	"time"
)

// run does chunks of which each takes overhead and cost for each document.
// within is a goal without a least size.
func within(target time.Duration) goal { return goal{target: target} }

func (z *sizer) run(chunks int, overhead, cost, target time.Duration) {
	for range chunks {
		n := z.now(0)
		z.done(n, n, z.step, overhead+time.Duration(n)*cost, within(target))
	}
}

func TestSizeConvergesOnTheTarget(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                   string
		overhead, cost, target time.Duration
	}{
		{"fast", 5 * time.Millisecond, 20 * time.Microsecond, 250 * time.Millisecond},
		{"slow", 5 * time.Millisecond, 5 * time.Millisecond, 250 * time.Millisecond},
		{"very slow", 0, 100 * time.Millisecond, 250 * time.Millisecond},
		{"much overhead", 100 * time.Millisecond, time.Millisecond, 250 * time.Millisecond},
		{"short target", time.Millisecond, 100 * time.Microsecond, 20 * time.Millisecond},
	} {
		z := newSizer()
		z.run(60, tc.overhead, tc.cost, tc.target)
		took := time.Duration(z.size) * tc.cost
		if z.size != MaxChunk && (took < tc.target*8/10 || took > tc.target*12/10) {
			t.Errorf("%s: %d documents take %s, want %s", tc.name, z.size, took, tc.target)
		}
	}
	z := newSizer()
	z.run(60, 0, time.Microsecond, time.Second)
	if z.size != MaxChunk {
		t.Errorf("cheap documents: size %d, want the largest", z.size)
	}
	z.run(60, 0, time.Minute, time.Second)
	if z.size != MinChunk {
		t.Errorf("costly documents: size %d, want the smallest", z.size)
	}
}

func TestSizeReactsAtOnce(t *testing.T) {
	t.Parallel()
	z := newSizer()
	z.run(60, 0, time.Millisecond, 250*time.Millisecond)
	before := z.size
	z.run(2, 0, 20*time.Millisecond, 250*time.Millisecond)
	if z.size > before/4+1 {
		t.Errorf("after two chunks at 20 times the cost: size %d, was %d; want a quarter", z.size, before)
	}
}

// Whatever chunks report, a step is at most double or half, and no size is out of bounds.
func TestSizeKeepsItsBounds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		z := newSizer()
		type chunk struct{ asked, step int }
		under := []chunk{} // chunks of several workers
		for range 500 {
			before := z.size
			switch n := random.IntN(10); {
			case n < 4 || len(under) == 0:
				under = append(under, chunk{z.now(0), z.step})
			case n == 4:
				c := under[0]
				under = under[1:]
				z.fail(c.asked)
				if z.size > max(c.asked/2, MinChunk) {
					t.Fatalf("seed %d: %d failed, next size %d", seed, c.asked, z.size)
				}
			default:
				i := random.IntN(len(under))
				c := under[i]
				under = append(under[:i], under[i+1:]...)
				took := time.Duration(random.ExpFloat64() * float64(200*time.Millisecond))
				z.done(random.IntN(c.asked+1), c.asked, c.step, took, within(250*time.Millisecond))
				if z.size > 2*before || z.size < before/2 {
					t.Fatalf("seed %d: from %d to %d", seed, before, z.size)
				}
			}
			if z.size < MinChunk || z.size > MaxChunk || z.ceiling > 0 && z.size > z.ceiling {
				t.Fatalf("seed %d: size %d, ceiling %d", seed, z.size, z.ceiling)
			}
		}
	}
}

// Eight workers report the same slow chunk: that is one reason to halve, not eight.
func TestWorkersStepTogether(t *testing.T) {
	t.Parallel()
	z := newSizer()
	step := z.step
	for range 8 {
		z.done(500, 500, step, 5*time.Second, within(250*time.Millisecond))
	}
	if z.size != 250 {
		t.Errorf("size %d after one round, want 250", z.size)
	}
	z = newSizer()
	for range 8 {
		z.fail(500)
	}
	if z.size != 250 {
		t.Errorf("size %d after one round of failures, want 250", z.size)
	}
	if z.memory != 2*firstPatience {
		t.Errorf("one round of failures counts as several: patience %d", z.memory)
	}
}

func TestShortChunksDontCount(t *testing.T) {
	t.Parallel()
	z := newSizer()
	z.done(3, 500, z.step, 20*time.Millisecond, within(250*time.Millisecond)) // the end of a partition
	if z.size != 500 || z.known {
		t.Errorf("size %d, cost %g; want nothing learnt", z.size, z.cost)
	}
	z.done(3, 500, z.step, time.Second, within(250*time.Millisecond))
	if z.size != 250 {
		t.Errorf("size %d after three documents that took a second, want 250", z.size)
	}
}

// A rate limit makes chunks smaller than the size. They don't know what the size would take.
func TestLimitedChunksDontMoveTheSize(t *testing.T) {
	t.Parallel()
	z := newSizer()
	z.done(10, 10, z.step, time.Millisecond, within(250*time.Millisecond))
	if z.size != 500 || !z.known {
		t.Errorf("size %d, cost %g; want only the cost learnt", z.size, z.cost)
	}
}

// Chunks above 1,000 documents fail. The size comes close, and runs into the wall ever more rarely.
func TestFailuresAreRemembered(t *testing.T) {
	t.Parallel()
	z := newSizer()
	failures := func(chunks int) (n int) {
		for range chunks {
			size := z.now(0)
			if size > 1000 {
				z.fail(size)
				n++
				continue
			}
			z.done(size, size, z.step, time.Duration(size)*10*time.Microsecond, within(250*time.Millisecond))
		}
		return n
	}
	first := failures(500)
	if first == 0 || first > 25 {
		t.Errorf("%d failures in the first 500 chunks", first)
	}
	if second := failures(5000); second > 30 {
		t.Errorf("%d failures in 5,000 chunks, %d in the first 500", second, first)
	}
	if z.size < 250 {
		t.Errorf("size %d, far from what works", z.size)
	}
	// The wall goes away.
	z.run(2000, 0, 10*time.Microsecond, 250*time.Millisecond)
	if z.ceiling != 0 || z.size < 9000 {
		t.Errorf("size %d, ceiling %d; want it to be forgotten", z.size, z.ceiling)
	}
}

func TestOneDocumentIsTheEnd(t *testing.T) {
	t.Parallel()
	z := newSizer()
	for n := 500; n > 1; n /= 2 {
		if !z.fail(n) {
			t.Fatalf("nothing smaller than %d", n)
		}
	}
	if z.fail(1) || z.size != 1 {
		t.Errorf("size %d, want 1 and no more", z.size)
	}
}

// A chunk has costs that its size doesn't change, and they may be all that its target allows.
func TestSizeHasALeast(t *testing.T) {
	t.Parallel()
	z := newSizer()
	g := goal{target: 10 * time.Millisecond, most: 500 * time.Millisecond}
	for range 50 {
		n := z.now(0)
		z.done(n, n, z.step, 30*time.Millisecond+time.Duration(n)*20*time.Microsecond, g)
	}
	if z.size < 400 || z.size > 600 {
		t.Errorf("chunks of %d documents, want about the 500 that take 10 ms: a chunk of any size takes longer than it should", z.size)
	}
	for range 50 { // documents that take long themselves
		n := z.now(0)
		z.done(n, n, z.step, time.Duration(n)*100*time.Millisecond, g)
	}
	if z.size != 5 {
		t.Errorf("chunks of %d documents of 100 ms, want the 5 that take 500 ms", z.size)
	}
}
