package conn

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
)

// errHopeless ends a connect of which no host can answer any more.
var errHopeless = errors.New("conn: no host can be reached")

// handshakeGrace is what a connect may take beyond finding a server: opening the
// first pooled connection, authenticating and one ping.
const handshakeGrace = 2 * time.Second

// dial makes l's client and has it answer one ping. The ping proves that the
// primary is there and the credentials are right, and it leaves the first
// pooled connection open for its user.
func (s *Source) dial(ctx context.Context, l *link) error {
	l.database = s.Database()
	o, err := s.options(l.facts)
	if err != nil {
		return err
	}
	if l.database == "" {
		return s.newError(NoDatabase, nil, 0, "the URI has no database in its path")
	}
	client, err := mongo.Connect(l.facts.begin(o))
	if err != nil {
		return s.uriError(err)
	}
	l.client, l.disconnect, l.encoding = client, client.Disconnect, Encoding{o.Registry, o.BSONOptions}
	defer l.facts.settle()
	return s.persist(ctx, l, *o.ServerSelectionTimeout)
}

// persist pings until the server answers, a failure is permanent, or the time is
// up. While no server can be found the driver itself keeps looking within one
// attempt; what is repeated here is a connection that broke at once.
func (s *Source) persist(ctx context.Context, l *link, selection time.Duration) error {
	patience := s.cfg.ConnectFor
	if patience <= 0 {
		patience = selection
	}
	start := time.Now()
	var last error
	attempt := func() (struct{}, error) {
		limit := min(selection, max(0, patience-time.Since(start))) + handshakeGrace
		err := s.ping(ctx, l, limit)
		if err == nil {
			return struct{}{}, nil
		}
		if ctx.Err() != nil {
			last = context.Cause(ctx)
			return struct{}{}, backoff.Permanent(last)
		}
		last = s.explain(err, l.facts, time.Since(start))
		if KindOf(last).permanent() {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}
	_, err := backoff.Retry(ctx, attempt,
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 2 * time.Second,
		}),
		backoff.WithMaxElapsedTime(patience),
		backoff.WithNotify(func(err error, pause time.Duration) {
			s.log.WarnContext(ctx, "connecting to MongoDB failed, trying again", "error", err, "in", pause)
		}))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return last
	}
}

// ping is one attempt. It ends early when the monitors see that no host can
// answer.
func (s *Source) ping(ctx context.Context, l *link, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	l.facts.hope(giveUp)
	return l.client.Ping(ctx, readpref.Primary())
}
