package backfill

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/store"
)

// Summary is the result of a backfill.
type Summary struct {
	Matched   int64 `json:"matched"`
	Changed   int64 `json:"changed"`
	Deleted   int64 `json:"deleted,omitempty"`
	Unchanged int64 `json:"unchanged,omitempty"`
	Failed    int64 `json:"failed,omitempty"`
	Written   int64 `json:"written,omitempty"`   // to other collections
	Conflicts int64 `json:"conflicts,omitempty"` // of an undo

	JournalBytes int64         `json:"journal_bytes,omitempty"`
	Throttled    time.Duration `json:"throttled,omitempty"`
	Waits        []Wait        `json:"waits,omitempty"`  // what that was for, the longest first
	Gentle       time.Duration `json:"gentle,omitempty"` // making room for others

	// Limited says that the run ended at its limit, not at the end of the walk.
	Limited bool `json:"limited,omitempty"`

	// Planned is about how many documents there were to do when the run began, where it has met
	// fewer: others have deleted them meanwhile, or changed them so that they don't match.
	Planned int64 `json:"planned,omitempty"`

	// Gone is how many of the documents that the run was limited to are not there
	// any more, or don't match its filter.
	Gone int64 `json:"gone,omitempty"`

	Verified *Verified `json:"verified,omitempty"`
}

func (e *engine) summary(v *Verified) *Summary {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := summaryOf(e.counts)
	s.Limited, s.Verified = e.budget.limited && len(e.queue) > 0, v
	if e.pace != nil {
		stats := e.pace.controller.Stats()
		s.Throttled, s.Gentle, s.Waits = stats.Throttled, stats.GentleFor, waitsOf(stats)
	}
	return &s
}

// conclude verifies what was done and makes the result.
func (e *engine) conclude(ctx context.Context) (any, error) {
	point.Reached("run.before-end")
	if err := e.tryAgain(ctx, func() error { return e.endWalk(ctx) }); err != nil {
		return e.summary(nil), err
	}
	done := e.summary(nil)
	if w, ok := e.work.(interface{ whole(matched int64) error }); ok {
		if err := w.whole(done.Matched); err != nil {
			return done, err
		}
	}
	e.run.Progress().SetTotal(done.Matched) // what was planned was an estimate
	var verified *Verified
	if !done.Limited {
		if err := e.hold(ctx); err != nil {
			return e.summary(nil), err
		}
		v, err := e.verify(ctx)
		if err != nil {
			return e.summary(nil), fmt.Errorf("all documents were visited, but the verification failed: %w", err)
		}
		verified = v
	}
	s := e.summary(verified)
	if !s.Limited && e.total > s.Matched && e.walks() && !e.picks() && len(e.opts.Stages) == 0 && !e.varies() {
		s.Planned = e.total
		e.log.Warn("fewer documents were met than planned: others have deleted or changed them meanwhile", "met", s.Matched, "planned", s.Planned)
	}
	if e.picks() && !e.budget.limited {
		s.Gone = max(0, e.total-s.Matched)
	}
	switch {
	case s.Failed > 0:
		return s, &rikki.PartialError{Failed: s.Failed, What: "documents"}
	case s.Conflicts > 0:
		return s, fmt.Errorf("what others have changed since the run stays as it is: %w", &rikki.PartialError{Failed: s.Conflicts, What: "changes"})
	case verified != nil && verified.Left > 0:
		return s, fmt.Errorf("the verification found leftovers: %w", &rikki.PartialError{Failed: verified.Left, What: "documents"})
	}
	return s, nil
}

// endWalk finds out whether a run that did as many documents as it may has done all there are. Then it is at its end like any other.
func (e *engine) endWalk(ctx context.Context) error {
	for e.budget.limited && len(e.queue) > 0 {
		p := e.queue[0]
		more, err := e.hasMore(ctx, p)
		if err != nil || more {
			return err
		}
		if err := e.walk.Advance(ctx, store.Step{N: p.N, Chunk: p.Chunk, Done: true}); err != nil {
			return err
		}
		e.queue = e.queue[1:]
	}
	return nil
}

// hasMore tells whether there is anything to do in the rest of a partition.
func (e *engine) hasMore(ctx context.Context, p store.Partition) (bool, error) {
	if err := e.retried.open(ctx, p); err != nil {
		return false, err
	}
	defer e.retried.close(p)
	for {
		b, err := e.source.read(ctx, p, 1, chunkBytes)
		if err != nil || len(b.items) > 0 || b.end {
			return len(b.items) > 0, err
		}
		p.Cursor = b.last
	}
}

// hold pauses before the final step, once in the life of the run.
func (e *engine) hold(ctx context.Context) error {
	if !e.knobs.Hold || e.plan.Held {
		return nil
	}
	if err := e.walk.Hold(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w before the final step, as asked: all documents were visited; resume it for the verification", rikki.ErrPaused)
}

// budget is how many documents a run may still do.
type budget struct {
	limited bool
	left    atomic.Int64
}

func (b *budget) spent() bool { return b.limited && b.left.Load() <= 0 }

// reserve takes up to n, and give returns what was not used.
func (b *budget) reserve(n int) int {
	if !b.limited {
		return n
	}
	for {
		left := b.left.Load()
		take := min(int64(n), max(left, 0))
		if b.left.CompareAndSwap(left, left-take) {
			return int(take)
		}
	}
}

func (b *budget) give(n int) {
	if b.limited {
		b.left.Add(int64(n))
	}
}
