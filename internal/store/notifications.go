package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// How a run ends and that somebody must hear of it is one write: it sets news_at. A notifier turns the news into
// notifications, whose _id says what they tell of whom, and only then takes news_at away. So nothing is lost, however
// often processes die in between, and what is done twice is done once.

// Notification is one message to one target, and what became of it.
type Notification struct {
	// ID is made of the kind, the subject and the target: it makes the message the only one.
	ID       string `bson:"_id"`
	Database string `bson:"database"`
	Target   string `bson:"target"`
	Kind     string `bson:"kind"`
	Subject  string `bson:"subject"`
	// Body is the message as JSON, without secrets.
	Body string `bson:"body"`

	State    string    `bson:"state"` // pending, delivered, failed
	Attempts int       `bson:"attempts"`
	DueAt    time.Time `bson:"due_at"`
	Status   int       `bson:"status,omitempty"` // of the last answer
	Error    string    `bson:"error,omitempty"`
	TookMS   int64     `bson:"took_ms,omitempty"`
	At       time.Time `bson:"at"`
	DoneAt   time.Time `bson:"done_at,omitempty"`
}

// The states of a notification.
const (
	NotificationPending   = "pending"
	NotificationDelivered = "delivered"
	NotificationFailed    = "failed"
)

// Failing is the last failure of a script or a schedule that hasn't recovered.
type Failing struct {
	Subject string    `bson:"subject"`
	At      time.Time `bson:"at"`
}

func notifyIndexes() []Index {
	return []Index{
		{
			Collection: collRuns, Name: "news", Keys: bson.D{{Key: "database", Value: 1}, {Key: "news_at", Value: 1}},
			Partial: bson.D{{Key: "news_at", Value: bson.D{{Key: "$exists", Value: true}}}},
			Why:     "runs whose outcome a notifier hasn't seen",
		},
		{
			Collection: collNotifications, Name: "pending", Keys: bson.D{{Key: "database", Value: 1}, {Key: "target", Value: 1}, {Key: "due_at", Value: 1}},
			Partial: bson.D{{Key: "state", Value: NotificationPending}},
			Why:     "messages to deliver",
		},
		{
			Collection: collNotifications, Name: "at", Keys: bson.D{{Key: "database", Value: 1}, {Key: "at", Value: -1}},
			Why: "the last messages, and those to delete",
		},
	}
}

// OpenNotifications creates the indexes of notifications and returns when somebody first wanted any in this database, on
// the server's clock: what happened before is no news.
func (s *Store) OpenNotifications(ctx context.Context, database string) (time.Time, error) {
	var doc struct {
		Since time.Time `bson:"since"`
	}
	err := retryDuplicate(func() error {
		return s.notifying.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: "since/" + database}},
			stages(bson.D{{Key: "since", Value: op("$ifNull", "$since", now)}}), after("rikki notify").SetUpsert(true)).Decode(&doc)
	})
	if err != nil {
		return time.Time{}, wrap("prepare notifications", err)
	}
	return doc.Since, s.createIndexes(ctx, notifyIndexes())
}

func retryDuplicate(fn func() error) error {
	err := fn()
	if isCode(err, codeDuplicateKey) {
		return fn()
	}
	return err
}

// LeadNotifications takes or renews the lease of the process that turns news into notifications. It serves the order in
// which they are made; that each is made once doesn't depend on it.
func (s *Store) LeadNotifications(ctx context.Context, database, owner string, ttl time.Duration) (bool, error) {
	free := op("$or", op("$eq", "$owner", literal(owner)), expiredAt("$expires"))
	set := bson.D{
		{Key: "owner", Value: op("$cond", free, literal(owner), "$owner")},
		{Key: "expires", Value: op("$cond", free, expiresIn(ttl.Milliseconds()), "$expires")},
	}
	var lease struct {
		Owner string `bson:"owner"`
	}
	err := retryDuplicate(func() error {
		return s.notifying.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: "lease/" + database}}, stages(set),
			after("rikki notify").SetUpsert(true)).Decode(&lease)
	})
	return err == nil && lease.Owner == owner, wrap("lead the notifications", err)
}

// expiredAt holds when the time of a field has passed, or isn't there.
func expiredAt(field string) bson.D { return op("$lt", field, now) }

// ResignNotifications gives the lease back.
func (s *Store) ResignNotifications(ctx context.Context, database, owner string) error {
	_, err := s.notifying.DeleteOne(ctx, bson.D{{Key: "_id", Value: "lease/" + database}, {Key: "owner", Value: owner}})
	return wrap("give the lease of notifications back", err)
}

// News returns at most n runs that have come to rest since, in this order, and that no notifier has seen.
func (s *Store) News(ctx context.Context, database string, since time.Time, n int) ([]Run, error) {
	match := bson.D{{Key: "database", Value: database}, {Key: "news_at", Value: bson.D{{Key: "$gte", Value: since}}}}
	return s.notifyRuns(ctx, match, bson.D{{Key: "news_at", Value: 1}, {Key: "_id", Value: 1}}, n)
}

