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

// writes collects what a chunk changes, by collection, and does it: one command for all updates of a collection and one for
// its deletions.
type writes struct {
	c        *chunk
	encoding conn.Encoding // the client's
	batch    *batch        // the items
	looks    bool          // see [engine.looks]
	// elsewhere says that some change is about another document than its item, perhaps about that of another item.
	elsewhere bool
	own       *target
	other     map[string]*target
}

// target is what happens to one collection.
type target struct {
	coll    *mongo.Collection
	ns      string // "" for the run's own collection
	updates *statements
	deletes *statements
	// direct says that images go into the journal as they are made, and need not be kept: all so far were sure, and no other
	// change of the chunk can be about the same document.
	direct bool
	images map[string]*images
	order  []string // of images
}

// images are those of one document.
type images struct {
	id            bson.RawValue
	before, after bson.Raw
	known, sure   bool // before and after need not be read
	part          bool // they are parts, with all that changes
}

func newWrites(c *chunk, b *batch, changes []Change) *writes {
	c.memory.reset()
	looks := c.e.looks()
	elsewhere := slices.ContainsFunc(changes, func(c Change) bool { return c.target != nil })
	own := &target{
		coll: c.e.coll, updates: c.memory.updates, deletes: c.memory.deletes, images: map[string]*images{},
		direct: looks && (b.whole || b.view != nil) && !elsewhere && c.e.opts.Journal != JournalFull,
	}
	return &writes{c: c, encoding: c.e.run.Encoding(), batch: b, looks: looks, elsewhere: elsewhere, own: own, other: map[string]*target{}}
}

// add puts a change of an item into the commands, with what is written elsewhere because of it: all of that or, if any can't be
// encoded, nothing. The error is one of this item alone, or [ErrKey].
func (w *writes) add(index int, item bson.Raw, c Change) error {
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
		if err := w.addOther(index, o); err != nil {
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
		w.own.deletes.remove(index, id)
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
	w.own.updates.fields(index, im.id, &m.fields)
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
	w.own.updates.replace(index, im.id, doc, c.upsert)
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
	w.own.updates.update(index, im.id, u)
	return w.note(w.own, im)
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

func (w *writes) addOther(index int, o otherWrite) error {
	t := w.target(o.collection)
	im := images{id: o.id}
	switch o.kind {
	case changeUpdate:
		t.updates.update(index, o.id, o.update)
	case changeDelete:
		t.deletes.remove(index, o.id)
		im.sure = true
	default:
		t.updates.replace(index, o.id, o.doc, true)
		im.after, im.sure = o.doc, true
	}
	return w.note(t, im)
}

func (w *writes) target(name string) *target {
	db, coll := w.c.e.coll.Database(), name
	if before, after, found := strings.Cut(name, "."); found {
		db, coll = w.c.e.client.Database(before), after
	}
	ns := db.Name() + "." + coll
	if w.other[ns] == nil {
		coll := db.Collection(coll, options.Collection().SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Majority()))
		w.other[ns] = &target{
			coll: coll, ns: ns, updates: newStatements("update", w.c.e, coll), deletes: newStatements("delete", w.c.e, coll), images: map[string]*images{},
		}
	}
	return w.other[ns]
}

// note puts the images of a document into the journal, or remembers them until all of them are known. A document that is written
// more than once is read before and after all of that. An image after may be in memory that is used again.
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
	return nil
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
	changed, err := t.updates.send(ctx)
	if err != nil {
		return err
	}
	deleted, err := t.deletes.send(ctx)
	if err != nil {
		return err
	}
	if t == w.own {
		w.c.counts.Changed += changed
		w.c.counts.Deleted += deleted
		w.c.counts.Unchanged += int64(t.updates.len()+t.deletes.len()) - changed - deleted
	} else {
		w.c.counts.Written += changed + deleted
	}
	if err := t.readAfter(ctx, w.c.e.opts.Journal == JournalFull); err != nil {
		return err
	}
	for _, key := range t.order {
		if err := w.journal(t, t.images[key]); err != nil {
			return err
		}
	}
	return nil
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
