package backfill

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// Forecast is the result of a dry run: what the run would do, from what it did to a sample in a transaction that is aborted. The
// preview of the dry run has the changes of that sample field by field.
type Forecast struct {
	Collection string `json:"collection"`
	Documents  int64  `json:"documents"` // in the collection, about
	Matched    int64  `json:"matched"`   // 0: counting took too long
	Partitions int    `json:"partitions"`
	Index      string `json:"index"` // that the walk goes by

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
	e.run.Progress().SetTotal(min(max(total, 0), sampleSize))
	w := journal.NewWriter(e.opts.Journal)
	for _, p := range parts {
		for !p.Done && f.Sampled < sampleSize {
			next, err := e.trial(ctx, f, w, p)
			if err != nil {
				return nil, err
			}
			p = next
		}
	}
	e.estimate(f, w)
	return f, e.announced(outside, f.Matched) // as the run itself would
}

// trial does a part of the sample.
func (e *engine) trial(ctx context.Context, f *Forecast, w *journal.Writer, p store.Partition) (store.Partition, error) {
	began := time.Now()
	c := &chunk{
		e: e, part: p, size: int(sampleSize - f.Sampled), bytes: chunkBytes, journal: w, memory: newMemory(e), trouble: newTrouble(), dry: true,
	}
	if err := e.retried.open(ctx, p); err != nil {
		return p, err
	}
	if err := e.work.chunk(ctx, c); err != nil {
		return p, err
	}
	if err := c.guard(); err != nil {
		return p, err
	}
	f.Duration += time.Since(began)
	f.Sampled += c.counts.Matched
	f.Changed += c.counts.Changed
	f.Deleted += c.counts.Deleted
	f.Unchanged += c.counts.Unchanged
	f.Written += c.counts.Written
	for _, failure := range c.failures {
		f.Failed = append(f.Failed, store.ClipMessage(failure.Key.String(), shownText)+": "+store.ClipMessage(failure.Message, shownText))
	}
	e.run.Progress().Set(f.Sampled)
	e.count2run(c.counts)
	return c.after(), nil
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
	if f.Sampled == 0 || f.Matched == 0 {
		return
	}
	share := float64(f.Matched) / float64(f.Sampled)
	f.Duration = time.Duration(float64(sampled) * share / float64(e.opts.Workers)).Round(time.Second)
	touched := f.Changed + f.Deleted + f.Written
	f.JournalBytes = w.Forecast(int64(float64(w.Len())*share), sampleSize)
	f.OplogBytes = int64(float64(touched)*share)*perEntry + f.JournalBytes + int64(float64(w.Size())*share/2)
}
