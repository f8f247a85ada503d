package backfill

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/store"
)

// reader gives a run its items, partition by partition.
type reader interface {
	check(ctx context.Context) error
	plan(ctx context.Context) (parts []store.Partition, total int64, err error)
	// read returns the next items behind the partition's cursor, at most n and not many more bytes than given.
	read(ctx context.Context, p store.Partition, n, bytes int) (batch, error)
}

// factual is implemented by readers of something that must not change between two attempts.
type factual interface {
	facts() (bson.Raw, error)
	differ(then, now bson.Raw) error // what is said if it did
}

// batch is what a reader found.
type batch struct {
	items []bson.Raw
	keys  []bson.RawValue // of the items
	last  bson.RawValue   // where the cursor is behind them
	end   bool            // there is nothing behind
	whole bool            // the items are whole documents of the collection
	bad   map[int]error   // of items that can't be read
	view  *view           // not nil: the items are what it shows of documents
	full  map[int]bool    // those of them that are whole documents all the same
}

func (e *engine) reader(ctx context.Context) (reader, error) {
	if e.opts.Source == nil {
		return e.pick(ctx, &collectionReader{e})
	}
	r, err := e.opts.Source.reader(e)
	if err != nil {
		return nil, err
	}
	return e.pick(ctx, r)
}

// collectionReader reads the documents of the collection, in the order of their keys.
type collectionReader struct{ e *engine }

func (r *collectionReader) check(ctx context.Context) error {
	if err := r.e.walkable(ctx); err != nil || len(r.e.opts.Stages) == 0 {
		return err
	}
	return r.e.checkStages(ctx)
}

// explainAggregate asks the server whether it understands a pipeline.
func (e *engine) explainAggregate(ctx context.Context, pipeline mongo.Pipeline) error {
	aggregate := e.aggregation(pipeline, 0)
	return e.coll.Database().RunCommand(ctx, bson.D{{Key: "explain", Value: aggregate}, {Key: "verbosity", Value: "queryPlanner"}}).Err()
}

// aggregation is a pipeline over the collection as a command, whose first answer has n documents unless they are too large for it.
func (e *engine) aggregation(pipeline mongo.Pipeline, n int) bson.D {
	return bson.D{
		{Key: "aggregate", Value: e.coll.Name()},
		{Key: "pipeline", Value: pipeline},
		{Key: "cursor", Value: bson.D{{Key: "batchSize", Value: n + 1}}},
		{Key: "hint", Value: e.hint()},
	}
}

func (r *collectionReader) plan(ctx context.Context) ([]store.Partition, int64, error) {
	return r.e.rangesOf(ctx)
}

func (r *collectionReader) read(ctx context.Context, p store.Partition, n, bytes int) (batch, error) {
	if len(r.e.opts.Stages) > 0 {
		return r.e.staged(ctx, p, r.e.sizes.fit(n, bytes), bytes)
	}
	view, sizes := r.e.view.open(), &r.e.sizes
	if view != nil {
		sizes = &view.sizes
	}
	n = sizes.fit(n, bytes)
	find := r.e.next(r.e.rest(p), n)
	whole := r.e.opts.Projection == nil && view == nil
	switch {
	case view != nil:
		find = append(find, bson.E{Key: "projection", Value: view.projection()})
	case !whole:
		projection, err := project(r.e.opts.Projection, cmp.Or(r.e.scriptKey, r.e.opts.Key))
		if err != nil {
			return batch{}, err
		}
		find = append(find, bson.E{Key: "projection", Value: projection})
	}
	cur, err := r.e.query(ctx, find)
	if err != nil {
		return batch{}, err
	}
	b, err := r.e.collect(ctx, cur, n, bytes, sizes)
	b.whole, b.view = whole, view
	return b, err
}

// next is the command that finds the first n documents that a filter selects, in the order of the walk.
func (e *engine) next(filter bson.D, n int) bson.D {
	return bson.D{
		{Key: "find", Value: e.coll.Name()},
		{Key: "filter", Value: filter},
		{Key: "sort", Value: e.order()},
		{Key: "hint", Value: e.hint()},
		{Key: "limit", Value: n},
		{Key: "batchSize", Value: n + 1},
	}
}

