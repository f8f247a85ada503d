package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/rawbson"
)

// writes collects what a chunk changes, by collection, and does it: what happens to one collection in the order of the items, and
// of the writes of each item.
type writes struct {
	c        *chunk
	encoding conn.Encoding // the client's
	batch    *batch        // the items
	looks    bool          // see [engine.looks]
	// elsewhere says that some change is about another document of the collection than its item, perhaps about that of another item.
	elsewhere bool
	own       *target
	other     map[string]*target
}

// target is what happens to one collection.
type target struct {
	coll       *mongo.Collection
	ns         string // "" for the run's own collection
	statements *statements
	// distinct says that no document is written more than once, as is known beforehand.
	distinct bool
	written  writtenIDs // unless they are distinct
	// direct says that images go into the journal as they are made, and need not be kept: all so far were sure, and no other
	// change of the chunk can be about the same document.
	direct bool
	images map[string]*images
	order  []string // of images
	// aliases says that some of the images may be of the same document.
	aliases bool
}

// images are those of one document.
type images struct {
	id            bson.RawValue
	before, after bson.Raw
	known, sure   bool // before and after need not be read
	part          bool // they are parts, with all that changes
}

func newWrites(ctx context.Context, c *chunk, b *batch, changes []Change) (*writes, error) {
	c.memory.reset()
	w := &writes{c: c, encoding: c.e.run.Encoding(), batch: b, looks: c.e.looks(), other: map[string]*target{}}
	w.elsewhere = slices.ContainsFunc(changes, w.isElsewhere)
	w.own = &target{
		coll: c.e.coll, statements: c.memory.statements, images: map[string]*images{},
		distinct: (b.whole || b.view != nil) && !w.elsewhere,
	}
	w.own.direct = w.looks && w.own.distinct && c.e.opts.Journal != JournalFull
	return w, w.open(ctx, w.own)
}

// open makes a target ready for statements.
func (w *writes) open(ctx context.Context, t *target) error {
	// What has failed once in a transaction, or without one, can't be done again in its order.
	t.statements.grouped = !w.c.inOrder && !w.c.dry && !w.c.e.alone
	if t.distinct {
		return nil
	}
	folds, err := w.c.e.foldsText(ctx, t.coll)
	t.written = writtenIDs{folds: folds}
	return err
}

// isElsewhere tells whether a change is about another document of the run's collection than its item.
func (w *writes) isElsewhere(c Change) bool {
	return c.target != nil || slices.ContainsFunc(c.also, func(a write) bool {
		return w.c.e.namespace(a.collection) == w.c.e.ns()
	})
}

// add puts a change of an item into the commands, with what is written elsewhere because of it: all of that or, if any can't be
// encoded, nothing. The error is one of this item alone, or [ErrKey].
func (w *writes) add(ctx context.Context, index int, item bson.Raw, c Change) error {
	others := make([]otherWrite, len(c.also))
	for i, also := range c.also {
		var err error
		if others[i], err = w.encodeOther(also); err != nil {
			return err
		}
	}
	if err := w.addOwn(index, item, c); err != nil {
		return err
	}
	for _, o := range others {
		if err := w.addOther(ctx, index, o); err != nil {
			return err
		}
	}
	return nil
}

func (w *writes) addOwn(index int, item bson.Raw, c Change) error {
	if c.kind == changeNone {
		if len(c.also) == 0 {
			w.c.counts.Unchanged++
		}
		return nil
	}
	id, before, part := item.Lookup("_id"), item, w.batch.isPart(index)
	if !w.batch.whole && w.batch.view == nil || !w.enough(index, c) {
		before = nil
	}
	if c.target != nil {
		target, err := w.encoding.Value(c.target)
		if err != nil {
			return fmt.Errorf("the _id of the document to change: %w", err)
		}
		if !target.Equal(id) {
			id, before = target, nil
		}
	}
	if id.IsZero() {
		return fmt.Errorf("the item has no _id: say with Change.For which document it is about")
	}
	if w.own.wasWritten(id) {
		before = nil // it isn't any more
	}
	im := images{id: id, before: before, known: before != nil, part: part && before != nil}
	switch c.kind {
	case changeFields:
		return w.addFields(index, im, c)
	case changeReplace:
		return w.addReplacement(index, im, c)
	case changeDelete:
		im.sure = true
		if err := w.note(w.own, im); err != nil {
			return err
		}
		w.own.remove(index, id)
		return nil
	default:
		return w.addUpdate(index, im, c)
	}
}

func (w *writes) addFields(index int, im images, c Change) error {
	m := w.c.memory
	if err := m.fields.encode(w.encoding, c); err != nil {
		return err
	}
	if m.fields.empty() {
		w.c.counts.Unchanged++
		return nil
	}
	if after, ok := m.fields.outcome(m.after[:0], im.before); ok {
		if m.after = after; bytes.Equal(im.before, after) {
			w.c.counts.Unchanged++
			return nil
		}
		im.after, im.sure = after, true
	} else if im.part { // the document after will be read whole
		im.before, im.known, im.part = nil, false, false
	}
	if err := w.note(w.own, im); err != nil {
		return err
	}
	w.own.update(im.id).fields(index, im.id, &m.fields)
	return nil
}

