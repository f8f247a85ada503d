package conn

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
)

// Health is the outcome of one check.
type Health struct {
	OK            bool
	State         State
	Latency       time.Duration // of one ping to the primary
	Primary       string
	ReplicaSet    string
	ServerVersion string
	Transactions  bool
	At            time.Time
	Err           error // an *Error, nil when OK
}

// Check pings the primary and returns how it went. It takes a reference of its own
// for the time, so it connects when nobody else has. The error is that of
// [Health].
func (s *Source) Check(ctx context.Context) (Health, error) {
	h := Health{}
	err := s.With(ctx, func(ctx context.Context, ref *Ref) error {
		latency, err := s.measure(ctx, ref.link)
		h.Latency = latency
		st := s.Status()
		h.State, h.Primary, h.ReplicaSet = st.State, st.Primary, st.ReplicaSet
		h.ServerVersion, h.Transactions = st.ServerVersion, st.Transactions
		return err
	})
	h.At, h.OK, h.Err = time.Now(), err == nil, err
	if h.State == "" || err != nil && h.State == Connected {
		h.State = Unreachable
	}
	return h, err
}

// measure times a ping, and asks for the server's version once per client.
func (s *Source) measure(ctx context.Context, l *link) (time.Duration, error) {
	start := time.Now()
	if err := l.client.Ping(ctx, readpref.Primary()); err != nil {
		return 0, s.explain(err, l.facts, time.Since(start))
	}
	latency := time.Since(start)
	if l.version.Load() != nil {
		return latency, nil
	}
	var info struct {
		Version string `bson:"version"`
	}
	// Only the version is lost when this fails; the server has just answered.
	if err := l.client.Database("admin").RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info); err == nil {
		l.version.Store(&info.Version)
	}
	return latency, nil
}

// DefaultWatchInterval is how often Watch checks unless told otherwise.
const DefaultWatchInterval = 10 * time.Second

// Watch checks at once and then every so often until ctx is done, and calls
// report with the first outcome and with each that differs from the one before in
// more than its latency. It blocks, so its caller owns the goroutine. Each check
// takes a reference for its time only: hold one of your own, or set
// Config.KeepOpen, or every check connects and disconnects.
func (s *Source) Watch(ctx context.Context, every time.Duration, report func(Health)) {
	if every <= 0 {
		every = DefaultWatchInterval
	}
	watch(ctx, every, s.Check, report)
}

func watch(ctx context.Context, every time.Duration, check func(context.Context) (Health, error), report func(Health)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var last Health
	for first := true; ; first = false {
		h, _ := check(ctx) // the Health holds the error
		if ctx.Err() != nil {
			return // the outcome tells of the end of the watch only
		}
		if first || h.differs(last) {
			report(h)
		}
		last = h
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (h Health) differs(o Health) bool {
	return h.OK != o.OK || h.State != o.State || h.Primary != o.Primary || KindOf(h.Err) != KindOf(o.Err)
}
