package rikki

import (
	"context"
	"errors"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
)

// Operations is what an author's function does with the database within a
// transaction that isn't its own; see [Run.Lend].
type Operations struct {
	own bool // they are the feature's

	mu     sync.Mutex
	inside map[int64]bool // requests under way, and whether they belong to a transaction
	failed error
}

type operationsKey struct{}

// errTransactionEnded says that a function has ended a transaction that was only
// lent to it.
var errTransactionEnded = errors.New("the function has ended the transaction that it works in, which is not its own")

// Guard marks a context as that of a feature which does all of its work in
// transactions, and watches for other writes of the run until stop is called:
// those that use neither this context nor a transaction. Stop returns them in words.
func (r *Run) Guard(ctx context.Context) (guarded context.Context, stop func() []string) {
	r.monitor.strict(r.id, true)
	return context.WithValue(ctx, operationsKey{}, &Operations{own: true}), func() []string { return r.monitor.strict(r.id, false) }
}

// Lend marks a context as one that a function of the author's gets. When one of its
// operations fails, the server has ended the transaction, whatever the function says.
func (r *Run) Lend(ctx context.Context) (context.Context, *Operations) {
	o := &Operations{}
	return context.WithValue(ctx, operationsKey{}, o), o
}

// Failed is the first operation in the transaction that failed, or nil.
func (o *Operations) Failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// operationsOf are those that a context was lent for, or nil.
func operationsOf(ctx context.Context) *Operations {
	o, _ := ctx.Value(operationsKey{}).(*Operations)
	return o
}

func (o *Operations) started(e *event.CommandStartedEvent) {
	if o == nil || o.own {
		return
	}
	inside := e.Command.Lookup("autocommit").Type == bson.TypeBoolean
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.inside == nil {
		o.inside = make(map[int64]bool)
	}
	o.inside[e.RequestID] = inside
	if inside && o.failed == nil && (e.CommandName == "commitTransaction" || e.CommandName == "abortTransaction") {
		o.failed = errTransactionEnded
	}
}

func (o *Operations) finished(request int64, err error) {
	if o == nil || o.own {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.inside[request] && err != nil && o.failed == nil {
		o.failed = asCommandError(err)
	}
	delete(o.inside, request)
}

// asCommandError is an error of the monitor's as the driver returns it to callers.
func asCommandError(err error) error {
	raw, ok := errors.AsType[driver.Error](err)
	if !ok {
		return err
	}
	return mongo.CommandError{Code: raw.Code, Message: raw.Message, Labels: raw.Labels, Name: raw.Name, Wrapped: raw.Wrapped, Raw: bson.Raw(raw.Raw)}
}

// maxStray bounds how many of the writes beside transactions are told apart.
const maxStray = 10

// strict begins or ends the watch for writes beside the transactions of a run, and returns what was found.
func (m *monitor) strict(run string, on bool) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	tracked := m.runs[run]
	if tracked == nil {
		return nil
	}
	stray := tracked.stray
	tracked.strict, tracked.stray = on, nil
	return stray
}

// noteBeside notes a write that is neither a feature's own nor part of a transaction.
func (t *runCommands) noteBeside(o *Operations, e *event.CommandStartedEvent) {
	if !t.strict || o != nil && o.own || !writeCommands[e.CommandName] || e.Command.Lookup("autocommit").Type == bson.TypeBoolean {
		return
	}
	target, _ := e.Command.Lookup(e.CommandName).StringValueOK()
	if name := e.CommandName + " " + target; len(t.stray) < maxStray && !slices.Contains(t.stray, name) {
		t.stray = append(t.stray, name)
	}
}