func (w *writes) addReplacement(index int, im images, c Change) error {
	doc, err := w.withID(w.c.memory.after[:0], c.replace, im.id)
	if err != nil {
		return err
	}
	if w.c.memory.after = doc; bytes.Equal(doc, im.before) {
		w.c.counts.Unchanged++
		return nil
	}
	im.after, im.sure = doc, im.known || c.upsert
	if err := w.note(w.own, im); err != nil {
		return err
	}
	w.own.update(im.id).replace(index, im.id, doc, c.upsert)
	return nil
}

func (w *writes) addUpdate(index int, im images, c Change) error {
	u, err := w.encodeUpdate(c.update)
	if err != nil {
		return err
	}
	if doc, ok := u.DocumentOK(); ok {
		if err := checkOperators(doc, w.c.e.opts.Key); err != nil {
			return err
		}
	}
	if err := w.note(w.own, im); err != nil {
		return err
	}
	w.own.update(im.id).update(index, im.id, u)
	return nil
}

// encodeUpdate encodes an update document or a pipeline. The server would take a document without operators, which may be empty, for
// what the whole document shall be.
func (w *writes) encodeUpdate(update any) (bson.RawValue, error) {
	data, err := w.encoding.Marshal(bson.D{{Key: "u", Value: update}})
	if err != nil {
		return bson.RawValue{}, fmt.Errorf("the update can't be encoded: %w", err)
	}
	u := data.Lookup("u")
	if u.Type == bson.TypeArray {
		return u, nil
	}
	doc, _ := u.DocumentOK()
	if first, err := doc.IndexErr(0); err != nil || !strings.HasPrefix(first.Key(), "$") {
		return bson.RawValue{}, fmt.Errorf("the update %s has no operator such as $set: Replace puts another document in the place of one", u)
	}
	return u, nil
}

// otherWrite is a [write], encoded.
type otherWrite struct {
	kind       changeKind
	collection string
	id         bson.RawValue
	update     bson.RawValue
	doc        bson.Raw
}

func (w *writes) encodeOther(a write) (o otherWrite, err error) {
	o.kind, o.collection = a.kind, a.collection
	if o.id, err = w.encoding.Value(a.id); err != nil {
		return o, fmt.Errorf("the _id of a document of %s: %w", a.collection, err)
	}
	switch a.kind {
	case changeUpdate:
		o.update, err = w.encodeUpdate(a.value)
	case changeReplace:
		o.doc, err = w.withID(nil, a.value, o.id)
	default: // a deletion takes the _id alone
	}
	if err != nil {
		return o, fmt.Errorf("a document of %s: %w", a.collection, err)
	}
	return o, nil
}

func (w *writes) addOther(ctx context.Context, index int, o otherWrite) error {
	t, err := w.target(ctx, o.collection)
	if err != nil {
		return err
	}
	im := images{id: o.id}
	if o.kind != changeUpdate {
		im.after, im.sure = o.doc, true
	}
	if err := w.note(t, im); err != nil {
		return err
	}
	switch o.kind {
	case changeUpdate:
		t.update(o.id).update(index, o.id, o.update)
	case changeDelete:
		t.remove(index, o.id)
	default:
		t.update(o.id).replace(index, o.id, o.doc, true)
	}
	return nil
}

func (w *writes) target(ctx context.Context, name string) (*target, error) {
	ns := w.c.e.namespace(name)
	if ns == w.c.e.ns() {
		return w.own, nil
	}
	if t := w.other[ns]; t != nil {
		return t, nil
	}
	db, coll, _ := strings.Cut(ns, ".")
	t := &target{ns: ns, images: map[string]*images{}}
	t.coll = w.c.e.client.Database(db).Collection(coll, options.Collection().SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Majority()))
	t.statements = newStatements(w.c.e, t.coll)
	w.other[ns] = t
	return t, w.open(ctx, t)
}

// namespace is that of a collection which is named with its database or without.
func (e *engine) namespace(name string) string {
	if strings.Contains(name, ".") {
		return name
	}
	return e.coll.Database().Name() + "." + name
}

// wasWritten tells whether an earlier change of the chunk may have been about the same document.
func (t *target) wasWritten(id bson.RawValue) bool { return !t.distinct && t.written.has(id) }

// update returns where the next update of a document goes.
func (t *target) update(id bson.RawValue) *statements {
	if !t.distinct && t.written.update(id) {
		t.statements.barrier()
	}
	return t.statements
}

func (t *target) remove(index int, id bson.RawValue) {
	if !t.distinct {
		t.written.remove(id)
	}
	t.statements.remove(index, id)
}

