package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/store"
)

// functionWork asks a function of the author's what shall become of documents.
type functionWork struct {
	// changes is what is asked for each item, or an error of the item.
	changes func(ctx context.Context, x *encoder, items []bson.Raw) ([]request, []error, error)
	done    func(item bson.Raw) (bool, error) // nil without a Doner
	sees    reflect.Type                      // what documents are decoded into
	// encoding is the client's.
	encoding conn.Encoding
}

func newFunction[T any](script Changer[T]) work {
	w := &functionWork{sees: reflect.TypeFor[T]()}
	w.done = doneFunc[T](w, script)
	w.changes = func(ctx context.Context, x *encoder, items []bson.Raw) ([]request, []error, error) {
		requests, errs := make([]request, len(items)), make([]error, len(items))
		for i, item := range items {
			change, err := call(func() (Change, error) {
				doc, err := decode[T](w.encoding, item)
				if err != nil {
					return Change{}, err
				}
				return script.Change(ctx, doc)
			})
			if err == nil {
				requests[i], err = call(func() (request, error) { return x.encode(change) })
			}
			if ctx.Err() != nil {
				return nil, nil, cutOff(ctx, i)
			}
			if err := x.lent.judge(i, err); err != nil {
				return nil, nil, err
			}
			if rikki.IsTransient(err) || errors.Is(err, ErrKey) || errors.Is(err, ErrGuard) {
				return nil, nil, err
			}
			errs[i] = failed(err)
		}
		return requests, errs, nil
	}
	return w
}

func newBatch[T any](script BatchChanger[T], hooks any) work {
	w := &functionWork{sees: reflect.TypeFor[T]()}
	w.done = doneFunc[T](w, hooks)
	w.changes = func(ctx context.Context, x *encoder, items []bson.Raw) ([]request, []error, error) {
		docs, errs := make([]T, 0, len(items)), make([]error, len(items))
		for i, item := range items {
			doc, err := call(func() (T, error) { return decode[T](w.encoding, item) })
			if err != nil {
				errs[i] = failed(err)
				continue
			}
			docs = append(docs, doc)
		}
		got, err := call(func() ([]Change, error) { return script.ChangeAll(ctx, docs) })
		if ctx.Err() != nil {
			return nil, nil, cutOff(ctx, 0)
		}
		if err := x.lent.judge(-1, err); err != nil {
			return nil, nil, err
		}
		if err != nil {
			if rikki.IsTransient(err) {
				return nil, nil, err
			}
			return nil, nil, &documentError{index: -1, class: classOf(err), err: err}
		}
		if len(got) != len(docs) {
			return nil, nil, fmt.Errorf("ChangeAll got %d documents and returned %d changes: it must return one for each, None for those that stay", len(docs), len(got))
		}
		requests := make([]request, len(items))
		for i := range items {
			if errs[i] != nil {
				continue
			}
			requests[i], err = call(func() (request, error) { return x.encode(got[0]) })
			if rikki.IsTransient(err) || errors.Is(err, ErrKey) || errors.Is(err, ErrGuard) {
				return nil, nil, err
			}
			errs[i], got = failed(err), got[1:]
		}
		return requests, errs, nil
	}
	return w
}

func doneFunc[T any](w *functionWork, script any) func(bson.Raw) (bool, error) {
	d, ok := script.(Doner[T])
	if !ok {
		return nil
	}
	return func(item bson.Raw) (bool, error) {
		return call(func() (bool, error) {
			doc, err := decode[T](w.encoding, item)
			return err == nil && d.Done(doc), err
		})
	}
}

// decode turns a document into what the function wants.
func decode[T any](encoding conn.Encoding, item bson.Raw) (T, error) {
	var doc T
	if raw, ok := any(&doc).(*bson.Raw); ok {
		*raw = bytes.Clone(item) // the author's own: what was read is the image of how it was
		return doc, nil
	}
	if err := encoding.Unmarshal(item, &doc); err != nil {
		return doc, fmt.Errorf("the document doesn't fit %T: %w", doc, err)
	}
	return doc, nil
}

// lent is what became of the operations of a function in the transaction of its chunk; nil where there is none.
type lent func() error

// judge decides about an attempt in which an operation of the author's has failed: the server has ended the transaction then, whether
// he returns that error, another one or none. The item is to blame, unless the error may be gone the next time or is of the server.
func (l lent) judge(item int, said error) error {
	if l == nil {
		return nil
	}
	failure := l()
	if failure == nil {
		return nil
	}
	err := fmt.Errorf("an operation of the function failed, and ended the transaction: %w", failure)
	if hasAnyCode(failure, codeNoPlan) {
		err = fmt.Errorf("the server scans no collection (notablescan): make an index on what the function looks for, or look for it by _id: %w", err)
	}
	if said != nil && !errors.Is(said, failure) && said.Error() != failure.Error() {
		err = fmt.Errorf("%w (the function said: %s)", err, clipped(said))
	}
	switch judge(failure) {
	case document:
		return &documentError{index: item, class: classOf(failure), err: err}
	default:
		return err
	}
}

type databaseKey struct{}

// DB is the database of the backfill, for reads and writes of [Changer.Change] in
// the transaction of its chunk. They must use the same context. What is written
// with it is not in the undo journal: use [Change.Also] for that.
func DB(ctx context.Context) *mongo.Database {
	db, _ := ctx.Value(databaseKey{}).(*mongo.Database)
	return db
}

