package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Entry is one change that somebody made to a run from outside. Entries are added and never changed.
type Entry struct {
	// Schedule is the ID of the schedule that was changed, in place of Run.
	Schedule string    `bson:"schedule,omitempty"`
	Run      string    `bson:"run"`
	Script   string    `bson:"script"`
	Action   Action    `bson:"action"`
	Actor    string    `bson:"actor"`
	Reason   string    `bson:"reason,omitempty"`
	From     State     `bson:"from"`
	To       State     `bson:"to"`
	Forced   bool      `bson:"forced,omitempty"`
	At       time.Time `bson:"at"`
}

// Audit adds an entry, at the server's time.
func (s *Store) Audit(ctx context.Context, e Entry) error {
	// As with logs, the run within the _id makes the index that every collection has enough.
	key := bson.D{{Key: "r", Value: cmp.Or(e.Run, e.Schedule)}, {Key: "n", Value: bson.NewObjectID()}}
	doc := bson.D{
		{Key: "run", Value: e.Run},
		{Key: "script", Value: e.Script},
		{Key: "action", Value: e.Action},
		{Key: "actor", Value: clip(e.Actor, wordLimit)},
		{Key: "reason", Value: clip(e.Reason, findingLimit)},
		{Key: "from", Value: e.From},
		{Key: "to", Value: e.To},
		{Key: "forced", Value: e.Forced},
	}
	what := "run " + e.Run
	if e.Schedule != "" {
		what, doc = "schedule "+e.Schedule, append(doc, bson.E{Key: "schedule", Value: e.Schedule})
	}
	pipeline := bson.A{bson.D{{Key: "$replaceWith", Value: op("$mergeObjects",
		bson.D{{Key: "_id", Value: "$_id"}}, literal(doc), bson.D{{Key: "at", Value: now}})}}}
	_, err := s.audit.UpdateOne(ctx, bson.D{{Key: "_id", Value: key}}, pipeline, options.UpdateOne().SetUpsert(true).SetComment(cmp.Or(e.Run, e.Schedule)))
	if err != nil {
		return wrap(what+" is changed, but the audit log doesn't say so", err)
	}
	return nil
}

// Entries returns what was done to a run, or to the schedule with this ID, from outside, oldest first.
func (s *Store) Entries(ctx context.Context, run string) ([]Entry, error) {
	filter := bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: bson.D{{Key: "r", Value: run}, {Key: "n", Value: bson.MinKey{}}}},
		{Key: "$lte", Value: bson.D{{Key: "r", Value: run}, {Key: "n", Value: bson.MaxKey{}}}},
	}}}
	const most = 1000
	cur, err := s.audit.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).
		SetLimit(most).SetBatchSize(most+1).SetComment("rikki audit"))
	if err != nil {
		return nil, wrap("read the audit log", err)
	}
	var entries []Entry
	if err := cur.All(ctx, &entries); err != nil {
		return nil, wrap("read the audit log", err)
	}
	// Within a second, the _ids of two processes have no order.
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.At.Compare(b.At) })
	return entries, nil
}
