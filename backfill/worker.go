package backfill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/commands"
	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/pace"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/store"
)

// chunk is one attempt at the next documents of a partition. All of it happens in one transaction.
type chunk struct {
	e       *engine
	part    store.Partition
	size    int // how many documents at most
	bytes   int // and how much of them, about
	turn    *pace.Turn
	commit  time.Duration // how long the commit took
	began   time.Time
	trips   *commands.Trips // apart: the driver may keep a context for a while, which mustn't keep the chunk
	thought time.Duration   // how long the author's function took
	*trouble
	journal  *journal.Writer
	ahead    *ahead // nil in a transaction
	memory   *memory
	counts   store.Counts    // what this chunk does
	known    store.Counts    // what of it the partition has been told
	keys     []bson.RawValue // of its documents, as far as the attempt came
	failures []store.DocFailure
	told     int // bytes of their messages
	step     store.Step
	dry      bool // nothing of Rikki's own is written
	// elsewhere says that documents were changed which other chunks may change too, and others names the collections beside the run's own
	// that were written to.
	elsewhere bool
	others    []string
}

// trouble is what earlier attempts at the same documents have met.
type trouble struct {
	poison   map[string]reason // documents that are passed by, by [exactKey] of their keys
	expiries int               // attempts that the server has ended
	slow     int               // attempts at one document that took too long
	apart    bool              // a document is too large to be computed beside what it was
	singly   bool              // the server has to be told of each document, so that it names the one that it refuses
	inOrder  bool              // deletions must not wait behind updates of other documents
	halved   int               // how many documents are tried at once since one among more could not be found; 0 for all

	vain      vain // attempts that found nothing out
	warned    bool // the log knows of them
	suspected int  // attempts at one document that the server refused without naming it
}

func newTrouble() *trouble { return &trouble{poison: map[string]reason{}} }

// reason is why a document is passed by.
type reason struct {
	class, message, stack string
	attempts              int
}

// worker goes through partitions until there are none left or the run shall stop.
func (e *engine) worker(ctx, waits context.Context) {
	w := &worker{engine: e, waits: waits, journal: journal.NewWriter(e.opts.Journal), memory: newMemory(e)}
	defer func() {
		e.mu.Lock()
		e.active--
		e.mu.Unlock()
		e.pace.poke()
	}()
	if !e.alone {
		defer w.disconnect(ctx)
		if err := w.connect(ctx); err != nil {
			e.fail(err)
			return
		}
	}
	for {
		p, ok := e.take()
		if !ok {
			return
		}
		point.Reached("chunk.claimed")
		if !w.partition(ctx, p) {
			return
		}
	}
}

// worker is one of those that do chunks at the same time.
type worker struct {
	*engine
	waits   context.Context //nolint:containedctx // ends when the workers shall stop, before their work is cut off
	session *mongo.Session  // nil without transactions
	stale   bool            // see transact
	journal *journal.Writer
	memory  *memory
	caution caution
}

// partition does the rest of one, chunk by chunk. It returns false when the worker shall end.
func (w *worker) partition(ctx context.Context, p store.Partition) bool {
	defer w.retried.close(p)
	for !p.Done {
		turn, err := w.pace.controller.Next(w.waits) //nolint:contextcheck // it is derived from ctx, and ends first
		if err != nil {
			w.fail(err)
			return false
		}
		if err := w.run.Asked(); err != nil {
			w.fail(err)
		}
		if w.stopped() != nil {
			turn.Drop()
			return false
		}
		size := 0
		if !w.tooMany() {
			size = w.budget.reserve(w.caution.size(turn.Docs))
		}
		if size == 0 { // another worker may have taken the rest of the limit just now
			turn.Drop()
			w.putBack(p)
			return false
		}
		next, err := w.next(ctx, p, turn, size)
		turn.Drop() // unless it was used
		if err != nil {
			w.fail(err)
			return false
		}
		p = next
	}
	return true
}

