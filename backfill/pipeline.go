package backfill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/rawbson"
	"github.com/rikki-go/rikki/internal/store"
)

// pipelineWork changes documents with one aggregation pipeline, at the server, or with one update document.
type pipelineWork struct {
	pipeline mongo.Pipeline
	update   bson.D // instead of the pipeline

	fields []string // that it writes, if known
	looks  bool     // it sees documents before it changes them, to keep or to check what changes
	images imaging
	// removes says that the pipeline has removed a field where that wasn't to be seen in it.
	removes atomic.Bool
	again   bool // the update needs the filter itself, not only the documents that it matches
	// before is the field that holds a document as it was while the server computes how it will be. Nobody can know its name, so no
	// document has it.
	before string
}

// imaging is how the server can tell beforehand what will become of documents.
type imaging int

const (
	imagesOfNothing imaging = iota // it can't: stages of other kinds, the time, chance
	imagesOfFields                 // by the fields that are written
	imagesOfAll                    // by whole documents, since fields may be removed, or the journal wants them
)

func (w *pipelineWork) prepare(ctx context.Context, e *engine) error {
	if len(w.pipeline) == 0 && len(w.update) == 0 {
		return errors.New("the pipeline is empty: it would change nothing")
	}
	if e.opts.Source != nil || len(e.opts.Stages) > 0 || e.opts.Projection != nil {
		return errors.New("a pipeline changes the documents of its collection: Source, Stages and Projection have no meaning for it")
	}
	w.looks, w.before = e.looks(), "rikki_"+rand.Text()
	if len(w.update) > 0 {
		update, err := e.run.Encoding().Marshal(w.update)
		if err != nil {
			return fmt.Errorf("the update can't be encoded: %w", err)
		}
		if err := checkOperators(update, e.opts.Key, e.opts.Fields); err != nil {
			return err
		}
		if w.again = isPositional(update); w.again {
			if name := operatorIn(e.opts.Filter, "$rand", "$sampleRate"); name != "" {
				return fmt.Errorf("the update changes what the filter finds in an array, and with %s that is something else each time it is asked: use a pipeline with $map", name)
			}
		}
	} else if err := w.analyse(e.opts); err != nil {
		return err
	}
	// The server is the only one that knows all that a pipeline may hold.
	explain := bson.D{{Key: "update", Value: e.coll.Name()}, {Key: "updates", Value: bson.A{bson.D{
		{Key: "q", Value: and(bson.D{}, e.opts.Filter)}, {Key: "u", Value: w.change()}, {Key: "multi", Value: true}, {Key: "hint", Value: e.hint()},
	}}}}
	if err := e.coll.Database().RunCommand(ctx, bson.D{{Key: "explain", Value: explain}, {Key: "verbosity", Value: "queryPlanner"}}).Err(); err != nil {
		return refused("the filter or the pipeline", err)
	}
	// A filter with $where or $near can't be one of an aggregation.
	if w.looks && w.images != imagesOfNothing && e.explainAggregate(ctx, w.foresight(e, store.Partition{}, 1)) != nil {
		w.images = imagesOfNothing
	}
	return w.checkAgain(e)
}

// analyse finds out what the pipeline writes, as far as that can be seen in it, and refuses what it must not.
func (w *pipelineWork) analyse(opts Options) error {
	text, err := bson.MarshalExtJSON(bson.D{{Key: "p", Value: w.pipeline}}, false, false)
	if err != nil {
		return fmt.Errorf("the pipeline is not valid: %w", err)
	}
	if err := w.keepsKeys(opts.Key); err != nil {
		return err
	}
	has := func(word string) bool { return strings.Contains(string(text), word) }
	fields, removes, known := pipelineFields(w.pipeline)
	if !known {
		return nil
	}
	if slices.Contains(fields, opts.Key) {
		return keyError(opts.Key)
	}
	for _, field := range fields {
		if len(opts.Fields) > 0 && !slices.Contains(opts.Fields, field) {
			return fmt.Errorf("%w: the pipeline changes %s, and only %s may change (Options.Fields, --fields)", ErrGuard, field, strings.Join(opts.Fields, ", "))
		}
	}
	w.fields, w.looks = fields, opts.Journal != JournalOff // that the fields are the declared ones is known
	switch {
	case has("$$ROOT"), has("$$CURRENT"): // the field that holds the document before would be seen in these
		w.images = imagesOfNothing
	case slices.ContainsFunc([]string{"$$NOW", "$$CLUSTER_TIME", "$rand", "$sampleRate", "$function"}, has):
		w.images = imagesOfNothing
	case removes || opts.Journal == JournalFull:
		w.images = imagesOfAll
	default:
		w.images = imagesOfFields
	}
	return nil
}

