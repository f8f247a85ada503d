package rikki

import (
	"sync"
	"time"
)

// An EventType says what an [Event] carries.
type EventType string

// The types of events.
const (
	EventState    EventType = "state"    // the run entered a state; State is set
	EventProgress EventType = "progress" // Progress is set; at most ten a second
	EventLog      EventType = "log"      // Log is set
	EventFinding  EventType = "finding"  // Finding is set
	EventResult   EventType = "result"   // the run ended; Result is set, nothing follows
)

// An Event is something that happened in a run. Besides the common fields just
// the one that belongs to its type is set.
type Event struct {
	Type   EventType `json:"type"`
	Run    string    `json:"run"`
	Script string    `json:"script"`
	Seq    int64     `json:"seq"` // 1, 2, 3 … within a run
	Time   time.Time `json:"ts"`

	State    State          `json:"state,omitempty"`
	Progress *ProgressState `json:"progress,omitempty"`
	Log      *LogRecord     `json:"log,omitempty"`
	Finding  *Finding       `json:"finding,omitempty"`
	Result   *Result        `json:"result,omitempty"`
}

// An Observer is told what happens in runs. Observe is called by one goroutine
// at a time for each run, in order of Seq, and holds up the run while it
// works: it must be quick, and it must not call methods of the [Run] itself.
type Observer interface {
	Observe(event Event)
}

// ObserverFunc is a function as an [Observer].
type ObserverFunc func(event Event)

// Observe calls f.
func (f ObserverFunc) Observe(event Event) { f(event) }

// bus hands the events of one run to its observers, numbered and in order.
type bus struct {
	run, script string
	now         func() time.Time

	mu        sync.Mutex
	seq       int64
	observers []Observer
}

func (b *bus) publish(event Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	event.Run, event.Script, event.Seq = b.run, b.script, b.seq
	event.Time = b.now().UTC()
	for _, observer := range b.observers {
		observer.Observe(event)
	}
}