// note puts the images of a document into the journal, or remembers them until all of them are known. A document that may be
// written more than once is read before and after all of that. An image after may be in memory that is used again.
func (w *writes) note(t *target, im images) error {
	if !w.looks {
		return nil
	}
	if t.direct = t.direct && im.sure; t.direct {
		return w.journal(t, &im)
	}
	key := valueKey(im.id)
	if earlier, twice := t.images[key]; twice {
		earlier.after, earlier.sure = nil, false
		return nil
	}
	im.after = bytes.Clone(im.after)
	t.images[key] = &im
	t.order = append(t.order, key)
	if t.wasWritten(im.id) { // by another _id that may be the same to the server
		t.unsure()
	}
	return nil
}

// unsure has all documents read, before and after, since it isn't known which _ids are the same to the server.
func (t *target) unsure() {
	t.aliases = true
	for _, im := range t.images {
		im.after, im.sure = nil, false
	}
}

// merge makes one of the images of documents that were named by several _ids.
func (t *target) merge() {
	stored, order := map[string]*images{}, t.order[:0]
	for _, key := range t.order {
		im := t.images[key]
		doc := im.before
		if doc == nil {
			doc = im.after
		}
		if doc == nil {
			continue // there was none, and is none
		}
		id := exactKey(doc.Lookup("_id"))
		if stored[id] == nil {
			stored[id], order = im, append(order, key)
		}
	}
	t.order = order
}

// journal adds what became of a document, unless that must not be.
func (w *writes) journal(t *target, im *images) error {
	if t == w.own {
		if err := w.c.e.keptKey(im.before, im.after); err != nil {
			return err
		}
	}
	if im.part {
		return w.c.journal.AddPart(im.before, im.after)
	}
	_, err := w.c.journal.Add(t.ns, im.before, im.after)
	return err
}

// run does all writes, and fills the journal.
func (w *writes) run(ctx context.Context) error {
	targets := []*target{w.own}
	for _, ns := range slices.Sorted(maps.Keys(w.other)) {
		targets = append(targets, w.other[ns])
	}
	for _, t := range targets {
		if err := w.do(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (w *writes) do(ctx context.Context, t *target) error {
	if err := t.readBefore(ctx); err != nil {
		return err
	}
	did, err := t.statements.send(ctx)
	if err != nil {
		return w.inOrder(t, err)
	}
	if t == w.own {
		w.c.counts.Changed += did.changed
		w.c.counts.Deleted += did.deleted
		w.c.counts.Unchanged += int64(t.statements.len()) - did.changed - did.deleted
	} else {
		w.c.counts.Written += did.changed + did.deleted
	}
	if err := t.readAfter(ctx, w.c.e.opts.Journal == JournalFull); err != nil {
		return err
	}
	if t.aliases {
		t.merge()
	}
	for _, key := range t.order {
		if err := w.journal(t, t.images[key]); err != nil {
			return err
		}
	}
	return nil
}

// inOrder has a chunk done again, each write in its place, where a unique index refused one that was put before its place.
func (w *writes) inOrder(t *target, err error) error {
	if !t.statements.overtook || !mongo.IsDuplicateKeyError(err) {
		return err
	}
	w.c.inOrder = true
	return errInOrder
}

func (t *target) readBefore(ctx context.Context) error {
	found, err := t.read(ctx, func(im *images) bool { return !im.known })
	for key, doc := range found {
		if im := t.images[key]; im != nil {
			im.before = doc
		}
	}
	return err
}

func (t *target) readAfter(ctx context.Context, exact bool) error {
	wanted := func(im *images) bool { return !im.sure || exact && im.after != nil }
	found, err := t.read(ctx, wanted)
	if err != nil {
		return err
	}
	for key, im := range t.images {
		if wanted(im) {
			im.after = found[key]
		}
	}
	return nil
}

func (t *target) read(ctx context.Context, wanted func(*images) bool) (map[string]bson.Raw, error) {
	var ids []bson.RawValue
	for _, key := range t.order {
		if im := t.images[key]; wanted(im) {
			ids = append(ids, im.id)
		}
	}
	return byID(ctx, t.coll, ids)
}

// withID encodes a document under the _id that it shall have, in the memory of dst.
func (w *writes) withID(dst []byte, doc any, id bson.RawValue) (bson.Raw, error) {
	data, err := w.encoding.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("the new document can't be encoded: %w", err)
	}
	out, start := rawbson.Open(dst)
	out = rawbson.Append(out, "_id", id)
	rest, ok := rawbson.Fields(data)
	for ok && len(rest) > 0 {
		var e rawbson.Element
		if e, rest, ok = rawbson.Next(rest); ok && string(e.Name) != "_id" {
			out = append(out, e.Raw...)
		}
	}
	if !ok {
		return nil, errors.New("the new document can't be encoded: it is no BSON")
	}
	return rawbson.Close(out, start), nil
}