// Noted says that the news of a run has become notifications, unless there is fresh news.
func (s *Store) Noted(ctx context.Context, r Run) error {
	_, err := s.runs.UpdateOne(ctx, bson.D{{Key: "_id", Value: r.ID}, {Key: "news_at", Value: r.NewsAt}},
		bson.D{{Key: "$unset", Value: bson.D{{Key: "news_at", Value: ""}}}}, options.UpdateOne().SetComment(r.ID))
	return wrap("note the news of run "+r.ID, err)
}

// StuckRuns returns runs with a living owner that have made no progress for so long.
func (s *Store) StuckRuns(ctx context.Context, database string, silent time.Duration, n int) ([]Run, error) {
	last := op("$max", "$started_at", "$progress_at", "$checkpoint.at")
	match := bson.D{
		{Key: "state", Value: bson.D{{Key: "$in", Value: activeStates()}}},
		{Key: "database", Value: database},
		{Key: "$expr", Value: op("$and", op("$not", expired()), op("$lt", last, op("$subtract", now, silent.Milliseconds())))},
	}
	return s.notifyRuns(ctx, match, bson.D{{Key: "started_at", Value: 1}}, n)
}

// LateRuns returns runs that have been due in the queue for so long.
func (s *Store) LateRuns(ctx context.Context, database string, since time.Time, late time.Duration, n int) ([]Run, error) {
	match := bson.D{
		{Key: "state", Value: Queued},
		{Key: "database", Value: database},
		{Key: "ready", Value: true},
		{Key: "due_at", Value: bson.D{{Key: "$gte", Value: since}}},
		{Key: "$expr", Value: op("$lt", "$due_at", op("$subtract", now, late.Milliseconds()))},
	}
	return s.notifyRuns(ctx, match, bson.D{{Key: "due_at", Value: 1}}, n)
}

func (s *Store) notifyRuns(ctx context.Context, match, sort bson.D, n int) ([]Run, error) {
	project := append(outline.projection(), bson.E{Key: "params", Value: 0})
	cur, err := s.runs.Aggregate(ctx, bson.A{
		bson.D{{Key: "$match", Value: match}},
		bson.D{{Key: "$sort", Value: sort}},
		bson.D{{Key: "$limit", Value: n}},
		bson.D{{Key: "$project", Value: project}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "read_at", Value: now}}}},
	}, options.Aggregate().SetBatchSize(int32(n)+1).SetComment("rikki notify")) //nolint:gosec // n is small
	if err != nil {
		return nil, wrap("look for news", err)
	}
	var runs []Run
	return runs, wrap("look for news", cur.All(ctx, &runs))
}

// TroubledSchedules returns schedules that have paused themselves since, and active ones that have been due for so long
// that nobody seems to fire them; zero leaves those out.
func (s *Store) TroubledSchedules(ctx context.Context, database string, since time.Time, late time.Duration, n int) ([]Schedule, error) {
	or := bson.A{bson.D{
		{Key: "state", Value: SchedulePaused},
		{Key: "note.at", Value: bson.D{{Key: "$gte", Value: since}}},
		{Key: "note.kind", Value: bson.D{{Key: "$ne", Value: "user"}}},
	}}
	if late > 0 {
		or = append(or, bson.D{
			{Key: "state", Value: ScheduleActive},
			{Key: "next_at", Value: bson.D{{Key: "$gt", Value: since}}},
			{Key: "$expr", Value: op("$lt", "$next_at", op("$subtract", now, late.Milliseconds()))},
		})
	}
	found, err := s.readSchedules(ctx, bson.D{{Key: "database", Value: database}, {Key: "$or", Value: or}}, bson.D{{Key: "_id", Value: 1}}, n)
	return found, wrap("look for schedules in trouble", err)
}

// Failing tells whether a script or a schedule fails, and since which failure.
func (s *Store) Failing(ctx context.Context, stream string) (*Failing, error) {
	var f Failing
	err := s.notifying.FindOne(ctx, bson.D{{Key: "_id", Value: "failing/" + stream}}).Decode(&f)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	return &f, wrap("look whether "+stream+" fails", err)
}

// SetFailing remembers the newest failure.
func (s *Store) SetFailing(ctx context.Context, stream string, f Failing) error {
	return wrap("remember that "+stream+" fails", retryDuplicate(func() error {
		_, err := s.notifying.UpdateOne(ctx, bson.D{{Key: "_id", Value: "failing/" + stream}},
			bson.D{{Key: "$set", Value: f}}, options.UpdateOne().SetUpsert(true))
		return err
	}))
}

// Recovered forgets that failure.
func (s *Store) Recovered(ctx context.Context, stream, subject string) error {
	_, err := s.notifying.DeleteOne(ctx, bson.D{{Key: "_id", Value: "failing/" + stream}, {Key: "subject", Value: subject}})
	return wrap("remember that "+stream+" has recovered", err)
}

