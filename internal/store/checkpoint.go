package store

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// ErrTooLarge says that a checkpoint doesn't fit.
var ErrTooLarge = errors.New("the checkpoint is too large")

// CheckpointLimit is how many bytes of BSON a checkpoint may have. It is written over and over.
const CheckpointLimit = 1 << 20

// Checkpoint stores where the run can go on, with the progress and the counters of that moment, and tells the owner how its
// run stands. [ErrLeaseLost] means that the run is somebody else's by now; nothing was written.
func (s *Store) Checkpoint(ctx context.Context, id string, epoch int64, c Checkpoint) (Pulse, error) {
	if size := len(c.Value.Value); size > CheckpointLimit {
		return Pulse{}, fmt.Errorf("run %s: %w: %d bytes, and at most %d", id, ErrTooLarge, size, CheckpointLimit)
	}
	stored := bson.D{
		{Key: "value", Value: literal(c.Value)}, {Key: "at", Value: now}, {Key: "attempt", Value: "$attempt"},
	}
	set := bson.D{
		// Replaced as a whole: what is merged would keep the fields of an older one.
		{Key: "checkpoint", Value: appendCounters(appendProgress(stored, c.Progress), c.Counters)},
		{Key: "lease.renewed", Value: now},
		{Key: "lapses", Value: "$$REMOVE"},
	}
	set = appendCounters(appendProgress(set, c.Progress), c.Counters)
	// Two stages, because $set merges documents.
	pipeline := bson.A{bson.D{{Key: "$unset", Value: "checkpoint"}}, bson.D{{Key: "$set", Value: set}}}
	res := s.runs.FindOneAndUpdate(ctx, owned(id, epoch, activeStates()), pipeline, after(id).SetProjection(pulseFields()))
	return pulseOf(res, id, epoch, "store the checkpoint of run ")
}

// Advanced tells of a run whose checkpoints are elsewhere, in the transactions of its own work, that this owner has got on with
// it. So the owners that died before count no more, as behind a [Store.Checkpoint]. It may be repeated.
func (s *Store) Advanced(ctx context.Context, id string, epoch int64) error {
	filter := append(owned(id, epoch, activeStates()), bson.E{Key: "lapses", Value: bson.D{{Key: "$exists", Value: true}}})
	_, err := s.runs.UpdateOne(ctx, filter, bson.D{{Key: "$unset", Value: bson.D{{Key: "lapses", Value: ""}}}}, options.UpdateOne().SetComment(id))
	return wrap("note that run "+id+" gets on", err)
}

// Encode turns a checkpoint's value into BSON. Unlike a result, one that BSON can't hold is an error.
func Encode(v any) (bson.RawValue, error) {
	if v == nil {
		return bson.RawValue{Type: bson.TypeNull}, nil
	}
	return marshal(v)
}
