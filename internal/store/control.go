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

// Action is something that people ask of a run from outside.
type Action string

// The actions.
const (
	// Pause lets the run rest at its next checkpoint.
	Pause Action = "pause"
	// Resume puts the run back into the queue.
	Resume Action = "resume"
	// Cancel ends the run for good.
	Cancel Action = "cancel"
	// Retry begins a new run with the same input; the entry stands beside the old one.
	Retry Action = "retry"
	// Tune changes how fast the run goes.
	Tune Action = "tune"
)

// Request is an action with who asks and why.
type Request struct {
	Action Action
	Actor  string
	Reason string
	// Force resumes a run though its source has changed.
	Force Force
}

// Control makes the change that somebody asks for, in one write that finds the run's state, its lease and its slot all at
// once: where the owner lives it is asked, and where nobody owns the run, or the owner's lease has expired, the change is made
// at once and the epoch grows, so that an owner that is only slow changes nothing any more. A change that is made already is
// no error. The error is [ErrNotFound], an [*AmbiguousError], or [ErrTransition].
func (s *Store) Control(ctx context.Context, id string, r Request) (Run, error) {
	run, err := s.Run(ctx, id)
	if err != nil {
		return Run{}, err
	}
	filter, set := r.filter(), r.set()
	if set == nil {
		return Run{}, fmt.Errorf("store: unknown action %q", r.Action)
	}
	filter = append(bson.D{{Key: "_id", Value: run.ID}}, filter...)
	changed, err := decode(s.runs.FindOneAndUpdate(ctx, filter, stages(set), after(run.ID)))
	if errors.Is(err, mongo.ErrNoDocuments) {
		return s.whyNotControlled(ctx, run.ID, r.Action)
	}
	if err != nil {
		return Run{}, wrap(fmt.Sprintf("%s run %s", r.Action, run.ID), err)
	}
	if changed.State.Final() && changed.Attempt > 0 { // whoever did it is dead, or has stopped
		if err := s.recount(ctx, run.ID); err != nil {
			return changed, err
		}
		if changed, err = s.Run(ctx, run.ID); err != nil {
			return Run{}, err
		}
	}
	return changed, s.Audit(ctx, Entry{
		Run: run.ID, Script: run.Script, Action: r.Action, Actor: r.Actor, Reason: r.Reason,
		From: run.State, To: changed.State, Forced: bool(r.Force),
	})
}

// filter finds the run in a state that allows the action. Which of the states it is decides what set does.
func (r Request) filter() bson.D {
	in := func(states ...State) bson.D {
		return bson.D{{Key: "state", Value: bson.D{{Key: "$in", Value: states}}}}
	}
	switch r.Action {
	case Cancel:
		return in(Queued, Running, Pausing, Paused, Interrupted)
	case Pause:
		// What never began can wait as well as what can go on.
		return append(in(Queued, Running, Interrupted), repeatable())
	default:
		resting := op("$or", op("$in", "$state", []State{Paused, Interrupted}), halfWay(), lapsed())
		return append(in(Paused, Interrupted, Failed, Running, Pausing),
			repeatable(),
			bson.E{Key: "$expr", Value: op("$and", resting, op("$not", kept()))},
		)
	}
}

// set is the change.
func (r Request) set() bson.D {
	asked := op("$and", isActive(), kept())
	free := op("$not", kept())
	set := bson.D{
		{Key: "control", Value: bson.D{
			{Key: "action", Value: literal(r.Action)},
			{Key: "actor", Value: literal(clip(r.Actor, wordLimit))},
			{Key: "reason", Value: literal(clip(r.Reason, findingLimit))},
			{Key: "forced", Value: literal(bool(r.Force))},
			{Key: "at", Value: now},
		}},
		{Key: "lease.epoch", Value: cond(free, op("$add", op("$ifNull", "$lease.epoch", int64(0)), int64(1)), "lease.epoch")},
		{Key: "slot", Value: cond(free, "$$REMOVE", "slot")},
	}
	switch r.Action {
	case Cancel:
		ended := op("$cond", isActive(), lastSeen(), now)
		return append(set,
			bson.E{Key: "state", Value: op("$cond", asked, Cancelling, Cancelled)},
			bson.E{Key: "ended_at", Value: op("$cond", asked, "$$REMOVE", ended)},
			bson.E{Key: "ready", Value: "$$REMOVE"})
	case Pause:
		return append(set,
			bson.E{Key: "state", Value: op("$cond", asked, Pausing, Paused)},
			bson.E{Key: "ended_at", Value: cond(lapsed(), lastSeen(), "ended_at")},
			bson.E{Key: "ready", Value: "$$REMOVE"})
	case Resume:
		set = append(set,
			bson.E{Key: "state", Value: Queued},
			bson.E{Key: "queue", Value: true}, bson.E{Key: "ready", Value: true},
			bson.E{Key: "priority", Value: op("$ifNull", "$priority", 0)},
			bson.E{Key: "due_at", Value: op("$max", "$due_at", now)},
			bson.E{Key: "ended_at", Value: "$$REMOVE"},
			bson.E{Key: "half_way", Value: "$$REMOVE"},
			bson.E{Key: "lapses", Value: "$$REMOVE"})
		if r.Force {
			set = append(set, bson.E{Key: "forced", Value: true})
		}
		return set
	default:
		return nil
	}
}

// whyNotControlled tells a change that was made already from one that can't be made.
func (s *Store) whyNotControlled(ctx context.Context, id string, a Action) (Run, error) {
	run, err := s.Run(ctx, id)
	if err != nil {
		return Run{}, err
	}
	no := func(why string) (Run, error) {
		return run, fmt.Errorf("run %s: %w: can't %s it, %s", run.ID, ErrTransition, a, why)
	}
	done := map[Action][]State{Cancel: {Cancelling, Cancelled}, Pause: {Pausing, Paused}, Resume: {Queued}}
	if slices.Contains(done[a], run.State) {
		return run, nil
	}
	switch {
	case a == Resume && run.State == Failed && run.Resumable && !run.HalfWay:
		return no("it has failed before it had a place to go on at, or somebody has begun to undo it since")
	case run.State.Final():
		return no("it has ended as " + run.State.String())
	case a != Cancel && !run.Fresh() && !run.Resumable:
		return no("its script keeps no checkpoints (Options.Resumable)")
	case a == Resume && run.State == Pausing:
		return no("it is still pausing: wait until it is paused")
	case a == Resume && !run.State.Active():
		return no("its script has not stopped yet")
	default:
		return no("it is " + run.State.String())
	}
}

// Look tells the owner how its run stands, without renewing the lease.
func (s *Store) Look(ctx context.Context, id string, epoch int64) (Pulse, error) {
	filter := bson.D{{Key: "_id", Value: id}, {Key: "lease.epoch", Value: epoch}}
	return pulseOf(s.runs.FindOne(ctx, filter, options.FindOne().SetProjection(pulseFields()).SetComment(id)), id, epoch, "look at run ")
}
