package rikki

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/preview"
)

// fence keeps every write of a dry run inside the transaction that will be
// aborted. A command monitor can't refuse a command, but it is told before the
// command is sent, on a connection that is open by then: at one that must not
// be, the fence closes all connections of the dry run's own client. So the
// command never leaves the process, whatever context it was given. The driver
// opens new ones, and may try again, with the same outcome.
type fence struct {
	next    *event.CommandMonitor
	stop    context.CancelCauseFunc // ends the run
	allowed string                  // the session of the transaction; "" allows no write at all

	mu      sync.Mutex
	broken  error // why, once a command was refused; nothing but the end is let out then
	conns   map[net.Conn]struct{}
	pending map[int64]sentWrite
	writes  []sentWrite
	counts  map[string]*preview.Collection
	setup   bool // something was written before the script itself began
}

// sentWrite is a write of the transaction.
type sentWrite struct {
	collection string
	name       string
	command    bson.Raw
}

// maxPreviewWrites bounds how many write commands the preview looks back at.
const maxPreviewWrites = 50

func newFence(next *event.CommandMonitor) *fence {
	return &fence{
		next: next, conns: make(map[net.Conn]struct{}), pending: make(map[int64]sentWrite),
		counts: make(map[string]*preview.Collection),
	}
}

// around returns the config of a client behind the fence.
func (f *fence) around(cfg conn.Config) conn.Config {
	cfg.AppName += "-dry-run"
	cfg.Timeout = -1 // with one, the driver would try a refused command again until it is over
	cfg.Log = slog.New(slog.DiscardHandler)
	cfg.Monitor = &event.CommandMonitor{
		Started: func(ctx context.Context, e *event.CommandStartedEvent) {
			f.started(e)
			f.next.Started(ctx, e)
		},
		Succeeded: func(ctx context.Context, e *event.CommandSucceededEvent) {
			f.succeeded(e)
			f.next.Succeeded(ctx, e)
		},
		Failed: f.next.Failed,
	}
	own := cfg.ClientOptions
	cfg.ClientOptions = func(o *options.ClientOptions) {
		if own != nil {
			own(o)
		}
		o.SetDialer(&fencedDialer{fence: f, next: o.Dialer})
	}
	return cfg
}

// readCommands may be sent outside of the transaction. What isn't known to be
// harmless is refused.
var readCommands = map[string]bool{
	"find": true, "count": true, "distinct": true, "getMore": true, "killCursors": true, "explain": true,
	"listCollections": true, "listIndexes": true, "listDatabases": true,
	"ping": true, "hello": true, "isMaster": true, "buildInfo": true, "connectionStatus": true,
	"dbStats": true, "collStats": true, "serverStatus": true, "replSetGetStatus": true,
	// Every write of another transaction is refused, so its commit changes nothing.
	"commitTransaction": true,
}

// endCommands undo and end, and are let out always.
var endCommands = map[string]bool{"abortTransaction": true, "endSessions": true, "killSessions": true}

func (f *fence) started(e *event.CommandStartedEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case endCommands[e.CommandName]:
	case f.broken != nil:
		f.cut()
	case f.inside(e.Command):
		if e.CommandName == "commitTransaction" {
			f.refuse(errors.New("a commit of the dry run's own transaction"))
			return
		}
		if writeCommands[e.CommandName] && len(f.writes)+len(f.pending) < maxPreviewWrites {
			f.pending[e.RequestID] = sentWrite{
				collection: collectionOf(e), name: e.CommandName, command: append(bson.Raw(nil), e.Command...),
			}
		} else if writeCommands[e.CommandName] {
			f.pending[e.RequestID] = sentWrite{collection: collectionOf(e), name: e.CommandName}
		}
	case readCommands[e.CommandName]:
	case e.CommandName == "aggregate" && !writesOut(e.Command):
	case f.allowed == "":
		f.refuse(fmt.Errorf("%s on %s: the script declares a dry run of its own, which must change nothing", e.CommandName, collectionOf(e)))
	default:
		f.refuse(fmt.Errorf("%s on %s: it can't run in the dry run's transaction, or did not use the context that the script got",
			e.CommandName, collectionOf(e)))
	}
}

// inside tells whether the command belongs to the transaction.
func (f *fence) inside(command bson.Raw) bool {
	if autocommit, ok := command.Lookup("autocommit").BooleanOK(); !ok || autocommit {
		return false
	}
	_, session, ok := command.Lookup("lsid", "id").BinaryOK()
	return ok && f.allowed != "" && string(session) == f.allowed
}

