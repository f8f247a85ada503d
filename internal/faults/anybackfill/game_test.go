//go:build linux

package anybackfill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
)

// Finding is a promise that didn't hold.
type Finding struct {
	Kind string
	Text string
}

func (f *Finding) Error() string { return f.Kind + ": " + f.Text }

func found(kind, format string, args ...any) error {
	return &Finding{kind, fmt.Sprintf(format, args...)}
}

// mostTime is how long a run of a case may take, on a machine with much else to do.
const mostTime = 30 * time.Second

// game is a case that is played.
type game struct {
	c      *Case
	client *mongo.Client
	db     *mongo.Database
	uri    string
	hist   string
	dir    string
	app    *rikki.App
	watch  *watcher
	wire   *wire

	first    map[string]bson.Raw // of the collection, before all
	other    map[string]bson.Raw
	made     []Index
	forecast *forecast

	mu      sync.Mutex
	runID   string // of the run under way
	cancel  context.CancelCauseFunc
	foreign map[string]bool // documents that others have written
	hidden  bool            // the collection has another name for the moment
	gone    bool            // the collection is another one
	lost    []Index         // indexes that are gone for the moment
	strange bool            // there is another validator
	wrong   error           // what was found on the way
	uuid    string          // of the collection
	log     []string
}

func (g *game) say(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log = append(g.log, fmt.Sprintf(format, args...))
}

// coll is the collection, by whatever name.
func (g *game) coll() *mongo.Collection {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hidden {
		return g.db.Collection("moved")
	}
	return g.db.Collection("c")
}

// setUp makes the collection of the case.
func (g *game) setUp(ctx context.Context) error {
	docs := atTime(g.c.Coll.Docs, time.Now())
	coll, err := seed(ctx, g.db, "c", &g.c.Coll, docs)
	if err != nil {
		return err
	}
	if err := dress(ctx, g.db, "c", &g.c.Coll); err != nil {
		return err
	}
	g.made = indexes(ctx, g.db, "c", &g.c.Coll)
	if _, err := g.look(ctx); err != nil {
		return err
	}
	if g.first, err = bytesOf(ctx, coll); err != nil {
		return err
	}
	plain := &Collection{}
	if _, err := seed(ctx, g.db, "other", plain, atTime(g.c.Coll.Other, time.Now())); err != nil {
		return err
	}
	if g.other, err = bytesOf(ctx, g.db.Collection("other")); err != nil {
		return err
	}
	var notes []any
	if slices.ContainsFunc(g.c.Script.Acts, func(a Act) bool { return strings.HasPrefix(a.Do, "note") }) {
		for _, d := range g.first {
			if id := d.Lookup("_id"); noted(id) {
				notes = append(notes, bson.D{{Key: "_id", Value: id}})
			}
		}
		if err := g.db.CreateCollection(ctx, "notes"); err != nil {
			return err
		}
	}
	if len(notes) > 0 {
		if _, err := g.db.Collection("notes").InsertMany(ctx, notes); err != nil {
			return err
		}
	}
	if err := g.c.file(g.dir); err != nil {
		return err
	}
	g.forecast, err = g.c.foresee(ctx, g.db, g.first, g.made)
	return err
}

// event has something happen. It is false if that has to wait, for a transaction that is under way.
func (g *game) event(e Event) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
	defer cancel()
	coll := g.coll()
	err := g.happen(ctx, coll, e)
	if err != nil && (mongo.IsTimeout(err) || busy(err)) {
		g.say("   %s has to wait: %v", e.Do, err)
		return false
	}
	if err != nil {
		g.say("   %s: %v", e.Do, err)
	} else {
		g.say("   %s %d at %s %d", e.Do, e.Arg, e.On, e.N)
	}
	return true
}

func busy(err error) bool {
	server, ok := errors.AsType[mongo.ServerError](err)
	return ok && (server.HasErrorCode(112) || server.HasErrorCode(24) || server.HasErrorCode(50) || server.HasErrorCode(262))
}

// key is one of the documents of the beginning.
func (g *game) key(n int) string {
	keys := slices.Sorted(maps.Keys(g.first))
	if len(keys) == 0 {
		return ""
	}
	return keys[n%len(keys)]
}

func (g *game) touch(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.foreign[key] = true
}

