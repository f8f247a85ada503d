package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/store"
)

// priorUndo is an earlier undo of the same run. What it has taken back is not looked at again: a document that the run changed
// more than once would look as if others had changed it.
type priorUndo struct {
	run   string
	parts []priorPart
	left  int64 // changes that it could not take back
	// before are the undos that were in effect when it began. What they had taken back, it passed by: that is theirs, and back again
	// once they are undone.
	before []*priorUndo
	// undone says that it was undone in its turn, if perhaps not to its end.
	undone bool
}

// priorPart is how far an earlier undo came in one of its partitions.
type priorPart struct {
	lower, upper int64
	bounded      bool
	done         bool
	at           where
}

// undosAround are all runs that undo a run, those that undo these, and so on, up to the run that is no undo itself. Whichever of them are
// at work at the same time take each other's work for that of strangers.
func undosAround(ctx context.Context, s *store.Store, run string) ([]store.Run, error) {
	for {
		found, err := s.Run(ctx, run)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err != nil || found.Script != UndoName || found.Parent == "" {
			break // of one that was pruned, others may know
		}
		run = found.Parent
	}
	var undos []store.Run
	for look := []string{run}; len(look) > 0; look = look[1:] {
		children, err := s.Children(ctx, look[0])
		if err != nil {
			return nil, err
		}
		for _, child := range children {
			if child.Script == UndoName && !child.DryRun {
				undos, look = append(undos, child), append(look, child.ID)
			}
		}
	}
	return undos, nil
}

// refuseSecond refuses an undo while another one of the same run, or an undo of such a one, is under way or could go on.
func refuseSecond(ctx context.Context, s *store.Store, run, self string) error {
	undos, err := undosAround(ctx, s, run)
	if err != nil {
		return err
	}
	own := slices.IndexFunc(undos, func(r store.Run) bool { return r.ID == self })
	for _, other := range undos {
		if other.ID == self || other.State.Final() {
			continue
		}
		if own >= 0 && (other.CreatedAt.After(undos[own].CreatedAt) || other.CreatedAt.Equal(undos[own].CreatedAt) && other.ID > self) {
			continue // that one gives way
		}
		what := "another undo of " + run + ", " + other.ID + ","
		if other.Parent != run {
			what = other.ID + ", which undoes " + other.Parent + ","
		}
		advice := "wait for it"
		if !other.State.Active() {
			advice = "resume or cancel it"
		}
		return fmt.Errorf("%w: %s is %s; %s", ErrNoUndo, what, other.State, advice)
	}
	return nil
}

// findPriors returns the earlier undos of a run that are in effect, the oldest first.
func findPriors(ctx context.Context, s *store.Store, run, self string) ([]*priorUndo, error) {
	children, err := begunUndos(ctx, s, run, self)
	if err != nil {
		return nil, err
	}
	type known struct {
		*priorUndo
		child store.Run
		redos []store.Run
	}
	var all []known
	for _, child := range children {
		k := known{child: child, priorUndo: &priorUndo{run: child.ID}}
		if k.redos, err = begunUndos(ctx, s, child.ID, self); err != nil {
			return nil, err
		}
		k.undone = len(k.redos) > 0
		if err := k.read(ctx, s); err != nil {
			return nil, err
		}
		for _, earlier := range all {
			if len(earlier.redos) == 0 || earlier.redos[0].CreatedAt.After(child.CreatedAt) {
				k.before = append(k.before, earlier.priorUndo)
			}
		}
		all = append(all, k)
	}
	var priors []*priorUndo
	for _, k := range all {
		if !k.undone {
			priors = append(priors, k.priorUndo)
		}
	}
	return priors, nil
}

// begunUndos are the runs that undid something of a run, the oldest first, whatever became of them later.
func begunUndos(ctx context.Context, s *store.Store, run, self string) ([]store.Run, error) {
	children, err := s.Children(ctx, run)
	if err != nil {
		return nil, err
	}
	var begun []store.Run
	for _, child := range slices.Backward(children) {
		if child.Script != UndoName || child.DryRun || child.ID == self || !child.State.Final() {
			continue
		}
		parts, err := s.Walk(child.ID, 0).Partitions(ctx)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(parts, func(p store.Partition) bool { return p.Chunk > 0 }) {
			begun = append(begun, child)
		}
	}
	return begun, nil
}

// read finds out how far it came.
func (p *priorUndo) read(ctx context.Context, s *store.Store) error {
	parts, err := s.Walk(p.run, 0).Partitions(ctx)
	if err != nil {
		return fmt.Errorf("looking at the earlier undo %s: %w", p.run, err)
	}
	for _, part := range parts {
		at, err := start(part)
		if err != nil {
			return fmt.Errorf("looking at the earlier undo %s: %w", p.run, err)
		}
		prior := priorPart{done: part.Done, at: at}
		prior.lower, _ = part.Lower.Int64OK()
		prior.upper, prior.bounded = part.Upper.Int64OK()
		p.left += part.Counts.Conflicts + part.Counts.Failed
		p.parts = append(p.parts, prior)
	}
	return nil
}

// complete tells whether nothing is left to undo.
func (p *priorUndo) complete() bool {
	return p.left == 0 && !slices.ContainsFunc(p.parts, func(part priorPart) bool { return !part.done }) &&
		!slices.ContainsFunc(p.before, func(earlier *priorUndo) bool { return earlier.undone })
}

// passed tells whether it came to a change.
func (p *priorUndo) passed(s undoStep) bool {
	for _, part := range p.parts {
		if part.bounded && (s.of.seq <= part.lower || s.of.seq > part.upper) {
			continue
		}
		return part.done || part.at.Seq != 0 && (s.of.seq > part.at.Seq || s.of.seq == part.at.Seq && s.index >= part.at.Left)
	}
	return false
}

// undoneBefore tells of each change whether an earlier undo has taken it back.
func (p *pastRun) undoneBefore(ctx context.Context, s *store.Store, steps []undoStep) ([]bool, error) {
	undone := make([]bool, len(steps))
	own := make(map[*priorUndo][]bool)
	for _, prior := range p.priors {
		took, err := prior.took(ctx, s, steps, own)
		if err != nil {
			return nil, err
		}
		for i := range steps {
			undone[i] = undone[i] || took[i]
		}
	}
	return undone, nil
}

// took tells of each change whether this undo has taken it back itself.
func (p *priorUndo) took(ctx context.Context, s *store.Store, steps []undoStep, known map[*priorUndo][]bool) ([]bool, error) {
	if took, ok := known[p]; ok {
		return took, nil
	}
	took := make([]bool, len(steps))
	var keys []bson.RawValue
	for i, step := range steps {
		if took[i] = p.passed(step); took[i] && p.left > 0 {
			keys = append(keys, step.key())
		}
	}
	if len(keys) > 0 {
		failed, err := s.FailedAmong(ctx, p.run, keys)
		if err != nil {
			return nil, err
		}
		couldNot := make(map[string]bool, len(failed))
		for _, f := range failed {
			couldNot[string(f.Key.Value)] = true
		}
		for i, step := range steps {
			took[i] = took[i] && !couldNot[string(step.key().Value)]
		}
	}
	for _, earlier := range p.before {
		theirs, err := earlier.took(ctx, s, steps, known)
		if err != nil {
			return nil, err
		}
		for i := range steps {
			took[i] = took[i] && !theirs[i]
		}
	}
	known[p] = took
	return took, nil
}

// key names a change in the failures of an undo.
func (s undoStep) key() bson.RawValue { return undoKey(s.ns, s.id, s.of.seq) }
