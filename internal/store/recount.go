package store

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// recount makes the record of a backfill that nobody runs any more agree with its partitions. A process that died had told the record
// what it had done a moment before: the chunks since then are in the partitions only.
func (s *Store) recount(ctx context.Context, run string) error {
	parts, err := s.Walk(run, 0).Partitions(ctx)
	if err != nil || len(parts) == 0 {
		return err
	}
	var done Counts
	for _, p := range parts {
		done.Add(p.Counts)
	}
	set := bson.D{
		{Key: "progress.done", Value: done.Matched}, {Key: "progress.message", Value: "$$REMOVE"}, {Key: "progress.rate", Value: "$$REMOVE"},
	}
	for name, n := range map[string]int64{
		"changed": done.Changed, "deleted": done.Deleted, "unchanged": done.Unchanged, "failed": done.Failed, "written": done.Written,
		"conflicts": done.Conflicts,
	} {
		if n > 0 {
			set = append(set, bson.E{Key: "counters." + name, Value: n})
		}
	}
	filter := bson.D{{Key: "_id", Value: run}, {Key: "state", Value: bson.D{{Key: "$nin", Value: activeStates()}}}}
	_, err = s.runs.UpdateOne(ctx, filter, stages(set), options.UpdateOne().SetHint(idIndex).SetComment(run))
	return wrap("count anew what run "+run+" has done", err)
}
