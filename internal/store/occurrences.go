package store

import (
	"context"
	"iter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// RecordOccurrence records what was decided on an occurrence, and returns what is recorded. It is idempotent, and changes
// nothing that is there already but for this: one that waits fires or is skipped, one that was skipped fires in a backfill, and one
// whose run's id was taken gets another. When the result has another run, the slot has fired before.
func (s *Store) RecordOccurrence(ctx context.Context, sch Schedule, o OpenOccurrence) (Occurrence, error) {
	id := OccurrenceID(sch.ID, o)
	doc := bson.D{
		{Key: "_id", Value: id},
		{Key: "database", Value: sch.Database},
		{Key: "schedule", Value: sch.ID},
		{Key: "script", Value: sch.Script},
		{Key: "revision", Value: o.Revision},
		{Key: "kind", Value: o.Kind},
		{Key: "at", Value: o.At},
	}
	state := OccurrenceFired
	switch o.State {
	case Waiting:
		state = OccurrenceWaiting
	case Skipping:
		state = OccurrenceSkipped
	case Firing:
	}
	doc = append(doc, bson.E{Key: "state", Value: state})
	optional := func(key string, value any, is bool) {
		if is {
			doc = append(doc, bson.E{Key: key, Value: value})
		}
	}
	optional("run", o.Run, o.Run != "")
	optional("actor", clip(o.Actor, wordLimit), o.Actor != "")
	optional("reason", clip(o.Reason, findingLimit), o.Reason != "")
	optional("until", o.Until, o.Count > 1)
	optional("count", o.Count, o.Count > 1)

	times := bson.D{{Key: "created_at", Value: op("$ifNull", "$created_at", now)}, {Key: "changed_at", Value: now}}
	if state.Ended() {
		times = append(times, bson.E{Key: "ended_at", Value: now})
	}
	may := bson.A{op("$eq", op("$type", "$state"), "missing")}
	if o.State != Waiting {
		may = append(may, op("$eq", "$state", OccurrenceWaiting))
	}
	if o.Kind == KindBackfill {
		may = append(may, op("$eq", "$state", OccurrenceSkipped))
	}
	if o.Was != "" {
		may = append(may, op("$eq", "$run", literal(o.Was)))
	}
	pipeline := bson.A{bson.D{{Key: "$replaceWith", Value: op("$cond", bson.D{{Key: "$or", Value: may}},
		op("$mergeObjects", literal(doc), times), "$$ROOT")}}}
	var stored Occurrence
	err := s.occurrences.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: id}}, pipeline, after(sch.ID).SetUpsert(true)).Decode(&stored)
	return stored, wrap("record an occurrence of schedule "+sch.Name, err)
}

// EndOccurrence records how the run of an occurrence ended. It is idempotent; of an occurrence that has ended already it
// changes nothing.
func (s *Store) EndOccurrence(ctx context.Context, sch Schedule, o OpenOccurrence, state OccurrenceState, reason string, failures int) error {
	set := bson.D{
		{Key: "state", Value: literal(state)}, {Key: "changed_at", Value: now}, {Key: "ended_at", Value: now},
	}
	if reason != "" {
		set = append(set, bson.E{Key: "reason", Value: literal(clip(reason, findingLimit))})
	}
	if failures > 0 {
		set = append(set, bson.E{Key: "failures", Value: failures})
	}
	filter := bson.D{{Key: "_id", Value: OccurrenceID(sch.ID, o)}, {Key: "run", Value: o.Run}, {Key: "state", Value: OccurrenceFired}}
	_, err := s.occurrences.UpdateOne(ctx, filter, stages(set), options.UpdateOne().SetComment(sch.ID))
	return wrap("record the end of an occurrence of schedule "+sch.Name, err)
}

// Occurrences lists occurrences, page by page, with short queries.
func (s *Store) Occurrences(ctx context.Context, f OccurrenceFilter) iter.Seq2[Occurrence, error] {
	return func(yield func(Occurrence, error) bool) {
		key, order, past := "at", -1, "$lt"
		if !f.ChangedSince.IsZero() {
			key, order, past = "changed_at", 1, "$gt"
		}
		sort := bson.D{{Key: key, Value: order}, {Key: "_id", Value: order}}
		left, page := f.Limit, f.clauses()
		for {
			n := pageSize
			if f.Limit > 0 {
				n = min(n, left)
			}
			found, err := s.readOccurrences(ctx, page, sort, n)
			if err != nil {
				yield(Occurrence{}, wrap("list occurrences", err))
				return
			}
			for _, o := range found {
				if !yield(o, nil) {
					return
				}
			}
			left -= len(found)
			if len(found) < n || f.Limit > 0 && left <= 0 {
				return
			}
			last := found[len(found)-1]
			place := map[string]time.Time{"at": last.At, "changed_at": last.ChangedAt}[key]
			page = bson.D{{Key: "$and", Value: bson.A{f.clauses(), bson.D{
				{Key: key, Value: bson.D{{Key: past + "e", Value: place}}},
				{Key: "$or", Value: bson.A{
					bson.D{{Key: key, Value: bson.D{{Key: past, Value: place}}}},
					bson.D{{Key: "_id", Value: bson.D{{Key: past, Value: last.ID}}}},
				}},
			}}}}
		}
	}
}

