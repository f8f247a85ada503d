package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
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
		case "attempt":
			doc[i].Value = 0
		}
	}
	doc = append(doc,
		bson.E{Key: "queue", Value: true}, bson.E{Key: "ready", Value: true}, bson.E{Key: "priority", Value: n.Priority},
		bson.E{Key: "lease", Value: bson.D{{Key: "epoch", Value: int64(0)}}},
	)
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
	return run, nil
}

// Claim says what a process takes out of the queue.
type Claim struct {
	Taker

	// Database is the one that the process works on.
	Database string
	// Scripts are those that it knows, with how many runs of each may be active at once, as NewRun.Concurrency.
	Scripts map[string]int
}

// Taker is the process that takes a run.
type Taker struct {
	Owner  Owner
	TTL    time.Duration
	Source Source
}

// candidate is a run that may be taken, if nobody is faster.
type candidate struct {
	ID     string `bson:"_id"`
	Script string `bson:"script"`
	State  State  `bson:"state"`
	Lease  struct {
		Epoch int64 `bson:"epoch"`
	} `bson:"lease"`
}

// Claim takes at most n runs that are due, the greatest priority first and then the one that has been due for longest.
// A script that has as many active runs as it may have stands in nobody's way. Runs may be returned beside an error:
// they are taken.
func (s *Store) Claim(ctx context.Context, c Claim, n int) ([]Run, error) {
	var taken []Run
	open := make([]string, 0, len(c.Scripts))
	for name := range c.Scripts {
		open = append(open, name)
	}
	slices.Sort(open)
	// Every round takes a run, closes a script or loses one to somebody faster, who got further then.
	for range claimAttempts + len(open) {
		if len(taken) >= n || len(open) == 0 {
			break
		}
		found, err := s.candidates(ctx, c.Database, open, n-len(taken))
		if err != nil || len(found) == 0 {
			return taken, wrap("look into the queue", err)
		}
		for _, next := range found {
			if !slices.Contains(open, next.Script) {
				continue
			}
			run, err := s.seize(ctx, next, c)
			switch {
			case err == nil:
				taken = append(taken, run)
			case errors.Is(err, errFull):
				open = slices.DeleteFunc(open, func(name string) bool { return name == next.Script })
			case !errors.Is(err, mongo.ErrNoDocuments):
				return taken, wrap("take run "+next.ID, err)
			}
		}
	}
	return taken, nil
}

// candidates are the next runs in the queue. The work is bounded by the number of scripts and priorities, however many runs
// wait or are not due yet.
func (s *Store) candidates(ctx context.Context, database string, scripts []string, n int) ([]candidate, error) {
	filter := bson.D{
		{Key: "ready", Value: true},
		{Key: "database", Value: database},
		{Key: "script", Value: bson.D{{Key: "$in", Value: scripts}}},
		{Key: "$expr", Value: op("$lte", "$due_at", now)},
	}
	opts := options.Find().SetSort(bson.D{{Key: "priority", Value: -1}, {Key: "due_at", Value: 1}}).
		SetLimit(int64(n)).SetBatchSize(int32(n) + 1). //nolint:gosec // n is a number of workers
		SetProjection(bson.D{{Key: "script", Value: 1}, {Key: "state", Value: 1}, {Key: "lease.epoch", Value: 1}}).
		SetHint(queueIndex).SetComment("rikki queue")
	var found []candidate
	var err error
	for attempt := range claimAttempts {
		var cur *mongo.Cursor
		if cur, err = s.runs.Find(ctx, filter, opts); err == nil {
			err = cur.All(ctx, &found)
		}
		if !isCode(err, codeBadValue) {
			return found, err
		}
		// The server knows no index of this name, or a majority doesn't yet.
		if attempt == 0 {
			if err := s.EnsureIndexes(ctx); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(indexPause):
		}
	}
	return nil, err
}

// indexPause is how long to wait for an index that was made just now.
const indexPause = 20 * time.Millisecond

// errFull says that a script has as many active runs as it may have.
var errFull = errors.New("no slot is free")

// seize takes one run from the queue, if it is still there.
func (s *Store) seize(ctx context.Context, next candidate, c Claim) (Run, error) {
	filter := bson.D{
		{Key: "_id", Value: next.ID},
		{Key: "lease.epoch", Value: next.Lease.Epoch},
		{Key: "state", Value: next.State},
		{Key: "ready", Value: true},
		{Key: "slot", Value: bson.D{{Key: "$exists", Value: false}}},
	}
	return s.occupy(ctx, filter, slots(next.Script, next.ID, c.Scripts[next.Script]), c.Taker.set(), next.ID)
}

// occupy makes the run that the filter finds the taker's, in the first slot that is free.
func (s *Store) occupy(ctx context.Context, filter bson.D, slots []string, set bson.D, id string) (Run, error) {
	for _, slot := range slots {
		pipeline := stages(append(slices.Clone(set), bson.E{Key: "slot", Value: literal(slot)}))
		run, err := decode(s.runs.FindOneAndUpdate(ctx, filter, pipeline, after(id)))
		if !isCode(err, codeDuplicateKey) {
			return run, err
		}
	}
	return Run{}, errFull
}

// set is what becomes of a run that is taken: it runs, with the next epoch and attempt, and what its last attempt left is
// gone but for the checkpoint. The source stays that of its first attempt, unless somebody forced it.
func (t Taker) set() bson.D {
	first := op("$eq", op("$ifNull", "$attempt", 0), 0)
	set := bson.D{
		{Key: "state", Value: Running},
		{Key: "lease", Value: bson.D{
			{Key: "owner", Value: literal(t.Owner)},
			{Key: "epoch", Value: op("$add", op("$ifNull", "$lease.epoch", int64(0)), int64(1))},
			{Key: "expires", Value: expiresIn(t.TTL.Milliseconds())},
			{Key: "renewed", Value: now},
		}},
		{Key: "attempt", Value: op("$add", op("$ifNull", "$attempt", 0), 1)},
		{Key: "started_at", Value: op("$ifNull", "$started_at", now)},
		{Key: "source", Value: cond(op("$or", first, op("$eq", "$forced", true)), literal(t.Source), "source")},
	}
	for _, field := range []string{
		"ready", "forced", "ended_at", "stopped_at", "stuck", "error", "result", "result_cut", "findings", "findings_cut",
	} {
		set = append(set, bson.E{Key: field, Value: "$$REMOVE"})
	}
	return set
}

// Take takes one certain run out of turn: one that is queued, paused or interrupted. From then on it isn't in the queue's
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

// Force says that a run goes on whatever has changed since.
type Force bool

// startable is the filter for a run that nobody owns and that can begin or go on.
func startable(id string) bson.D {
	return bson.D{
		{Key: "_id", Value: id},
		{Key: "state", Value: bson.D{{Key: "$in", Value: []State{Queued, Paused, Interrupted}}}},
		{Key: "$or", Value: bson.A{
			bson.D{{Key: "attempt", Value: 0}}, // it never began
			bson.D{{Key: "resumable", Value: true}},
		}},
		{Key: "$expr", Value: op("$not", kept())},
	}
}

func (s *Store) whyNotStartable(ctx context.Context, id string) error {
	run, err := s.Run(ctx, id)
	switch {
	case err != nil:
		return err
	case run.State != Queued && run.State != Paused && run.State != Interrupted:
		return fmt.Errorf("run %s: %w: it is %s and can't go on", run.ID, ErrTransition, run.State)
	case run.Attempt > 0 && !run.Resumable:
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