// keepsKeys refuses a pipeline that is seen to write the key, or the _id.
func (w *pipelineWork) keepsKeys(key string) error {
	data, err := bson.Marshal(bson.D{{Key: "p", Value: w.pipeline}})
	if err != nil {
		return fmt.Errorf("the pipeline is not valid: %w", err)
	}
	stages, _ := bson.Raw(data).Lookup("p").ArrayOK()
	return checkPipeline(stages, key)
}

// change is what the server is given.
func (w *pipelineWork) change() any {
	if len(w.update) > 0 {
		return w.update
	}
	return w.pipeline
}

func (w *pipelineWork) chunk(ctx context.Context, c *chunk) error {
	if passed, err := c.passOne(ctx); passed || err != nil {
		return err
	}
	switch {
	case c.singly:
		return w.singly(ctx, c)
	case !w.looks && c.e.retried == nil:
		return w.blind(ctx, c)
	case !w.looks, w.images == imagesOfNothing, c.apart: // a retry notes which documents it has done
		return w.compared(ctx, c)
	default:
		return w.computed(ctx, c)
	}
}

// blind changes documents of which nothing has to be kept: no more than their keys is read.
func (w *pipelineWork) blind(ctx context.Context, c *chunk) error {
	if w.byRange(c.e) {
		last, end, err := c.e.boundary(ctx, c.part, c.size)
		if err != nil {
			return err
		}
		if err := c.advance(ctx, last, end); err != nil || last.IsZero() {
			return err
		}
		return w.apply(ctx, c, c.e.upTo(c.part, last))
	}
	found, err := c.e.selected(ctx, c.part, c.size, c.bytes)
	if err != nil {
		return err
	}
	c.read(found.keys)
	if err := c.advance(ctx, found.last, found.end); err != nil || len(found.keys) == 0 {
		return err
	}
	return w.applyTo(ctx, c, found.ids, found.last)
}

// byRange tells whether a chunk's documents can be told by their range and the filter as well, which is faster than to name each of
// them: in one snapshot a filter that depends on nothing but the document selects the same ones of a range of _ids however often it is
// asked. All others are asked once for each chunk.
func (w *pipelineWork) byRange(e *engine) bool {
	return e.opts.Key == "_id" && !e.alone && e.retried == nil && isPlain(e.opts.Filter)
}

// applyTo changes the documents that were read, these and no others.
func (w *pipelineWork) applyTo(ctx context.Context, c *chunk, ids []bson.RawValue, last bson.RawValue) error {
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}
	switch {
	case w.byRange(c.e):
		filter = c.e.upTo(c.part, last)
	case w.again:
		filter = and(filter, c.e.opts.Filter)
	}
	if err := w.apply(ctx, c, filter); err != nil {
		return err
	}
	if c.counts.Matched != int64(len(ids)) && !c.e.alone {
		return fmt.Errorf("%w: %d documents were read, and the change found %d of them", errSelection, len(ids), c.counts.Matched)
	}
	return nil
}

