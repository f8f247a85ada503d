package rikki

import (
	"time"
)

// An EventType says what an [Event] carries.
type EventType string

// The types of events.
const (
	EventState      EventType = "state"      // the run entered a state; State is set
	EventProgress   EventType = "progress"   // Progress is set; at most ten a second
	EventLog        EventType = "log"        // Log is set
	EventFinding    EventType = "finding"    // Finding is set
	EventRetry      EventType = "retry"      // a try failed, another one follows; Retry is set
	EventCheckpoint EventType = "checkpoint" // the script stored where it can go on
	EventResult     EventType = "result"     // the run ended; Result is set, nothing follows
)

// An Event is something that happened in a run. Besides the common fields just
// the one that belongs to its type is set.
//
// The states of a run that this process executes are those that it goes through
// here: running, perhaps pausing or cancelling, and the one that it ends in, which
// may be paused or interrupted. [App.Enqueue] tells [Config.Observers] of queued.
// What happens to runs elsewhere is in the history.
type Event struct {
	Type    EventType `json:"type"`
	Run     string    `json:"run"`
	Script  string    `json:"script"`
	Step    string    `json:"step,omitempty"` // of a batch
	Attempt int       `json:"attempt"`        // 0 while the run is queued
	Seq     int64     `json:"seq"`            // 1, 2, 3 … within an attempt
	Time    time.Time `json:"ts"`

	State    State          `json:"state,omitempty"`
	Progress *ProgressState `json:"progress,omitempty"`
	Log      *LogRecord     `json:"log,omitempty"`
	Finding  *Finding       `json:"finding,omitempty"`
	Retry    *Retrying      `json:"retry,omitempty"`
	Result   *Result        `json:"result,omitempty"`
}

// Retrying is why a script is tried again, and when.
type Retrying struct {
	Try   int           `json:"try"` // the one that failed, from 1
	Of    int           `json:"of"`
	Pause time.Duration `json:"pause"`
	Error string        `json:"error"`
}

// An Observer is told what happens in runs. Observe is called by one goroutine
// at a time for each run, in order of Seq. It must not call methods of the [Run]
// itself.
//
// An observer can't harm a run. It is called beside it: one that is slow falls
// behind, and when it is thousands of events behind, those of progress, logs and
// checkpoints are left out, which the gaps in Seq tell. [App.Run] returns when the
// observers have seen the end of the run, or after a second. A panic is logged,
// and the next event is observed as if nothing had happened. See [InStep] for
// observers that mustn't miss anything.
type Observer interface {
	Observe(event Event)
}

// ObserverFunc is a function as an [Observer].
type ObserverFunc func(event Event)

// Observe calls f.
func (f ObserverFunc) Observe(event Event) { f(event) }

// InStep returns an observer that is called by the run itself and holds it up
// while it works, so that it misses nothing, however fast the run goes.
func InStep(observer Observer) Observer { return inStep{observer} }

type inStep struct{ Observer }
