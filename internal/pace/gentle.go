package pace

import (
	"fmt"
	"time"
)

// Gentle says when a run makes room for those who use the server beside it.
type Gentle string

// The ways.
const (
	GentleAuto   Gentle = "auto" // while there are others; "" is the same
	GentleAlways Gentle = "always"
	GentleNever  Gentle = "never"
)

const (
	// GentleTarget is what a chunk's work should take meanwhile: others wait for the cores, the cache, and behind its commit for
	// the journal's next flush.
	GentleTarget = 7 * time.Millisecond
	// gentleRest is how long to rest after a chunk, as a share of what it took.
	gentleRest = 0.25
	// gentleRate is how many commands a second of others are worth it.
	gentleRate = 20
	// gentleQuiet is how many looks in a row must have found fewer, until the run stops being gentle.
	gentleQuiet = 3
)

// Validate refuses any other way.
func (g Gentle) Validate() error {
	switch g {
	case "", GentleAuto, GentleAlways, GentleNever:
		return nil
	}
	return fmt.Errorf("gentle %q: use %s, %s or %s", g, GentleAuto, GentleAlways, GentleNever)
}

// Others are those who use the server beside the run.
type Others struct {
	// Rate is how many commands they send a second.
	Rate float64
	// Unknown says why that can't be told; "" if it can. Then they are taken to be there.
	Unknown string
}

// gentle makes room: one chunk at a time, a small one, and a rest after it. Where most of a chunk's time goes by on the link, it is one
// at a time at the server, about.
type gentle struct {
	others Others
	there  bool
	quiet  int       // looks in a row that found nobody
	under  int       // turns that are given out
	rests  time.Time // until when

	at    time.Time // of the last settling
	was   bool      // gentle, since then
	spent time.Duration
}

// settle books the time since the last call.
func (g *gentle) settle(s Settings, now time.Time) {
	if passed := now.Sub(g.at); g.was && passed > 0 {
		g.spent += passed
	}
	g.at, g.was = now, g.reason(s) != ""
}

func (g *gentle) observe(o Others) {
	g.others = o
	if o.Unknown != "" || o.Rate >= gentleRate {
		g.there, g.quiet = true, 0
		return
	}
	if g.quiet++; g.quiet >= gentleQuiet {
		g.there = false
	}
}

// reason is why the run is gentle now, "" if it isn't.
func (g *gentle) reason(s Settings) string {
	switch {
	case s.Gentle == GentleNever:
		return ""
	case s.Gentle == GentleAlways:
		return "as it was asked to be"
	case !g.there:
		return ""
	case g.others.Unknown != "":
		return "it can't see whether others use the server: " + g.others.Unknown
	}
	return fmt.Sprintf("others send %.0f commands/s", g.others.Rate)
}

// leastFactor is how many times the target the smallest chunk may take.
const leastFactor = 5

// goal is what a chunk should take.
func (g *gentle) goal(s Settings) goal {
	most := leastFactor * s.Target
	if g.reason(s) != "" {
		return goal{min(s.Target, GentleTarget), most}
	}
	return goal{s.Target, most}
}

// goal is what the documents of a chunk should take.
func (c *Controller) goal(s Settings) goal {
	g := c.gentle.goal(s)
	if c.gentle.reason(s) != "" {
		return g
	}
	return c.link.stretch(g, c.size.fixed)
}

// blocked makes the next chunk wait for its turn: for the one under way, or for the end of the rest.
func (g *gentle) blocked(s Settings, now time.Time, room int) block {
	switch {
	case g.reason(s) == "":
		return block{}
	case g.under >= room:
		return block{key: keyGentle}
	case now.Before(g.rests):
		return block{key: keyGentle, until: g.rests}
	}
	return block{}
}

func (g *gentle) granted() { g.under++ }

func (g *gentle) ended() { g.under-- }

// rest begins after a chunk that took so long.
func (g *gentle) rest(took time.Duration, now time.Time) {
	g.rests = now.Add(time.Duration(gentleRest * float64(took)))
}

// SetOthers takes a look at who else uses the server.
func (c *Controller) SetOthers(o Others) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.now()
	s := c.settings(at)
	before := c.goal(s)
	c.gentle.observe(o)
	c.gentle.settle(s, at)
	if now := c.goal(s); now.target < before.target {
		c.size.aim(now)
	}
	c.wakeAll()
}
