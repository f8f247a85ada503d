package backfill

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/store"
)

// Inspection is how far a backfill is, beside what its record says.
type Inspection struct {
	Partitions     int `json:"partitions"`
	PartitionsDone int `json:"partitions_done"`

	Summary

	// Failures is how many failures are recorded, conflicts of an undo too.
	Failures int64 `json:"failures,omitempty"`

	// UndoneBy are the undos of this run, the newest first.
	UndoneBy []UndoRef `json:"undone_by,omitempty"`
}

// UndoRef is a run that undid another.
type UndoRef struct {
	Run   string      `json:"run"`
	State rikki.State `json:"state"`
}

// Inspect tells how far a backfill is, whoever runs it. The result is nil for a run
// that is no backfill, or hasn't made its plan.
func Inspect(ctx context.Context, app *rikki.App, run string) (*Inspection, error) {
	record, err := app.Record(ctx, run)
	if err != nil {
		return nil, err
	}
	var found *Inspection
	err = app.WithHistory(ctx, func(ctx context.Context, db *mongo.Database) error {
		found, err = inspect(ctx, store.New(db), record.ID)
		return err
	})
	return found, err
}

func inspect(ctx context.Context, s *store.Store, run string) (*Inspection, error) {
	walk := s.Walk(run, 0)
	if _, err := walk.Partition(ctx, store.PlanNumber); errors.Is(err, store.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	parts, err := walk.Partitions(ctx)
	if err != nil {
		return nil, err
	}
	i := &Inspection{Partitions: len(parts)}
	var c store.Counts
	for _, p := range parts {
		c.Add(p.Counts)
		if p.Done {
			i.PartitionsDone++
		}
	}
	i.Summary, i.Failures = summaryOf(c), c.Failed+c.Conflicts
	children, err := s.Children(ctx, run)
	for _, child := range children {
		if child.Script == UndoName && !child.DryRun {
			i.UndoneBy = append(i.UndoneBy, UndoRef{Run: child.ID, State: child.State})
		}
	}
	return i, err
}

func summaryOf(c store.Counts) Summary {
	return Summary{
		Matched: c.Matched, Changed: c.Changed, Deleted: c.Deleted, Unchanged: c.Unchanged, Failed: c.Failed, Written: c.Written,
		Conflicts: c.Conflicts, JournalBytes: c.Journal,
	}
}
