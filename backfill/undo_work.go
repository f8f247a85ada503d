package backfill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/rawbson"
	"github.com/rikki-go/rikki/internal/store"
)

// undoWork undoes a journal, the newest change of each partition first.
type undoWork struct {
	past *pastRun
	// unknown counts documents that were being changed when their chunk was cut off, on a server without transactions.
	unknown atomic.Int64
}

// classConflict is the class of failures that are changes of others since the run.
const classConflict = "conflict"

// undoDoc is a document that changes of a chunk are about.
type undoDoc struct {
	id          bson.RawValue
	key         bson.RawValue // of the document in this run
	index       int
	before, now bson.Raw // as it is, and as the changes undone so far leave it; nil: there is none
}

// undoTarget is the documents of one collection, in the order in which they are undone.
type undoTarget struct {
	*place
	docs map[string]*undoDoc
	list []*undoDoc
}

func (w *undoWork) prepare(context.Context, *engine) error { return nil }

func (w *undoWork) leftover(context.Context, *engine, store.Partition, int) (leftover, error) {
	return leftover{end: true}, nil // a conflict is known, and all else is done
}

// whole is asked before the run succeeds.
func (w *undoWork) whole(matched int64) error { return w.past.whole(matched) }

func (w *undoWork) chunk(ctx context.Context, c *chunk) error {
	at, err := start(c.part)
	if err != nil {
		return err
	}
	steps, behind, end, err := w.gather(ctx, c, at, c.memory.undo.size(at, c.size, c.bytes))
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		return c.advance(ctx, bson.RawValue{}, end)
	}
	c.size, c.others = len(steps), nil
	c.counts.Matched = int64(len(steps))
	undone, err := w.past.undoneBefore(ctx, c.e.store, steps)
	if err != nil {
		return err
	}
	steps = w.left(c, steps, undone)
	targets, err := w.targets(ctx, c, steps)
	if err != nil {
		return err
	}
	read := 0
	for _, t := range targets {
		n, err := t.load(ctx, c)
		if err != nil {
			return err
		}
		read += n
	}
	c.memory.undo.average = read / max(1, len(steps))
	if err := w.restore(c, steps, targets); err != nil {
		return err
	}
	if err := c.advance(ctx, behind.value(), end); err != nil {
		return err
	}
	point.Reached("undo.chunk")
	for _, t := range targets {
		if err := t.note(c); err != nil {
			return err
		}
	}
	if err := c.announce(ctx); err != nil {
		return err
	}
	for _, t := range targets {
		if err := t.write(ctx, c); err != nil {
			return w.inTheWay(c, t, err)
		}
	}
	return nil
}

// size is how many changes to undo in a chunk.
func (m *undoMemory) size(at where, wanted, bytes int) int {
	if m.average > 0 {
		wanted = min(wanted, max(1, bytes/m.average))
	}
	if m.limit > 0 && at != m.tried {
		m.limit *= 2
	}
	if m.tried = at; m.limit >= wanted {
		m.limit = 0
	}
	if m.limit > 0 {
		return m.limit
	}
	return wanted
}

// left counts out what was undone before.
func (w *undoWork) left(c *chunk, steps []undoStep, undone []bool) []undoStep {
	rest := steps[:0]
	for i, s := range steps {
		if !undone[i] {
			rest = append(rest, s)
		} else if s.ns == c.e.ns() {
			c.counts.Unchanged++
		}
	}
	return rest
}

// targets sorts the documents by collection.
func (w *undoWork) targets(ctx context.Context, c *chunk, steps []undoStep) ([]*undoTarget, error) {
	var list []*undoTarget
	byName := make(map[string]*undoTarget)
	c.keys = c.keys[:0]
	for _, s := range steps {
		t := byName[s.ns]
		if t == nil {
			place, err := w.past.placeOf(ctx, c.e, s.ns)
			if err != nil {
				return nil, err
			}
			t = &undoTarget{place: place, docs: map[string]*undoDoc{}}
			byName[s.ns] = t
			list = append(list, t)
		}
		key := valueKey(s.id)
		if t.docs[key] != nil {
			continue
		}
		d := &undoDoc{id: s.id, key: undoKey(s.ns, s.id, 0), index: len(c.keys)}
		c.keys = append(c.keys, d.key)
		t.docs[key] = d
		t.list = append(t.list, d)
	}
	return list, nil
}

