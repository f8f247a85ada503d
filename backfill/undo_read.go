package backfill

import (
	"context"
	"fmt"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// sequence is what one transaction of a run has changed.
type sequence struct {
	seq     int64
	ns      string // of entries that name none
	entries []journal.Entry
}

// readSequence returns the newest sequence that is older than a place in the journal, or an empty one.
func readSequence(ctx context.Context, s *store.Store, before store.JournalID) (sequence, error) {
	var docs []bson.Raw
	found := sequence{}
	for {
		doc, err := s.JournalBefore(ctx, before)
		if err != nil {
			return found, err
		}
		if doc == nil {
			break
		}
		part, _, err := journal.Parts(doc)
		if err != nil {
			return found, fmt.Errorf("the journal of run %s: %w", before.Run, err)
		}
		var head struct {
			ID store.JournalID `bson:"_id"`
			NS string          `bson:"ns"`
		}
		if err := bson.Unmarshal(doc, &head); err != nil {
			return found, fmt.Errorf("the journal of run %s: %w", before.Run, err)
		}
		docs = append(docs, doc)
		found.seq, found.ns, before = head.ID.Seq, head.NS, head.ID
		if part == 0 {
			break
		}
	}
	for entry, err := range journal.Decode(docs...) {
		if err != nil {
			return found, fmt.Errorf("the journal of run %s, sequence %d: %w", before.Run, found.seq, err)
		}
		found.entries = append(found.entries, entry)
	}
	return found, nil
}

// undoStep is one change that is undone.
type undoStep struct {
	entry journal.Entry
	seq   int64
	index int // in the sequence
	ns    string
}

// gather returns the next changes to undo, the newest first, and the place behind them.
func (w *undoWork) gather(ctx context.Context, s *store.Store, at where, n, bytes int) (steps []undoStep, behind where, end bool, err error) {
	size := 0
	for len(steps) < n && size < bytes {
		if at.Left == 0 || w.held.seq != at.Seq {
			before := store.JournalID{Run: w.past.run.ID, Seq: at.Seq}
			if at.Left > 0 {
				before.Part = math.MaxInt32 // this sequence itself
			}
			if w.held, err = readSequence(ctx, s, before); err != nil {
				return nil, at, false, err
			}
			if len(w.held.entries) == 0 {
				return steps, at, true, nil
			}
			if at.Left > 0 && w.held.seq != at.Seq {
				return nil, at, false, fmt.Errorf("%w: its journal was pruned while it was undone", ErrNoUndo)
			}
			if at.Left == 0 {
				at = where{Seq: w.held.seq, Left: len(w.held.entries)}
			}
		}
		for at.Left > 0 && len(steps) < n && size < bytes {
			at.Left--
			entry := w.held.entries[at.Left]
			size += len(entry.Before) + len(entry.After)
			ns := entry.Namespace
			if ns == "" {
				ns = w.held.ns
			}
			steps = append(steps, undoStep{entry: entry, seq: at.Seq, index: at.Left, ns: ns})
		}
	}
	return steps, at, false, nil
}

func cutNamespace(ns string) (database, collection string, ok bool) {
	database, collection, ok = strings.Cut(ns, ".")
	return database, collection, ok && database != "" && collection != ""
}
