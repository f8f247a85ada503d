package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// ErrConflict says that a schedule has been changed since it was read; read it again.
var ErrConflict = errors.New("the schedule was changed by somebody else meanwhile")

// EnsureScheduleIndexes creates the indexes of schedules that are missing.
func (s *Store) EnsureScheduleIndexes(ctx context.Context) error {
	return s.createIndexes(ctx, scheduleIndexes())
}

// PutSchedule writes a schedule as a whole, if the stored one still has its version, and returns it with the next one.
// Version 0 is for one that isn't stored. The error is [ErrConflict] when somebody else was faster.
func (s *Store) PutSchedule(ctx context.Context, sch Schedule) (Schedule, error) {
	old := sch.Version
	sch.Version++
	sch.Busy = len(sch.Open) > 0
	sch.ReadAt = time.Time{}
	set := bson.D{{Key: "updated_at", Value: now}}
	filter := bson.D{{Key: "_id", Value: sch.ID}, {Key: "version", Value: old}}
	if old == 0 {
		filter[1].Value = bson.D{{Key: "$exists", Value: false}}
		set = append(set, bson.E{Key: "created_at", Value: now})
	}
	pipeline := bson.A{bson.D{{Key: "$replaceWith", Value: op("$mergeObjects", literal(sch), set)}}}
	opts := after(sch.ID).SetUpsert(old == 0)
	var stored Schedule
	err := s.schedules.FindOneAndUpdate(ctx, filter, pipeline, opts).Decode(&stored)
	switch {
	case isCode(err, codeDuplicateKey), errors.Is(err, mongo.ErrNoDocuments):
		return Schedule{}, fmt.Errorf("schedule %s: %w", sch.Name, ErrConflict)
	case err != nil:
		return Schedule{}, wrap("write schedule "+sch.Name, err)
	}
	stored.ReadAt = stored.UpdatedAt
	return stored, nil
}

// RemoveSchedule deletes a schedule if it still has its version. What its occurrences say stays.
func (s *Store) RemoveSchedule(ctx context.Context, sch Schedule) error {
	res, err := s.schedules.DeleteOne(ctx, bson.D{{Key: "_id", Value: sch.ID}, {Key: "version", Value: sch.Version}},
		options.DeleteOne().SetComment(sch.ID))
	if err != nil {
		return wrap("remove schedule "+sch.Name, err)
	}
	if res.DeletedCount == 0 {
		return fmt.Errorf("schedule %s: %w", sch.Name, ErrConflict)
	}
	return nil
}

// Schedule returns one schedule. The error is [ErrNotFound].
func (s *Store) Schedule(ctx context.Context, id string) (Schedule, error) {
	found, err := s.readSchedules(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "_id", Value: 1}}, 1)
	if err != nil {
		return Schedule{}, wrap("read schedule "+id, err)
	}
	if len(found) == 0 {
		return Schedule{}, fmt.Errorf("schedule %s: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// Schedules lists schedules by database and name, page by page, with short queries.
func (s *Store) Schedules(ctx context.Context, f ScheduleFilter) iter.Seq2[Schedule, error] {
	return s.pages(ctx, f.clauses())
}

// BusySchedules lists those schedules of a database with something open, of these scripts.
func (s *Store) BusySchedules(ctx context.Context, database string, scripts []string) iter.Seq2[Schedule, error] {
	return s.pages(ctx, bson.D{
		{Key: "busy", Value: true}, {Key: "database", Value: database}, {Key: "script", Value: bson.D{{Key: "$in", Value: scripts}}},
	})
}

func (s *Store) pages(ctx context.Context, clauses bson.D) iter.Seq2[Schedule, error] {
	return func(yield func(Schedule, error) bool) {
		last := ""
		for {
			page := append(bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: last}}}}, clauses...)
			found, err := s.readSchedules(ctx, page, bson.D{{Key: "_id", Value: 1}}, pageSize)
			if err != nil {
				yield(Schedule{}, wrap("list schedules", err))
				return
			}
			for _, sch := range found {
				if !yield(sch, nil) {
					return
				}
			}
			if len(found) < pageSize {
				return
			}
			last = found[len(found)-1].ID
		}
	}
}

