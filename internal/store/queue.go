package store

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// A run in the queue has the field ready, and only while it may be taken: from [Store.Enqueue] on, again when it was resumed,
// and when its owner died or was stopped though the script could go on. Taking it removes the field, grows the epoch and
// takes the slot in one write, so a run has one owner, and a script as many runs as it may have.

// Enqueue records a run that waits for a process to take it. NewRun.Owner and NewRun.TTL don't matter.
func (s *Store) Enqueue(ctx context.Context, n NewRun) (Run, error) {
	if n.ID == "" || n.Script == "" {
		return Run{}, errors.New("store: NewRun.ID and NewRun.Script are required")
	}
	doc := newRunDoc(n)
	for i := range doc {
		switch doc[i].Key {
		case "state":
			doc[i].Value = Queued
			if n.Held {
				doc[i].Value = Paused
			}
		case "attempt":
			doc[i].Value = 0
		}
	}
	doc = append(doc,
		bson.E{Key: "queue", Value: !n.Held}, bson.E{Key: "priority", Value: n.Priority},
		bson.E{Key: "lease", Value: bson.D{{Key: "epoch", Value: int64(0)}}},
	)
	if !n.Held {
		doc = append(doc, bson.E{Key: "ready", Value: true})
	}
	due := any(now)
	if !n.NotBefore.IsZero() {
		due = op("$max", now, literal(n.NotBefore))
	}
	pipeline := bson.A{bson.D{{Key: "$replaceWith", Value: op("$mergeObjects", literal(doc), bson.D{
		{Key: "created_at", Value: now}, {Key: "due_at", Value: due}, {Key: "read_at", Value: now},
	})}}, bson.D{{Key: "$unset", Value: "read_at"}}}
	// A run that is there already doesn't match, and its id is taken.
	filter := bson.D{{Key: "_id", Value: n.ID}, {Key: "script", Value: bson.D{{Key: "$exists", Value: false}}}}
	run, err := decode(s.runs.FindOneAndUpdate(ctx, filter, pipeline, after(n.ID).SetUpsert(true)))
	if isCode(err, codeDuplicateKey) {
		return Run{}, fmt.Errorf("queue run %s: %w", n.ID, ErrDuplicateID)
	}
	if err != nil {
		return Run{}, wrap("queue run "+n.ID+" in "+s.db.Name(), err)
	}
	s.needAll(ctx, n.ID, n.Needs)
	return run, nil
}

// Take takes one certain run out of turn: one that is queued, paused, interrupted or failed half-way. From then on it isn't in the queue's
// care any more. With force, a changed source is accepted. The error is [ErrNotFound], [ErrTransition] when the run's state
// doesn't allow it or the script can't resume, or a [*BusyError].
func (s *Store) Take(ctx context.Context, id string, concurrency int, t Taker, force Force) (Run, error) {
	run, err := s.Run(ctx, id)
	if err != nil {
		return Run{}, err
	}
	// Nothing here could name the index that keeps a slot from being taken twice.
	if err := s.EnsureIndexes(ctx); err != nil {
		return Run{}, err
	}
	filter := append(startable(run.ID), bson.E{Key: "lease.epoch", Value: run.Lease.Epoch})
	set := append(t.set(), bson.E{Key: "queue", Value: false})
	if force {
		for i := range set {
			if set[i].Key == "source" {
				set[i].Value = literal(t.Source)
			}
		}
	}
	taken, err := s.occupy(ctx, filter, slots(run.Script, run.ID, concurrency), set, run.ID)
	switch {
	case errors.Is(err, errFull):
		return Run{}, s.busy(ctx, run.Script, concurrency)
	case errors.Is(err, mongo.ErrNoDocuments):
		return Run{}, s.whyNotStartable(ctx, run.ID)
	case err != nil:
		return Run{}, wrap("take run "+run.ID, err)
	}
	return taken, nil
}

// Seal ends a run for good that has failed half-way, before what it did is undone. The epoch grows, so that whoever goes on with it
// just now finds it lost. The error is [ErrTransition] when somebody does go on with it. For any other run it does nothing.
func (s *Store) Seal(ctx context.Context, id string) (Run, error) {
	filter := bson.D{{Key: "_id", Value: id}, {Key: "state", Value: Failed}, {Key: "half_way", Value: true}}
	set := bson.D{
		{Key: "half_way", Value: "$$REMOVE"},
		{Key: "lease.epoch", Value: op("$add", op("$ifNull", "$lease.epoch", int64(0)), int64(1))},
	}
	run, err := decode(s.runs.FindOneAndUpdate(ctx, filter, stages(set), after(id)))
	if !errors.Is(err, mongo.ErrNoDocuments) {
		return run, wrap("end run "+id+" for good", err)
	}
	if run, err = s.Run(ctx, id); err == nil && !run.State.Final() {
		err = fmt.Errorf("run %s: %w: somebody goes on with it; it is %s", run.ID, ErrTransition, run.State)
	}
	return run, err
}

// Force says that a run goes on whatever has changed since.
type Force bool

// startable is the filter for a run that nobody owns and that can begin or go on.
func startable(id string) bson.D {
	return bson.D{
		{Key: "_id", Value: id},
		{Key: "state", Value: bson.D{{Key: "$in", Value: []State{Queued, Paused, Interrupted, Failed}}}},
		repeatable(),
		{Key: "$expr", Value: op("$and", op("$not", kept()), op("$or", op("$ne", "$state", Failed), halfWay()))},
	}
}

func (s *Store) whyNotStartable(ctx context.Context, id string) error {
	run, err := s.Run(ctx, id)
	switch {
	case err != nil:
		return err
	case run.State.Active():
		return fmt.Errorf("run %s: %w: it is %s; if its process has died, it can go on when its lease has ended", run.ID, ErrTransition, run.State)
	case run.State == Failed && run.Resumable && !run.HalfWay:
		return fmt.Errorf("run %s: %w: it has failed before it had a place to go on at, or somebody has begun to undo it since", run.ID, ErrTransition)
	case run.State != Queued && run.State != Paused && run.State != Interrupted && run.State != Failed:
		return fmt.Errorf("run %s: %w: it is %s and can't go on", run.ID, ErrTransition, run.State)
	case !run.Fresh() && !run.Resumable:
		return fmt.Errorf("run %s: %w: its script can't go on where it stopped", run.ID, ErrTransition)
	case run.Slot != "":
		return fmt.Errorf("run %s: %w: its script has not stopped yet", run.ID, ErrTransition)
	default:
		return fmt.Errorf("run %s: %w: somebody else was faster", run.ID, ErrTransition)
	}
}

// busy names a run that is in the way of another one of its script.
func (s *Store) busy(ctx context.Context, script string, concurrency int) error {
	for run, err := range s.Runs(ctx, Filter{Script: script, States: activeStates(), Limit: 1}) {
		if err != nil {
			return err
		}
		return &BusyError{Holder: run, Limit: max(1, concurrency)}
	}
	return fmt.Errorf("%w: the slots of %s were taken a moment ago; try again", ErrTransition, script)
}