// apply changes the documents that a filter selects.
func (w *pipelineWork) apply(ctx context.Context, c *chunk, filter bson.D) error {
	if err := c.announce(ctx); err != nil {
		return err
	}
	opts := options.UpdateMany().SetHint(bson.D{{Key: "_id", Value: 1}}).SetComment(c.e.run.ID())
	res, err := c.e.coll.UpdateMany(ctx, filter, w.change(), opts)
	if err != nil {
		return fmt.Errorf("changing %s: %w", c.e.ns(), err)
	}
	c.counts.Matched = res.MatchedCount
	c.counts.Changed = res.ModifiedCount
	c.counts.Unchanged = res.MatchedCount - res.ModifiedCount
	return nil
}

// computed has the server compute the documents as they will be in the same query that reads them, for the journal.
func (w *pipelineWork) computed(ctx context.Context, c *chunk) error {
	images, keys, end, err := w.foresee(ctx, c.e, c.part, c.size, c.bytes)
	if err != nil {
		return err
	}
	c.read(keys)
	if len(keys) == 0 {
		return c.advance(ctx, bson.RawValue{}, end)
	}
	last := keys[len(keys)-1]
	had := c.journal.Len() // in a dry run, what the chunks before have added
	for _, image := range images {
		if _, err := c.journal.Add("", image.before, image.after); err != nil {
			return err
		}
	}
	if err := c.advance(ctx, last, end); err != nil {
		return err
	}
	ids := make([]bson.RawValue, len(images))
	for i, image := range images {
		ids[i] = image.before.Lookup("_id")
	}
	if err := w.applyTo(ctx, c, ids, last); err != nil {
		return err
	}
	if expected := c.journal.Len() - had; c.counts.Changed != int64(expected) {
		return fmt.Errorf("the pipeline gave another result than it had been computed for the journal: %d documents changed, %d were expected",
			c.counts.Changed, expected)
	}
	return nil
}

// image is a document before and after, or the fields of it that change.
type image struct{ before, after bson.Raw }

// foresee computes what the pipeline will do to the next n documents.
func (w *pipelineWork) foresee(ctx context.Context, e *engine, p store.Partition, n, bytes int) ([]image, []bson.RawValue, bool, error) {
	n = e.sizes.fit(n, bytes)
	narrow := w.narrows()
	pipeline := w.foresight(e, p, n)
	cur, err := e.query(ctx, e.aggregation(pipeline, n))
	if err != nil {
		return nil, nil, false, err
	}
	b, err := e.collect(ctx, cur, n, bytes, &e.sizes)
	if err != nil {
		return nil, nil, false, err
	}
	images := make([]image, len(b.items))
	for i, item := range b.items {
		if !narrow {
			images[i] = w.wide(item)
			continue
		}
		image, removed := w.narrow(item)
		if removed { // what it stood behind has to be known
			w.removes.Store(true)
			return w.foresee(ctx, e, p, n, bytes)
		}
		images[i] = image
	}
	return images, b.keys, b.end, nil
}

// narrows tells whether the fields that are written are enough of a document: until one of them has vanished from one.
func (w *pipelineWork) narrows() bool { return w.images == imagesOfFields && !w.removes.Load() }

// foresight is the aggregation that computes it.
func (w *pipelineWork) foresight(e *engine, p store.Partition, n int) mongo.Pipeline {
	narrow := w.narrows()
	var before any = "$$ROOT"
	if narrow {
		keep := make(bson.D, len(w.fields))
		for i, field := range w.fields {
			keep[i] = bson.E{Key: field, Value: "$" + field}
		}
		before = keep
	}
	pipeline := mongo.Pipeline{
		{{Key: "$match", Value: e.rest(p)}},
		{{Key: "$sort", Value: e.order()}},
		{{Key: "$limit", Value: n}},
		{{Key: "$set", Value: bson.D{{Key: w.before, Value: before}}}},
	}
	pipeline = append(pipeline, w.pipeline...)
	if narrow {
		keep := bson.D{{Key: "_id", Value: 1}, {Key: w.before, Value: 1}}
		for _, field := range w.fields {
			keep = append(keep, bson.E{Key: field, Value: 1})
		}
		if e.opts.Key != "_id" {
			keep = append(keep, bson.E{Key: e.opts.Key, Value: 1})
		}
		pipeline = append(pipeline, bson.D{{Key: "$project", Value: keep}})
	}
	return pipeline
}