// next does one chunk, however often that takes, and returns the partition as it is then.
func (w *worker) next(ctx context.Context, p store.Partition, turn *pace.Turn, reserved int) (store.Partition, error) {
	size := reserved
	met := newTrouble()
	for tries := 1; ; tries++ {
		began := time.Now()
		c := &chunk{e: w.engine, part: p, size: size, bytes: turn.Bytes, turn: turn, trouble: met, journal: w.journal, memory: w.memory, began: began, trips: &commands.Trips{}}
		err := w.attempt(c.trips.With(ctx), c)
		if err == nil {
			w.budget.give(reserved - int(c.counts.Matched))
			turn.Done(c.outcome(time.Since(began)))
			w.engine.done(c.counts)
			w.caution.done(met)
			w.tell("")
			w.advance(ctx)
			w.learn(ctx)
			return c.after(), nil
		}
		if isStop(ctx, err) {
			return p, context.Cause(ctx)
		}
		next, changed, err := w.settle(ctx, c, err, tries)
		if err != nil {
			return p, err
		}
		if next.Chunk > p.Chunk {
			// The commit whose answer was lost has happened, with all of its counters.
			w.budget.give(reserved - int(c.counts.Matched))
			w.engine.done(c.counts)
			w.tell("")
			w.advance(ctx)
			return next, nil
		}
		size = changed
	}
}

// settle decides about a failed attempt: it returns the partition as it is, and how many documents the next attempt takes.
func (w *worker) settle(ctx context.Context, c *chunk, err error, tries int) (store.Partition, int, error) {
	what := judge(err)
	ended := c.expired(err)
	switch {
	case c.tooSlow(err):
		what = slow
	case ended != nil && what != unknown && what != lost:
		what = expired
	}
	if what != document || tries == 1 { // each of these is recorded as a failure, and there can be thousands
		w.log.Debug("a chunk is tried again", "partition", c.part.N, "chunk", c.part.Chunk, "size", c.size, "try", tries, "error", err)
	}
	if what != fatal {
		w.run.Count("chunk_retries", 1)
	}
	switch what {
	case unknown, lost:
		p, lookErr := w.look(ctx, c.part)
		if lookErr == nil && p.Chunk == c.part.Chunk {
			lookErr = w.wait(c, err, tries)
		}
		return p, c.size, lookErr
	case smaller:
		if c.size <= 1 && saysTooLarge(err) && !c.apart {
			c.apart = true
			return c.part, 1, nil
		}
		if c.size <= 1 {
			return w.tooMuch(ctx, c, err, tries)
		}
		c.turn.Failed(c.size, classOf(err))
		return c.part, c.size / 2, nil
	case expired:
		size, err := w.shrink(c, ended, tries)
		return c.part, size, err
	case slow:
		size, err := w.hurry(ctx, c, err, tries)
		return c.part, size, err
	case document:
		return w.isolate(ctx, c, err, tries)
	case again:
		return c.part, w.smallerAfter(c, err, tries), w.wait(c, err, tries)
	default:
		return c.part, 0, err
	}
}

// smallerAfter is the size of the next attempt after trouble that may be gone by then. What others change all the time is got hold of
// in small pieces, and a chunk that the server's cache has no room for looks the same: it conflicts, with nobody.
func (w *worker) smallerAfter(c *chunk, err error, tries int) int {
	every := 5
	if hasAnyCode(err, codeWriteConflict) {
		every = 2
	}
	if tries%every != 0 {
		return c.size
	}
	if every == 2 && c.size > 1 {
		c.turn.Failed(c.size, classOf(err))
	}
	return max(1, c.size/2)
}

