package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// ErrNoStream says that the server has no change streams: it is no replica set.
var ErrNoStream = errors.New("the server has no change streams")

// errStreamEnded says that there is nothing more to come: the collection was dropped or renamed.
var errStreamEnded = errors.New("the server has ended the change stream")

const (
	// awaitTime is how long the server waits for a change before it answers that there is none. The watch ends that late.
	awaitTime = time.Second
	// closeTime bounds the end of a stream.
	closeTime = 5 * time.Second

	codeNoChangeStream = 40573
)

// Watch calls wake when a run may have become ready to be taken in database, and once when it begins to watch; news is false
// when all that has happened is that somebody's place is free. It returns
// when ctx ends, with nil, or when the stream breaks: it is a hint, and whoever needs to be sure looks into the queue from
// time to time. What was missed in between is what the first wake is for, so no token is kept.
func (s *Store) Watch(ctx context.Context, database string, wake func(news bool)) error {
	// With the kind of change named, the server leaves out what doesn't matter before it makes an event of it.
	change := func(kind string, clause ...bson.E) bson.D {
		return append(bson.D{{Key: "operationType", Value: kind}}, clause...)
	}
	pipeline := bson.A{
		bson.D{{Key: "$match", Value: bson.D{{Key: "$or", Value: bson.A{
			change("insert", bson.E{Key: "fullDocument.ready", Value: true}, bson.E{Key: "fullDocument.database", Value: database}),
			change("update", bson.E{Key: "updateDescription.updatedFields.ready", Value: true}),
			change("update", bson.E{Key: "updateDescription.removedFields", Value: "slot"}), // somebody's place is free
		}}}}},
		bson.D{{Key: "$project", Value: bson.D{{Key: "freed", Value: bson.D{{Key: "$cond", Value: bson.A{
			op("$eq", op("$type", "$updateDescription.updatedFields.ready"), "missing"), "$updateDescription.removedFields", bson.A{},
		}}}}}}},
	}
	// The driver leaves a cursor behind at the server when the context of a waiting call is cancelled, so none is: see awaitTime.
	live := context.WithoutCancel(ctx)
	stream, err := s.runs.Watch(live, pipeline, options.ChangeStream().SetMaxAwaitTime(awaitTime).SetComment("rikki queue"))
	if err != nil {
		return streamError(err)
	}
	defer func() {
		end, cancel := context.WithTimeout(live, closeTime)
		defer cancel()
		_ = stream.Close(end) // the server forgets it anyway, after a while
	}()
	wake(true)
	for ctx.Err() == nil {
		switch {
		case stream.TryNext(live):
			_, err := stream.Current.LookupErr("freed", "0")
			wake(err != nil)
		case stream.Err() != nil:
			return streamError(stream.Err())
		case stream.ID() == 0: // and asking again would return at once
			return streamError(errStreamEnded)
		}
	}
	return nil
}

func streamError(err error) error {
	var ce mongo.CommandError
	if errors.As(err, &ce) && ce.Code == codeNoChangeStream {
		return errors.Join(ErrNoStream, err)
	}
	return wrap("watch the queue", err)
}
