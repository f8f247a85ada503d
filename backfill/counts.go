package backfill

import (
	"context"
	"fmt"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
)

// done counts what a chunk has done, after its commit.
func (e *engine) done(c store.Counts) {
	e.mu.Lock()
	e.counts.Add(c)
	now := e.counts
	e.mu.Unlock()
	e.run.Progress().Set(now.Matched)
	e.count2run(c)
	e.breaker(now)
}

// advance tells the run's record once that this attempt gets on, if owners died before it: a run that gets on is taken over again,
// however often. One that gets no chunk done is not, since it may be what kills them.
func (e *engine) advance(ctx context.Context) {
	if e.run.Attempt() <= 1 || e.advanced.Swap(true) {
		return
	}
	if err := e.store.Advanced(ctx, e.run.ID(), e.run.Epoch()); err != nil {
		e.advanced.Store(false) // the next chunk tries
		e.log.Debug("the record doesn't know yet that the run gets on", "error", err)
	}
}

// count2run adds to the counters that the history shows.
func (e *engine) count2run(c store.Counts) {
	for name, n := range map[string]int64{
		"changed": c.Changed, "deleted": c.Deleted, "unchanged": c.Unchanged, "failed": c.Failed, "written": c.Written,
		"conflicts": c.Conflicts,
	} {
		if n != 0 {
			e.run.Count(name, n)
		}
	}
}

// breaker pauses the run when too many documents fail. Whoever resumes it has seen those that failed until then: they count no more.
func (e *engine) breaker(now store.Counts) {
	limit, rate := e.opts.MaxFailures, e.opts.MaxFailureRate
	failed, done := now.Failed-e.earlier.Failed, now.Matched-e.earlier.Matched
	switch {
	case failed == 0:
	case limit < 0:
		e.fail(fmt.Errorf("a document failed; see the failures of run %s", e.run.ID()))
	case e.total > 0 && now.Matched >= e.total: // nothing is left to do: a pause would keep nothing from happening
	case failed > limit && float64(failed) > rate*float64(done):
		most := fmt.Sprintf("the limit of %d", limit)
		if rate > noShare {
			most += fmt.Sprintf(" and %g %%", 100*rate)
		}
		e.fail(fmt.Errorf("%w by itself: %d of %d documents failed, more than %s; look at the failures, and resume it to go on all the same",
			rikki.ErrPaused, failed, done, most))
	}
}

// recount takes the counters from the partitions. What was counted here can miss what another attempt has done, or a chunk
// whose commit was found out about afterwards.
func (e *engine) recount(ctx context.Context) error {
	parts, err := e.walk.Partitions(ctx)
	if err != nil {
		return err
	}
	var exact store.Counts
	for _, p := range parts {
		exact.Add(p.Counts)
	}
	e.mu.Lock()
	difference := minus(exact, e.counts)
	e.counts = exact
	e.mu.Unlock()
	e.count2run(difference)
	e.run.Progress().Set(exact.Matched)
	return nil
}

func minus(a, b store.Counts) store.Counts {
	return store.Counts{
		Matched: a.Matched - b.Matched, Changed: a.Changed - b.Changed, Deleted: a.Deleted - b.Deleted, Unchanged: a.Unchanged - b.Unchanged,
		Failed: a.Failed - b.Failed, Written: a.Written - b.Written, Conflicts: a.Conflicts - b.Conflicts, Journal: a.Journal - b.Journal,
	}
}
