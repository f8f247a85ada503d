package backfill

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/rawbson"
	"github.com/rikki-go/rikki/internal/store"
)

// undoWork undoes a journal, the newest change first. There is one partition, so one worker at a time uses it.
type undoWork struct {
	past   *pastRun
	held   sequence // the one read last
	others map[string]*mongo.Collection
	// limit keeps chunks small for a while where unique indexes are in the way; tried is where the last attempt began.
	limit int
	tried where
	// average is the size of the documents of the last chunk: small changes can be about large documents.
	average int
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
	coll *mongo.Collection
	ns   string // as the journal says it: "" for the run's own collection
	docs map[string]*undoDoc
	list []*undoDoc
}

func (w *undoWork) prepare(context.Context, *engine) error { return nil }

func (w *undoWork) leftover(context.Context, *engine, store.Partition, int) (leftover, error) {
	return leftover{end: true}, nil // a conflict is known, and all else is done
}

func (w *undoWork) chunk(ctx context.Context, c *chunk) error {
	var at where
	if !c.part.Cursor.IsZero() {
		if err := c.part.Cursor.Unmarshal(&at); err != nil {
			return fmt.Errorf("the cursor of an undo: %w", err)
		}
	}
	steps, behind, end, err := w.gather(ctx, c.e.store, at, w.size(at, c.size, c.bytes), c.bytes)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		return c.advance(ctx, bson.RawValue{}, end)
	}
	c.size = len(steps)
	c.counts.Matched = int64(len(steps))
	undone, err := w.undoneBefore(ctx, c.e.store, steps)
	if err != nil {
		return err
	}
	steps = w.left(c, steps, undone)
	targets := w.targets(c, steps)
	read := 0
	for _, t := range targets {
		n, err := t.load(ctx, c)
		if err != nil {
			return err
		}
		read += n
	}
	w.average = read / max(1, len(steps))
	if err := w.restore(c, steps, targets); err != nil {
		return err
	}
	if err := c.advance(ctx, behind.value(), end); err != nil {
		return err
	}
	point.Reached("undo.chunk")
	for _, t := range targets {
		if err := t.write(ctx, c); err != nil {
			return w.inTheWay(c, err)
		}
	}
	return nil
}

