package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// pastRun is a run that is undone: the items of the undo are the changes in its journal.
type pastRun struct {
	run                  store.Run
	plan                 store.Plan
	database, collection string
	empty                bool  // the journal has nothing
	journal              int64 // its bytes, as counted
	priors               []*priorUndo
	mu                   sync.Mutex
	places               places
	// found is what the journal says altogether, once it was measured.
	found    store.JournalFacts
	measured bool
}

// nothing tells why there is nothing to undo, or "".
func (p *pastRun) nothing() string {
	if p.empty {
		return "the run has changed nothing"
	}
	for _, prior := range p.priors {
		if prior.complete() {
			return "it was undone already, by " + prior.run
		}
	}
	return ""
}

// examine looks whether a run can be undone.
func examine(ctx context.Context, s *store.Store, id, self string) (*pastRun, error) {
	run, err := s.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := undoable(run); err != nil {
		return nil, err
	}
	past := &pastRun{run: run}
	walk := s.Walk(run.ID, 0)
	if past.plan, err = walk.Plan(ctx); errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: there is no journal of %s: it ended before it had changed anything, or its journal was pruned, or its script %s is no backfill", ErrNoUndo, run.ID, run.Script)
	} else if err != nil {
		return nil, err
	}
	parts, err := walk.Partitions(ctx)
	if err != nil {
		return nil, err
	}
	var counts store.Counts
	for _, p := range parts {
		counts.Add(p.Counts)
	}
	past.journal = counts.Journal
	// The journal itself says whether there is something to undo. Without transactions the counts miss what an attempt has written
	// whose answer was lost.
	last, err := readSequence(ctx, s, store.JournalID{Run: run.ID})
	if err != nil {
		return nil, err
	}
	if last == nil {
		past.empty = true
		return past, past.silent(counts)
	}
	if err := refuseSecond(ctx, s, run.ID, self); err != nil {
		return nil, err
	}
	if past.priors, err = findPriors(ctx, s, run.ID, self); err != nil {
		return nil, err
	}
	return past, past.look(last)
}

// silent judges a run without a journal. One that kept one has changed nothing that is left of it.
func (p *pastRun) silent(counts store.Counts) error {
	switch {
	case counts.Journal > 0:
		return fmt.Errorf("%w: the journal of %s was pruned", ErrNoUndo, p.run.ID)
	case journal.Mode(p.plan.Journal) != journal.Off:
		return nil
	case counts.Changed+counts.Deleted+counts.Written > 0:
		return fmt.Errorf("%w: %s kept no journal (its mode was off)", ErrNoUndo, p.run.ID)
	case p.plan.Alone:
		return fmt.Errorf("%w: %s kept no journal (its mode was off), and had no transactions: nobody knows whether it has changed something", ErrNoUndo, p.run.ID)
	default:
		return nil
	}
}

// hold keeps from being pruned what the undo reads: the run, and the earlier undos that it takes into account.
func (p *pastRun) hold(ctx context.Context, s *store.Store, self string) error {
	needs := []string{p.run.ID}
	for _, prior := range p.priors {
		needs = append(needs, prior.run)
	}
	if err := s.Need(ctx, self, needs...); err != nil {
		return fmt.Errorf("%w: %w", ErrNoUndo, err)
	}
	return nil
}

// measure looks whether all of the journal is there. That takes a while for a large one.
func (p *pastRun) measure(ctx context.Context, s *store.Store) error {
	found, err := s.JournalFacts(ctx, p.run.ID)
	if err != nil {
		return err
	}
	if found.Bytes < p.journal {
		return fmt.Errorf("%w: the journal of %s was pruned: %d of its %d bytes are left", ErrNoUndo, p.run.ID, found.Bytes, p.journal)
	}
	p.found, p.measured = found, true
	return nil
}

// did tells whether the run has done an operation.
func (p *pastRun) did(op journal.Op) bool {
	return slices.ContainsFunc(p.found.Ops, op.In)
}