// look reads a partition after an attempt of which it isn't known whether it happened.
func (w *worker) look(ctx context.Context, p store.Partition) (store.Partition, error) {
	var v vain
	for tries := 1; ; tries++ {
		now, err := w.walk.Partition(ctx, p.N)
		switch {
		case err == nil && now.Epoch != w.run.Epoch():
			return p, fmt.Errorf("%w: another process goes on with it", rikki.ErrLeaseLost)
		case err == nil:
			return now, nil
		case isStop(ctx, err):
			return p, context.Cause(ctx)
		case judge(err) == fatal:
			return p, err
		}
		if stuck := v.again(w.opts.Patience, err); stuck != nil {
			return p, stuck
		}
		if err := w.backoff(tries); err != nil {
			return p, err
		}
	}
}

// backoff is how long to wait before another try: by chance, up to two seconds.
func backoff(tries int) time.Duration {
	const first, most = 5 * time.Millisecond, 2 * time.Second
	return rand.N(min(first<<min(tries, 10), most)) //nolint:gosec // spreads load, protects nothing
}

// backoff waits before another try. A server that stays away costs the run its lease, which ends ctx.
func (w *worker) backoff(tries int) error {
	timer := time.NewTimer(backoff(tries))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-w.waits.Done():
		return context.Cause(w.waits)
	}
}

// attempt does a chunk once.
func (w *worker) attempt(ctx context.Context, c *chunk) error {
	c.journal.Reset()
	if w.alone {
		c.ahead = newAhead(w.opts.Journal)
	}
	chunk := func(ctx context.Context) error {
		if err := w.retried.open(ctx, c.part); err != nil {
			return err
		}
		if err := w.work.chunk(ctx, c); err != nil {
			return err
		}
		if err := w.still(ctx); err != nil {
			return err
		}
		return c.record(ctx)
	}
	body := func(ctx context.Context) error { return try(func() error { return chunk(ctx) }) }
	if w.alone {
		attempt, cancel := context.WithTimeout(ctx, attemptLimit)
		defer cancel()
		return w.changedMeanwhile(ctx, body(attempt))
	}
	return w.changedMeanwhile(ctx, w.transact(ctx, c, body))
}

// read notes which documents there are to do. Their bytes may have made them fewer than there might be.
func (c *chunk) read(keys []bson.RawValue) {
	c.keys = keys
	if len(keys) > 0 {
		c.size = len(keys)
	}
}

// advance moves the partition's cursor. It is the first write of the transaction: without a match nothing else happens.
func (c *chunk) advance(ctx context.Context, last bson.RawValue, end bool) error {
	if !end && (last.IsZero() || same(last, c.part.Cursor)) {
		return fmt.Errorf("the walk doesn't get on behind the key %s: the same documents would be done again and again", relaxed(c.part.Cursor))
	}
	c.step = store.Step{N: c.part.N, Chunk: c.part.Chunk, Cursor: last, Done: end, Counts: c.counts}
	c.known = c.counts
	point.Reached("chunk.read")
	if c.e.alone || c.dry {
		return nil // the cursor moves when all is done
	}
	err := c.e.walk.Advance(ctx, c.step)
	point.Reached("chunk.fenced")
	return err
}

// record writes the journal, the failures and the counters.
func (c *chunk) record(ctx context.Context) error {
	point.Reached("chunk.changed")
	if err := c.keep(ctx); err != nil {
		return err
	}
	if !c.dry {
		if err := c.e.undone.done(ctx, c); err != nil {
			return err
		}
	}
	if err := c.e.store.AddFailures(ctx, c.e.run.ID(), c.failures); err != nil {
		return err
	}
	point.Reached("chunk.journaled")
	if c.e.alone {
		c.step.Counts = c.counts
		return c.e.walk.Advance(ctx, c.step)
	}
	return c.e.walk.Count(ctx, c.part.N, minus(c.counts, c.known))
}

// after is the partition once the chunk is committed.
func (c *chunk) after() store.Partition {
	p := c.part
	p.Chunk++
	p.Done = c.step.Done
	if !c.step.Cursor.IsZero() {
		p.Cursor = c.step.Cursor
	}
	return p
}

// tooMany tells a worker whether there shall be fewer of them.
func (e *engine) tooMany() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.active > e.pace.workers()
}
