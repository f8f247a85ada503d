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

// owned is the filter of every change that an owner makes: this run, under this epoch, in one of these states.
func owned(id string, epoch int64, states []State) bson.D {
	return bson.D{
		{Key: "_id", Value: id},
		{Key: "lease.epoch", Value: epoch},
		{Key: "state", Value: bson.D{{Key: "$in", Value: states}}},
	}
}

// stuck is the filter for a run whose record is closed though its script goes on.
func stuck(id string, epoch int64) bson.D {
	return bson.D{
		{Key: "_id", Value: id},
		{Key: "lease.epoch", Value: epoch},
		{Key: "stuck", Value: true},
		{Key: "slot", Value: bson.D{{Key: "$exists", Value: true}}},
	}
}

// Beat renews the lease and stores how far the run is. [ErrLeaseLost] means that the run is somebody else's by now, or has
// ended; nothing was written. A lease that has expired and that nobody took over is renewed: nothing has happened to it.
func (s *Store) Beat(ctx context.Context, id string, epoch int64, b Beat) (Pulse, error) {
	set := bson.D{
		{Key: "lease.expires", Value: expiresIn(b.TTL.Milliseconds())},
		{Key: "lease.ttl", Value: b.TTL.Milliseconds()},
		{Key: "lease.renewed", Value: now},
	}
	if b.Progress != nil {
		set = append(set, bson.E{Key: "progress_at", Value: now})
	}
	set = appendProgress(set, b.Progress)
	set = appendCounters(set, b.Counters)
	filter := bson.D{{Key: "$or", Value: bson.A{owned(id, epoch, activeStates()), stuck(id, epoch)}}}
	res := s.runs.FindOneAndUpdate(ctx, filter, stages(set), after(id).SetProjection(pulseFields()))
	return pulseOf(res, id, epoch, "renew the lease of run ")
}

// pulseFields is what an owner wants to know of its run.
func pulseFields() bson.D {
	return bson.D{
		{Key: "state", Value: 1}, {Key: "lease", Value: 1}, {Key: "control", Value: 1}, {Key: "tuning", Value: 1}, {Key: "read_at", Value: now},
	}
}

func pulseOf(res *mongo.SingleResult, id string, epoch int64, what string) (Pulse, error) {
	var out struct {
		State   State     `bson:"state"`
		Lease   Lease     `bson:"lease"`
		Control *Control  `bson:"control"`
		Tuning  *Tuning   `bson:"tuning"`
		ReadAt  time.Time `bson:"read_at"`
	}
	err := res.Decode(&out)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Pulse{}, fmt.Errorf("run %s, epoch %d: %w", id, epoch, ErrLeaseLost)
	}
	if err != nil {
		return Pulse{}, wrap(what+id, err)
	}
	pulse := Pulse{State: out.State, Expires: out.Lease.Expires, Control: out.Control}
	if out.Tuning != nil && out.Tuning.Until.After(out.ReadAt) {
		pulse.Tuning = out.Tuning
	}
	return pulse, nil
}

// Move records that the owner's run goes to another active state: from running to cancelling, say, while it drains. It is
// idempotent.
func (s *Store) Move(ctx context.Context, id string, epoch int64, to State) (Run, error) {
	if !to.Active() {
		return Run{}, fmt.Errorf("run %s: %w: Move only leads to active states, not to %q", id, ErrTransition, to)
	}
	// A run at rest has no slot: it goes on by being started again, not by being moved.
	origins := slices.DeleteFunc(from(to), func(s State) bool { return !s.Active() })
	set := bson.D{{Key: "state", Value: literal(to)}, {Key: "lease.renewed", Value: now}}
	return s.transit(ctx, id, epoch, to, origins, set)
}

// Finish ends a run and frees its slot, or keeps the slot when f says that the script is stuck. It is idempotent: when the
// same owner has ended the run in the same state before, as after a lost answer, it returns the record as it is.
//
// A run that was asked to be cancelled while it came to rest for another reason ends as cancelled, and one that was asked
// to pause and is interrupted ends as paused: the state that is returned decides. An interrupted run that came through
// the queue and can resume is ready to be taken over.
func (s *Store) Finish(ctx context.Context, id string, epoch int64, f Finish) (Run, error) {
	if f.State.Active() || f.State == Queued || !f.State.Valid() {
		return Run{}, fmt.Errorf("run %s: %w: it can't end as %q", id, ErrTransition, f.State)
	}
	return s.transit(ctx, id, epoch, f.State, f.origins(), f.set())
}

