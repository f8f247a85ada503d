package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Leftovers is a walk along a collection whose documents belong to runs.
type Leftovers struct {
	s    *Store
	coll *mongo.Collection
	keep func(script string) time.Duration // how long a log is kept; nil for other collections
	last string                            // the run that was looked at last
}

// Leftovers returns a walk for each collection whose documents belong to runs. It finds what belongs to no run, such as log records that
// were written after their run had been pruned, and logs that are older than logAge says for their script.
func (s *Store) Leftovers(logAge func(script string) time.Duration) []*Leftovers {
	var walks []*Leftovers
	for _, coll := range s.dependents() {
		w := &Leftovers{s: s, coll: coll}
		if coll == s.logs {
			w.keep = logAge
		}
		walks = append(walks, w)
	}
	return walks
}

// Next looks at the next n runs that have documents here, the oldest first, and deletes what need not be kept. It is false at
// the end of the collection, where the walk begins anew.
func (w *Leftovers) Next(ctx context.Context, n int) (deleted int64, more bool, err error) {
	fail := func(err error) (int64, bool, error) { return deleted, false, wrap("prune "+w.coll.Name(), err) }
	var runs []string
	for len(runs) < n {
		run, err := w.next(ctx)
		if errors.Is(err, mongo.ErrNoDocuments) {
			break
		}
		if err != nil {
			return fail(err)
		}
		w.last = run
		runs = append(runs, run)
	}
	more = len(runs) == n
	if !more {
		w.last = ""
	}
	if len(runs) == 0 {
		return 0, false, nil
	}
	orphans, outdated, err := w.judge(ctx, runs)
	if err != nil {
		return fail(err)
	}
	if len(outdated) > 0 {
		// Said first: a crash leaves records that the next walk finds, and never a log that is missing without a word.
		set := bson.D{{Key: "$set", Value: bson.D{{Key: "logs_pruned", Value: true}}}}
		if _, err := w.s.runs.UpdateMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: outdated}}}}, set,
			options.UpdateMany().SetComment("rikki prune")); err != nil {
			return fail(err)
		}
	}
	if all := slices.Concat(orphans, outdated); len(all) > 0 {
		if deleted, err = w.s.purge(ctx, []*mongo.Collection{w.coll}, all); err != nil {
			return fail(err)
		}
	}
	return deleted, more, nil
}

// next is the run after the last one, of those that have documents here.
func (w *Leftovers) next(ctx context.Context) (string, error) {
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: bson.D{{Key: "r", Value: w.last + "\x00"}}}}}}
	var doc struct {
		ID struct {
			Run string `bson:"r"`
		} `bson:"_id"`
	}
	err := w.coll.FindOne(ctx, filter, options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}}).
		SetProjection(bson.D{{Key: "_id", Value: 1}}).SetComment("rikki prune")).Decode(&doc)
	return doc.ID.Run, err
}

// judge tells which of the runs are no more, and the logs of which are too old.
func (w *Leftovers) judge(ctx context.Context, ids []string) (orphans, outdated []string, err error) {
	at, err := w.s.clock(ctx)
	if err != nil {
		return nil, nil, err
	}
	cur, err := w.s.runs.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, options.Find().
		SetBatchSize(int32(min(len(ids), math.MaxInt16))+1).SetComment("rikki prune").
		SetProjection(bson.D{{Key: "script", Value: 1}, {Key: "state", Value: 1}, {Key: "slot", Value: 1}, {Key: "resumable", Value: 1}, {Key: "unbegun", Value: 1}, {Key: "ended_at", Value: 1}}))
	if err != nil {
		return nil, nil, err
	}
	var runs []Run
	if err := cur.All(ctx, &runs); err != nil {
		return nil, nil, err
	}
	known := make(map[string]bool, len(runs))
	for _, r := range runs {
		known[r.ID] = true
		settled := r.Slot == "" && (r.State.Final() || r.State == Interrupted && !r.Resumable && !r.Unbegun)
		if w.keep == nil || !settled {
			continue
		}
		if age := w.keep(r.Script); age >= 0 && !r.EndedAt.IsZero() && r.EndedAt.Before(at.Add(-age)) {
			outdated = append(outdated, r.ID)
		}
	}
	for _, id := range ids {
		if !known[id] {
			orphans = append(orphans, id)
		}
	}
	return orphans, outdated, nil
}
