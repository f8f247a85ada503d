package backfill

import (
	"context"
	"fmt"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// sequence is what one transaction of a run has changed.
type sequence struct {
	seq   int64
	ns    string // of entries that name none
	chunk *journal.Chunk
}

// readSequence returns the newest sequence that is older than a place in the journal, or nil.
func readSequence(ctx context.Context, s *store.Store, before store.JournalID) (*sequence, error) {
	return (&journalReader{s: s}).sequence(ctx, before)
}

// journalReader reads a journal from its end, some documents ahead where they are small. The run has ended, so its journal doesn't
// change: it is read beside the transaction of the chunk.
type journalReader struct {
	s     *store.Store
	ahead []bson.Raw      // documents older than the place at
	at    store.JournalID // where they were read
	size  int             // of the document read last
}

// before returns the newest journal document that is older than a place, or nil.
func (r *journalReader) before(ctx context.Context, at store.JournalID) (bson.Raw, error) {
	const most, bytes = 16, 1 << 20 // documents, and of them
	if r.at != at || len(r.ahead) == 0 {
		r.ahead = nil
		n := 1
		if r.size > 0 {
			n = min(max(1, bytes/r.size), most)
		}
		docs, err := r.s.JournalBefore(mongo.NewSessionContext(ctx, nil), at, n)
		if err != nil || len(docs) == 0 {
			return nil, err
		}
		r.ahead = docs
	}
	doc := r.ahead[0]
	r.ahead, r.size = r.ahead[1:], len(doc)
	return doc, nil
}

func (r *journalReader) sequence(ctx context.Context, before store.JournalID) (*sequence, error) {
	var docs []bson.Raw
	found := &sequence{}
	for {
		doc, err := r.before(ctx, before)
		if err != nil {
			return nil, err
		}
		if doc == nil {
			break
		}
		part, _, err := journal.Parts(doc)
		if err != nil {
			return nil, fmt.Errorf("the journal of run %s: %w", before.Run, err)
		}
		var head struct {
			ID store.JournalID `bson:"_id"`
			NS string          `bson:"ns"`
		}
		if err := bson.Unmarshal(doc, &head); err != nil {
			return nil, fmt.Errorf("the journal of run %s: %w", before.Run, err)
		}
		docs = append(docs, doc)
		found.seq, found.ns, before = head.ID.Seq, head.NS, head.ID
		r.at = before
		if part == 0 {
			break
		}
	}
	if len(docs) == 0 {
		return nil, nil
	}
	var err error
	if found.chunk, err = journal.Open(docs...); err != nil {
		return nil, fmt.Errorf("the journal of run %s, sequence %d: %w", before.Run, found.seq, err)
	}
	return found, nil
}

// undoStep is one change that is undone.
type undoStep struct {
	of    *sequence
	index int // in the sequence
	ns    string
	id    bson.RawValue
	op    journal.Op
}

// undoMemory is what a worker of an undo keeps from one chunk to the next.
type undoMemory struct {
	reader journalReader
	held   *sequence // the one read last
	// limit keeps chunks small for a while where unique indexes are in the way; tried is where the last attempt began.
	limit int
	tried where
	// average is the size of the documents of the last chunk: small changes can be about large documents.
	average int
}

// gather returns the next changes to undo, the newest first, and the place behind them.
func (w *undoWork) gather(ctx context.Context, c *chunk, at where, n int) (steps []undoStep, behind where, end bool, err error) {
	m, size := &c.memory.undo, 0
	lower, bounded := c.part.Lower.Int64OK()
	for len(steps) < n && size < c.bytes {
		if at.Left == 0 || m.held == nil || m.held.seq != at.Seq {
			before := store.JournalID{Run: w.past.run.ID, Seq: at.Seq}
			if at.Left > 0 {
				before.Part = math.MaxInt32 // this sequence itself
			}
			m.held, m.reader.s = nil, c.e.store // there shall not be two at a time
			next, err := m.reader.sequence(ctx, before)
			if err != nil {
				return nil, at, false, err
			}
			if at.Left > 0 && (next == nil || next.seq != at.Seq) {
				return nil, at, false, fmt.Errorf("%w: its journal was pruned while it was undone", ErrNoUndo)
			}
			if next == nil || bounded && next.seq <= lower {
				return steps, at, true, nil
			}
			if m.held = next; at.Left == 0 {
				at = where{Seq: next.seq, Left: next.chunk.Len()}
			}
		}
		for at.Left > 0 && len(steps) < n && size < c.bytes {
			at.Left--
			size += m.held.chunk.Size(at.Left)
			head, err := m.held.chunk.Head(at.Left)
			if err != nil {
				return nil, at, false, fmt.Errorf("the journal of run %s, sequence %d: %w", w.past.run.ID, at.Seq, err)
			}
			ns := head.Namespace
			if ns == "" {
				ns = m.held.ns
			}
			steps = append(steps, undoStep{of: m.held, index: at.Left, ns: ns, id: head.ID, op: head.Op})
		}
	}
	return steps, at, false, nil
}

// start is where a partition of an undo is.
func start(p store.Partition) (at where, err error) {
	if !p.Cursor.IsZero() {
		if err := p.Cursor.Unmarshal(&at); err != nil {
			return at, fmt.Errorf("the cursor of an undo: %w", err)
		}
		return at, nil
	}
	if upper, ok := p.Upper.Int64OK(); ok {
		at.Seq = upper + 1
	}
	return at, nil
}

func cutNamespace(ns string) (database, collection string, ok bool) {
	database, collection, ok = strings.Cut(ns, ".")
	return database, collection, ok && database != "" && collection != ""
}