// narrow builds both documents from the fields that change, in one order, and tells whether one of them has vanished: then it isn't known
// where it stood.
func (w *pipelineWork) narrow(item bson.Raw) (_ image, removed bool) {
	id := item.Lookup("_id")
	before, _ := item.Lookup(w.before).DocumentOK()
	for _, field := range w.fields {
		_, noBefore := before.LookupErr(field)
		_, noAfter := item.LookupErr(field)
		removed = removed || noBefore == nil && noAfter != nil
	}
	build := func(from bson.Raw) bson.Raw {
		doc := rawbson.Append(beginDoc(), "_id", id)
		for _, field := range w.fields {
			if v, err := from.LookupErr(field); err == nil {
				doc = rawbson.Append(doc, field, v)
			}
		}
		return endDoc(doc)
	}
	return image{before: build(before), after: build(item)}, removed
}

// wide takes the document before out of the one after.
func (w *pipelineWork) wide(item bson.Raw) image {
	before, _ := item.Lookup(w.before).DocumentOK()
	doc := beginDoc()
	elements, _ := item.Elements()
	for _, e := range elements {
		if e.Key() != w.before {
			doc = append(doc, e...)
		}
	}
	return image{before: before, after: endDoc(doc)}
}

// compared reads the documents, changes them, and reads them again.
func (w *pipelineWork) compared(ctx context.Context, c *chunk) error {
	b, err := c.e.source.read(ctx, c.part, c.size, c.bytes)
	if err != nil {
		return err
	}
	c.read(b.keys)
	if err := c.advance(ctx, b.last, b.end); err != nil || len(b.items) == 0 {
		return err
	}
	if err := c.expect(b.items); err != nil {
		return err
	}
	if err := w.applyTo(ctx, c, idsOf(b.items), b.last); err != nil {
		return err
	}
	return w.keep(ctx, c, b.items)
}

// checkAgain refuses to verify what it can't, before anything is written.
func (w *pipelineWork) checkAgain(e *engine) error {
	if !e.opts.VerifyAgain {
		return nil
	}
	if len(w.update) > 0 {
		return errors.New("Options.VerifyAgain: what an update document would do again can't be seen beforehand: say it as a pipeline of $set and $unset, or leave VerifyAgain out")
	}
	if w.images == imagesOfNothing {
		return errors.New("Options.VerifyAgain: a pipeline of other stages than $set and $unset, or that uses the time, chance or the whole document, can't be verified " +
			"by doing it again: leave VerifyAgain out")
	}
	return nil
}

func (w *pipelineWork) leftover(ctx context.Context, e *engine, p store.Partition, n int) (leftover, error) {
	images, keys, end, err := w.foresee(ctx, e, p, n, chunkBytes)
	if judge(err) == document && isServerError(err) {
		return w.leftoverAlone(ctx, e, p, n, err)
	}
	if err != nil || len(keys) == 0 {
		return leftover{end: true}, err
	}
	found := leftover{looked: int64(len(images)), last: keys[len(keys)-1], end: end}
	for i, image := range images {
		if string(image.before) != string(image.after) {
			found.left = append(found.left, keys[i])
		}
	}
	return found, nil
}

// leftoverAlone looks again where the server can't compute what would become of a document: one that can't be done again isn't as it
// shall be. It is looked for among fewer and fewer.
func (w *pipelineWork) leftoverAlone(ctx context.Context, e *engine, p store.Partition, n int, err error) (leftover, error) {
	if n > 1 {
		return w.leftover(ctx, e, p, n/2)
	}
	found, lookErr := e.selected(ctx, p, 1, chunkBytes)
	if lookErr != nil || len(found.keys) == 0 {
		return leftover{end: true}, errors.Join(err, lookErr)
	}
	return leftover{looked: 1, left: found.keys, last: found.last, end: found.end}, nil
}
