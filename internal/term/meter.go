package term

import "time"

// meter turns a growing count into a rate: the average over about the last ten seconds, which follows a script that
// slows down or stops, and does not jump with every chunk.
type meter struct {
	marks [20]mark // a ring; next is the oldest once it is full
	next  int
	full  bool
	last  mark
}

type mark struct {
	at   time.Time
	done int64
}

// meterStep is the time between two marks: shorter intervals measure the clock, not the work.
const meterStep = 500 * time.Millisecond

func (m *meter) update(now time.Time, done int64) {
	m.last = mark{now, done}
	if m.next > 0 || m.full {
		if now.Sub(m.marks[(m.next+len(m.marks)-1)%len(m.marks)].at) < meterStep {
			return
		}
	}
	m.marks[m.next] = m.last
	m.next++
	if m.next == len(m.marks) {
		m.next, m.full = 0, true
	}
}

// rate is items per second as seen now, so that it falls while nothing happens.
func (m *meter) rate(now time.Time) float64 {
	oldest := m.marks[0]
	if m.full {
		oldest = m.marks[m.next]
	}
	dt := now.Sub(oldest.at)
	if oldest.at.IsZero() || dt <= 0 {
		return 0
	}
	return max(0, float64(m.last.done-oldest.done)/dt.Seconds())
}
