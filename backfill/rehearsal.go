package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// rehearsal does the sample of a dry run. The first document that the server refuses ends its transaction, and there are no savepoints:
// the sample is done anew then, without the documents that are known to be refused. So they are found as a run finds them, and with the
// same reasons.
type rehearsal struct {
	e        *engine
	parts    []store.Partition
	size     int64
	forecast Forecast // what is known before
	*trouble          // of all attempts
	tries    int

	journal *journal.Writer
	counts  store.Counts
}

// maxRehearsals bounds how often the sample is begun anew: each document of it may be refused, and be sought for by halves.
const maxRehearsals = 3 * sampleSize

// rehearsalPatience bounds how long trouble is waited for that may be over the next time, as a run does for [Options.Patience].
const rehearsalPatience = 10 * time.Second

// perform does the sample, however often that takes.
func (r *rehearsal) perform(ctx context.Context) (*Forecast, error) {
	for r.tries = 1; ; r.tries++ {
		f := r.forecast
		c, err := r.attempt(ctx, &f)
		if err == nil {
			return &f, nil
		}
		if r.tries >= maxRehearsals || ctx.Err() != nil || !r.settle(ctx, c, err) {
			return nil, err
		}
		if restartErr := r.e.run.Restart(ctx); restartErr != nil {
			return nil, fmt.Errorf("%w; %w", err, restartErr)
		}
		if judge(err) == again { // the new transaction has no locks yet
			r.wait(ctx)
		}
	}
}

// attempt does the sample once, and returns the chunk at which it failed.
func (r *rehearsal) attempt(ctx context.Context, f *Forecast) (*chunk, error) {
	r.journal, r.counts, f.Complete = journal.NewWriter(r.e.opts.Journal), store.Counts{}, true
	for _, p := range r.parts {
		for !p.Done && f.Sampled < r.size {
			c := r.chunk(p, int(r.size-f.Sampled))
			began := time.Now()
			if err := try(func() error { return r.do(ctx, c) }); err != nil {
				return c, err
			}
			f.Duration += time.Since(began)
			f.add(c)
			r.counts.Add(c.counts)
			r.e.run.Progress().Set(f.Sampled)
			p = c.after()
		}
		f.Complete = f.Complete && p.Done
	}
	return nil, nil
}

func (r *rehearsal) chunk(p store.Partition, size int) *chunk {
	if r.halved > 0 {
		size = min(size, r.halved)
	}
	return &chunk{
		e: r.e, part: p, size: size, bytes: chunkBytes, journal: r.journal, memory: newMemory(r.e), trouble: r.trouble, dry: true,
	}
}

func (r *rehearsal) do(ctx context.Context, c *chunk) error {
	if err := r.e.retried.open(ctx, c.part); err != nil {
		return err
	}
	if err := r.e.work.chunk(ctx, c); err != nil {
		return err
	}
	return c.guard(c.journal)
}

// settle finds out which document is to blame for a failed attempt, or gets nearer to that. It is false if there is none.
func (r *rehearsal) settle(ctx context.Context, c *chunk, err error) bool {
	switch judge(err) {
	case again:
		return r.vain.again(min(r.e.opts.Patience, rehearsalPatience), err) == nil
	case document, smaller:
	default:
		return false
	}
	var doc *documentError
	if errors.As(err, &doc) && doc.index >= 0 {
		return c.blame(doc.index, doc.class, doc.err, r.tries)
	}
	if _, ok := r.e.work.(*pipelineWork); ok && !r.singly {
		r.singly = true
		return true
	}
	if c.size > 1 {
		r.halved = c.size / 2
		return true
	}
	return c.poisoned(mongo.NewSessionContext(ctx, nil), err, r.tries) == nil // its transaction is over
}

// wait lets a moment pass before the next attempt, unless the run is stopped.
func (r *rehearsal) wait(ctx context.Context) {
	timer := time.NewTimer(backoff(r.vain.times))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// add counts a chunk of the sample.
func (f *Forecast) add(c *chunk) {
	f.Sampled += c.counts.Matched
	f.Changed += c.counts.Changed
	f.Deleted += c.counts.Deleted
	f.Unchanged += c.counts.Unchanged
	f.Written += c.counts.Written
	for _, failure := range c.failures {
		f.Failed = append(f.Failed, store.ClipMessage(relaxed(failure.Key), shownText)+": "+store.ClipMessage(failure.Message, shownText))
	}
}