func (g *game) happen(ctx context.Context, coll *mongo.Collection, e Event) error {
	key := g.key(e.Arg)
	doc := g.first[key]
	one := bson.D{{Key: "_id", Value: bson.D{{Key: "$eq", Value: doc.Lookup("_id")}}}}
	change := func(update any) error {
		if doc == nil {
			return nil
		}
		g.touch(key)
		_, err := coll.UpdateOne(ctx, one, update)
		return err
	}
	set := func(field string, v any) error {
		return change(bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: v}}}})
	}
	admin := g.client.Database("admin")
	rename := func(from, to string, drop bool) error {
		return admin.RunCommand(ctx, bson.D{{Key: "renameCollection", Value: g.db.Name() + "." + from}, {Key: "to", Value: g.db.Name() + "." + to}, {Key: "dropTarget", Value: drop}}).Err()
	}
	mark := func(p *bool, v bool) {
		g.mu.Lock()
		*p = v
		g.mu.Unlock()
	}
	switch e.Do {
	case "foreign-set":
		return set("__foreign", e.Arg)
	case "foreign-n":
		return set("n", 100+e.Arg)
	case "foreign-k":
		return set("k", 100_000+e.Arg)
	case "foreign-replace":
		return change(mongo.Pipeline{{{Key: "$replaceWith", Value: bson.D{{Key: "__foreign", Value: e.Arg}}}}})
	case "foreign-insert":
		d := bson.D{{Key: "_id", Value: fmt.Sprint("foreign", e.Arg)}, {Key: "n", Value: 3}, {Key: "k", Value: 200_000 + e.Arg}}
		data, err := bson.Marshal(d)
		if err != nil {
			return err
		}
		g.touch(keyOf(data))
		_, err = coll.InsertOne(ctx, d)
		return err
	case "foreign-remove":
		if doc == nil {
			return nil
		}
		g.touch(key)
		_, err := coll.DeleteOne(ctx, one)
		return err
	case "rename":
		err := rename("c", "moved", false)
		if err == nil {
			mark(&g.hidden, true)
		}
		return err
	case "rename-back":
		return g.restoreName(ctx)
	case "drop":
		if err := g.db.RunCommand(ctx, bson.D{{Key: "drop", Value: "c"}}).Err(); err != nil {
			return err
		}
		mark(&g.gone, true)
		return nil
	case "recreate", "replace":
		var docs []bson.Raw
		for _, d := range g.first {
			docs = append(docs, d)
		}
		long, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = g.db.Collection("fresh").Drop(long)
		if _, err := seed(long, g.db, "fresh", &g.c.Coll, docs); err != nil {
			return err
		}
		if err := dress(long, g.db, "fresh", &g.c.Coll); err != nil {
			return err
		}
		indexes(long, g.db, "fresh", &g.c.Coll)
		if err := rename("fresh", "c", true); err != nil {
			return err
		}
		mark(&g.gone, true)
		return nil
	case "drop-index", "swap-index":
		for i, x := range g.c.Coll.Indexes {
			if !strings.HasPrefix(x.Keys, `{"k"`) {
				continue
			}
			if err := g.db.RunCommand(ctx, bson.D{{Key: "dropIndexes", Value: coll.Name()}, {Key: "index", Value: fmt.Sprint("x", i)}}).Err(); err != nil {
				return err
			}
			g.mu.Lock()
			g.lost = append(g.lost, x)
			g.mu.Unlock()
			if e.Do == "swap-index" {
				spec := bson.D{{Key: "key", Value: filterOf(x.Keys)}, {Key: "name", Value: fmt.Sprint("x", i)}, {Key: "unique", Value: true}, {Key: "partialFilterExpression", Value: bson.D{{Key: "active", Value: true}}}}
				return g.db.RunCommand(context.WithoutCancel(ctx), bson.D{{Key: "createIndexes", Value: coll.Name()}, {Key: "indexes", Value: bson.A{spec}}}).Err()
			}
		}
		return nil
	case "validator":
		mark(&g.strange, true) // also if it is done when nobody waits for it any more
		if err := g.db.RunCommand(ctx, bson.D{{Key: "collMod", Value: coll.Name()}, {Key: "validator", Value: filterOf(`{"n": {"$lt": 6}}`)}}).Err(); err != nil {
			return err
		}
		return nil
	case "interrupt":
		g.cancel(rikki.ErrInterrupted)
		return nil
	case "cancel":
		g.cancel(rikki.ErrCancelled)
		return nil
	case "pause", "tune":
		g.mu.Lock()
		id := g.runID
		g.mu.Unlock()
		if id == "" {
			return nil
		}
		long, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if e.Do == "pause" {
			_, err := g.app.Pause(long, id, nil)
			return err
		}
		_, err := g.app.Tune(long, id, rikki.Tuning{Chunk: 1 + e.Arg%30, Workers: 1 + e.Arg%4}, nil)
		return err
	case "break":
		for _, c := range g.wire.all() {
			_ = c.Close()
		}
		return nil
	case "break-reply":
		for _, c := range g.wire.all() {
			c.drop.Store(true)
		}
		return nil
	case "prune":
		long, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return g.prune(long)
	default:
		return nil
	}
}

