package rikki

import (
	"sync"
	"time"
)

// Progress is how a script says how far it is. Its methods may be called from
// several goroutines, and as often as wanted: observers hear of it at most ten
// times a second, the history about once a second.
type Progress struct {
	now     func() time.Time
	redact  func(string) string
	publish func(ProgressState)

	mu        sync.Mutex
	started   time.Time
	total     int64
	done      int64
	begun     int64 // of done, by earlier attempts
	message   string
	published time.Time
	changed   bool // since the history last took it

	// The rate is an average over the recent past, not over the whole run:
	// what an operator sees must follow a script that slows down.
	rate     float64
	markAt   time.Time
	markDone int64
}

// ProgressState is how far a run was at one moment.
type ProgressState struct {
	Done    int64         `json:"done"`
	Total   int64         `json:"total,omitempty"`  // 0 when it isn't known
	Failed  int64         `json:"failed,omitempty"` // the counter of that name; see [Run.Count]
	Message string        `json:"message,omitempty"`
	Rate    float64       `json:"rate"`          // units per second, recently
	ETA     time.Duration `json:"eta,omitempty"` // 0 when it isn't known
	Elapsed time.Duration `json:"elapsed"`
}

const (
	progressInterval = 100 * time.Millisecond // between two events
	rateInterval     = 500 * time.Millisecond // between two samples of the rate
	rateWeight       = 0.3                    // of a new sample in the average
)

func newProgress(now func() time.Time, redact func(string) string, publish func(ProgressState)) *Progress {
	start := now()
	return &Progress{now: now, redact: redact, publish: publish, started: start, markAt: start}
}

// SetTotal says how much there is to do. Without it, or with zero, progress is
// shown without a percentage.
func (p *Progress) SetTotal(n int64) { p.update(func() { p.total = max(n, 0) }) }

// restore begins where an earlier attempt was. Its rate isn't this one's.
func (p *Progress) restore(done, total int64, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.total, p.message, p.markDone, p.begun, p.changed = done, total, message, done, done, true
}

// Begin says that earlier attempts have done n units, which say nothing about
// the speed of this one.
func (p *Progress) Begin(n int64) {
	p.update(func() { p.done, p.markDone, p.begun, p.markAt = n, n, n, p.now() })
}

// Add says that n more units are done.
func (p *Progress) Add(n int64) { p.update(func() { p.done += n }) }

// Set says that n units are done in all.
func (p *Progress) Set(n int64) { p.update(func() { p.done = n }) }

// SetMessage says in a few words what the script is at.
func (p *Progress) SetMessage(message string) {
	message = p.redact(message)
	p.update(func() { p.message = message })
}

// State returns how far the run is.
func (p *Progress) State() ProgressState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state(p.now())
}

func (p *Progress) update(change func()) {
	p.mu.Lock()
	change()
	p.changed = true
	now := p.now()
	p.sample(now)
	due := now.Sub(p.published) >= progressInterval
	var state ProgressState
	if due {
		p.published = now
		state = p.state(now)
	}
	p.mu.Unlock()
	if due {
		p.publish(state)
	}
}

// sample folds what was done since the last sample into the rate.
func (p *Progress) sample(now time.Time) {
	passed := now.Sub(p.markAt)
	if passed < rateInterval {
		return
	}
	current := float64(p.done-p.markDone) / passed.Seconds()
	if p.rate == 0 {
		p.rate = current
	} else {
		p.rate += rateWeight * (current - p.rate)
	}
	p.markAt, p.markDone = now, p.done
}

func (p *Progress) state(now time.Time) ProgressState {
	elapsed := now.Sub(p.started)
	rate := p.rate
	if rate == 0 && elapsed > 0 {
		rate = float64(p.done-p.begun) / elapsed.Seconds()
	}
	state := ProgressState{Done: p.done, Total: p.total, Message: p.message, Rate: rate, Elapsed: elapsed}
	if left := p.total - p.done; p.total > 0 && left > 0 && rate > 0 {
		state.ETA = time.Duration(float64(left) / rate * float64(time.Second))
	}
	return state
}

// finish publishes the last state, which the interval may have held back, if
// the script ever reported progress.
func (p *Progress) finish() ProgressState {
	p.mu.Lock()
	state := p.state(p.now())
	reported := p.used()
	p.mu.Unlock()
	if reported {
		p.publish(state)
	}
	return state
}

func (p *Progress) used() bool { return p.done != 0 || p.total != 0 || p.message != "" }

// take returns the state if it changed since the last take.
func (p *Progress) take() (ProgressState, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.changed {
		return ProgressState{}, false
	}
	p.changed = false
	return p.state(p.now()), true
}