// project adds the key to a projection that lists what it wants.
func project(projection any, key string) (bson.D, error) {
	data, err := bson.Marshal(projection)
	if err != nil {
		return nil, fmt.Errorf("Options.Projection: %w", err)
	}
	var fields bson.D
	if err := bson.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("Options.Projection: %w", err)
	}
	lists, out := false, bson.D{}
	for _, f := range fields {
		off := f.Value == false || f.Value == int32(0) || f.Value == int64(0) || f.Value == float64(0)
		if off && (f.Key == "_id" || f.Key == key) {
			continue
		}
		lists = lists || !off
		out = append(out, f)
	}
	if lists && !slices.ContainsFunc(out, func(e bson.E) bool { return e.Key == key }) {
		out = append(out, bson.E{Key: key, Value: 1})
	}
	return out, nil
}

// rest is the filter for what a partition still has.
func (e *engine) rest(p store.Partition) bson.D {
	if e.retried != nil {
		return e.upTo(p, bson.RawValue{})
	}
	return e.upTo(p, p.Upper)
}

// upTo is the filter for what of that lies up to a key.
func (e *engine) upTo(p store.Partition, last bson.RawValue) bson.D {
	from := p.Cursor
	if from.IsZero() && e.retried == nil {
		from = p.Lower
	}
	return and(between(e.opts.Key, from, last), e.filterOf(p))
}

// boundary is the key of the n-th document behind the cursor, or of the last one.
func (e *engine) boundary(ctx context.Context, p store.Partition, n int) (last bson.RawValue, end bool, err error) {
	if last, err = e.keyAt(ctx, e.rest(p), 1, n-1); err != nil || !last.IsZero() {
		return last, false, err
	}
	last, err = e.keyAt(ctx, e.rest(p), -1, 0)
	return last, true, err
}

// collect reads at most n documents of a cursor, and stops when it has enough bytes.
func (e *engine) collect(ctx context.Context, cur *mongo.Cursor, n, bytes int, sizes *sizes) (batch, error) {
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // what it could say, Next says
	b := batch{items: make([]bson.Raw, 0, n), keys: make([]bson.RawValue, 0, n)}
	read := 0
	var keys []byte // a copy: whoever keeps the keys needs not keep the documents, which lie in the memory of the cursor's batch
	for len(b.items) < n && read < bytes {
		if !cur.Next(ctx) {
			if err := cur.Err(); err != nil {
				return batch{}, fmt.Errorf("reading %s: %w", e.ns(), err)
			}
			b.end = true
			break
		}
		doc := cur.Current
		read += len(doc)
		b.items = append(b.items, doc)
		key := keyIn(doc, e.opts.Key)
		if key.Type == bson.TypeArray {
			return batch{}, changed("mend it, make the index again, and resume the run",
				"the document with _id %s has an array in %s by now, so the walk would meet it once for each element", relaxed(doc.Lookup("_id")), e.opts.Key)
		}
		keys = append(keys, key.Value...)
		key.Value = keys[len(keys)-len(key.Value):]
		b.keys = append(b.keys, key)
	}
	if len(b.keys) > 0 {
		b.last = b.keys[len(b.keys)-1]
		sizes.learn(read / len(b.items))
	}
	return b, nil
}

// sizes knows how large documents are, from those that were read last.
type sizes struct{ last atomic.Int64 }

// firstRead is how many documents are read before anything is known of their size.
const firstRead = 100

// fit is how many documents to ask for: not many more than the bytes allow, since the server sends what it is asked for.
func (s *sizes) fit(n, bytes int) int {
	last := int(s.last.Load())
	if last == 0 {
		return min(n, firstRead)
	}
	return min(n, bytes/last+1)
}

func (s *sizes) learn(size int) { s.last.Store(int64(size)) }

// keyIn is like keyOf without a copy.
func keyIn(doc bson.Raw, key string) bson.RawValue {
	v, err := doc.LookupErr(key)
	if err != nil {
		return bson.RawValue{Type: bson.TypeNull}
	}
	return v
}
