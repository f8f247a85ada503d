package pace

import (
	"context"
	"time"
)

// Turn is the permission to do one chunk. It must be ended by [Turn.Done] or [Turn.Drop]; only the first of them counts.
type Turn struct {
	// Docs and Bytes limit the chunk.
	Docs, Bytes int
	// Waited is how long it took to get the turn.
	Waited time.Duration

	c      *Controller
	step   int // of the size
	paid   int // to the bucket
	failed bool
	ended  bool
}

// Outcome is what a chunk was like.
type Outcome struct {
	Docs int
	// Took is the time of the whole transaction, Commit that of its commit alone; 0 is not measured.
	Took, Commit time.Duration
	// Trips is how many commands it had, its commit among them, and Trip the least that one of them took: a round trip, about.
	Trips int
	Trip  time.Duration
}

// Next waits until the next chunk may begin. It returns the cause of the context's end.
func (c *Controller) Next(ctx context.Context) (*Turn, error) {
	began := c.now()
	asked := c.throttle == nil
	waiting := false
	defer c.stopWaiting(&waiting)
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		turn, b, wake := c.try(asked, &waiting)
		switch {
		case turn != nil:
			turn.Waited = max(c.now().Sub(began), 0)
			return turn, nil
		case b.key == "":
			if err := c.ask(ctx); err != nil {
				return nil, err
			}
			asked = true
			continue
		}
		if err := c.sleep(ctx, b, wake); err != nil {
			return nil, err
		}
		// Waiting for the rate or for others is no reason to ask the script once more.
		asked = c.throttle == nil || asked && b.short()
	}
}

// try grants a turn, or says what it waits for. If there is neither, the script has to be asked.
func (c *Controller) try(asked bool, waiting *bool) (*Turn, block, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	s := c.settings(now)
	b := c.blocked(s, now)
	switch {
	case !asked && (b.key == "" || b.short()):
		return nil, block{}, nil
	case b.key == keyGentle: // which has its own books: of several workers, one always waits for its turn
		c.books.stop(now, waiting)
		return nil, b, c.wake
	case b.key != "":
		c.books.wait(now, b, waiting)
		return nil, b, c.wake
	}
	turn := &Turn{c: c, Docs: c.bucket.chunk(c.size.next(s.Chunk, c.link.idle)), Bytes: s.Bytes, step: c.size.step}
	if s.Rate > 0 {
		turn.paid = turn.Docs
	}
	c.bucket.take(turn.paid)
	c.commits.granted(now)
	c.gentle.granted()
	return turn, block{}, nil
}

func (c *Controller) stopWaiting(waiting *bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.books.stop(c.now(), waiting)
}

// ask calls the script's function, one worker at a time, and notes what it says.
func (c *Controller) ask(ctx context.Context) error {
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.asking }()
	if c.held() {
		return nil // somebody else has asked meanwhile
	}
	wait, reason, err := c.throttle(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case err != nil:
		wait, reason = recheck, "the script's throttle can't be read: "+err.Error()
	case reason == "":
		reason = "the script's own throttle"
	}
	if wait > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.script = hold{until: c.now().Add(wait), reason: reason}
	}
	return nil
}

func (c *Controller) held() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Before(c.script.until)
}

func (c *Controller) sleep(ctx context.Context, b block, wake <-chan struct{}) error {
	nap := recheck
	if !b.until.IsZero() {
		nap = max(min(nap, b.until.Sub(c.now())), time.Millisecond)
	}
	timer := time.NewTimer(nap)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-wake:
	case <-timer.C:
	}
	return nil
}

// Done reports a chunk that was committed.
func (t *Turn) Done(o Outcome) {
	t.end(func(now time.Time, s Settings) {
		t.c.bucket.take(o.Docs - t.paid)
		if o.Commit > 0 {
			t.c.commits.observe(o.Commit, s, now)
		} else {
			t.c.commits.wasted(now)
		}
		busy := max(o.Took-t.c.link.observe(o, t.c.commits.least), 0)
		if !t.failed { // what was left of it says little about others
			t.c.size.done(o.Docs, t.Docs, t.step, busy, t.c.goal(s))
		}
		t.c.gentle.rest(busy, now)
		t.c.books.chunk(o)
	})
}

// Failed reports that the chunk was too large or too slow with so many documents, by a word for the status. The next ones are half
// as large. This one is tried again with fewer, and has its turn until it is done: it counts for the rate, and for those who wait
// behind it. Only the first failure of a turn counts. It is false if there was one document, so that nothing smaller is left to try.
func (t *Turn) Failed(docs int, why string) bool {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.failed || t.ended {
		return docs > MinChunk
	}
	t.failed = true
	c.books.shrinks++
	c.books.shrunk = why
	return c.size.fail(docs)
}

// Drop gives the turn back: there was nothing to do, or what happened says nothing about the pace.
func (t *Turn) Drop() {
	t.end(func(now time.Time, _ Settings) {
		t.c.bucket.take(-t.paid)
		t.c.commits.wasted(now)
	})
}

func (t *Turn) end(report func(now time.Time, s Settings)) {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	c.gentle.ended()
	now := c.now()
	report(now, c.settings(now))
	c.wakeAll()
}
