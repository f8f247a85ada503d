package backfill

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/store"
)

// priorUndo is an earlier undo of the same run. What it has taken back is not looked at again: a document that the run changed
// more than once would look as if others had changed it.
type priorUndo struct {
	run  string
	done bool  // it came to the journal's end
	at   where // if not, how far it came
	left int64 // changes that it could not take back
}

// refuseSecond refuses an undo of a run while an older one is under way or could go on: they would take each other's work for
// that of strangers.
func refuseSecond(ctx context.Context, s *store.Store, run, self string) error {
	children, err := s.Children(ctx, run)
	if err != nil {
		return err
	}
	var own *store.Run
	for i := range children {
		if children[i].ID == self {
			own = &children[i]
		}
	}
	for _, child := range children {
		if child.Script != UndoName || child.DryRun || child.ID == self || child.State.Final() {
			continue
		}
		if own != nil && (child.CreatedAt.After(own.CreatedAt) || child.CreatedAt.Equal(own.CreatedAt) && child.ID > self) {
			continue // that one gives way
		}
		advice := "wait for it"
		if !child.State.Active() {
			advice = "resume or cancel it"
		}
		return fmt.Errorf("%w: another undo of %s, %s, is %s; %s", ErrNoUndo, run, child.ID, child.State, advice)
	}
	return nil
}

// findPrior returns the last undo of a run that is still in effect, or nil.
func findPrior(ctx context.Context, s *store.Store, run, self string) (*priorUndo, error) {
	undo, err := lastUndo(ctx, s, run, self)
	if err != nil || undo == nil {
		return nil, err
	}
	if redo, err := lastUndo(ctx, s, undo.ID, self); err != nil || redo != nil {
		return nil, err // the undo was undone in its turn, if perhaps not to its end
	}
	part, err := s.Walk(undo.ID, 0).Partition(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("looking at the earlier undo %s: %w", undo.ID, err)
	}
	p := &priorUndo{run: undo.ID, done: part.Done, left: part.Counts.Conflicts + part.Counts.Failed}
	if !part.Cursor.IsZero() {
		if err := part.Cursor.Unmarshal(&p.at); err != nil {
			return nil, fmt.Errorf("looking at the earlier undo %s: %w", undo.ID, err)
		}
	}
	return p, nil
}

// lastUndo is the last run that undid something of a run, whatever became of it later.
func lastUndo(ctx context.Context, s *store.Store, run, self string) (*store.Run, error) {
	children, err := s.Children(ctx, run)
	if err != nil {
		return nil, err
	}
	var last *store.Run
	for i, child := range children {
		if child.Script != UndoName || child.DryRun || child.ID == self || !child.State.Final() {
			continue
		}
		if last != nil && !child.CreatedAt.After(last.CreatedAt) {
			continue
		}
		if parts, err := s.Walk(child.ID, 0).Partitions(ctx); err != nil {
			return nil, err
		} else if len(parts) > 0 && parts[0].Chunk > 0 {
			last = &children[i]
		}
	}
	return last, nil
}

// complete tells whether nothing is left to undo.
func (p *priorUndo) complete() bool { return p != nil && p.done && p.left == 0 }

// passed tells whether the earlier undo came to this change.
func (p *priorUndo) passed(s undoStep) bool {
	return p != nil && (p.done || s.seq > p.at.Seq || s.seq == p.at.Seq && s.index >= p.at.Left)
}

// undoneBefore tells of each change whether the earlier undo has taken it back.
func (w *undoWork) undoneBefore(ctx context.Context, s *store.Store, steps []undoStep) ([]bool, error) {
	undone := make([]bool, len(steps))
	var keys []bson.RawValue
	for i, step := range steps {
		if w.past.prior.passed(step) {
			undone[i] = true
			keys = append(keys, undoKey(step.ns, step.entry.ID, step.seq))
		}
	}
	if len(keys) == 0 || w.past.prior.left == 0 {
		return undone, nil
	}
	failed, err := s.FailedAmong(ctx, w.past.prior.run, keys)
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(failed))
	for _, f := range failed {
		known[string(f.Key.Value)] = true
	}
	for i, step := range steps {
		if undone[i] && known[string(undoKey(step.ns, step.entry.ID, step.seq).Value)] {
			undone[i] = false
		}
	}
	return undone, nil
}
