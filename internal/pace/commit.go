package pace

import (
	"fmt"
	"time"
)

const (
	// commitFloor is up to where latency is never too high by comparison.
	commitFloor = time.Second
	// commitFactor is how many times the usual is too high.
	commitFactor = 10
	// commitLearn is how many samples tell what is usual.
	commitLearn = 10
	// minCooldown and maxCooldown bound the time between probes.
	minCooldown = time.Second
	maxCooldown = 15 * time.Second
)

// commits judges the latency of commits. When it is too high, it lets one chunk at a time through to find out.
type commits struct {
	usual    float64       // seconds
	least    time.Duration // of the last hundred or so: what a commit costs with hardly anything in it
	seen     int
	last     time.Duration
	limited  time.Duration // the limit that last was compared with
	tripped  bool
	streak   int
	cooldown time.Duration
	raised   time.Time // when cooldown grew last
	probe    time.Time // not before
}

// limit is what the latency may be; 0 is anything.
func (c *commits) limit(s Settings) time.Duration {
	switch {
	case s.MaxCommit < 0:
		return 0
	case s.MaxCommit > 0:
		return s.MaxCommit
	case c.seen < commitLearn:
		return 0
	}
	return max(commitFloor, time.Duration(commitFactor*c.usual*float64(time.Second)))
}

func (c *commits) observe(took time.Duration, s Settings, now time.Time) {
	limit := c.limit(s)
	c.last, c.limited = took, limit
	c.learn(took)
	bad := limit > 0 && took > limit
	if bad {
		// Chunks that were under way together bring the same news once.
		if c.tripped && now.Sub(c.raised) >= c.cooldown {
			c.cooldown, c.raised = min(2*c.cooldown, maxCooldown), now
		}
		c.probe = now.Add(c.cooldown)
	} else {
		c.probe = now
	}
	if bad == c.tripped {
		c.streak = 0
		return
	}
	if c.streak++; c.streak < samples {
		return
	}
	c.tripped, c.streak, c.cooldown = bad, 0, minCooldown
	if bad {
		c.probe, c.raised = now.Add(c.cooldown), now
	}
}

// learn moves what is usual, by a sample that is much higher only a little: it may be the trouble, or the new usual. What is the
// least creeps up, so that old times are forgotten.
func (c *commits) learn(took time.Duration) {
	v := took.Seconds()
	c.seen++
	if c.seen == 1 {
		c.usual, c.least = v, took
		return
	}
	c.least = min(took, c.least+c.least/50)
	weight := max(0.05, 1/float64(c.seen))
	if c.seen > commitLearn {
		v = min(v, 2*c.usual+0.001)
	}
	c.usual += weight * (v - c.usual)
}

// reason is why a chunk has to wait, and until when.
func (c *commits) reason(s Settings, now time.Time) (string, time.Time) {
	if !c.tripped || c.limit(s) == 0 || !now.Before(c.probe) {
		return "", time.Time{}
	}
	return c.words(), c.probe
}

func (c *commits) words() string {
	sample := Duration(Commit, c.last, c.limited)
	return fmt.Sprintf("%s, one chunk every %s until it falls", sample.words(), c.cooldown)
}

// wasted notes that a chunk came back without news.
func (c *commits) wasted(now time.Time) {
	if c.tripped {
		c.probe = now.Add(c.cooldown)
	}
}

// granted notes that a chunk goes through. While there is trouble, no other follows before it is back or late.
func (c *commits) granted(now time.Time) {
	if c.tripped {
		c.probe = now.Add(maxCooldown)
	}
}
