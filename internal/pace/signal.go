package pace

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Names of signals that the controller knows. Any other name will do as well.
const (
	Lag         = "replication lag" // its limit is Settings.MaxLag
	Commit      = "commit latency"  // its limit is Settings.MaxCommit; chunks report it by themselves
	FlowControl = "flow control"
)

// Signal is one sample of something that may make a run wait.
type Signal struct {
	Name         string
	Value, Limit float64 // above the limit is too much; no limit is 0
	Seconds      bool    // the unit of both
	// Unknown says that there was nothing to be read; Reason says why.
	Unknown bool
	// Reason is what to say when it is above the limit; "" makes a sentence of name, value and limit.
	Reason string
	// Who is what the value is of: it stands behind such a sentence.
	Who string
}

// Duration is a sample of a time.
func Duration(name string, value, limit time.Duration) Signal {
	return Signal{Name: name, Value: value.Seconds(), Limit: limit.Seconds(), Seconds: true}
}

// Flag is a sample of something that is too much or not.
func Flag(name string, on bool, reason string) Signal {
	s := Signal{Name: name, Limit: 0.5, Reason: reason}
	if on {
		s.Value = 1
	}
	return s
}

// Unreadable is a sample that failed.
func Unreadable(name, reason string) Signal { return Signal{Name: name, Unknown: true, Reason: reason} }

// LagBetween is a sample of [Lag]: the time between the newest write and the newest that a member has applied. A member
// that never reported has the zero time, which is no lag of centuries but unknown.
func LagBetween(newest, applied time.Time) Signal {
	const epoch = 1 // servers report times around 1970 when they know none
	if newest.Unix() < epoch || applied.Unix() < epoch {
		return Unreadable(Lag, "a member reports no time")
	}
	return Duration(Lag, max(newest.Sub(applied), 0), 0)
}

func (s Signal) clean() Signal {
	if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || s.Value < 0 {
		s.Unknown, s.Reason = true, "it makes no sense: "+s.show(s.Value)
	}
	return s
}

func (s Signal) above() bool { return !s.Unknown && s.Limit > 0 && s.Value > s.Limit }

// words says why the signal makes a run wait.
func (s Signal) words() string {
	switch {
	case s.Unknown && s.Reason != "":
		return s.Name + " can't be read: " + s.Reason
	case s.Unknown:
		return s.Name + " can't be read"
	case s.Reason != "":
		return s.Reason
	case !s.above():
		return s.Name + " " + s.show(s.Value) + ", was above " + s.show(s.Limit)
	case s.Who != "":
		return s.Name + " " + s.show(s.Value) + " above " + s.show(s.Limit) + ": " + s.Who
	}
	return s.Name + " " + s.show(s.Value) + " above " + s.show(s.Limit)
}

func (s Signal) show(v float64) string {
	if s.Seconds && math.Abs(v) < 1e9 {
		d := time.Duration(v * float64(time.Second))
		if d > time.Second {
			return d.Round(100 * time.Millisecond).String()
		}
		return d.Round(time.Millisecond).String()
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// OnUnknown says what a signal means that can't be read.
type OnUnknown uint8

// The policies.
const (
	PauseOnUnknown OnUnknown = iota
	IgnoreUnknown
)

// Sensor says how a signal is judged.
type Sensor struct {
	Name      string
	OnUnknown OnUnknown
	// MaxAge is how old the last sample may be until it counts as unknown; 0 is any age.
	MaxAge time.Duration
}

// samples is how many in a row it takes to pause, and to go on.
const samples = 2

// sensor judges one signal. It pauses a run, or not.
type sensor struct {
	Sensor
	last    Signal
	at      time.Time
	known   bool // there was a sample that could be read
	tripped bool
	streak  int // samples in a row that speak against the present state
}

func (s *sensor) observe(sig Signal, now time.Time) {
	first := s.at.IsZero()
	s.last, s.at = sig, now
	s.known = s.known || !sig.Unknown
	if first {
		s.tripped = s.bad(sig)
		return
	}
	against := s.bad(sig) != s.tripped
	if !against {
		s.streak = 0
		return
	}
	if s.streak++; s.streak >= samples {
		s.tripped, s.streak = !s.tripped, 0
	}
}

func (s *sensor) bad(sig Signal) bool {
	if sig.Unknown {
		return s.OnUnknown == PauseOnUnknown
	}
	return sig.above()
}

// reason is why the signal makes a run wait now, or "".
func (s *sensor) reason(now time.Time) string {
	fails := s.OnUnknown == PauseOnUnknown
	switch age := now.Sub(s.at); {
	case s.at.IsZero() && fails:
		return s.Name + " can't be read: no sample yet"
	case !s.at.IsZero() && s.MaxAge > 0 && age > s.MaxAge:
		if !fails {
			return ""
		}
		return fmt.Sprintf("%s can't be read: the last sample is %s old", s.Name, age.Round(time.Second))
	case s.tripped:
		return s.last.words()
	case !s.known && fails:
		return s.last.words()
	}
	return ""
}
