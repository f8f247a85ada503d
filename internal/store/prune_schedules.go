package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// withoutAwaited leaves out the runs whose end a schedule has not seen yet: it would queue them again, since a run that is
// missing looks like one that was never queued. Asked after the runs are known, so none can join them in between.
func (s *Store) withoutAwaited(ctx context.Context, ids []string) ([]string, error) {
	cur, err := s.db.Collection(collSchedules).Find(ctx,
		bson.D{{Key: "busy", Value: true}, {Key: "open.run", Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetProjection(bson.D{{Key: "open.run", Value: 1}}).SetComment("rikki prune"))
	if err != nil {
		return nil, err
	}
	var busy []struct {
		Open []struct {
			Run string `bson:"run"`
		} `bson:"open"`
	}
	if err := cur.All(ctx, &busy); err != nil {
		return nil, err
	}
	for _, schedule := range busy {
		for _, open := range schedule.Open {
			ids = slices.DeleteFunc(ids, func(id string) bool { return id == open.Run })
		}
	}
	return ids, nil
}

// PruneOccurrences deletes occurrences that are over and need not be kept, by the same rule as the runs of their script: keep says
// which. That a slot fires once doesn't depend on them: the schedule itself knows up to where it has decided.
func (s *Store) PruneOccurrences(ctx context.Context, keep func(script string) (Keep, bool)) (int64, error) {
	var schedules []string
	err := s.occurrences.Distinct(ctx, "schedule", bson.D{}, options.Distinct().SetComment("rikki prune")).Decode(&schedules)
	total := int64(0)
	for _, schedule := range schedules {
		if err != nil {
			break
		}
		var n int64
		n, err = s.pruneOccurrences(ctx, schedule, keep)
		total += n
	}
	return total, wrap("prune occurrences", err)
}

func (s *Store) pruneOccurrences(ctx context.Context, schedule string, keep func(script string) (Keep, bool)) (int64, error) {
	script, _, err := s.occurrenceBeyond(ctx, schedule, 0)
	if err != nil {
		return 0, err
	}
	k, ok := keep(script)
	if !ok {
		return 0, nil
	}
	match, err := s.surplusOccurrences(ctx, schedule, k)
	if err != nil || match == nil {
		return 0, err
	}
	total := int64(0)
	for {
		n, err := purgeSome(ctx, s.occurrences, match)
		total += n
		if err != nil || n < pruneRecords {
			return total, err
		}
	}
}

// surplusOccurrences selects what need not be kept of a schedule's occurrences, or is nil when that is nothing.
func (s *Store) surplusOccurrences(ctx context.Context, schedule string, k Keep) (bson.D, error) {
	before := func(at time.Time) bson.D { return bson.D{{Key: "$lt", Value: at}} }
	var why bson.A
	if k.MaxAge >= 0 {
		now, err := s.clock(ctx)
		if err != nil {
			return nil, err
		}
		cutoff := before(now.Add(-k.MaxAge))
		why = append(why, bson.D{{Key: "at", Value: cutoff}, {Key: "changed_at", Value: cutoff}})
	}
	if k.MaxRuns > 0 {
		switch _, at, err := s.occurrenceBeyond(ctx, schedule, k.MaxRuns-1); {
		case err != nil:
			return nil, err
		case !at.IsZero():
			why = append(why, bson.D{{Key: "at", Value: before(at)}})
		}
	}
	if len(why) == 0 {
		return nil, nil
	}
	match := bson.D{
		{Key: "schedule", Value: schedule},
		{Key: "$or", Value: why},
		{Key: "state", Value: bson.D{{Key: "$nin", Value: bson.A{OccurrenceWaiting, OccurrenceFired}}}},
	}
	if k.MinRuns > 0 {
		_, at, err := s.occurrenceBeyond(ctx, schedule, k.MinRuns-1)
		if err != nil || at.IsZero() {
			return nil, err
		}
		match = append(match, bson.E{Key: "at", Value: before(at)})
	}
	return match, nil
}

// occurrenceBeyond is the slot of the occurrence after the newest n, with its script; zero when there are no more.
func (s *Store) occurrenceBeyond(ctx context.Context, schedule string, n int) (script string, at time.Time, err error) {
	var doc struct {
		Script string    `bson:"script"`
		At     time.Time `bson:"at"`
	}
	err = s.occurrences.FindOne(ctx, bson.D{{Key: "schedule", Value: schedule}}, options.FindOne().
		SetSort(bson.D{{Key: "at", Value: -1}, {Key: "_id", Value: -1}}).SetSkip(int64(n)).
		SetProjection(bson.D{{Key: "script", Value: 1}, {Key: "at", Value: 1}}).SetComment("rikki prune")).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		err = nil
	}
	return doc.Script, doc.At, err
}
