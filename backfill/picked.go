package backfill

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/extjson"
	"github.com/rikki-go/rikki/internal/store"
)

// A run can be limited to some documents: to those that failed in an earlier run, or to those with certain keys.

// pick limits a reader to what the knobs say.
func (e *engine) pick(ctx context.Context, r reader) (reader, error) {
	only, failedOf := e.knobs.Only, e.knobs.FailedOf
	switch {
	case failedOf != "":
		return e.pickFailed(ctx, r, failedOf)
	case len(only) > 0:
		keys := keysOf(only)
		if e.opts.Source != nil {
			return &pickedRows{reader: r, total: askedFor(only), pick: func(context.Context, []bson.RawValue) ([]bson.RawValue, error) {
				return keys, nil
			}}, nil
		}
		e.walkByID()
		e.opts.Filter = and(bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: keys}}}}, e.opts.Filter)
		return &onlyReader{&collectionReader{e}}, nil
	}
	return r, nil
}

// walkByID goes by _id where documents are named by it. The script still gets the key that it says.
func (e *engine) walkByID() { e.scriptKey, e.opts.Key = e.opts.Key, "_id" }

// picks tells whether the run is limited to some documents.
func (e *engine) picks() bool { return len(e.knobs.Only) > 0 || e.knobs.FailedOf != "" }

// keysOf are the keys that words can stand for: 42 is a number and a text, and what looks like an ObjectID or a UUID can be one.
func keysOf(words []string) []bson.RawValue {
	var keys []bson.RawValue
	seen := make(map[string]bool)
	add := func(key bson.RawValue) {
		if name := valueKey(key); !seen[name] {
			seen[name] = true
			keys = append(keys, key)
		}
	}
	for _, word := range words {
		add(stringValue(word))
		if key, err := extjson.Value([]byte(word)); err == nil {
			add(key)
		}
		if id, err := bson.ObjectIDFromHex(word); err == nil {
			add(bson.RawValue{Type: bson.TypeObjectID, Value: id[:]})
		}
		if id, ok := uuidOf(word); ok {
			add(uuidValue(id))
		}
	}
	return keys
}

// askedFor is how many documents words name: the same one may be named twice.
func askedFor(words []string) int64 {
	seen := make(map[string]bool)
	for _, word := range words {
		key, err := extjson.Value([]byte(word))
		if err != nil {
			key = stringValue(word)
		}
		seen[valueKey(key)] = true
	}
	return int64(len(seen))
}

// uuidOf reads a UUID in its usual form.
func uuidOf(word string) ([]byte, bool) {
	groups := strings.Split(word, "-")
	if len(word) != 36 || len(groups) != 5 || len(groups[0]) != 8 || len(groups[4]) != 12 {
		return nil, false
	}
	id, err := hex.DecodeString(strings.Join(groups, ""))
	return id, err == nil && len(id) == 16
}

// onlyReader walks few documents: one partition is enough.
type onlyReader struct{ *collectionReader }

func (r *onlyReader) plan(ctx context.Context) ([]store.Partition, int64, error) {
	upper, err := r.e.greatest(ctx)
	if err != nil || upper.IsZero() {
		return nil, 0, err
	}
	return []store.Partition{{Upper: upper}}, askedFor(r.e.knobs.Only), nil
}

// pickFailed limits a reader to what failed in an earlier run.
func (e *engine) pickFailed(ctx context.Context, r reader, id string) (reader, error) {
	history := e.history()
	past, err := history.Run(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("--failed-of: %w", err)
	}
	if past.Script == UndoName {
		return nil, fmt.Errorf("--failed-of: %s is an undo; what it could not take back is tried again by another undo of %s", past.ID, past.Parent)
	}
	if past.State.Active() {
		return nil, fmt.Errorf("--failed-of: run %s is %s and may still fail for more documents; wait until it has ended", past.ID, past.State)
	}
	if !e.run.DryRun() {
		if err := history.Need(ctx, e.run.ID(), past.ID); err != nil {
			return nil, fmt.Errorf("--failed-of: %w", err)
		}
	}
	if e.undone, err = newUndone(ctx, history, past.ID, e.run.ID()); err != nil {
		return nil, fmt.Errorf("--failed-of: %w", err)
	}
	if root := e.undone.root; root != past.ID && !e.run.DryRun() {
		if err := history.Need(ctx, e.run.ID(), root); err != nil {
			return nil, fmt.Errorf("--failed-of: %w", err)
		}
	}
	plan, err := history.Walk(e.undone.root, 0).Plan(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("--failed-of: no document failed in run %s: it is no backfill, or ended before it had a plan", e.undone.root)
	}
	if err != nil {
		return nil, fmt.Errorf("--failed-of: %w", err)
	}
	if e.walks() && plan.Target.Key == "_id" {
		e.walkByID() // whatever the script says: what failed is known by its _id
	}
	e.picked = &plan.Target
	w := &failedWalk{collectionReader: &collectionReader{e}, undoneOf: e.undone, windows: map[int][]bson.RawValue{}}
	if e.opts.Source == nil {
		e.retried = w
		return w, nil
	}
	_, total, err := w.plan(ctx)
	return &pickedRows{reader: r, total: total, pick: e.undone.among}, err
}

