package backfill

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// ahead is what a chunk keeps for an undo where there are no transactions. The journal is written before the changes that it is
// about: if the chunk is cut off in between, it has entries of changes that never happened, which an undo finds as they were, and
// there is no change without an entry.
type ahead struct {
	pending *journal.Writer // documents whose outcome isn't known before
	exact   *journal.Writer // the same documents, once it is
	seq     int64           // of what was written of the pending ones
	bytes   int64           // and how much that was
	written bool
}

func newAhead(mode journal.Mode) *ahead {
	return &ahead{pending: journal.NewWriter(mode), exact: journal.NewWriter(mode)}
}

// announce writes what is known of the chunk's changes, where that must stand before the first of them.
func (c *chunk) announce(ctx context.Context) error {
	if c.ahead == nil || c.ahead.written {
		return nil
	}
	if err := c.guard(c.journal); err != nil {
		return err
	}
	c.ahead.written = true
	if _, err := c.writeJournal(ctx, c.journal); err != nil {
		return err
	}
	known := c.counts.Journal
	seq, err := c.writeJournal(ctx, c.ahead.pending)
	c.ahead.seq, c.ahead.bytes = seq, c.counts.Journal-known
	return err
}

// expect says that documents are going to be changed, in a way that only the outcome shows.
func (c *chunk) expect(docs []bson.Raw) error {
	if c.ahead == nil {
		return nil
	}
	for _, doc := range docs {
		if err := c.ahead.pending.AddPending("", doc.Lookup("_id"), doc); err != nil {
			return err
		}
	}
	return nil
}

// turnedOut puts what became of a document into the journal, once that is known.
func (c *chunk) turnedOut(ns string, before, after bson.Raw) error {
	w := c.journal
	if c.ahead != nil {
		w = c.ahead.exact
	}
	_, err := w.Add(ns, before, after)
	return err
}

// settle writes what has become of the documents whose outcome wasn't known, in place of that.
func (c *chunk) settle(ctx context.Context) error {
	if err := c.guard(c.ahead.exact); err != nil {
		return err
	}
	if _, err := c.writeJournal(ctx, c.ahead.exact); err != nil || c.ahead.pending.Len() == 0 {
		return err
	}
	c.counts.Journal -= c.ahead.bytes
	return c.e.store.DropJournal(ctx, store.JournalID{Run: c.e.run.ID(), Seq: c.ahead.seq})
}
