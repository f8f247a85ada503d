package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A run can need what the history has of another: an undo reads the journal of the run that it undoes and the failures of earlier
// undos, a run with --failed-of the failures of an earlier run. What a run needs is noted in the record of the other one, which is
// the very document that a prune has to mark before it deletes anything:
//
//	{ _id: "r_A", needed_by: ["r_B"], … }       r_B is not over: r_A is kept
//	{ _id: "r_A", gone: true, … }               r_A is being deleted: nobody can need it any more
//
// Both are updates of one document, each with the other in its filter. So whichever comes second notices the first.

// ErrGone says that a run is being deleted by a prune.
var ErrGone = errors.New("the run is being deleted by a prune")

// Need keeps runs from being pruned as long as another one is not over, in whatever state that is. It may be called again. The error
// is [ErrNotFound] or [ErrGone] if one of them can't be kept.
func (s *Store) Need(ctx context.Context, by string, runs ...string) error {
	for _, id := range runs {
		there := bson.D{{Key: "_id", Value: id}, {Key: "gone", Value: bson.D{{Key: "$ne", Value: true}}}}
		note := bson.D{{Key: "$addToSet", Value: bson.D{{Key: "needed_by", Value: by}}}}
		res, err := s.runs.UpdateOne(ctx, there, note, options.UpdateOne().SetComment(by))
		if err != nil {
			return own(s.runs, "note that run "+by+" needs run "+id, err)
		}
		if res.MatchedCount == 1 {
			continue
		}
		if _, err := s.Run(ctx, id); err != nil {
			return err
		}
		return fmt.Errorf("run %s: %w", id, ErrGone)
	}
	return nil
}

// needAll is [Store.Need] for a run that begins or is queued, with IDs as people write them. What can't be kept, the run itself finds
// out about when it looks.
func (s *Store) needAll(ctx context.Context, by string, runs []string) {
	for _, id := range runs {
		if run, err := s.Run(ctx, id); err == nil {
			_ = s.Need(ctx, by, run.ID)
		}
	}
}

// Kept is a run that a prune leaves because of another one.
type Kept struct {
	Run    string
	By     string // the run because of which it is kept
	Script string // of that one
	State  State  // of that one
	// Undoes says that the run that is kept is an undo of the other one, and belongs to it; else the other one needs it.
	Undoes bool
}

// undoScript is the name of the script whose runs undo others.
const undoScript = "undo-run"

// oldRun is a run that could be pruned.
type oldRun struct {
	ID       string        `bson:"_id"`
	Script   string        `bson:"script"`
	Parent   string        `bson:"parent"`
	NeededBy []string      `bson:"needed_by"`
	Created  bson.RawValue `bson:"created_at"`
}

// unneeded tells which of some runs nobody needs, and why the others are kept.
func (s *Store) unneeded(ctx context.Context, runs []oldRun) (free []oldRun, kept []Kept, err error) {
	ids, named, parents := make([]string, len(runs)), []string{}, []string{}
	for i, r := range runs {
		ids[i] = r.ID
		named = append(named, r.NeededBy...)
		if r.Script == undoScript && r.Parent != "" {
			parents = append(parents, r.Parent)
		}
	}
	idle, err := s.withoutAwaited(ctx, slices.Clone(ids))
	if err != nil {
		return nil, nil, err
	}
	readers, err := s.others(ctx, bson.D{
		{Key: "$or", Value: bson.A{
			bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: named}}}}, bson.D{{Key: "parent", Value: bson.D{{Key: "$in", Value: ids}}}},
		}},
		{Key: "$nor", Value: bson.A{bson.D{{Key: "$and", Value: prunable()}, {Key: "half_way", Value: bson.D{{Key: "$ne", Value: true}}}}}},
	})
	if err != nil {
		return nil, nil, err
	}
	undone, err := s.others(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: parents}}}})
	if err != nil {
		return nil, nil, err
	}
	for _, r := range runs {
		needs := func(o other) bool { return o.Parent == r.ID || slices.Contains(r.NeededBy, o.ID) }
		undoes := func(o other) bool { return r.Script == undoScript && r.Parent == o.ID }
		if i := slices.IndexFunc(readers, needs); i >= 0 {
			kept = append(kept, readers[i].keeps(r.ID, false))
		} else if i := slices.IndexFunc(undone, undoes); i >= 0 {
			kept = append(kept, undone[i].keeps(r.ID, true))
		} else if slices.Contains(idle, r.ID) {
			free = append(free, r)
		}
	}
	return free, kept, nil
}

// other is a run because of which one may be kept.
type other struct {
	ID     string `bson:"_id"`
	Script string `bson:"script"`
	State  State  `bson:"state"`
	Parent string `bson:"parent"`
}

func (o other) keeps(run string, undoes bool) Kept {
	return Kept{Run: run, By: o.ID, Script: o.Script, State: o.State, Undoes: undoes}
}

func (s *Store) others(ctx context.Context, filter bson.D) ([]other, error) {
	cur, err := s.runs.Find(ctx, filter, options.Find().SetComment("rikki prune").
		SetProjection(bson.D{{Key: "script", Value: 1}, {Key: "state", Value: 1}, {Key: "parent", Value: 1}}))
	if err != nil {
		return nil, err
	}
	var found []other
	return found, cur.All(ctx, &found)
}

// markGone marks runs as being deleted, each unless somebody has come to need it since it was looked at, and returns those that are.
func (s *Store) markGone(ctx context.Context, runs []oldRun) ([]string, error) {
	writes := make([]mongo.WriteModel, len(runs))
	ids := make([]string, len(runs))
	for i, r := range runs {
		ids[i] = r.ID
		asSeen := bson.D{{Key: "needed_by", Value: r.NeededBy}}
		if r.NeededBy == nil {
			asSeen = bson.D{{Key: "needed_by", Value: bson.D{{Key: "$exists", Value: false}}}}
		}
		filter := append(bson.D{{Key: "_id", Value: r.ID}, {Key: "$and", Value: prunable()}}, asSeen...)
		writes[i] = mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(bson.D{
			{Key: "$set", Value: bson.D{{Key: "gone", Value: true}}}, {Key: "$unset", Value: bson.D{{Key: "half_way", Value: ""}}}, // nobody goes on with it
		})
	}
	if _, err := s.runs.BulkWrite(ctx, writes, options.BulkWrite().SetOrdered(false).SetComment("rikki prune")); err != nil {
		return nil, err
	}
	marked := bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}, {Key: "gone", Value: true}}
	found, err := s.others(ctx, marked)
	for i := range found {
		ids[i] = found[i].ID
	}
	return ids[:len(found)], err
}
