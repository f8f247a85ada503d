//go:build linux

package anybackfill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/embedded"
)

// world is a server, and how often it had to be started again.
type world struct {
	standalone bool

	mu     sync.Mutex
	server *embedded.Server
	client *mongo.Client
	deaths int
}

// get returns the server's client and how often it had died by then.
func (w *world) get(ctx context.Context) (*mongo.Client, string, int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server == nil {
		s, err := embedded.Start(ctx, &embedded.Options{
			Standalone: w.standalone, Args: []string{"--setParameter", "enableTestCommands=1", "--setParameter", "maxTransactionLockRequestTimeoutMillis=20"},
		})
		if err != nil {
			return nil, "", 0, err
		}
		c, err := mongo.Connect(options.Client().ApplyURI(s.URI()).SetAppName("judge").SetWriteConcern(writeconcern.Majority()).
			SetReadConcern(readconcern.Majority()).SetTimeout(20 * time.Second).SetServerSelectionTimeout(5 * time.Second))
		if err != nil {
			return nil, "", 0, err
		}
		w.server, w.client = s, c
	}
	return w.client, w.server.URI(), w.deaths, nil
}

// alive tells whether the server answers; a dead one is buried, and its last words are told.
func (w *world) alive(ctx context.Context) (bool, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server == nil {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if w.client.Ping(ctx, nil) == nil {
		return true, nil
	}
	logs := w.server.Logs()
	_ = w.client.Disconnect(ctx)
	_ = w.server.Stop(ctx)
	w.server, w.client = nil, nil
	w.deaths++
	return false, logs[max(0, len(logs)-60):]
}

func (w *world) stop() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(w.client.Disconnect(ctx), w.server.Stop(ctx))
}

// wire breaks connections.
type wire struct {
	mu    sync.Mutex
	conns map[*cable]bool
}

type cable struct {
	net.Conn
	w    *wire
	drop atomic.Bool // the next thing that is sent gets no answer
	sent atomic.Bool
}

func (w *wire) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	out := &cable{Conn: c, w: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		w.conns = map[*cable]bool{}
	}
	w.conns[out] = true
	return out, nil
}

func (c *cable) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.drop.Load() {
		c.sent.Store(true)
	}
	return n, err
}

func (c *cable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.sent.Load() {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *cable) Close() error {
	c.w.mu.Lock()
	delete(c.w.conns, c)
	c.w.mu.Unlock()
	return c.Conn.Close()
}

// all are the connections that are open.
func (w *wire) all() []*cable {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*cable
	for c := range w.conns {
		list = append(list, c)
	}
	return list
}

// watcher counts the commands of an app, and has events happen at them.
type watcher struct {
	mu     sync.Mutex
	counts map[string]int
	todo   []Event
	late   []Event // that couldn't happen yet
	did    []Event
	do     func(Event) bool
	busy   bool
	wire   *wire
}

func (w *watcher) arm(events []Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts, w.todo, w.late = map[string]int{}, append([]Event(nil), events...), nil
}

// happened are the events that did.
func (w *watcher) happened() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Event(nil), w.did...)
}

func counted(name string) bool {
	switch name {
	case "find", "aggregate", "update", "insert", "delete", "commitTransaction", "getMore", "findAndModify", "bulkWrite", "explain", "count":
		return true
	default:
		return false
	}
}

func (w *watcher) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) { w.see(e.CommandName, false) },
		Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
			w.see(e.CommandName, true)
		},
	}
}

func (w *watcher) see(name string, after bool) {
	if !counted(name) {
		return
	}
	w.mu.Lock()
	if w.busy || w.counts == nil {
		w.mu.Unlock()
		return
	}
	var due []Event
	if after && name == "commitTransaction" {
		due, w.late = w.late, nil
	}
	for _, on := range []string{name, "any"} {
		key := fmt.Sprint(on, after)
		w.counts[key]++
		kept := w.todo[:0]
		for _, e := range w.todo {
			if e.On == on && e.After == after && e.N == w.counts[key] {
				due = append(due, e)
			} else {
				kept = append(kept, e)
			}
		}
		w.todo = kept
	}
	if len(due) == 0 {
		w.mu.Unlock()
		return
	}
	w.busy = true
	w.mu.Unlock()
	var late, did []Event
	for _, e := range due {
		if w.do(e) {
			did = append(did, e)
		} else {
			late = append(late, e)
		}
	}
	w.mu.Lock()
	w.busy = false
	w.late = append(w.late, late...)
	w.did = append(w.did, did...)
	w.mu.Unlock()
}

// configOf configures an app.
func configOf(uri, db, history, name string, monitor *event.CommandMonitor, dial *wire) rikki.Config {
	cfg := rikki.Config{HistoryDatabase: history, Actor: "anybackfill"}
	cfg.Conn.URI, cfg.Conn.Database, cfg.Conn.AppName, cfg.Conn.PoolSize = uri, db, name, 8
	cfg.Conn.Monitor = monitor
	if dial != nil {
		cfg.Conn.ClientOptions = func(o *options.ClientOptions) { o.SetDialer(dial) }
	}
	return cfg
}

func (g *game) config() rikki.Config {
	return configOf(g.uri, g.db.Name(), g.hist, g.db.Name(), g.watch.monitor(), g.wire)
}

func newApp(cfg rikki.Config) (*rikki.App, error) {
	app := rikki.New(&cfg)
	return app, app.Add(scripts()...)
}

// withOptions adds options to a URI.
func withOptions(uri, opts string) string {
	switch {
	case opts == "":
		return uri
	case strings.Contains(uri, "?"):
		return uri + "&" + opts
	default:
		return strings.TrimSuffix(uri, "/") + "/?" + opts
	}
}

// bytesOf reads all documents of a collection.
func bytesOf(ctx context.Context, coll *mongo.Collection) (map[string]bson.Raw, error) {
	cur, err := coll.Find(ctx, bson.D{}, options.Find().SetHint(bson.D{{Key: "$natural", Value: 1}}))
	if err != nil {
		return nil, err
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // Err says it
	out := map[string]bson.Raw{}
	for cur.Next(ctx) {
		d := append(bson.Raw(nil), cur.Current...)
		out[keyOf(d)] = d
	}
	return out, cur.Err()
}

// keyOf is a document's _id as a key of a map.
func keyOf(d bson.Raw) string { return idKey(d.Lookup("_id")) }

func idKey(v bson.RawValue) string { return string(append([]byte{byte(v.Type)}, v.Value...)) }