func (g *game) prune(ctx context.Context) error {
	pruned, err := g.app.Prune(ctx, "", &rikki.Retention{MaxAge: time.Millisecond, MaxRuns: 1, MinRuns: -1, LogAge: time.Millisecond})
	g.say("   pruned %+v, %v", pruned, err)
	return err
}

// look finds out what has happened by now. The server may have done what the judge gave up waiting for.
func (g *game) look(ctx context.Context) (late []Event, err error) {
	specs, err := g.db.ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: bson.D{{Key: "$in", Value: bson.A{"c", "moved"}}}}})
	if err != nil {
		return nil, err
	}
	uuids := map[string]string{}
	for _, s := range specs {
		if s.UUID != nil {
			uuids[s.Name] = string(s.UUID.Data)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.uuid == "" {
		g.uuid = uuids["c"]
	}
	switch {
	case uuids["moved"] == g.uuid && !g.hidden:
		g.hidden, late = true, append(late, Event{Do: "rename"})
	case uuids["moved"] != g.uuid && uuids["c"] != g.uuid && !g.gone:
		g.gone, late = true, append(late, Event{Do: "drop"})
	case uuids["c"] == g.uuid:
		g.hidden = false
	}
	if !slices.ContainsFunc(g.made, ofKey) || g.gone || len(g.lost) > 0 {
		return late, nil
	}
	there, err := g.db.Collection(map[bool]string{false: "c", true: "moved"}[g.hidden]).Indexes().ListSpecifications(ctx)
	if err != nil {
		return late, err
	}
	for i, x := range g.c.Coll.Indexes {
		if slices.Contains(g.made, x) && ofKey(x) && !slices.ContainsFunc(there, func(s mongo.IndexSpecification) bool { return s.Name == fmt.Sprint("x", i) }) {
			g.lost, late = append(g.lost, x), append(late, Event{Do: "drop-index"})
		}
	}
	return late, nil
}

func ofKey(x Index) bool { return strings.HasPrefix(x.Keys, `{"k"`) }

// mend puts right what was wrong for the moment.
func (g *game) mend(ctx context.Context) error {
	if err := g.restoreName(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	lost := g.lost
	g.lost = nil
	g.mu.Unlock()
	if len(lost) == 0 {
		return nil
	}
	for i, x := range g.c.Coll.Indexes {
		if strings.HasPrefix(x.Keys, `{"k"`) {
			_ = g.db.RunCommand(ctx, bson.D{{Key: "dropIndexes", Value: "c"}, {Key: "index", Value: fmt.Sprint("x", i)}}).Err()
		}
	}
	indexes(ctx, g.db, "c", &g.c.Coll)
	g.say("   the index is there again")
	return nil
}

func (g *game) restoreName(ctx context.Context) error {
	g.mu.Lock()
	hidden := g.hidden
	g.mu.Unlock()
	if !hidden {
		return nil
	}
	n, err := g.db.ListCollectionNames(ctx, bson.D{{Key: "name", Value: "c"}})
	if err != nil {
		return err
	}
	if len(n) > 0 { // the run has made one of the old name
		docs, err := bytesOf(ctx, g.db.Collection("c"))
		if err != nil {
			return err
		}
		if len(docs) > 0 {
			return found("resurrected", "the collection was renamed, and %d documents were written to a new one of the old name", len(docs))
		}
	}
	err = g.client.Database("admin").RunCommand(ctx, bson.D{{Key: "renameCollection", Value: g.db.Name() + ".moved"}, {Key: "to", Value: g.db.Name() + ".c"}, {Key: "dropTarget", Value: true}}).Err()
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.hidden = false
	g.mu.Unlock()
	g.say("   the collection has its old name again")
	return nil
}

// outcome is how a run ended.
type outcome struct {
	id     string
	res    *rikki.Result
	err    error
	state  rikki.State
	tries  int
	events []Event
}

// perform has a run done, with events, until it doesn't go on any more.
func (g *game) perform(ctx context.Context, what string, events []Event, run func(ctx context.Context, observe rikki.Observer) (*rikki.Result, error)) (outcome, error) {
	var o outcome
	observer := rikki.ObserverFunc(func(e rikki.Event) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.runID = e.Run
	})
	g.mu.Lock()
	g.runID = ""
	g.mu.Unlock()
	for {
		began := time.Now()
		within, stop := context.WithTimeout(ctx, mostTime)
		within, cancel := context.WithCancelCause(within)
		g.mu.Lock()
		g.cancel = cancel
		g.mu.Unlock()
		before := len(g.watch.happened())
		g.watch.arm(events)
		events = nil
		o.res, o.err = run(within, observer)
		late := within.Err() != nil && errors.Is(context.Cause(within), context.DeadlineExceeded)
		g.watch.arm(nil)
		cancel(nil)
		stop()
		o.events = append(o.events, g.watch.happened()[before:]...)
		g.mu.Lock()
		if o.id == "" {
			o.id = g.runID
		}
		g.mu.Unlock()
		if o.res != nil {
			o.state = o.res.State
			o.id = o.res.Run
		}
		g.say("%s: run %s is %s after %s: %v", what, o.id, o.state, time.Since(began).Round(time.Millisecond), o.err)
		if late {
			message := ""
			if r, err := g.app.Record(ctx, o.id); err == nil && r.Progress != nil {
				message = r.Progress.Message
			}
			return o, found("no-end", "%s does not end within %s; it says %q: %v", what, mostTime, message, o.err)
		}
		o.tries++
		happened, err := g.look(ctx)
		if err != nil {
			return o, err
		}
		o.events = append(o.events, happened...)
		if err := g.mend(ctx); err != nil {
			return o, err
		}
		if o.res == nil && o.id == "" {
			return o, nil
		}
		if o.res == nil { // it may have begun all the same
			if r, err := g.app.Record(ctx, o.id); err == nil {
				o.state = r.State
			}
		}
		if o.state.Active() {
			if err := g.expire(ctx, o.id); err != nil {
				return o, err
			}
			o.state = rikki.Interrupted
		}
		if (o.state != rikki.Paused && o.state != rikki.Interrupted) || o.tries > 12 {
			return o, nil
		}
		id := o.id
		run = func(ctx context.Context, observe rikki.Observer) (*rikki.Result, error) {
			return g.app.Continue(ctx, id, &rikki.RunOptions{Observers: []rikki.Observer{observe}})
		}
		what = "going on"
	}
}

// expire lets the lease of a dead process run out.
func (g *game) expire(ctx context.Context, id string) error {
	_, err := g.client.Database(g.hist).Collection("runs").UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: bson.D{{Key: "lease.expires", Value: time.Now().Add(-time.Hour)}}}})
	return err
}

