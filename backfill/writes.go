package backfill

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// writes collects what a chunk changes, by collection, and does it: what happens to one collection in the order of the items, and
// of the writes of each item.
type writes struct {
	c     *chunk
	batch *batch // the items
	looks bool   // see [engine.looks]
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
	// aliases says that some of the images may be of the same document, twice that a document has several statements.
	aliases, twice bool
	// piped says that the server may count documents as changed that are the same: it does after a pipeline. counted is how many it
	// counts, changed how many images differ.
	piped            bool
	counted, changed int64
}

// images are those of one document.
type images struct {
	id            bson.RawValue
	before, after bson.Raw
	known, sure   bool // before and after need not be read
	creates       bool // where there is no document, there will be one
	part          bool // they are parts, with all that changes
}

func newWrites(ctx context.Context, c *chunk, b *batch, requests []request) (*writes, error) {
	c.memory.reset()
	w := &writes{c: c, batch: b, looks: c.e.looks(), other: map[string]*target{}}
	w.elsewhere = slices.ContainsFunc(requests, w.isElsewhere)
	w.own = &target{
		coll: c.e.coll, statements: c.memory.statements, images: map[string]*images{},
		distinct: (b.whole || b.view != nil) && !w.elsewhere,
	}
	w.own.direct = w.looks && w.own.distinct && c.e.opts.Journal != JournalFull
	if err := w.open(ctx, w.own); err != nil {
		return nil, err
	}
	return w, w.targets(ctx, requests)
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
func (w *writes) isElsewhere(r request) bool {
	return !r.target.IsZero() || slices.ContainsFunc(r.also, func(o otherWrite) bool { return o.ns == w.c.e.ns() })
}

// add puts a change of an item into the commands, with what is written elsewhere because of it. The error is one of this item
// alone, of which nothing is written then, or [ErrKey].
func (w *writes) add(index int, item bson.Raw, r *request) error {
	if err := w.addOwn(index, item, r); err != nil {
		return err
	}
	for i := range r.also {
		if err := w.addOther(index, &r.also[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writes) addOwn(index int, item bson.Raw, r *request) error {
	if r.kind == changeNone {
		if len(r.also) == 0 {
			w.c.counts.Unchanged++
		}
		return nil
	}
	id, before, part := item.Lookup("_id"), item, w.batch.isPart(index)
	if !w.batch.whole && w.batch.view == nil || !w.enough(index, r) {
		before = nil
	}
	if !r.target.IsZero() && !r.target.Equal(id) {
		id, before = r.target, nil
	}
	if id.IsZero() {
		return errors.New("the item has no _id: say with Change.For which document it is about")
	}
	if w.own.wasWritten(id) {
		before = nil // it isn't any more
	}
	im := images{id: id, before: before, known: before != nil, part: part && before != nil}
	switch r.kind {
	case changeFields:
		return w.addFields(index, im, r)
	case changeReplace, changeUpsert:
		return w.addReplacement(index, im, r)
	case changeDelete:
		im.sure = true
		if err := w.note(w.own, im); err != nil {
			return err
		}
		w.own.remove(index, id)
		return nil
	default:
		if err := w.note(w.own, im); err != nil {
			return err
		}
		w.own.pipe(w.looks, r.update)
		w.own.update(id).update(index, id, r.update)
		return nil
	}
}

func (w *writes) addFields(index int, im images, r *request) error {
	m := w.c.memory
	m.fields.take(r.set, r.unset)
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

func (w *writes) addReplacement(index int, im images, r *request) error {
	doc := r.under(w.c.memory.after[:0], im.id)
	if w.c.memory.after = doc; bytes.Equal(doc, im.before) && !r.stamped {
		w.c.counts.Unchanged++
		return nil
	}
	// Without the document before it isn't known whether there is one.
	im.creates = r.kind == changeUpsert
	im.after, im.sure = doc, !r.stamped && (im.known || im.creates)
	if err := w.note(w.own, im); err != nil {
		return err
	}
	w.own.update(im.id).replace(index, im.id, r.doc, r.kind == changeUpsert)
	return nil
}

func (w *writes) addOther(index int, o *otherWrite) error {
	t := w.target(o.ns)
	im := images{id: o.id}
	if o.kind == changeUpsert {
		im.after, im.creates = o.under(nil, o.id), true
	}
	im.sure = o.kind == changeDelete || o.kind == changeUpsert && !o.stamped
	if err := w.note(t, im); err != nil {
		return err
	}
	switch o.kind {
	case changeUpdate:
		t.pipe(w.looks, o.update)
		t.update(o.id).update(index, o.id, o.update)
	case changeDelete:
		t.remove(index, o.id)
	default:
		t.update(o.id).replace(index, o.id, o.doc, true)
	}
	return nil
}

// targets prepares the other collections that are written to.
func (w *writes) targets(ctx context.Context, requests []request) error {
	for _, r := range requests {
		for _, o := range r.also {
			if w.target(o.ns) != nil {
				continue
			}
			db, name, _ := cutNamespace(o.ns)
			t := &target{ns: o.ns, images: map[string]*images{}}
			t.coll = w.c.e.client.Database(db).Collection(name, options.Collection().SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Majority()))
			t.statements = newStatements(w.c.e, t.coll)
			w.other[o.ns] = t
			if err := w.open(ctx, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writes) target(ns string) *target {
	if ns == w.c.e.ns() {
		return w.own
	}
	return w.other[ns]
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

// pipe notes an update if it is a pipeline, of which images tell what it did.
func (t *target) pipe(looks bool, update bson.RawValue) {
	t.piped = t.piped || looks && update.Type == bson.TypeArray
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
		t.twice = true
		earlier.after, earlier.sure, earlier.creates = nil, false, earlier.creates || im.creates
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
	if im.after != nil && !bytes.Equal(im.before, im.after) {
		t.changed++
	}
	if t == w.own {
		if err := w.c.e.keptKey(im.before, im.after); err != nil {
			return err
		}
	}
	if im.part {
		return w.c.journal.AddPart(im.before, im.after)
	}
	if !im.sure {
		return w.c.turnedOut(t.ns, im.before, im.after)
	}
	_, err := w.c.journal.Add(t.ns, im.before, im.after)
	return err
}

// run does all writes, and fills the journal.
func (w *writes) run(ctx context.Context) error {
	targets := []*target{w.own}
	w.c.elsewhere, w.c.others = w.elsewhere, slices.Sorted(maps.Keys(w.other))
	for _, ns := range w.c.others {
		targets = append(targets, w.other[ns])
	}
	if w.c.ahead != nil {
		return w.runAhead(ctx, targets)
	}
	for _, t := range targets {
		if err := t.readBefore(ctx); err != nil {
			return err
		}
		if err := w.send(ctx, t); err != nil {
			return err
		}
		if err := w.turnedOut(ctx, t, w.c.e.opts.Journal == JournalFull); err != nil {
			return err
		}
	}
	return nil
}

// runAhead does the same where there is no transaction: what is known of all changes is kept before the first of them.
func (w *writes) runAhead(ctx context.Context, targets []*target) error {
	for _, t := range targets {
		if err := t.readBefore(ctx); err != nil {
			return err
		}
		rest := t.order[:0]
		for _, key := range t.order {
			im := t.images[key]
			var err error
			switch {
			case im.sure:
				err = w.journal(t, im)
			case im.before != nil || im.creates:
				err = w.c.ahead.pending.AddPending(t.ns, im.id, im.before)
				rest = append(rest, key)
			}
			if err != nil {
				return err
			}
		}
		t.order = rest
	}
	if err := w.c.announce(ctx); err != nil {
		return err
	}
	for _, t := range targets {
		if err := w.send(ctx, t); err != nil {
			return err
		}
		if err := w.turnedOut(ctx, t, false); err != nil {
			return err
		}
	}
	return nil
}

// send does the writes to a collection, and counts them.
func (w *writes) send(ctx context.Context, t *target) error {
	did, err := t.statements.send(ctx)
	if err != nil {
		return w.inOrder(t, err)
	}
	t.counted = did.changed
	if t == w.own {
		w.c.counts.Changed += did.changed
		w.c.counts.Deleted += did.deleted
		w.c.counts.Unchanged += int64(t.statements.len()) - did.changed - did.deleted
	} else {
		w.c.counts.Written += did.changed + did.deleted
	}
	return nil
}

// turnedOut puts what has become of the documents of a collection into the journal.
func (w *writes) turnedOut(ctx context.Context, t *target, exact bool) error {
	if err := t.readAfter(ctx, exact); err != nil {
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
	if over := t.counted - t.changed; t.piped && !t.twice && !t.aliases && over > 0 {
		if t == w.own {
			w.c.counts.Changed -= over
			w.c.counts.Unchanged += over
		} else {
			w.c.counts.Written -= over
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
		im := t.images[key]
		if im == nil {
			continue
		}
		im.before = doc
		if !doc.Lookup("_id").Equal(im.id) { // the one that is there stays, such as 1 where 1.0 was named
			im.sure = im.sure && im.after == nil
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