func (w *functionWork) prepare(_ context.Context, e *engine) error {
	w.encoding, e.view = e.run.Encoding(), newView(w.sees, e)
	return nil
}

func (w *functionWork) chunk(ctx context.Context, c *chunk) error {
	if passed, err := c.passOne(ctx); passed || err != nil { // it may be one that Options.Stages fail for
		return err
	}
	b, err := c.e.source.read(ctx, c.part, c.size, c.bytes)
	if err != nil {
		return err
	}
	c.read(b.keys)
	c.counts.Matched = int64(len(b.items))
	if err := c.advance(ctx, b.last, b.end); err != nil || len(b.items) == 0 {
		return err
	}
	if err := b.complete(ctx, c.e, b.lacking(), c.bytes); err != nil {
		return err
	}
	ctx = context.WithValue(ctx, databaseKey{}, c.e.coll.Database())
	items, index := w.healthy(c, b)
	began := time.Now()
	x := c.e.newEncoder(ctx, w.encoding, keep(c.memory.requests))
	requests, errs, err := w.changes(w.lend(ctx, c, x), x, items)
	c.memory.requests = x.buf
	c.thought = time.Since(began)
	if doc, ok := errors.AsType[*documentError](err); ok && doc.index >= 0 {
		doc.index = index[doc.index]
	}
	if err != nil {
		return err
	}
	out, err := newWrites(ctx, c, &b, requests)
	if err != nil {
		return err
	}
	if err := w.complete(ctx, out, index, requests); err != nil {
		return err
	}
	for i, at := range index {
		err := errs[i]
		if err == nil {
			err = out.add(at, b.items[at], &requests[i])
		}
		if errors.Is(err, ErrKey) {
			return err
		}
		if err != nil {
			c.fail(b.keys[at], reasonOf(classOf(err), err, 1))
		}
	}
	out.batch = nil // what was read needs no memory any more
	return out.run(ctx)
}

// lend makes the transaction one that the author's function works in, too.
func (w *functionWork) lend(ctx context.Context, c *chunk, x *encoder) context.Context {
	if c.e.alone {
		return ctx
	}
	ctx, operations := c.e.run.Lend(ctx)
	x.lent = operations.Failed
	return ctx
}

// complete fetches whole what the changes take more of than was read.
func (w *functionWork) complete(ctx context.Context, out *writes, index []int, requests []request) error {
	var wanted []int
	for i, at := range index {
		if out.looks && !out.enough(at, &requests[i]) {
			wanted = append(wanted, at)
		}
	}
	err := out.batch.complete(ctx, out.c.e, wanted, out.c.bytes)
	out.batch.view.learn(len(out.batch.items), len(out.batch.full))
	return err
}

// healthy are the items but for those that are passed by, each with its place in the chunk.
func (w *functionWork) healthy(c *chunk, b batch) ([]bson.Raw, []int) {
	items, index := make([]bson.Raw, 0, len(b.items)), make([]int, 0, len(b.items))
	for i, item := range b.items {
		if err := b.bad[i]; err != nil {
			c.fail(b.keys[i], reasonOf("row", err, 1))
			continue
		}
		if !c.passBy(b.keys[i]) {
			items, index = append(items, item), append(index, i)
		}
	}
	return items, index
}

func (w *functionWork) leftover(ctx context.Context, e *engine, p store.Partition, n int) (leftover, error) {
	found, err := w.lookAgain(ctx, e, p, n)
	if errors.Is(err, errWhole) {
		return w.lookAgain(ctx, e, p, n)
	}
	return found, err
}

func (w *functionWork) lookAgain(ctx context.Context, e *engine, p store.Partition, n int) (leftover, error) {
	b, err := e.source.read(ctx, p, n, chunkBytes)
	if err != nil {
		return leftover{}, err
	}
	found := leftover{looked: int64(len(b.items)), last: b.last, end: b.end}
	if found.looked == 0 { // what Options.Stages leave of these documents; there may be others behind
		return found, nil
	}
	if err := b.complete(ctx, e, b.lacking(), chunkBytes); err != nil {
		return found, err
	}
	if w.done != nil {
		b.view.learn(len(b.items), len(b.full))
		for i, item := range b.items {
			done, err := w.done(item)
			if err != nil || !done {
				found.left = append(found.left, b.keys[i])
			}
		}
		return found, nil
	}
	x := e.newEncoder(ctx, w.encoding, nil)
	requests, errs, err := w.changes(context.WithValue(ctx, databaseKey{}, e.coll.Database()), x, b.items)
	if err != nil {
		return found, err
	}
	var wanted []int
	for i := range requests {
		if r := &requests[i]; b.isPart(i) && r.kind == changeFields && !b.view.knows(r) {
			wanted = append(wanted, i)
		}
	}
	if err := b.complete(ctx, e, wanted, chunkBytes); err != nil {
		return found, err
	}
	b.view.learn(len(b.items), len(b.full))
	for i, item := range b.items {
		// One that fails is left, too: whoever reads this takes off what has failed in the run.
		if errs[i] != nil || requests[i].kind != changeNone && !requests[i].holds(item) {
			found.left = append(found.left, b.keys[i])
		}
	}
	return found, nil
}
