package store

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Group writes for many runs of one process. What is asked for while other writes are under way goes to the server together, in
// one command with one wait for the majority, and equal changes in one statement. A lone write is sent at once, and costs what it
// costs without a group.
//
// A command for several runs tells how many of them it changed, not which. Unless it changed all of them, each is asked for
// again by itself, with the answer that it would have had: every write of a group may be repeated.
type Group struct {
	store   *Store
	writers func() int

	mu       sync.Mutex
	waiting  []*groupWrite
	flying   bool
	complete chan struct{} // of a write that waits for others: closed when all of them are there
}

// linger is how long at most the first write waits for those of the other runs: what was taken in one command begins and, if it is
// short, ends at about the same time.
const linger = 2 * time.Millisecond

// groupWrite is a change of one run under its epoch.
type groupWrite struct {
	id     string
	epoch  int64
	states []State // that it may be in
	update any

	done chan bool          // tells whether it was made
	lead chan []*groupWrite // makes its caller the one who sends these
}

// Group returns a new group. Writers tells how many runs may write at the moment: while there are several, the first write waits
// a little for the others. Nil is for one.
func (s *Store) Group(writers func() int) *Group {
	if writers == nil {
		writers = func() int { return 1 }
	}
	return &Group{store: s, writers: writers}
}

// Begin is [Store.Begin].
func (g *Group) Begin(ctx context.Context, id string, epoch int64) (Pulse, error) {
	if g.write(ctx, &groupWrite{id: id, epoch: epoch, states: []State{Running}, update: begun()}) {
		return Pulse{State: Running}, nil
	}
	return g.store.Begin(ctx, id, epoch)
}

// Finish is [Store.Finish], and returns the state alone.
func (g *Group) Finish(ctx context.Context, id string, epoch int64, f Finish) (State, error) {
	if f.State.Final() { // what rests may become something else: its own answer says what
		if g.write(ctx, &groupWrite{id: id, epoch: epoch, states: f.origins(), update: stages(f.set())}) {
			return f.State, nil
		}
	}
	run, err := g.store.Finish(ctx, id, epoch, f)
	return run.State, err
}

// write makes a change that matches one run, alone or with others, and reports whether it is known to be made.
func (g *Group) write(ctx context.Context, w *groupWrite) bool {
	w.done, w.lead = make(chan bool, 1), make(chan []*groupWrite, 1)
	complete, first := g.enter(w)
	if first {
		return g.send(ctx, g.gather(ctx, w, complete))
	}
	select { // whoever is under way has a client with a timeout
	case ok := <-w.done:
		return ok
	case batch := <-w.lead:
		return g.send(ctx, batch)
	}
}

// enter puts a write behind those under way. If there are none, it is the first, and may wait until complete is closed.
func (g *Group) enter(w *groupWrite) (complete <-chan struct{}, first bool) {
	writers := g.writers()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.flying {
		g.flying = true
		if writers > 1 {
			g.complete = make(chan struct{})
		}
		return g.complete, true
	}
	g.waiting = append(g.waiting, w)
	if g.complete != nil && len(g.waiting)+1 >= writers {
		close(g.complete)
		g.complete = nil
	}
	return nil, false
}

// gather returns a write and those that come soon after it.
func (g *Group) gather(ctx context.Context, w *groupWrite, complete <-chan struct{}) []*groupWrite {
	if complete == nil {
		return []*groupWrite{w}
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-complete:
	case <-timer.C:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	batch := append([]*groupWrite{w}, g.waiting...)
	g.waiting, g.complete = nil, nil
	return batch
}

// send makes the changes of a batch for all who wait for it, and hands its place on. One caller's end must not be that of the
// others.
func (g *Group) send(ctx context.Context, batch []*groupWrite) bool {
	res, err := g.store.runs.BulkWrite(context.WithoutCancel(ctx), models(batch), options.BulkWrite().SetOrdered(false).SetComment("rikki queue"))
	made := err == nil && int(res.MatchedCount) == len(batch)
	for _, w := range batch {
		w.done <- made
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.flying = false
		return made
	}
	g.waiting[0].lead <- g.waiting
	g.waiting = nil
	return made
}

// models are the statements for a batch: one for all runs that have the same epoch and get the same change, since a statement costs
// the server several times what one more document in it does.
func models(batch []*groupWrite) []mongo.WriteModel {
	var out []mongo.WriteModel
	for _, same := range alike(batch, (*groupWrite).kind) {
		first, ids := same[0], make([]string, len(same))
		for i, w := range same {
			ids[i] = w.id
		}
		if len(ids) == 1 {
			out = append(out, mongo.NewUpdateOneModel().SetFilter(owned(first.id, first.epoch, first.states)).SetUpdate(first.update).SetHint(idIndex))
			continue
		}
		filter := owned(first.id, first.epoch, first.states)
		filter[0].Value = bson.D{{Key: "$in", Value: ids}}
		out = append(out, mongo.NewUpdateManyModel().SetFilter(filter).SetUpdate(first.update).SetHint(idIndex))
	}
	return out
}

// kind is equal for writes that differ in nothing but the run.
func (w *groupWrite) kind() string {
	data, err := bson.Marshal(bson.D{{Key: "epoch", Value: w.epoch}, {Key: "states", Value: w.states}, {Key: "update", Value: w.update}})
	if err != nil {
		return w.id // the driver says what is wrong
	}
	return string(data)
}

// alike puts what has the same kind together, in the order of the first of each.
func alike[T any](all []T, kind func(T) string) [][]T {
	var out [][]T
	place := make(map[string]int)
	for _, one := range all {
		key := kind(one)
		at, known := place[key]
		if !known {
			at = len(out)
			place[key], out = at, append(out, nil)
		}
		out[at] = append(out[at], one)
	}
	return out
}
