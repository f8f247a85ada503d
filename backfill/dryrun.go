package backfill

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/journal"
)

// Forecast is the result of a dry run: what the run would do, from what it did to a sample in a transaction that is aborted. The
// preview of the dry run has the changes of that sample field by field.
type Forecast struct {
	Collection string `json:"collection"`
	Documents  int64  `json:"documents"` // in the collection, about
	Matched    int64  `json:"matched"`   // 0: counting took too long
	Partitions int    `json:"partitions"`
	Index      string `json:"index"` // that the walk goes by

	// MaxMatched is what to say for --max-matched, so that the run stops if more than
	// a tenth more match by then; 0 where the number isn't known.
	MaxMatched int64 `json:"max_matched,omitempty"`

	// Complete tells that the sample is all that the run would do.
	Complete bool `json:"complete,omitempty"`

	// Gone is how many of the documents that the run is limited to are not there,
	// or don't match its filter; it is known where the sample is complete.
	Gone int64 `json:"gone,omitempty"`

	Sampled   int64    `json:"sampled"`
	Changed   int64    `json:"changed"` // of the sample
	Deleted   int64    `json:"deleted,omitempty"`
	Unchanged int64    `json:"unchanged,omitempty"`
	Written   int64    `json:"written,omitempty"` // to other collections
	Failed    []string `json:"failed,omitempty"`
	Fields    []string `json:"fields,omitempty"` // that would change, where the journal looks at them

	// Estimates for the whole walk, from the sample. They are 0 when the number of documents isn't known.
	Duration     time.Duration `json:"duration,omitempty"`
	JournalBytes int64         `json:"journal_bytes,omitempty"`
	OplogBytes   int64         `json:"oplog_bytes,omitempty"`
}

// shownText is how many bytes of a key or of a reason a forecast holds.
const shownText = 400

// sampleSize is how many documents a dry run changes. Its transaction holds their locks for a moment.
const sampleSize = 100

// dryRun does the first documents of the walk in the transaction of the dry run.
func (e *engine) dryRun(ctx context.Context) (any, error) {
	e.use(e.run.Client(), e.run.DB())
	// What looks at the collection as a whole can't be part of a transaction.
	outside := mongo.NewSessionContext(ctx, nil)
	var err error
	if e.source, err = e.reader(outside); err != nil {
		return nil, err
	}
	if err := e.check(outside); err != nil {
		return nil, err
	}
	parts, total, err := e.source.plan(outside)
	if err != nil {
		return nil, err
	}
	f := &Forecast{Collection: e.ns(), Matched: total, Partitions: len(parts), Index: e.opts.Key}
	if f.Documents, err = e.coll.EstimatedDocumentCount(outside); err != nil {
		return nil, fmt.Errorf("counting %s: %w", e.ns(), err)
	}
	e.total = total
	size := int64(sampleSize)
	if limit := e.knobs.Limit; limit > 0 {
		e.total, size = min(total, limit), min(size, limit)
	}
	e.run.Progress().SetTotal(min(max(total, 0), size))
	r := &rehearsal{e: e, parts: parts, size: size, forecast: *f, trouble: newTrouble()}
	if f, err = r.perform(ctx); err != nil {
		return nil, err
	}
	if f.Complete {
		f.Matched, e.total = f.Sampled, f.Sampled
		if e.picks() {
			f.Gone = max(0, total-f.Sampled)
		}
		e.run.Progress().SetTotal(f.Sampled)
	}
	f.MaxMatched = f.Matched + f.Matched/10 //nolint:mnd // the tenth
	e.estimate(f, r.journal)
	e.count2run(r.counts)
	if err := e.announced(outside, f.Matched); err != nil { // as the run itself would
		return f, err
	}
	if n := len(f.Failed); n > 0 {
		return f, &rikki.PartialError{Failed: int64(n), What: "documents of the sample"}
	}
	return f, nil
}

// estimate scales the sample up. An oplog entry has, beside the new values, some 150 bytes for each document.
func (e *engine) estimate(f *Forecast, w *journal.Writer) {
	const perEntry = 150
	for path := range w.Touched() {
		if name := path.String(); !slices.Contains(f.Fields, name) {
			f.Fields = append(f.Fields, name)
		}
	}
	sampled := f.Duration
	f.Duration = 0
	if f.Sampled == 0 || e.total <= 0 {
		return
	}
	share := float64(e.total) / float64(f.Sampled)
	f.Duration = time.Duration(float64(sampled) * share / float64(e.opts.Workers)).Round(time.Second)
	touched := f.Changed + f.Deleted + f.Written
	f.JournalBytes = w.Forecast(int64(float64(w.Len())*share), sampleSize)
	f.OplogBytes = int64(float64(touched)*share)*perEntry + f.JournalBytes + int64(float64(w.Size())*share/2)
}

// relaxed is a value as relaxed extended JSON, as the preview shows it.
func relaxed(v bson.RawValue) string {
	data, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, false, false)
	var doc struct {
		V json.RawMessage `json:"v"`
	}
	if err != nil || json.Unmarshal(data, &doc) != nil {
		return v.String()
	}
	return string(doc.V)
}