// namespace is database.collection.
func (p *place) namespace() string { return p.coll.Database().Name() + "." + p.coll.Name() }

// undoKey names a document in the failures of an undo, which can touch several collections, and a document more than once.
func undoKey(ns string, id bson.RawValue, seq int64) bson.RawValue {
	doc := rawbson.Append(rawbson.Append(beginDoc(), "ns", stringValue(ns)), "_id", id)
	if seq != 0 {
		doc = rawbson.Append(doc, "seq", int64Value(seq))
	}
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: endDoc(doc)}
}

// load reads the documents as they are now, and tells how much that was. It stops where it becomes too much for one chunk.
func (t *undoTarget) load(ctx context.Context, c *chunk) (bytes int, err error) {
	if t.unfit != "" {
		return 0, nil
	}
	ids := make([]bson.RawValue, len(t.list))
	for i, d := range t.list {
		ids[i] = d.id
	}
	find := bson.D{
		{Key: "find", Value: t.coll.Name()},
		{Key: "filter", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}},
		{Key: "batchSize", Value: len(ids) + 1},
	}
	cur, err := c.e.queryOf(ctx, t.coll, t.uuid, find)
	if err != nil {
		return 0, err
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // what it could say, Next says
	for cur.Next(ctx) {
		if d := t.docs[idKey(cur.Current)]; d != nil {
			d.before, d.now = cur.Current, cur.Current
		}
		if bytes += len(cur.Current); bytes > 4*max(c.bytes, maxLoad) && len(ids) > 1 {
			return 0, fmt.Errorf("reading %s: %w", t.coll.Name(), journal.ErrTooLarge)
		}
	}
	if err := cur.Err(); err != nil {
		return 0, fmt.Errorf("reading %s: %w", t.coll.Name(), err)
	}
	return bytes, nil
}

// maxLoad is how much of the documents of a chunk is read whatever it is told.
const maxLoad = 4 << 20

// restore computes what becomes of the documents.
func (w *undoWork) restore(c *chunk, steps []undoStep, targets []*undoTarget) error {
	byName := make(map[string]*undoTarget, len(targets))
	for _, t := range targets {
		byName[t.namespace()] = t
	}
	for _, s := range steps {
		t := byName[s.ns]
		d := t.docs[valueKey(s.id)]
		if why, ok := c.poison[exactKey(d.key)]; ok {
			c.conflict(s, why)
			continue
		}
		if t.unfit != "" {
			c.conflict(s, reason{class: classConflict, message: t.unfit, attempts: 1})
			continue
		}
		entry, err := s.of.chunk.Entry(s.index)
		if err != nil {
			return fmt.Errorf("the journal of run %s, sequence %d: %w", w.past.run.ID, s.of.seq, err)
		}
		r, err := entry.Restore(d.now)
		if errors.Is(err, journal.ErrNotUndoable) {
			return fmt.Errorf("%w: %w", ErrNoUndo, err)
		}
		if err != nil {
			return fmt.Errorf("undoing the change of %s in %s: %w", s.id, s.ns, err)
		}
		if entry.AfterUnknown() && r.Action != journal.ActionNone {
			w.unknown.Add(1)
		}
		switch r.Action {
		case journal.ActionReplace, journal.ActionInsert:
			d.now = r.Document
		case journal.ActionDelete:
			d.now = nil
		case journal.ActionNone:
			if len(r.Conflicts) == 0 && t.ns == "" {
				c.counts.Unchanged++
			}
		}
		if len(r.Conflicts) > 0 {
			c.conflict(s, reason{class: classConflict, message: conflictText(r.Conflicts), attempts: 1})
		}
	}
	return nil
}

// conflict records a change that stays as it is.
func (c *chunk) conflict(s undoStep, why reason) {
	if why.class != classConflict {
		c.fail(s.key(), why)
		return
	}
	c.counts.Conflicts++
	c.note(s.key(), why)
}

func conflictText(conflicts []journal.Conflict) string {
	const most = 20 // a document may have changed in thousands of places
	var texts []string
	for i, c := range conflicts {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %d more", len(conflicts)-most))
			break
		}
		texts = append(texts, c.String())
	}
	return strings.Join(texts, "; ")
}
