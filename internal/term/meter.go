package term

import (
	"math"
	"time"
)

// meter turns a growing count into a rate: an average over about the last ten seconds, which follows a script that
// slows down and does not jump with every chunk.
type meter struct {
	started time.Time
	at      time.Time
	done    int64
	rate    float64
}

const (
	meterWindow = 10 * time.Second
	meterStep   = 500 * time.Millisecond // shorter intervals measure the clock, not the work
)

func (m *meter) update(now time.Time, done int64) {
	if m.started.IsZero() {
		m.started, m.at, m.done = now, now, done
		return
	}
	dt := now.Sub(m.at)
	if dt < meterStep {
		return
	}
	inst := max(0, float64(done-m.done)/dt.Seconds())
	if m.rate == 0 {
		m.rate = inst
	} else {
		m.rate += (inst - m.rate) * (1 - math.Exp(-dt.Seconds()/meterWindow.Seconds()))
	}
	m.at, m.done = now, done
}
