package backfill

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// UndoForecast is the result of the dry run of an undo: what became of the newest changes of the run in a transaction that was
// aborted. The preview has some of them field by field. Where some would stay, the dry run's error is a [*rikki.PartialError], as the
// undo's would be.
type UndoForecast struct {
	Undoes     string `json:"undoes"`
	Collection string `json:"collection"`
	Changes    int64  `json:"changes"` // of the run, at most

	Sampled   int64 `json:"sampled"`            // of the changes, the newest first
	Complete  bool  `json:"complete,omitempty"` // the sample is all of them
	Restored  int64 `json:"restored"`
	Deleted   int64 `json:"deleted,omitempty"` // that the run had inserted
	Written   int64 `json:"written,omitempty"` // in other collections
	Unchanged int64 `json:"unchanged,omitempty"`

	Conflicts []UndoConflict `json:"conflicts,omitempty"` // of the sample

	// Warnings are what is known to be in the way of some changes: a collection that isn't there any more, a right that the
	// account hasn't.
	Warnings []string `json:"warnings,omitempty"`

	refused []refusal
}

// UndoConflict is a change that would stay, because others have changed the document since.
type UndoConflict struct {
	Namespace string `json:"namespace"`
	ID        string `json:"_id"` // as extended JSON, cut if it is very long
	Reason    string `json:"reason"`
}

const (
	// undoSample is how many changes a dry run undoes.
	undoSample = 1000
	// undoRefusals is how many documents the server may refuse. For each of them the dry run begins anew, so there is an end to it.
	undoRefusals = 100
)

// dryRun undoes the newest changes in the transaction of the dry run.
func (w *undoWork) dryRun(ctx context.Context, e *engine) (any, error) {
	e.use(e.run.Client(), e.run.DB())
	e.store = store.New(e.client.Database(e.run.HistoryDatabase()))
	if err := (&pastReader{w.past, e}).look(mongo.NewSessionContext(ctx, nil)); err != nil {
		return nil, err
	}
	f := &UndoForecast{Undoes: w.past.run.ID, Collection: e.ns(), Changes: w.past.found.Entries, Warnings: w.past.warnings()}
	e.run.Progress().SetTotal(min(f.Changes, undoSample))
	part, met, memory, counts := store.Partition{}, newTrouble(), newMemory(e), store.Counts{}
	for !part.Done && f.Sampled < undoSample {
		c := &chunk{
			e: e, part: part, size: int(undoSample - f.Sampled), bytes: chunkBytes, journal: journal.NewWriter(JournalOff),
			trouble: met, memory: memory, dry: true,
		}
		err := w.chunk(ctx, c)
		if errors.Is(err, journal.ErrTooLarge) {
			return f, f.verdict() // the sample ends at a document that would take another chunk
		}
		if doc, ok := errors.AsType[*documentError](err); ok && doc.index >= 0 && c.blame(doc.index, doc.class, doc.err, 1) {
			// Nothing can be done in the transaction any more: all of it is done again in another one, but for this document.
			f.empty()
			part, counts = store.Partition{}, store.Counts{}
			if f.refused = append(f.refused, refusal{c.keys[doc.index], doc.err.Error()}); len(f.refused) == undoRefusals {
				f.onlyRefused()
				return f, f.verdict()
			}
			if err := e.run.Restart(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		f.add(c)
		counts.Add(c.counts)
		e.run.Progress().Set(f.Sampled)
		part = c.after()
		f.Complete = part.Done
	}
	e.count2run(counts)
	return f, f.verdict()
}

// verdict is the error of the dry run, as the undo itself would have it.
func (f *UndoForecast) verdict() error {
	if len(f.Conflicts) == 0 {
		return nil
	}
	return fmt.Errorf("what others have changed since the run would stay as it is: %w",
		&rikki.PartialError{Failed: int64(len(f.Conflicts)), What: "changes of the sample"})
}

// empty forgets what is found out again.
func (f *UndoForecast) empty() {
	*f = UndoForecast{Undoes: f.Undoes, Collection: f.Collection, Changes: f.Changes, Warnings: f.Warnings, refused: f.refused}
}

// onlyRefused is what there is to say when too many documents are refused: which.
func (f *UndoForecast) onlyRefused() {
	f.Sampled = int64(len(f.refused))
	for _, r := range f.refused {
		f.conflict(r.key, r.reason)
	}
}

// refusal is a document that the server refuses.
type refusal struct {
	key    bson.RawValue
	reason string
}

func (f *UndoForecast) add(c *chunk) {
	f.Sampled += c.counts.Matched
	f.Restored += c.counts.Changed
	f.Deleted += c.counts.Deleted
	f.Written += c.counts.Written
	f.Unchanged += c.counts.Unchanged
	for _, failure := range c.failures {
		f.conflict(failure.Key, failure.Message)
	}
}

func (f *UndoForecast) conflict(key bson.RawValue, reason string) {
	doc := key.Document()
	f.Conflicts = append(f.Conflicts, UndoConflict{
		Namespace: doc.Lookup("ns").StringValue(), ID: store.ClipMessage(doc.Lookup("_id").String(), shownText), Reason: store.ClipMessage(reason, shownText),
	})
}
