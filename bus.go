package rikki

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// maxBehind is how many events an observer may be behind before those that it can do without are left out.
	maxBehind = 4096
	// observeWait is how long the end of a run waits for observers that are behind.
	observeWait = time.Second
)

// bus hands the events of one run to its observers, numbered and in order.
type bus struct {
	run, script string
	step        string // of a batch
	attempt     int
	now         func() time.Time
	log         *slog.Logger    // not the run's own, whose records are events
	work        func(fn func()) // runs fn in a goroutine that somebody waits for

	mu        sync.Mutex
	seq       int64
	ended     bool
	listeners []*listener
}

func (a *App) newBus(run, script string, attempt int, more []Observer) *bus {
	b := &bus{
		run: run, script: script, attempt: attempt, now: time.Now, work: a.runs.Go,
		log: slog.New(a.redactor.Handler(a.cfg.Log.Handler())).With(keyRun, run, keyScript, script),
	}
	for _, observers := range [][]Observer{a.cfg.Observers, more} {
		for _, observer := range observers {
			b.listeners = append(b.listeners, &listener{bus: b, observer: observer})
		}
	}
	return b
}

// tellQueued tells the app's observers of a run that this process has queued.
func (a *App) tellQueued(run, script string) {
	if len(a.cfg.Observers) == 0 || a.enter() != nil {
		return
	}
	defer a.runs.Done()
	b := a.newBus(run, script, 0, nil)
	b.publish(Event{Type: EventState, State: Queued})
	b.settle()
}

// publish gives the event to all observers, unless the run's result was published.
func (b *bus) publish(event Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	b.seq++
	event.Run, event.Script, event.Step, event.Attempt, event.Seq = b.run, b.script, b.step, b.attempt, b.seq
	event.Time = b.now().UTC()
	b.ended = event.Type == EventResult
	for _, l := range b.listeners {
		l.take(event)
	}
}

// settle waits until the observers have seen what was published, but not for long.
func (b *bus) settle() {
	timer := time.NewTimer(observeWait)
	defer timer.Stop()
	for _, l := range b.listeners {
		select {
		case <-l.idle():
		case <-timer.C:
			b.log.Warn("an observer is behind; the run doesn't wait for it any longer", "waited", observeWait.String())
			return
		}
	}
}

// listener is one observer of one run.
type listener struct {
	bus      *bus
	observer Observer

	mu       sync.Mutex
	queue    []Event
	left     int // events that were left out
	panicked bool
	busy     chan struct{} // closed when the queue is empty; nil when nobody works on it
}

// take observes the event: at once, or in a goroutine that lives as long as there is something to observe.
func (l *listener) take(event Event) {
	if _, ok := l.observer.(inStep); ok {
		l.observe(event)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= maxBehind && dispensable(event.Type) {
		if l.left == 0 {
			l.bus.log.Warn("an observer is too slow, events are left out", "behind", len(l.queue))
		}
		l.left++
		return
	}
	l.queue = append(l.queue, event)
	if l.busy == nil {
		l.busy = make(chan struct{})
		l.bus.work(l.drain)
	}
}

func dispensable(t EventType) bool {
	return t == EventProgress || t == EventLog || t == EventCheckpoint
}

// drain observes until nothing is left.
func (l *listener) drain() {
	finished := false
	defer func() {
		if !finished { // the observer ended its goroutine
			l.bus.work(l.drain)
		}
	}()
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.queue = nil
			close(l.busy)
			l.busy = nil
			l.mu.Unlock()
			finished = true
			return
		}
		event := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		l.observe(event)
	}
}

// observe calls the observer, and keeps its panic from the run.
func (l *listener) observe(event Event) {
	var err error
	defer func() {
		if err == nil {
			return
		}
		l.mu.Lock()
		first := !l.panicked
		l.panicked = true
		l.mu.Unlock()
		if first {
			l.bus.log.Error("an observer panicked; the run goes on", "event", string(event.Type), "error", err, "stack", stackOf(err))
		}
	}()
	guard(&err, func() error { l.observer.Observe(event); return nil })
}

func stackOf(err error) string {
	if panicked, ok := err.(*PanicError); ok { //nolint:errorlint // it comes straight from guard
		return panicked.Stack
	}
	return ""
}

// idle is closed when the listener has nothing left to do.
func (l *listener) idle() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy != nil {
		return l.busy
	}
	none := make(chan struct{})
	close(none)
	return none
}
