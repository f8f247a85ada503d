package backfill

import (
	"cmp"
	"slices"
	"time"

	"github.com/rikki-go/rikki/internal/pace"
)

// Wait is time that a run has waited for one reason.
type Wait struct {
	// For is what it was: "replication lag", "flow control", "commit latency", "window", "script" or "rate".
	For  string        `json:"for"`
	Time time.Duration `json:"time"`
	// Reason is what was said of it last.
	Reason string `json:"reason,omitempty"`
}

// waitsOf are the reasons that a run has waited for, the longest first.
func waitsOf(stats pace.Stats) []Wait {
	var waits []Wait
	for signal, d := range stats.ByReason {
		if d > 0 {
			waits = append(waits, Wait{For: signal, Time: d, Reason: stats.Reasons[signal]})
		}
	}
	slices.SortFunc(waits, func(a, b Wait) int { return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.For, b.For)) })
	return waits
}

// waitLog tells the log when a run begins to wait and when it goes on. A wait that comes and goes all the time is told less and less.
type waitLog struct {
	signal, reason string
	since          time.Time
	told           bool
	times          int // waits that were told
}

const (
	// manyWaits is how many are told of those that are short.
	manyWaits = 20
	longWait  = time.Minute
)

// noteWait takes what the run waits for now.
func (e *engine) noteWait(l *waitLog, s pace.Stats, now time.Time) {
	signal := s.Signal
	if signal == pace.KeyRate || s.Since.IsZero() {
		signal = "" // it was asked for, or nobody waits
	}
	if signal != l.signal {
		e.endWait(l, now)
		l.signal, l.since = signal, now
	}
	if signal == "" {
		return
	}
	least := worthTelling
	if l.times >= manyWaits {
		least = longWait
	}
	l.reason = s.Reason
	if !l.told && now.Sub(l.since) >= least {
		l.told = true
		l.times++
		e.log.Warn("the run waits", "signal", l.signal, "reason", l.reason)
	}
}

// endWait tells that the run doesn't wait any more.
func (e *engine) endWait(l *waitLog, now time.Time) {
	if l.told {
		e.log.Info("the run has waited", "signal", l.signal, "waited", now.Sub(l.since).Round(time.Second).String(), "reason", l.reason)
	}
	l.signal, l.told = "", false
}

// Advice is what can be done about a wait, or "".
func (w Wait) Advice() string {
	switch w.For {
	case pace.Lag:
		return "look at that member of the replica set; to go on without it: --ignore-member=HOST, --unreadable=ignore or --max-lag=0s"
	case pace.FlowControl, pace.Commit:
		return "look at the secondaries and their disks: the run goes on when they keep up"
	case pace.KeyRate:
		return "allow more with --rate, or with runs tune for a run that has begun"
	case pace.KeyWindow:
		return "give it the time until its window opens, or another one with --window, or with runs tune for a run that has begun"
	}
	return ""
}