// snapshot is all that there is.
type snapshot struct {
	docs, other, notes map[string]bson.Raw
}

func (g *game) snapshot(ctx context.Context) (s snapshot, err error) {
	if s.docs, err = bytesOf(ctx, g.coll()); err == nil {
		if s.other, err = bytesOf(ctx, g.db.Collection("other")); err == nil {
			s.notes, err = bytesOf(ctx, g.db.Collection("notes"))
		}
	}
	return s, err
}

// main runs the script, in a process of its own if that is to be killed.
func (g *game) main(ctx context.Context, observe rikki.Observer) (*rikki.Result, error) {
	name, params := g.c.scriptOf(g.dir)
	for _, e := range g.c.Events {
		if e.Do == "kill" {
			return g.child(ctx, childWork{Script: name, Params: params}, e)
		}
	}
	if g.c.Door != "" {
		return g.byCommandLine(ctx)
	}
	return g.app.Run(ctx, name, &rikki.RunOptions{Params: params, Observers: []rikki.Observer{observe}})
}

// child runs the script in a process that is killed.
func (g *game) child(ctx context.Context, w childWork, e Event) (*rikki.Result, error) {
	w.URI, w.DB, w.Hist, w.Hit = g.uri, g.db.Name(), g.hist, e.N+e.Arg%40
	data, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(g.dir, "child.json"), data, 0o600); err != nil {
		return nil, err
	}
	text, err := json.Marshal(g.c)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(g.dir, "case.json"), text, 0o600); err != nil {
		return nil, err
	}
	known, _, _ := g.newest(ctx)
	out, err := startChild(ctx, g.dir)
	g.say("   the process ended: %v", err)
	id, state, lookErr := g.newest(ctx)
	if lookErr != nil || id == known {
		return nil, fmt.Errorf("no run of the process: %w: %s", lookErr, out[max(0, len(out)-3000):])
	}
	g.mu.Lock()
	g.runID = id
	g.mu.Unlock()
	if err == nil || !state.Active() { // it ended before
		var res rikki.Result
		var told childSaid
		if i := strings.LastIndex(out, childMark); i >= 0 && json.Unmarshal([]byte(strings.SplitN(out[i+len(childMark):], "\n", 2)[0]), &told) == nil && told.State != "" {
			res.Run, res.State = id, rikki.State(told.State)
			return &res, errorOf(told)
		}
		if err != nil && !strings.Contains(err.Error(), "killed") {
			return nil, fmt.Errorf("the process ended by itself: %w: %s", err, out[max(0, len(out)-3000):])
		}
	}
	return nil, errors.New("the process was killed")
}

