package ratelimits

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Limiter counts requests in fixed windows, in MongoDB, so that all processes
// of an API share the limits. The server's clock decides where a window begins.
type Limiter struct{ counters *mongo.Collection }

// NewLimiter returns the limiter of a database.
func NewLimiter(db *mongo.Database) *Limiter {
	return &Limiter{counters: db.Collection("rate_limit_counters")}
}

// Prepare makes the server remove counters whose window has passed.
func (l *Limiter) Prepare(ctx context.Context) error {
	_, err := l.counters.Indexes().CreateOne(ctx, mongo.IndexModel{
		Keys:    bson.D{{Key: "resets", Value: 1}},
		Options: options.Index().SetName("expire").SetExpireAfterSeconds(0),
	})
	if err != nil {
		return fmt.Errorf("build the index that expires counters: %w", err)
	}
	return nil
}

// Decision is the limiter's answer to one request.
type Decision struct {
	Allowed bool
	Count   int       // requests in this window, this one included
	Window  time.Time // its begin
	Resets  time.Time // its end
}

// Allow counts a request and tells whether it is within the limit. The key says
// who asks for what, such as errorReporting/perIP/192.0.2.1.
func (l *Limiter) Allow(ctx context.Context, key string, limit Limit) (Decision, error) {
	length := limit.Window().Milliseconds()
	if length <= 0 {
		return Decision{}, fmt.Errorf("limit of %s: its window lasts %s, want at least 1s", key, limit.Window())
	}
	now := bson.D{{Key: "$toLong", Value: "$$NOW"}}
	begin := bson.D{{Key: "$toDate", Value: bson.D{{Key: "$subtract", Value: bson.A{
		now, bson.D{{Key: "$mod", Value: bson.A{now, length}}},
	}}}}}
	// One atomic step, whoever else counts: begin a new window, or add one.
	update := mongo.Pipeline{
		{{Key: "$set", Value: bson.D{
			{Key: "window", Value: begin},
			{Key: "count", Value: bson.D{{Key: "$cond", Value: bson.A{
				bson.D{{Key: "$eq", Value: bson.A{"$window", begin}}},
				bson.D{{Key: "$add", Value: bson.A{"$count", 1}}},
				1,
			}}}},
		}}},
		{{Key: "$set", Value: bson.D{{Key: "resets", Value: bson.D{{Key: "$add", Value: bson.A{"$window", length}}}}}}},
	}
	var counter struct {
		Count  int       `bson:"count"`
		Window time.Time `bson:"window"`
		Resets time.Time `bson:"resets"`
	}
	err := l.counters.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: key}}, update,
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&counter)
	if err != nil {
		return Decision{}, fmt.Errorf("count a request of %s: %w", key, err)
	}
	return Decision{
		Allowed: counter.Count <= limit.Requests,
		Count:   counter.Count, Window: counter.Window, Resets: counter.Resets,
	}, nil
}

// Forget removes the counters of all keys that begin like this.
func (l *Limiter) Forget(ctx context.Context, prefix string) error {
	_, err := l.counters.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$regex", Value: "^" + regexp.QuoteMeta(prefix)},
	}}})
	if err != nil {
		return fmt.Errorf("remove the counters of %s: %w", prefix, err)
	}
	return nil
}
