package store

import "context"

// TriggerUndo is the trigger of runs that undo their parent.
const TriggerUndo = "undo"

// Done is what a run has done with documents and not taken back: nothing for a run that is no backfill, and for one that another
// run has undone to the end, without a change left.
func (s *Store) Done(ctx context.Context, run string) (Counts, error) {
	var done Counts
	parts, err := s.Walk(run, 0).Partitions(ctx)
	if err != nil || len(parts) == 0 {
		return done, err
	}
	for _, p := range parts {
		done.Add(p.Counts)
	}
	if done.Matched == 0 {
		return done, nil
	}
	undone, err := s.Undone(ctx, run)
	if undone {
		return Counts{}, err
	}
	return done, err
}

// Undone tells whether another run has taken all of a run back, and has not been undone in its turn.
func (s *Store) Undone(ctx context.Context, run string) (bool, error) {
	children, err := s.Children(ctx, run)
	if err != nil {
		return false, err
	}
	for _, child := range children {
		if child.Trigger != TriggerUndo || child.DryRun || !child.State.Final() {
			continue
		}
		parts, err := s.Walk(child.ID, 0).Partitions(ctx)
		if err != nil {
			return false, err
		}
		if !complete(parts) {
			continue
		}
		// An undo of the undo, however far it came, has brought something back.
		redone, err := s.begun(ctx, child.ID)
		if err != nil || !redone {
			return err == nil, err
		}
	}
	return false, nil
}

// complete tells whether the partitions of an undo are at their end, with nothing left.
func complete(parts []Partition) bool {
	for _, p := range parts {
		if !p.Done || p.Counts.Failed+p.Counts.Conflicts > 0 {
			return false
		}
	}
	return len(parts) > 0
}

// begun tells whether an undo of a run has done anything.
func (s *Store) begun(ctx context.Context, run string) (bool, error) {
	children, err := s.Children(ctx, run)
	if err != nil {
		return false, err
	}
	for _, child := range children {
		if child.Trigger != TriggerUndo || child.DryRun {
			continue
		}
		parts, err := s.Walk(child.ID, 0).Partitions(ctx)
		if err != nil {
			return false, err
		}
		for _, p := range parts {
			if p.Chunk > 0 {
				return true, nil
			}
		}
	}
	return false, nil
}
