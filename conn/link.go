package conn

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// How long a disconnect waits for operations under way: a moment for what a
// released user left behind, hardly any when Close was asked for. The driver
// spins while it waits.
const (
	releaseGrace = 2 * time.Second
	forcedGrace  = 100 * time.Millisecond
)

// errAbandoned stops a connect that nobody waits for any more.
var errAbandoned = errors.New("conn: nobody waits for this connect any more")

// A link is one client from its connect to its end.
type link struct {
	// Guarded by the Source's mutex.
	refs   int  // references handed out, and callers that wait for ready
	opened bool // the connect has ended, well or not
	taken  bool // no longer the Source's: nobody may use it any more

	// Written by the connect, read once ready is closed.
	client     *mongo.Client
	disconnect func(ctx context.Context) error
	database   string
	encoding   Encoding
	err        error

	ready   chan struct{} // closed when the connect has ended
	gone    chan struct{} // closed when nothing of the link is left
	stop    context.CancelCauseFunc
	facts   *facts
	version atomic.Pointer[string] // asked for once, by the first Check
	ending  sync.Once
	endErr  error
}

// join counts the caller in on the Source's link, and starts one if there is
// none.
func (s *Source) join() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	previous := s.link
	if previous != nil && !previous.taken {
		previous.refs++
		return previous
	}
	// The connect serves all who join it, so no single caller's context governs
	// it.
	ctx, stop := context.WithCancelCause(context.Background())
	l := &link{refs: 1, ready: make(chan struct{}), gone: make(chan struct{}), stop: stop, facts: newFacts()}
	s.link, s.failed, s.since = l, false, time.Now()
	s.report(l)
	go s.open(ctx, l, previous)
	return l
}

// open connects l once the link before it is gone, so that there are never two
// clients. Whoever waits for ready or gone waits for it.
func (s *Source) open(ctx context.Context, l, previous *link) {
	defer l.stop(nil)
	if previous != nil {
		<-previous.gone
	}
	err := context.Cause(ctx)
	if err == nil {
		err = s.connect(ctx, l)
	}
	s.mu.Lock()
	l.opened, l.err = true, err
	if err != nil && !l.taken {
		s.take(l)
		s.failed, s.err = true, err
	}
	taken := l.taken
	s.mu.Unlock()
	if taken {
		// The connect failed, or everybody left, or Close came: nothing may stay.
		_ = l.shut(context.WithoutCancel(ctx), forcedGrace) // err, if any, is the one to tell
	}
	close(l.ready)
	l.facts.signal()
}

// take makes the link nobody's. The caller holds the mutex, and ends the link
// when its connect has ended already; open does so otherwise.
func (s *Source) take(l *link) {
	l.taken = true
	s.since = time.Now()
}

// leave takes back the reference of a caller that stopped waiting, or that
// releases it.
func (s *Source) leave(ctx context.Context, l *link) error {
	s.mu.Lock()
	l.refs--
	if l.taken || l.refs > 0 || l.opened && s.cfg.KeepOpen {
		s.mu.Unlock()
		return nil
	}
	s.take(l)
	opened := l.opened
	s.mu.Unlock()
	if !opened {
		l.stop(errAbandoned)
		return nil
	}
	return l.shut(context.WithoutCancel(ctx), releaseGrace)
}

// shut disconnects once, whoever calls it, and returns when that is done. The
// caller's context gives values only: a connection must not stay because a run
// was cancelled.
func (l *link) shut(ctx context.Context, grace time.Duration) error {
	l.ending.Do(func() {
		defer close(l.gone)
		defer l.facts.end()
		if l.disconnect == nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		if !l.facts.reachable() {
			// Nobody is there to say goodbye to, and the driver would look for somebody.
			cancel()
		}
		l.endErr = l.disconnect(ctx)
	})
	return l.endErr
}