// samePicked refuses to take the keys of what failed in another run for keys of something else.
func (e *engine) samePicked() error {
	if e.picked == nil {
		return nil
	}
	then, now := e.picked, e.target
	what := ""
	switch {
	case then.Namespace != now.Namespace:
		what = fmt.Sprintf("that run was about %s, and this is about %s", then.Namespace, now.Namespace)
	case then.Source != now.Source:
		what = fmt.Sprintf("the items of that run came from another source (%s) than those of this one (%s)", then.Source, now.Source)
	case e.walks() && then.Key != now.Key:
		what = fmt.Sprintf("that run went by %s, and this goes by %s", then.Key, now.Key)
	case len(then.Collection.Data) > 0 && len(now.Collection.Data) > 0 && !then.Collection.Equal(now.Collection):
		what = fmt.Sprintf("%s is another collection now than it was then", now.Namespace)
	}
	if what == "" {
		return nil
	}
	return fmt.Errorf("--failed-of=%s: %s, so the keys of what failed there would be those of other documents; name the documents with --only", e.knobs.FailedOf, what)
}

// history is Rikki's own database on the run's connection.
func (e *engine) history() *store.Store {
	if e.store != nil {
		return e.store
	}
	return store.New(e.client.Database(e.run.HistoryDatabase()))
}

// failedWalk walks the documents that failed in an earlier run. Each partition is a window of their keys, in the order of the
// failures. It is no range of the walk, whose order a collation can make another one.
type failedWalk struct {
	*collectionReader
	*undoneOf

	mu      sync.Mutex
	windows map[int][]bson.RawValue // of the partitions that somebody works on
}

const (
	// perWindow is how many failed documents make a partition, and windowBytes how much their keys may take: a query names all of them.
	perWindow   = 1000
	windowBytes = 2 << 20
)

func (w *failedWalk) plan(ctx context.Context) ([]store.Partition, int64, error) {
	var parts []store.Partition
	var total int64
	var lower bson.RawValue
	var window []bson.RawValue
	bytes := 0
	add := func() error {
		last := window[len(window)-1]
		left, err := w.left(ctx, window)
		if len(left) > 0 {
			parts = append(parts, store.Partition{N: len(parts), Lower: lower, Upper: last})
			total += int64(len(left))
		}
		lower, window, bytes = last, nil, 0
		return err
	}
	for f, err := range w.history.Failures(ctx, w.run) {
		if err != nil {
			return nil, 0, err
		}
		window = append(window, f.Key)
		bytes += len(f.Key.Value)
		if len(window) == perWindow || bytes >= windowBytes {
			if err := add(); err != nil {
				return nil, 0, err
			}
		}
	}
	if len(window) > 0 {
		if err := add(); err != nil {
			return nil, 0, err
		}
	}
	return parts, total, nil
}

// open reads the keys of a partition before a chunk of it is done, in the transaction of that: another retry may be under way.
func (w *failedWalk) open(ctx context.Context, p store.Partition) error {
	if w == nil {
		return nil
	}
	keys, err := w.history.FailedKeys(ctx, w.run, p.Lower, p.Upper)
	if err == nil {
		keys, err = w.left(ctx, keys)
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.windows[p.N] = keys
	return nil
}

// close forgets them.
func (w *failedWalk) close(p store.Partition) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.windows, p.N)
}

// filterOf is the filter for the documents of a partition, whatever their keys.
func (e *engine) filterOf(p store.Partition) any {
	if e.retried == nil {
		return e.opts.Filter
	}
	e.retried.mu.Lock()
	defer e.retried.mu.Unlock()
	keys := e.retried.windows[p.N]
	if keys == nil {
		keys = []bson.RawValue{} // it selects nothing; null would be refused
	}
	return and(bson.D{{Key: e.opts.Key, Value: bson.D{{Key: "$in", Value: keys}}}}, e.opts.Filter)
}

// pickedRows lets rows through by their keys.
type pickedRows struct {
	reader
	total int64
	pick  func(ctx context.Context, keys []bson.RawValue) ([]bson.RawValue, error)
}

func (r *pickedRows) plan(ctx context.Context) ([]store.Partition, int64, error) {
	parts, _, err := r.reader.plan(ctx)
	return parts, r.total, err
}

func (r *pickedRows) read(ctx context.Context, p store.Partition, n, bytes int) (batch, error) {
	all, err := r.reader.read(ctx, p, n, bytes)
	if err != nil || len(all.keys) == 0 {
		return all, err
	}
	picked, err := r.pick(ctx, append([]bson.RawValue(nil), all.keys...))
	if err != nil {
		return batch{}, err
	}
	wanted := make(map[string]bool, len(picked))
	for _, key := range picked {
		wanted[valueKey(key)] = true
	}
	b := batch{last: all.last, end: all.end, whole: all.whole}
	for i, key := range all.keys {
		if wanted[valueKey(key)] {
			b.add(row{doc: all.items[i], key: key, err: all.bad[i]})
		}
	}
	b.last = all.last
	return b, nil
}

func (r *pickedRows) facts() (bson.Raw, error) {
	if known, ok := r.reader.(factual); ok {
		return known.facts()
	}
	return nil, nil
}

func (r *pickedRows) differ(then, now bson.Raw) error {
	if known, ok := r.reader.(factual); ok {
		return known.differ(then, now)
	}
	return rikki.ErrSourceChanged
}

func (r *pickedRows) Close() error {
	if open, ok := r.reader.(io.Closer); ok {
		return open.Close()
	}
	return nil
}