// set is what becomes of the run.
func (f Finish) set() bson.D {
	set := bson.D{
		{Key: "state", Value: f.rest()},
		{Key: "ended_at", Value: now},
		{Key: "news_at", Value: now},
		{Key: "lease.renewed", Value: now},
	}
	if f.Stuck {
		set = append(set, bson.E{Key: "stuck", Value: true})
	} else {
		set = append(set, bson.E{Key: "slot", Value: "$$REMOVE"})
	}
	if f.State == Failed && f.HalfWay {
		set = append(set, bson.E{Key: "half_way", Value: true})
	}
	if f.State == Interrupted && !f.Stuck && !f.Hold {
		set = append(set, f.goOn()...)
	}
	data := appendFitted(nil, "result", f.Result)
	data = appendFindings(data, f.Findings)
	if f.Error != nil {
		data = append(data, bson.E{Key: "error", Value: clipError(*f.Error)})
	}
	if f.LogsDropped > 0 {
		data = append(data, bson.E{Key: "logs_dropped", Value: f.LogsDropped})
	}
	for _, e := range data {
		set = append(set, bson.E{Key: e.Key, Value: literal(e.Value)})
	}
	set = appendProgress(set, f.Progress)
	return appendCounters(set, f.Counters)
}

// rests says that the owner lets the run rest, and that what others asked for meanwhile comes first.
func (f Finish) rests() bool { return f.State == Paused || f.State == Interrupted }

func (f Finish) rest() any {
	if f.rests() {
		return settled(f.State)
	}
	return literal(f.State)
}

func (f Finish) origins() []State {
	origins := from(f.State)
	if f.rests() && !slices.Contains(origins, Cancelling) {
		origins = append(origins, Cancelling)
	}
	return origins
}

// firstPause is how long a run whose script could not begin waits for its next owner, and twice as long after each failure.
const firstPause = time.Second

// goOn puts an interrupted run back into the queue, if it came from there and another process may go on with it.
func (f Finish) goOn() bson.D {
	if f.Back == nil {
		goesOn := op("$and", resumes(), stateIs(Running))
		return bson.D{{Key: "ready", Value: cond(goesOn, true, "ready")}}
	}
	goesOn := op("$and", stateIs(Running), op("$eq", "$queue", true), op("$or", f.Back.Fresh, op("$eq", "$resumable", true)))
	var set bson.D
	if f.Back.Fresh {
		set = append(set, bson.E{Key: "unbegun", Value: true})
	}
	if !f.Back.Failed {
		return append(set, bson.E{Key: "ready", Value: cond(goesOn, true, "ready")})
	}
	pause := op("$multiply", firstPause.Milliseconds(), op("$pow", 2, op("$ifNull", "$lapses", 0)))
	return append(set,
		bson.E{Key: "lapses", Value: cond(goesOn, lapses(), "lapses")},
		bson.E{Key: "ready", Value: cond(op("$and", goesOn, op("$lt", lapses(), maxLapses)), true, "ready")},
		bson.E{Key: "due_at", Value: cond(goesOn, op("$add", now, pause), "due_at")})
}

// Begin records that the script of a run from the queue begins now. The owner must have its answer before the script's first
// effect: as long as the record doesn't say so, the run may be given to somebody else from the beginning. It may be repeated.
func (s *Store) Begin(ctx context.Context, id string, epoch int64) (Pulse, error) {
	res := s.runs.FindOneAndUpdate(ctx, owned(id, epoch, activeStates()), begun(), after(id).SetProjection(pulseFields()))
	return pulseOf(res, id, epoch, "record that the script begins in run ")
}

func begun() bson.D {
	return bson.D{{Key: "$unset", Value: bson.D{{Key: "unbegun", Value: ""}}}}
}

