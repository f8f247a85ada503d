package rikki

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// monitor knows which sessions the operations of each run use, because a
// cancelled context alone doesn't stop the server: it goes on with an update
// after the client has hung up. Commands are tied to their run through the
// context they were sent with.
type monitor struct {
	next *event.CommandMonitor // of the app's author, or nil

	mu   sync.Mutex
	runs map[string]*runSessions
}

// runSessions are the sessions that the server may still be working for.
type runSessions struct {
	inFlight map[int64]bson.Binary // by request
	inTxn    map[string]bson.Binary
	open     []*openTx // of Run.Tx
}

func newMonitor(next *event.CommandMonitor) *monitor {
	return &monitor{next: next, runs: make(map[string]*runSessions)}
}

// watch begins to follow a run; forget ends it.
func (m *monitor) watch(run string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs[run] = &runSessions{inFlight: make(map[int64]bson.Binary), inTxn: make(map[string]bson.Binary)}
}

func (m *monitor) forget(run string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.runs, run)
}

// sessions returns the sessions of the run that have an operation under way or
// a transaction open.
func (m *monitor) sessions(run string) []bson.Binary {
	m.mu.Lock()
	defer m.mu.Unlock()
	tracked := m.runs[run]
	if tracked == nil {
		return nil
	}
	seen := make(map[string]bool)
	var sessions []bson.Binary
	add := func(id bson.Binary) {
		if !seen[string(id.Data)] {
			seen[string(id.Data)] = true
			sessions = append(sessions, id)
		}
	}
	for _, id := range tracked.inFlight {
		add(id)
	}
	for _, id := range tracked.inTxn {
		add(id)
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
			m.finished(ctx, e.RequestID, replyError(e.Reply))
			if m.next != nil && m.next.Succeeded != nil {
				m.next.Succeeded(ctx, e)
			}
		},
		Failed: func(ctx context.Context, e *event.CommandFailedEvent) {
			m.finished(ctx, e.RequestID, e.Failure)
			if m.next != nil && m.next.Failed != nil {
				m.next.Failed(ctx, e)
			}
		},
	}
}

func (m *monitor) started(ctx context.Context, e *event.CommandStartedEvent) {
	run := runOf(ctx)
	if run == "" {
		return
	}
	subtype, data, ok := e.Command.Lookup("lsid", "id").BinaryOK()
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	tracked := m.runs[run]
	if tracked == nil {
		return
	}
	// The command's bytes belong to the driver's buffer and are used again.
	id := bson.Binary{Subtype: subtype, Data: append([]byte(nil), data...)}
	tracked.inFlight[e.RequestID] = id
	tracked.noteStray(e.CommandName, e.Command)
	switch {
	case e.Command.Lookup("startTransaction").Type == bson.TypeBoolean:
		tracked.inTxn[string(id.Data)] = id
	case e.CommandName == "commitTransaction" || e.CommandName == "abortTransaction":
		delete(tracked.inTxn, string(id.Data))
	}
}

func (m *monitor) finished(ctx context.Context, request int64, err error) {
	run := runOf(ctx)
	if run == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if tracked := m.runs[run]; tracked != nil {
		if err != nil {
			tracked.noteFailure(string(tracked.inFlight[request].Data), err)
		}
		delete(tracked.inFlight, request)
	}
}

// killSessions ends what the server is doing for the given sessions, and their
// transactions.
func killSessions(ctx context.Context, client *mongo.Client, sessions []bson.Binary) error {
	if len(sessions) == 0 {
		return nil
	}
	ids := make(bson.A, len(sessions))
	for i, id := range sessions {
		ids[i] = bson.D{{Key: "id", Value: id}}
	}
	err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "killSessions", Value: ids}}).Err()
	if err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
		return fmt.Errorf("killing what the run still does on the server: %w", err)
	}
	return nil
}
