package pace

import (
	"maps"
	"slices"
	"time"
)

// Stats is for status lines.
type Stats struct {
	// Reason says why the run waits, "" if it doesn't.
	Reason string
	// Signal is what it waits for: window, script, rate, or the name of a signal.
	Signal string
	// Since is when the present wait began; zero if nobody waits.
	Since time.Time
	// Chunk is the present size. Ceiling limits it after a failure, 0 if there is none.
	Chunk, Ceiling int
	Workers        int
	// Gentle says why the run makes room for others, "" if it doesn't.
	Gentle string
	// GentleFor is how long it has done so in all.
	GentleFor time.Duration
	// Chunks and Docs were done.
	Chunks, Docs int64
	// P95 of the time that the last chunks took.
	P95 time.Duration
	// Throttled is the time in which at least one worker waited, in all and by reason: window, script, rate, or the name of a signal.
	Throttled time.Duration
	ByReason  map[string]time.Duration
	// Reasons are what was said last of each of these.
	Reasons map[string]string
	// Shrinks counts the chunks that were too large or too slow, LastShrink says why the last one was.
	Shrinks    int
	LastShrink string
	// Unreadable lists the signals that can't be read, whether they pause the run or not.
	Unreadable []string
}

// books keeps the figures.
type books struct {
	waiting      int
	key          string
	at, since    time.Time
	throttled    time.Duration
	byReason     map[string]time.Duration
	reasons      map[string]string
	recent       [128]time.Duration
	chunks, docs int64
	shrinks      int
	shrunk       string
}

// settle books the time since the last call on the reason that there was.
func (b *books) settle(now time.Time) {
	if passed := now.Sub(b.at); b.waiting > 0 && passed > 0 {
		b.throttled += passed
		b.byReason[b.key] += passed
	}
	b.at = now
}

// wait notes that a worker waits, the first time that it does.
func (b *books) wait(now time.Time, why block, waiting *bool) {
	b.settle(now)
	b.key = why.key
	b.reasons[why.key] = why.reason
	if *waiting {
		return
	}
	*waiting = true
	if b.waiting++; b.waiting == 1 {
		b.since = now
	}
}

// stop notes that it doesn't any more, if it did.
func (b *books) stop(now time.Time, waiting *bool) {
	if !*waiting {
		return
	}
	b.settle(now)
	*waiting = false
	if b.waiting--; b.waiting == 0 {
		b.since = time.Time{}
	}
}

func (b *books) chunk(o Outcome) {
	b.recent[b.chunks%int64(len(b.recent))] = o.Took
	b.chunks++
	b.docs += int64(o.Docs)
}

func (b *books) p95() time.Duration {
	n := min(int(b.chunks), len(b.recent))
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(b.recent[:n]))
	return sorted[(n*95+99)/100-1]
}

// Stats returns the figures of now.
func (c *Controller) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	s := c.settings(now)
	b := c.waits(s, now)
	c.books.settle(now)
	c.gentle.settle(s, now)
	stats := Stats{
		Reason: b.reason, Signal: b.key, Since: c.books.since, Chunk: c.bucket.chunk(c.size.now(s.Chunk)), Ceiling: c.size.ceiling, Workers: c.link.workers(s),
		Gentle: c.gentle.reason(s), GentleFor: c.gentle.spent,
		Chunks: c.books.chunks, Docs: c.books.docs, P95: c.books.p95(),
		Throttled: c.books.throttled, ByReason: maps.Clone(c.books.byReason), Reasons: maps.Clone(c.books.reasons),
		Shrinks: c.books.shrinks, LastShrink: c.books.shrunk,
	}
	for _, sensor := range c.sensors {
		old := sensor.MaxAge > 0 && now.Sub(sensor.at) > sensor.MaxAge
		if sensor.at.IsZero() || sensor.last.Unknown || old {
			stats.Unreadable = append(stats.Unreadable, sensor.Name)
		}
	}
	return stats
}