// Notify adds a message to the outbox, unless it is there.
func (s *Store) Notify(ctx context.Context, n Notification) error {
	n.State = NotificationPending
	_, err := s.notifications.UpdateOne(ctx, bson.D{{Key: "_id", Value: n.ID}, {Key: "kind", Value: bson.D{{Key: "$exists", Value: false}}}},
		bson.A{bson.D{{Key: "$replaceWith", Value: op("$mergeObjects", literal(n), bson.D{{Key: "at", Value: now}, {Key: "due_at", Value: now}})}}},
		options.UpdateOne().SetUpsert(true).SetComment("rikki notify"))
	if isCode(err, codeDuplicateKey) {
		return nil
	}
	return wrap("add a notification", err)
}

// ClaimNotification takes the message to a target that has been due for longest, for at most hold, or returns nil. The number
// of its attempt is the fence under which [Store.SettleNotification] says what became of it.
func (s *Store) ClaimNotification(ctx context.Context, database, target string, hold time.Duration) (*Notification, error) {
	filter := bson.D{
		{Key: "database", Value: database},
		{Key: "target", Value: target},
		{Key: "state", Value: NotificationPending},
		{Key: "$expr", Value: op("$lte", "$due_at", now)},
	}
	set := bson.D{{Key: "attempts", Value: op("$add", "$attempts", 1)}, {Key: "due_at", Value: expiresIn(hold.Milliseconds())}}
	var n Notification
	err := s.notifications.FindOneAndUpdate(ctx, filter, stages(set), after("rikki notify").SetSort(bson.D{{Key: "due_at", Value: 1}})).Decode(&n)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	return &n, wrap("look for messages to deliver", err)
}

// SettleNotification says how an attempt ended: n.State, and for one that is still pending the pause before the next.
func (s *Store) SettleNotification(ctx context.Context, n Notification, pause time.Duration) error {
	set := bson.D{
		{Key: "state", Value: n.State},
		{Key: "status", Value: n.Status},
		{Key: "took_ms", Value: n.TookMS},
		{Key: "error", Value: literal(clip(n.Error, findingLimit))},
	}
	if n.State == NotificationPending {
		set = append(set, bson.E{Key: "due_at", Value: expiresIn(pause.Milliseconds())})
	} else {
		set = append(set, bson.E{Key: "done_at", Value: now})
	}
	_, err := s.notifications.UpdateOne(ctx, bson.D{
		{Key: "_id", Value: n.ID}, {Key: "attempts", Value: n.Attempts}, {Key: "state", Value: NotificationPending},
	}, stages(set), options.UpdateOne().SetComment("rikki notify"))
	return wrap("record a delivery", err)
}

// Notifications lists the last messages, newest first.
func (s *Store) Notifications(ctx context.Context, database string, n int) ([]Notification, error) {
	cur, err := s.notifications.Find(ctx, bson.D{{Key: "database", Value: database}}, options.Find().
		SetSort(bson.D{{Key: "at", Value: -1}}).SetLimit(int64(n)).SetBatchSize(int32(n)+1).SetComment("rikki notify")) //nolint:gosec // n is small
	if err != nil {
		return nil, wrap("list notifications", err)
	}
	var all []Notification
	return all, wrap("list notifications", cur.All(ctx, &all))
}

// PruneNotifications gives messages up that nobody could deliver for so long, and deletes at most n of those that are older
// than keep.
func (s *Store) PruneNotifications(ctx context.Context, database string, undelivered, keep time.Duration, n int) error {
	older := func(d time.Duration) bson.E {
		return bson.E{Key: "$expr", Value: op("$lt", "$at", op("$subtract", now, d.Milliseconds()))}
	}
	_, err := s.notifications.UpdateMany(ctx, bson.D{{Key: "database", Value: database}, {Key: "state", Value: NotificationPending}, older(undelivered)},
		stages(bson.D{{Key: "state", Value: NotificationFailed}, {Key: "done_at", Value: now}, {Key: "error", Value: op("$ifNull", "$error", "no process has delivered it in time")}}))
	if err != nil {
		return wrap("give notifications up", err)
	}
	cur, err := s.notifications.Find(ctx, bson.D{{Key: "database", Value: database}, older(keep)},
		options.Find().SetSort(bson.D{{Key: "at", Value: 1}}).SetLimit(int64(n)).SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return wrap("delete old notifications", err)
	}
	var old []struct {
		ID string `bson:"_id"`
	}
	if err := cur.All(ctx, &old); err != nil || len(old) == 0 {
		return wrap("delete old notifications", err)
	}
	ids := make([]string, len(old))
	for i := range old {
		ids[i] = old[i].ID
	}
	_, err = s.notifications.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
	return wrap("delete old notifications", err)
}