// size is how many changes to undo in a chunk.
func (w *undoWork) size(at where, wanted, bytes int) int {
	if w.average > 0 {
		wanted = min(wanted, max(1, bytes/w.average))
	}
	if w.limit > 0 && at != w.tried {
		w.limit *= 2
	}
	if w.tried = at; w.limit >= wanted {
		w.limit = 0
	}
	if w.limit > 0 {
		return w.limit
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
func (w *undoWork) targets(c *chunk, steps []undoStep) []*undoTarget {
	var list []*undoTarget
	byName := make(map[string]*undoTarget)
	c.keys = c.keys[:0]
	for _, s := range steps {
		t := byName[s.ns]
		if t == nil {
			t = &undoTarget{coll: w.collection(c.e, s.ns), ns: s.ns, docs: map[string]*undoDoc{}}
			if s.ns == c.e.ns() {
				t.ns = ""
			}
			byName[s.ns] = t
			list = append(list, t)
		}
		key := valueKey(s.entry.ID)
		if t.docs[key] != nil {
			continue
		}
		d := &undoDoc{id: s.entry.ID, key: undoKey(s.ns, s.entry.ID, 0), index: len(c.keys)}
		c.keys = append(c.keys, d.key)
		t.docs[key] = d
		t.list = append(t.list, d)
	}
	return list
}

func (w *undoWork) collection(e *engine, ns string) *mongo.Collection {
	if ns == e.ns() {
		return e.coll
	}
	if w.others[ns] == nil {
		db, name, _ := cutNamespace(ns)
		w.others[ns] = e.client.Database(db).Collection(name, options.Collection().
			SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Majority()))
	}
	return w.others[ns]
}

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
	ids := make([]bson.RawValue, len(t.list))
	for i, d := range t.list {
		ids[i] = d.id
	}
	cur, err := t.coll.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetBatchSize(int32(len(ids))+1).SetComment(c.e.run.ID())) //nolint:gosec // a chunk
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", t.coll.Name(), err)
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
		byName[t.coll.Database().Name()+"."+t.coll.Name()] = t
	}
	for _, s := range steps {
		t := byName[s.ns]
		d := t.docs[valueKey(s.entry.ID)]
		if why, ok := c.poison[exactKey(d.key)]; ok {
			c.conflict(s, why)
			continue
		}
		r, err := s.entry.Restore(d.now)
		if errors.Is(err, journal.ErrNotUndoable) {
			return fmt.Errorf("%w: %w", ErrNoUndo, err)
		}
		if err != nil {
			return fmt.Errorf("undoing the change of %s in %s: %w", s.entry.ID, s.ns, err)
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
		c.fail(undoKey(s.ns, s.entry.ID, s.seq), why)
		return
	}
	c.counts.Conflicts++
	c.note(undoKey(s.ns, s.entry.ID, s.seq), why)
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

// write does what restore has computed. Deletions come first and insertions last: each state between is a part of one that
// was there before, so that no unique index is in the way of what had been possible. Updates go back the way they came.
func (t *undoTarget) write(ctx context.Context, c *chunk) error {
	updates, deletes := newStatements(c.e, t.coll), newStatements(c.e, t.coll)
	var inserts []any
	var inserted []int
	for _, d := range t.list {
		switch {
		case string(d.before) == string(d.now):
			continue
		case d.now == nil:
			deletes.remove(d.index, d.id)
		case d.before == nil:
			inserts, inserted = append(inserts, d.now), append(inserted, d.index)
		default:
			updates.restore(d.index, d.id, d.now)
		}
		if _, err := c.journal.Add(t.ns, d.before, d.now); err != nil {
			return err
		}
	}
	first, err := deletes.send(ctx)
	if err != nil {
		return err
	}
	second, err := updates.send(ctx)
	if err != nil {
		return err
	}
	deleted, changed := first.deleted, second.changed
	if len(inserts) > 0 {
		if _, err := t.coll.InsertMany(ctx, inserts, options.InsertMany().SetComment(c.e.run.ID())); err != nil {
			return insertError(err, inserted)
		}
		changed += int64(len(inserts))
	}
	if t.ns == "" {
		c.counts.Changed += changed
		c.counts.Deleted += deleted
	} else {
		c.counts.Written += changed + deleted
	}
	return nil
}

// restore replaces a document. One with fields that begin with a dollar can't be replaced as such.
func (s *statements) restore(index int, id bson.RawValue, doc bson.Raw) {
	elements, err := doc.Elements()
	for _, e := range elements {
		if err == nil && strings.HasPrefix(e.Key(), "$") {
			stage := bson.D{{Key: "$replaceWith", Value: bson.D{{Key: "$literal", Value: doc}}}}
			if kind, data, err := bson.MarshalValue(bson.A{stage}); err == nil {
				s.update(index, id, bson.RawValue{Type: kind, Value: data})
				return
			}
		}
	}
	s.replace(index, id, doc, false)
}

// insertError tells which document can't be inserted.
func insertError(err error, index []int) error {
	bulk, ok := errors.AsType[mongo.BulkWriteException](err)
	if !ok || len(bulk.WriteErrors) == 0 {
		return fmt.Errorf("inserting what was deleted: %w", err)
	}
	first := bulk.WriteErrors[0]
	we := mongo.WriteException{WriteErrors: mongo.WriteErrors{first.WriteError}}
	return &documentError{index: index[min(first.Index, len(index)-1)], class: classOf(we), err: we}
}

// inTheWay makes a clash in a unique index a conflict. In a chunk of several documents it can be one with another of them
// whose turn comes later, so the chunk gets smaller first.
func (w *undoWork) inTheWay(c *chunk, err error) error {
	doc, ok := errors.AsType[*documentError](err)
	if !ok || !mongo.IsDuplicateKeyError(err) {
		return err
	}
	index := doc.index
	if len(c.keys) > 1 && !c.dry {
		index, w.limit = -1, max(1, c.size/2)
	}
	return &documentError{index: index, class: classConflict, err: fmt.Errorf("a unique index is in the way: %w", err)}
}