// NextDue returns how long it is, on the server's clock, until the next schedule of these scripts in database is due;
// false when there is none. It costs the same however many schedules there are.
func (s *Store) NextDue(ctx context.Context, database string, scripts []string) (time.Duration, bool, error) {
	pipeline := bson.A{
		bson.D{{Key: "$match", Value: dueClauses(database, scripts)}},
		bson.D{{Key: "$sort", Value: bson.D{{Key: "next_at", Value: 1}}}},
		bson.D{{Key: "$limit", Value: 1}},
		bson.D{{Key: "$project", Value: bson.D{{Key: "_id", Value: 0}, {Key: "left", Value: op("$subtract", "$next_at", now)}}}},
	}
	cur, err := s.schedules.Aggregate(ctx, pipeline, options.Aggregate().SetBatchSize(2).SetComment("rikki schedules"))
	if err != nil {
		return 0, false, wrap("look for schedules that are due", err)
	}
	var found []struct {
		Left int64 `bson:"left"`
	}
	if err := cur.All(ctx, &found); err != nil {
		return 0, false, wrap("look for schedules that are due", err)
	}
	if len(found) == 0 {
		return 0, false, nil
	}
	return time.Duration(found[0].Left) * time.Millisecond, true, nil
}

// DueSchedules returns at most n schedules that are due on the server's clock, the one that has been due for longest first.
func (s *Store) DueSchedules(ctx context.Context, database string, scripts []string, n int) ([]Schedule, error) {
	// Those that aren't due yet come last, so they needn't be told apart by the server.
	found, err := s.readSchedules(ctx, dueClauses(database, scripts), bson.D{{Key: "next_at", Value: 1}}, n)
	if err != nil {
		return nil, wrap("read the schedules that are due", err)
	}
	for i, sch := range found {
		if sch.NextAt.After(sch.ReadAt) {
			return found[:i], nil
		}
	}
	return found, nil
}

func dueClauses(database string, scripts []string) bson.D {
	return bson.D{
		{Key: "database", Value: database},
		{Key: "next_at", Value: bson.D{{Key: "$gt", Value: time.Time{}}}},
		{Key: "script", Value: bson.D{{Key: "$in", Value: scripts}}},
	}
}

func (s *Store) readSchedules(ctx context.Context, match, sort bson.D, n int) ([]Schedule, error) {
	pipeline := bson.A{
		bson.D{{Key: "$match", Value: match}},
		bson.D{{Key: "$sort", Value: sort}},
		bson.D{{Key: "$limit", Value: n}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "read_at", Value: now}}}},
	}
	cur, err := s.schedules.Aggregate(ctx, pipeline, options.Aggregate().SetBatchSize(int32(n)+1).SetComment("rikki schedules")) //nolint:gosec // n is at most a page
	if err != nil {
		return nil, err
	}
	var found []Schedule
	return found, cur.All(ctx, &found)
}

// CloseSkipped takes the slots that are skipped at these times out of a schedule: they have been recorded.
func (s *Store) CloseSkipped(ctx context.Context, id string, at []time.Time) error {
	over := op("$and", op("$eq", "$$o.state", Skipping), op("$in", "$$o.at", literal(at)))
	keep := bson.D{{Key: "$filter", Value: bson.D{{Key: "input", Value: "$open"}, {Key: "as", Value: "o"}, {Key: "cond", Value: op("$not", over)}}}}
	pipeline := bson.A{
		bson.D{{Key: "$set", Value: bson.D{{Key: "open", Value: keep}, {Key: "version", Value: op("$add", "$version", int64(1))}}}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "busy", Value: op("$cond", op("$eq", "$open", bson.A{}), "$$REMOVE", true)}}}},
	}
	filter := bson.D{{Key: "_id", Value: id}, {Key: "open.state", Value: Skipping}}
	_, err := s.schedules.UpdateOne(ctx, filter, pipeline, options.UpdateOne().SetComment(id))
	return wrap("close what is skipped of schedule "+id, err)
}

// ServerTime is the server's clock.
func (s *Store) ServerTime(ctx context.Context) (time.Time, error) {
	var hello struct {
		LocalTime time.Time `bson:"localTime"`
	}
	if err := s.db.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return time.Time{}, wrap("ask for the server's time", err)
	}
	return hello.LocalTime, nil
}
