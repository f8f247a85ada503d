package backfill

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// UndoForecast is the result of the dry run of an undo: what became of the newest changes of the run in a transaction that was
// aborted. The preview has some of them field by field.
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
}

// UndoConflict is a change that would stay, because others have changed the document since.
type UndoConflict struct {
	Namespace string `json:"namespace"`
	ID        string `json:"_id"` // as extended JSON, cut if it is very long
	Reason    string `json:"reason"`
}

// undoSample is how many changes a dry run undoes.
const undoSample = 1000

// dryRun undoes the newest changes in the transaction of the dry run.
func (w *undoWork) dryRun(ctx context.Context, e *engine) (any, error) {
	e.use(e.run.Client(), e.run.DB())
	e.store = store.New(e.client.Database(e.run.HistoryDatabase()))
	f := &UndoForecast{Undoes: w.past.run.ID, Collection: e.ns(), Changes: w.past.total}
	e.run.Progress().SetTotal(min(f.Changes, undoSample))
	part := store.Partition{}
	for !part.Done && f.Sampled < undoSample {
		c := &chunk{
			e: e, part: part, size: int(undoSample - f.Sampled), bytes: chunkBytes, journal: journal.NewWriter(JournalOff),
			trouble: newTrouble(), dry: true,
		}
		if err := w.chunk(ctx, c); err != nil {
			var doc *documentError
			if errors.As(err, &doc) && doc.class == classConflict {
				// Nothing can be done in the transaction any more: the sample ends here.
				f.conflict(c.keys[doc.index], doc.err.Error())
				return f, nil
			}
			return nil, err
		}
		f.add(c)
		e.run.Progress().Set(f.Sampled)
		e.count2run(c.counts)
		part = c.after()
		f.Complete = part.Done
	}
	return f, nil
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
