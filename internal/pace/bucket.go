package pace

import (
	"math"
	"time"
)

// bucket limits a rate. What goes out is paid in advance, up to one chunk more than there is; who comes then waits until
// the debt is paid.
type bucket struct {
	rate    float64 // a second; 0 is no limit
	balance float64
	at      time.Time
}

// burst is how much of a quiet time may be caught up with, in seconds.
const burst = 0.5

// longest is how long a wait may be; it is looked at again after a second.
const longest = 365 * 24 * time.Hour

// slack makes up for times being whole nanoseconds.
const slack = 1e-6

func (b *bucket) set(rate float64, now time.Time) {
	if rate == b.rate {
		return
	}
	b.fill(now)
	if b.rate == 0 {
		b.balance = 0
	}
	b.rate = rate
	// A debt from faster times would stand still for ages.
	b.balance = max(b.balance, -rate)
	b.fill(now)
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 && !b.at.IsZero() {
		b.balance += passed * b.rate
	}
	b.balance = min(b.balance, burst*b.rate)
	b.at = now
}

// wait is how long the next one waits.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.rate == 0 {
		return 0
	}
	b.fill(now)
	if b.balance >= -slack {
		return 0
	}
	wait := min(-b.balance/b.rate, longest.Seconds()) // what is longer doesn't fit into a duration
	return time.Duration(wait*float64(time.Second)) + time.Nanosecond
}

func (b *bucket) take(n int) {
	if b.rate > 0 {
		b.balance -= float64(n)
	}
}

// chunk is how many documents may go at once: those of a second.
func (b *bucket) chunk(n int) int {
	if b.rate == 0 {
		return n
	}
	return int(min(float64(n), max(math.Floor(b.rate), MinChunk)))
}