// newest is the newest run of the case.
func (g *game) newest(ctx context.Context) (string, rikki.State, error) {
	var run struct {
		ID    string      `bson:"_id"`
		State rikki.State `bson:"state"`
	}
	opts := options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}})
	err := g.client.Database(g.hist).Collection("runs").FindOne(ctx, bson.D{{Key: "database", Value: g.db.Name()}}, opts).Decode(&run)
	return run.ID, run.State, err
}

// byCommandLine runs the script as a person does.
func (g *game) byCommandLine(ctx context.Context) (*rikki.Result, error) {
	args, err := g.c.line(g.dir)
	if err != nil {
		return nil, err
	}
	app := &cli.App{Name: "any", Config: g.config()}
	var out, errs bytes.Buffer
	known, _, _ := g.newest(ctx)
	code := cli.Run(ctx, app, args, cli.Stdio{Out: &out, Err: &errs})
	id, state, err := g.newest(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	g.say("   any %q: exit code %d, %s", args, code, errs.String()[max(0, errs.Len()-500):])
	if id == known {
		return nil, fmt.Errorf("exit code %d: %s", code, errs.String())
	}
	g.mu.Lock()
	g.runID = id
	g.mu.Unlock()
	wanted := map[rikki.State]int{rikki.Succeeded: 0, rikki.SucceededWithErrors: 3, rikki.Failed: 1, rikki.Paused: 4, rikki.Interrupted: 4, rikki.Cancelled: 5}
	if w, ok := wanted[state]; !ok || w != code {
		if !(state == rikki.Failed && code == 2) { // refused by what only the server knows
			g.mu.Lock()
			g.wrong = found("exit", "the run is %s, and the exit code is %d: %s", state, code, errs.String())
			g.mu.Unlock()
		}
	}
	switch state {
	case rikki.Succeeded:
		err = nil
	case rikki.SucceededWithErrors:
		err = &rikki.PartialError{Failed: 1, What: "documents"}
	default:
		err = errors.New(errs.String())
	}
	return &rikki.Result{Run: id, State: state}, err
}

func errorOf(told childSaid) error {
	switch {
	case told.Error == "":
		return nil
	case told.Partial:
		return fmt.Errorf("%s: %w", told.Error, &rikki.PartialError{Failed: 1, What: "documents"})
	default:
		return errors.New(told.Error)
	}
}