// transit makes one step of the table in states.go.
func (s *Store) transit(ctx context.Context, id string, epoch int64, to State, origins []State, set bson.D) (Run, error) {
	run, err := decode(s.runs.FindOneAndUpdate(ctx, owned(id, epoch, origins), stages(set), after(id)))
	if errors.Is(err, mongo.ErrNoDocuments) {
		return s.whyNot(ctx, id, epoch, to)
	}
	if err != nil {
		return Run{}, wrap(fmt.Sprintf("record that run %s is %s", id, to), err)
	}
	return run, nil
}

// whyNot looks why a step found no run to make it.
func (s *Store) whyNot(ctx context.Context, id string, epoch int64, to State) (Run, error) {
	run, err := decode(s.runs.FindOne(ctx, bson.D{{Key: "_id", Value: id}}, options.FindOne().SetComment(id)))
	switch {
	case err != nil && !errors.Is(err, mongo.ErrNoDocuments):
		return Run{}, wrap("look at run "+id, err)
	case err != nil || run.Lease.Epoch != epoch:
		return Run{}, fmt.Errorf("run %s, epoch %d, can't become %s: %w", id, epoch, to, ErrLeaseLost)
	case run.State == to, (Finish{State: to}).rests() && (run.State == Cancelled || run.State == Paused):
		return run, nil // done before, by the same owner
	case !run.State.Active():
		return run, fmt.Errorf("run %s can't become %s, it is %s: %w", id, to, run.State, ErrLeaseLost)
	default:
		return run, fmt.Errorf("run %s: %w: it is %s and can't become %s", id, ErrTransition, run.State, to)
	}
}

// Release frees the slot of a stuck run whose script has stopped after all. It is idempotent, and does nothing to a slot
// that is somebody else's.
func (s *Store) Release(ctx context.Context, id string, epoch int64) error {
	set := bson.D{
		{Key: "slot", Value: "$$REMOVE"},
		{Key: "stopped_at", Value: now},
		{Key: "lease.renewed", Value: now},
	}
	_, err := s.runs.UpdateOne(ctx, stuck(id, epoch), stages(set), options.UpdateOne().SetComment(id))
	return wrap("free the slot of run "+id, err)
}

// Sweep takes the slots of all runs whose lease has expired on the server's clock, or that have none, and marks those that
// were active as interrupted. It returns how many it found. It never touches a run with a live lease, and needs no lock:
// any number of processes may sweep at once.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	filter := bson.D{
		{Key: "$or", Value: bson.A{
			bson.D{{Key: "slot", Value: bson.D{{Key: "$exists", Value: true}}}},
			bson.D{{Key: "state", Value: bson.D{{Key: "$in", Value: activeStates()}}}},
		}},
		{Key: "$expr", Value: expired()},
	}
	// An update of many documents is not retried by the driver; done twice it does nothing more.
	dead, err := s.expiredRuns(ctx, filter)
	if err != nil || len(dead) == 0 {
		return 0, err
	}
	filter = append(bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: dead}}}}, filter...)
	res, err := s.runs.UpdateMany(ctx, filter, bson.A{freeExpired()}, options.UpdateMany().SetComment("rikki sweep"))
	if err != nil {
		return 0, wrap("sweep for interrupted runs", err)
	}
	for _, run := range dead {
		if err := s.recount(ctx, run); err != nil {
			return int(res.ModifiedCount), err
		}
	}
	return int(res.ModifiedCount), nil
}

// expiredRuns are the IDs of some of the runs that a filter selects: those that are left are swept the next time.
func (s *Store) expiredRuns(ctx context.Context, filter bson.D) ([]string, error) {
	cur, err := s.runs.Find(ctx, filter, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).SetLimit(pageSize).SetComment("rikki sweep"))
	if err != nil {
		return nil, wrap("sweep for interrupted runs", err)
	}
	var found []struct {
		ID string `bson:"_id"`
	}
	if err := cur.All(ctx, &found); err != nil {
		return nil, wrap("sweep for interrupted runs", err)
	}
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	return ids, nil
}

// stages is the pipeline of one $set.
func stages(set bson.D) bson.A { return bson.A{bson.D{{Key: "$set", Value: set}}} }

// after asks for the document as it is after the change. Rikki's own commands carry the run's id as comment.
func after(id string) *options.FindOneAndUpdateOptionsBuilder {
	return options.FindOneAndUpdate().SetReturnDocument(options.After).SetHint(idIndex).SetComment(id)
}