// refuse keeps the command from being sent, and ends the run.
func (f *fence) refuse(why error) {
	f.broken = why
	f.cut()
	if f.stop != nil {
		f.stop(fmt.Errorf("%w: %w", ErrNotPreviewable, why))
	}
}

func (f *fence) cut() {
	for c := range f.conns {
		_ = c.Close()
	}
	clear(f.conns)
}

func (f *fence) succeeded(e *event.CommandSucceededEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	write, ok := f.pending[e.RequestID]
	if !ok {
		return
	}
	delete(f.pending, e.RequestID)
	if write.command != nil {
		f.writes = append(f.writes, write)
	}
	counts := f.counts[write.collection]
	if counts == nil {
		counts = &preview.Collection{Name: write.collection}
		f.counts[write.collection] = counts
	}
	count(counts, write.name, e.Reply)
}

// count adds what a reply says to a collection's figures.
func count(c *preview.Collection, command string, reply bson.Raw) {
	n, _ := reply.Lookup("n").AsInt64OK()
	switch command {
	case "insert":
		c.Inserted += n
	case "delete":
		c.Deleted += n
	case "update":
		modified, _ := reply.Lookup("nModified").AsInt64OK()
		c.Updated += modified
		if upserted, ok := reply.Lookup("upserted").ArrayOK(); ok {
			values, _ := upserted.Values() // a reply of the server
			c.Inserted += int64(len(values))
		}
	case "findAndModify":
		last := reply.Lookup("lastErrorObject")
		switch existing, known := last.Document().Lookup("updatedExisting").BooleanOK(); {
		case !known:
			deleted, _ := last.Document().Lookup("n").AsInt64OK()
			c.Deleted += deleted
		case existing:
			c.Updated++
		case last.Document().Lookup("upserted").Type != 0:
			c.Inserted++
		}
	}
}

// stopWith sets what ends the script when a command is refused; nil if nothing can.
func (f *fence) stopWith(stop context.CancelCauseFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stop = stop
}

// begin notes that the script itself begins.
func (f *fence) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.setup = len(f.counts)+len(f.pending) > 0
}

// before tells whether something was written before that.
func (f *fence) before() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.setup
}

// forget forgets the writes of a transaction that is over.
func (f *fence) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes, f.counts, f.pending = nil, make(map[string]*preview.Collection), make(map[int64]sentWrite)
}

func (f *fence) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// seen returns the writes of the transaction, and the figures of each
// collection in order of their names.
func (f *fence) seen() ([]sentWrite, []preview.Collection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]preview.Collection, 0, len(f.counts))
	for _, c := range f.counts {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b preview.Collection) int { return strings.Compare(a.Name, b.Name) })
	return f.writes, list
}

func collectionOf(e *event.CommandStartedEvent) string {
	if name, ok := e.Command.Lookup(e.CommandName).StringValueOK(); ok {
		return e.DatabaseName + "." + name
	}
	return e.DatabaseName
}

// writesOut tells whether an aggregation ends in a collection.
func writesOut(command bson.Raw) bool {
	stages, ok := command.Lookup("pipeline").ArrayOK()
	if !ok {
		return true
	}
	values, err := stages.Values()
	if err != nil {
		return true
	}
	for _, stage := range values {
		doc, _ := stage.DocumentOK()
		if doc.Lookup("$out").Type != 0 || doc.Lookup("$merge").Type != 0 {
			return true
		}
	}
	return false
}

// fencedDialer hands out connections that the fence can close.
type fencedDialer struct {
	fence *fence
	next  options.ContextDialer
}

// DialContext opens a connection that the fence knows.
func (d *fencedDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var dial options.ContextDialer = &net.Dialer{}
	if d.next != nil {
		dial = d.next
	}
	raw, err := dial.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &fencedConn{Conn: raw, fence: d.fence}
	d.fence.mu.Lock()
	defer d.fence.mu.Unlock()
	d.fence.conns[c] = struct{}{}
	return c, nil
}

type fencedConn struct {
	net.Conn
	fence *fence
}

// Close closes the connection and forgets it.
func (c *fencedConn) Close() error {
	// The fence cuts with its lock held, and forgets all of them itself.
	if c.fence.mu.TryLock() {
		delete(c.fence.conns, c)
		c.fence.mu.Unlock()
	}
	return c.Conn.Close()
}
