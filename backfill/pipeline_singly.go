package backfill

import (
	"bytes"
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// singly changes documents by a statement for each, so that the server says which one it refuses. One statement for all of them is
// faster, but its error names none.
func (w *pipelineWork) singly(ctx context.Context, c *chunk) error {
	b, err := c.e.source.read(ctx, c.part, c.size, c.bytes)
	if err != nil {
		return err
	}
	c.read(b.keys)
	c.counts.Matched = int64(len(b.items))
	if err := c.advance(ctx, b.last, b.end); err != nil || len(b.items) == 0 {
		return err
	}
	change, err := c.e.run.Encoding().Marshal(bson.D{{Key: "u", Value: w.change()}})
	if err != nil {
		return fmt.Errorf("the change can't be encoded: %w", err)
	}
	var within bson.Raw // the filter goes along where the change is about what it finds in the document
	if w.again {
		if within, err = c.e.run.Encoding().Marshal(c.e.opts.Filter); err != nil {
			return fmt.Errorf("the filter can't be encoded: %w", err)
		}
	}
	statements, healthy := newStatements(c.e, c.e.coll), make([]bson.Raw, 0, len(b.items))
	for i, item := range b.items {
		if !c.passBy(b.keys[i]) {
			statements.updateWithin(i, item.Lookup("_id"), within, change.Lookup("u"))
			healthy = append(healthy, item)
		}
	}
	if w.looks {
		err = c.expect(healthy)
	}
	if err == nil {
		err = c.announce(ctx)
	}
	if err != nil {
		return err
	}
	did, err := statements.send(ctx)
	if err != nil {
		return err
	}
	c.counts.Changed = did.changed
	c.counts.Unchanged = int64(len(healthy)) - c.counts.Changed
	return w.keep(ctx, c, healthy)
}

// keep reads documents again that were changed, and puts both states into the journal. It counts those that are others now: the server
// also counts those that it wrote as they were, such as by a $project that leaves out the _id, which no update takes away.
func (w *pipelineWork) keep(ctx context.Context, c *chunk, before []bson.Raw) error {
	if !w.looks {
		return nil
	}
	after, err := byID(ctx, c.e.coll, idsOf(before))
	if err != nil {
		return err
	}
	changed := int64(0)
	for _, doc := range before {
		now := after[idKey(doc)]
		if err := c.e.keptKey(doc, now); err != nil {
			return err
		}
		if err := c.turnedOut("", doc, now); err != nil {
			return err
		}
		if !bytes.Equal(doc, now) {
			changed++
		}
	}
	c.counts.Unchanged += c.counts.Changed - changed
	c.counts.Changed = changed
	return nil
}
