package pace

import "time"

// link knows how much of the time of chunks goes by on the way to the server and back, while neither it nor the documents are the limit.
type link struct {
	trip time.Duration // the least that a round trip took lately
	took float64       // seconds that a chunk takes, a moving average
	way  float64       // and how many of them are the link's
	idle float64       // with the least that its commit takes
	now  int           // workers, where their number may follow
}

const (
	// farTrip is what a round trip takes at least where the link counts for more than the server.
	farTrip = 5 * time.Millisecond
	// linkWeight is that of a chunk in the averages.
	linkWeight = 0.2
	// fewer is which share of the workers must be enough before there are fewer: each one begins with some round trips.
	fewer = 0.7
	// linkStretch is how many times the target the documents of a chunk may take where its other time is long anyway.
	linkStretch = 10
)

// observe takes a chunk, and returns how much of its time tells nothing about its documents. The least that its commit takes is known
// apart, as it may wait for a majority that is far away.
func (l *link) observe(o Outcome, commit time.Duration) time.Duration {
	if o.Trip > 0 {
		if l.trip == 0 {
			l.trip = o.Trip
		}
		l.trip = min(o.Trip, l.trip+l.trip/50) // so that old times are forgotten
	}
	trips := o.Trips
	if o.Commit > 0 {
		trips--
	}
	way := time.Duration(max(trips, 0)) * l.trip
	idle := min(way+commit, o.Took)
	if o.Commit > 0 {
		way += l.trip
	}
	if l.took == 0 {
		l.took, l.way, l.idle = o.Took.Seconds(), way.Seconds(), idle.Seconds()
	}
	follow := func(average *float64, d time.Duration) { *average += linkWeight * (d.Seconds() - *average) }
	follow(&l.took, o.Took)
	follow(&l.way, min(way, o.Took))
	follow(&l.idle, idle)
	return idle
}

// inFlight is how many chunks must be under way for the server to have as much to do as it has with one that is near.
func (l *link) inFlight() float64 {
	if l.trip < farTrip || l.took <= 0 {
		return 1
	}
	const most = MaxWorkers
	return min(1/max(1-l.way/l.took, leastTime), most)
}

// workers is how many there shall be: what the settings say, or more of them where the link is the limit and they allow it.
func (l *link) workers(s Settings) int {
	if s.MostWorkers <= s.Workers {
		l.now = s.Workers
		return l.now
	}
	wanted := min(max(int(float64(s.Workers)*l.inFlight()), s.Workers), s.MostWorkers)
	if wanted > l.now || float64(wanted) <= fewer*float64(l.now) {
		l.now = wanted
	}
	return l.now
}

// room is how many chunks a gentle run may have under way: more than one only where most of their time goes by on the link.
func (l *link) room() int { return max(int(l.inFlight()/2), 1) } //nolint:mnd // half of them, as they may meet at the server

// stretch is what the documents of a chunk may take. Where the rest of its time is long, little would come of a short time for them.
func (l *link) stretch(g goal, fixed float64) goal {
	rest := time.Duration((l.idle + fixed) / 2 * float64(time.Second)) //nolint:mnd // so that they are a third of it
	g.target = max(g.target, min(rest, linkStretch*g.target))
	return g
}

// Workers is how many shall work at the same time.
func (c *Controller) Workers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.workers(c.settings(c.now()))
}