func (f OccurrenceFilter) clauses() bson.D {
	d := bson.D{}
	switch {
	case f.Schedule != "" && f.ChangedSince.IsZero():
		d = append(d, bson.E{Key: "schedule", Value: f.Schedule})
	case f.Schedule != "":
		d = append(d, bson.E{Key: "database", Value: f.Database}, bson.E{Key: "schedule", Value: f.Schedule})
	case f.Database != "":
		d = append(d, bson.E{Key: "database", Value: f.Database})
	}
	if len(f.States) > 0 {
		d = append(d, bson.E{Key: "state", Value: bson.D{{Key: "$in", Value: f.States}}})
	}
	if len(f.Kinds) > 0 {
		d = append(d, bson.E{Key: "kind", Value: bson.D{{Key: "$in", Value: f.Kinds}}})
	}
	at := bson.D{}
	if !f.Since.IsZero() {
		at = append(at, bson.E{Key: "$gte", Value: f.Since})
	}
	if !f.Until.IsZero() {
		at = append(at, bson.E{Key: "$lt", Value: f.Until})
	}
	if len(at) > 0 {
		d = append(d, bson.E{Key: "at", Value: at})
	}
	if !f.ChangedSince.IsZero() {
		d = append(d, bson.E{Key: "changed_at", Value: bson.D{{Key: "$gte", Value: f.ChangedSince}}})
	}
	return d
}

func (s *Store) readOccurrences(ctx context.Context, match, sort bson.D, n int) ([]Occurrence, error) {
	cur, err := s.occurrences.Find(ctx, match, options.Find().SetSort(sort).SetLimit(int64(n)).
		SetBatchSize(int32(n)+1).SetComment("rikki occurrences")) //nolint:gosec // n is at most a page
	if err != nil {
		return nil, err
	}
	var found []Occurrence
	return found, cur.All(ctx, &found)
}

// RunEnd is how a run of a schedule stands.
type RunEnd struct {
	ID    string `bson:"_id"`
	State State  `bson:"state"`
	// Schedule and At tell whose run it is.
	Schedule string    `bson:"schedule"`
	At       time.Time `bson:"scheduled_at"`
	// Ready says that the queue goes on with it, Lapsed that its owner is gone and nobody has noticed yet, and Lapses how
	// many owners have died over it.
	Ready  bool      `bson:"ready"`
	Lapsed bool      `bson:"lapsed"`
	Lapses int       `bson:"lapses"`
	Error  *RunError `bson:"error"`
}

// RunEnds tells how these runs stand. Runs that don't exist are missing in the result.
func (s *Store) RunEnds(ctx context.Context, ids []string) (map[string]RunEnd, error) {
	ends := make(map[string]RunEnd, len(ids))
	for len(ids) > 0 {
		part := ids[:min(len(ids), pageSize)]
		ids = ids[len(part):]
		pipeline := bson.A{
			bson.D{{Key: "$match", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: part}}}}}},
			bson.D{{Key: "$project", Value: bson.D{
				{Key: "state", Value: 1},
				{Key: "schedule", Value: 1},
				{Key: "scheduled_at", Value: 1},
				{Key: "ready", Value: 1},
				{Key: "lapses", Value: 1},
				{Key: "lapsed", Value: lapsed()},
				{Key: "error.kind", Value: 1},
				{Key: "error.message", Value: 1},
			}}},
		}
		cur, err := s.runs.Aggregate(ctx, pipeline, options.Aggregate().SetBatchSize(pageSize+1).SetComment("rikki schedules"))
		if err != nil {
			return nil, wrap("look at the runs of schedules", err)
		}
		var found []RunEnd
		if err := cur.All(ctx, &found); err != nil {
			return nil, wrap("look at the runs of schedules", err)
		}
		for _, end := range found {
			ends[end.ID] = end
		}
	}
	return ends, nil
}