// look finds out from the journal's end which collection it is about, and whether it holds enough.
func (p *pastRun) look(last *sequence) error {
	first, err := last.chunk.Head(0)
	if err != nil {
		return fmt.Errorf("the journal of run %s: %w", p.run.ID, err)
	}
	if first.IDOnly {
		return fmt.Errorf("%w: the journal of %s has only the _ids of what it changed (its mode was ids)", ErrNoUndo, p.run.ID)
	}
	var ok bool
	if p.database, p.collection, ok = cutNamespace(last.ns); !ok {
		return fmt.Errorf("%w: the journal of %s doesn't say which collection it is about: %q", ErrNoUndo, p.run.ID, last.ns)
	}
	return nil
}

// reader implements [Source].
func (p *pastRun) reader(e *engine) (reader, error) { return &pastReader{p, e}, nil }

func (*pastRun) kind() string { return "journal" }

// pastReader makes the plan of an undo. What it undoes, undoWork reads.
type pastReader struct {
	past *pastRun
	e    *engine
}

// check makes sure that the run that is undone doesn't write any more, for its process may have been declared dead and live on. Then
// it looks at all that is there: the journal, and the collections that are written to.
func (r *pastReader) check(ctx context.Context) error {
	epoch := r.past.run.Lease.Epoch + 1
	if _, err := takeOver(ctx, r.e.client, r.e.store.Walk(r.past.run.ID, epoch), epoch, r.e.log); err != nil {
		return err
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	for _, warning := range r.past.warnings() {
		r.e.log.Warn(warning)
	}
	return nil
}

// look is what a dry run checks, too.
func (r *pastReader) look(ctx context.Context) error {
	if err := r.past.measure(ctx, r.e.store); err != nil {
		return err
	}
	return r.past.survey(ctx, r.e)
}

// plan makes partitions of the sequences, each to be undone from its end, if it doesn't matter in which order they are.
func (r *pastReader) plan(ctx context.Context) ([]store.Partition, int64, error) {
	why := r.past.inOrder()
	if why != "" {
		r.e.log.Info("one worker undoes this: " + why)
		return []store.Partition{{}}, r.past.found.Entries, nil
	}
	spans, err := r.e.store.JournalSpans(ctx, r.past.run.ID)
	if err != nil {
		return nil, 0, err
	}
	return sequenceRanges(spans), r.past.found.Entries, nil
}

// inOrder tells why all changes have to be undone one after another, or "". What each chunk of the run changed was changed by no other
// chunk, unless the journal says so. But a value that a unique index knows may have been moved from one document to another.
func (p *pastRun) inOrder() string {
	own := p.places[p.database+"."+p.collection]
	switch {
	case p.found.Shared:
		return "the run may have changed documents more than once"
	case own != nil && own.unique:
		return "a unique index may want the changes in their order"
	default:
		return ""
	}
}

// sequenceRanges cuts sequences into partitions, the newest first.
func sequenceRanges(spans []store.JournalSpan) []store.Partition {
	const most, least = 64, 8 // partitions, and sequences in one
	all := int64(0)
	for _, span := range spans {
		all += span.Last - span.First + 1
	}
	size := max(least, (all+most-1)/most)
	var parts []store.Partition
	for _, span := range spans {
		for upper := span.Last; upper >= span.First; upper -= size {
			lower := max(upper-size, span.First-1)
			parts = append(parts, store.Partition{N: len(parts), Lower: int64Value(lower), Upper: int64Value(upper)})
		}
	}
	return parts
}

func (r *pastReader) read(context.Context, store.Partition, int, int) (batch, error) {
	return batch{}, errors.New("a journal can only be undone")
}

// facts implements [factual]: an undo goes on with the journal that it began with.
func (r *pastReader) facts() (bson.Raw, error) { return bson.Marshal(r.past.found) }

func (r *pastReader) differ(then, now bson.Raw) error {
	var before, after store.JournalFacts
	if err := errors.Join(bson.Unmarshal(then, &before), bson.Unmarshal(now, &after)); err != nil {
		return err
	}
	return fmt.Errorf("%w: the journal of %s is another one than when the undo began: %d changes then, %d now", ErrNoUndo, r.past.run.ID, before.Entries, after.Entries)
}

// whole makes sure at the end that all there was to undo was looked at.
func (p *pastRun) whole(matched int64) error {
	if matched >= p.found.Entries {
		return nil
	}
	return fmt.Errorf("%w to its end: %d of the %d changes of %s were lost from its journal while it was undone, and stay",
		ErrNoUndo, p.found.Entries-matched, p.found.Entries, p.run.ID)
}
