package rikki

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/commands"
)

// monitor knows what the server does for each run, because a cancelled context
// alone doesn't stop it: the driver closes the connection and the server goes
// on with an update whose client has hung up. Commands are tied to their run
// through the context they were sent with.
type monitor struct {
	next *event.CommandMonitor // of the app's author, or nil
	kept atomic.Int64          // commands for the history

	mu   sync.Mutex
	runs map[string]*runCommands
}

// runCommands are those of one run.
type runCommands struct {
	sent     int64                  // that read or write documents
	inFlight map[int64]string       // by request, the session
	inTxn    map[string]bson.Binary // sessions with an open transaction
	cut      []int64                // connections closed under a command, as the server numbers them
	settled  chan struct{}          // closed when nothing is in flight any more, if somebody waits
	open     []*openTx              // of Run.Tx
	strict   bool                   // all that the run writes belongs into transactions
	stray    []string               // what did not
}

func newMonitor(next *event.CommandMonitor) *monitor {
	return &monitor{next: next, runs: make(map[string]*runCommands)}
}

// watch begins to follow a run; forget ends it.
func (m *monitor) watch(run string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs[run] = &runCommands{inFlight: make(map[int64]string), inTxn: make(map[string]bson.Binary)}
}

func (m *monitor) forget(run string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.runs, run)
}

// settled returns a channel that is closed once the run has no command in
// flight. It is for a run whose context has ended, which sends no new ones.
func (m *monitor) settled(run string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	tracked := m.runs[run]
	if tracked == nil || len(tracked.inFlight) == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if tracked.settled == nil {
		tracked.settled = make(chan struct{})
	}
	return tracked.settled
}

// takeCut returns the connections that were closed under a command of the run
// since the last call.
func (m *monitor) takeCut(run string) []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	tracked := m.runs[run]
	if tracked == nil {
		return nil
	}
	cut := tracked.cut
	tracked.cut = nil
	return cut
}

// transactions returns the sessions in which the run has left a transaction
// open. The run holds them still, so they are nobody else's.
func (m *monitor) transactions(run string) []bson.Binary {
	m.mu.Lock()
	defer m.mu.Unlock()
	tracked := m.runs[run]
	if tracked == nil {
		return nil
	}
	sessions := make([]bson.Binary, 0, len(tracked.inTxn))
	for _, id := range tracked.inTxn {
		sessions = append(sessions, id)
	}
	return sessions
}

// commandMonitor returns the driver's view of m.
func (m *monitor) commandMonitor() *event.CommandMonitor {
	return &event.CommandMonitor{
		Started: func(ctx context.Context, e *event.CommandStartedEvent) {
			m.started(ctx, e)
			if m.next != nil && m.next.Started != nil {
				m.next.Started(ctx, e)
			}
		},
		Succeeded: func(ctx context.Context, e *event.CommandSucceededEvent) {
			m.finished(ctx, e.CommandFinishedEvent, replyError(e.Reply), false)
			if m.next != nil && m.next.Succeeded != nil {
				m.next.Succeeded(ctx, e)
			}
		},
		Failed: func(ctx context.Context, e *event.CommandFailedEvent) {
			m.finished(ctx, e.CommandFinishedEvent, e.Failure, cutOff(e.Failure))
			if m.next != nil && m.next.Failed != nil {
				m.next.Failed(ctx, e)
			}
		},
	}
}

// cutOff tells whether the driver has closed the connection under a command: when its context was cancelled before the answer.
// After a deadline it keeps the connection for whoever is next, and the server ends the command by itself, because it was told
// the time. A command that was never sent, since its context had ended before, leaves the connection as it was, too.
func cutOff(failure error) bool {
	return errors.Is(failure, context.Canceled) && mongo.IsNetworkError(failure)
}

// counting returns a monitor for a client that a run opens for work in parallel: it counts, and watches what is lent to the author.
func (m *monitor) counting(run string) *event.CommandMonitor {
	var next event.CommandMonitor
	if m.next != nil {
		next = *m.next
	}
	return &event.CommandMonitor{
		Started: func(ctx context.Context, e *event.CommandStartedEvent) {
			o := operationsOf(ctx)
			o.started(e)
			m.count(run, o, e)
			commands.Sent(ctx)
			if next.Started != nil {
				next.Started(ctx, e)
			}
		},
		Succeeded: func(ctx context.Context, e *event.CommandSucceededEvent) {
			if o := operationsOf(ctx); o != nil && !o.own {
				o.finished(e.RequestID, replyError(e.Reply))
			}
			if next.Succeeded != nil {
				next.Succeeded(ctx, e)
			}
		},
		Failed: func(ctx context.Context, e *event.CommandFailedEvent) {
			operationsOf(ctx).finished(e.RequestID, e.Failure)
			if next.Failed != nil {
				next.Failed(ctx, e)
			}
		},
	}
}

// keeping returns a monitor that counts what keeps the history, whichever run it is for.
func (m *monitor) keeping() *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		if commands.IsOnDocuments(e.CommandName) {
			m.kept.Add(1)
		}
	}}
}

func (m *monitor) count(run string, o *Operations, e *event.CommandStartedEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tracked := m.runs[run]; tracked != nil {
		tracked.count(e.CommandName)
		tracked.noteBeside(o, e)
	}
}

func (t *runCommands) count(command string) {
	if commands.IsOnDocuments(command) {
		t.sent++
	}
}

// sent is how many commands have been counted for a run and for the history.
func (m *monitor) sent(run string) int64 {
	n := m.kept.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	if tracked := m.runs[run]; tracked != nil {
		n += tracked.sent
	}
	return n
}

func (m *monitor) started(ctx context.Context, e *event.CommandStartedEvent) {
	run := runOf(ctx)
	if run == "" {
		return
	}
	o := operationsOf(ctx)
	o.started(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	tracked := m.runs[run]
	if tracked == nil {
		return
	}
	tracked.count(e.CommandName)
	tracked.noteBeside(o, e)
	// The command's bytes belong to the driver's buffer and are used again.
	subtype, data, _ := e.Command.Lookup("lsid", "id").BinaryOK()
	session := string(data)
	tracked.inFlight[e.RequestID] = session
	tracked.noteStray(e.CommandName, e.Command)
	switch {
	case e.Command.Lookup("startTransaction").Type == bson.TypeBoolean:
		tracked.inTxn[session] = bson.Binary{Subtype: subtype, Data: []byte(session)}
	case e.CommandName == "commitTransaction" || e.CommandName == "abortTransaction":
		delete(tracked.inTxn, session)
	}
}

func (m *monitor) finished(ctx context.Context, e event.CommandFinishedEvent, err error, cut bool) {
	run := runOf(ctx)
	if run == "" {
		return
	}
	operationsOf(ctx).finished(e.RequestID, err)
	m.mu.Lock()
	defer m.mu.Unlock()
	tracked := m.runs[run]
	if tracked == nil {
		return
	}
	if err != nil {
		tracked.noteFailure(tracked.inFlight[e.RequestID], err)
	}
	if cut && e.ServerConnectionID != nil {
		tracked.cut = append(tracked.cut, *e.ServerConnectionID)
	}
	delete(tracked.inFlight, e.RequestID)
	if len(tracked.inFlight) == 0 && tracked.settled != nil {
		close(tracked.settled)
		tracked.settled = nil
	}
}
