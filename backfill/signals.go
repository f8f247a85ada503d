package backfill

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/pace"
)

// signals reads what the server says about its load. Where the account may not ask for the state of the replica set, the
// primary's own word on how far the majority is has to do.
type signals struct {
	e        *engine
	others   others
	denied   bool // replSetGetStatus
	noStatus bool // serverStatus
	ignored  bool // the log knows that the lag can't be told, and is ignored
}

// newSignals takes a first look at what others do. One that fails is taken again.
func newSignals(ctx context.Context, e *engine) *signals {
	s := &signals{e: e}
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	if status, err := readStatus(ctx, e.client); err == nil {
		s.others.look(status, e.run.Sent())
	}
	return s
}

// sampleTime bounds one look at the server.
const sampleTime = 5 * time.Second

func (s *signals) sample(ctx context.Context, c *pace.Controller) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	if !s.e.alone {
		lag := s.lag(ctx)
		if lag.Unknown && s.e.opts.Unreadable == UnreadableIgnore {
			s.ignore(lag.Reason)
		}
		c.Observe(lag)
	}
	s.status(ctx, c)
}

// ignore tells the log, once, why nobody knows how far the secondaries are behind.
func (s *signals) ignore(why string) {
	if !s.ignored {
		s.ignored = true
		s.e.log.Warn("the run goes on without knowing how far all secondaries are behind (--unreadable=ignore)", "reason", why)
	}
}

// lag is how far the members that have data are behind. A set of one has none.
func (s *signals) lag(ctx context.Context) pace.Signal {
	var hello struct {
		Hosts     []string
		Passives  []string
		LastWrite struct {
			Date     time.Time `bson:"lastWriteDate"`
			Majority time.Time `bson:"majorityWriteDate"`
		} `bson:"lastWrite"`
	}
	admin := s.e.client.Database("admin")
	if err := admin.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return pace.Unreadable(pace.Lag, err.Error())
	}
	if len(hello.Hosts)+len(hello.Passives) < 2 {
		return pace.LagBetween(hello.LastWrite.Date, hello.LastWrite.Date)
	}
	if s.denied {
		return pace.LagBetween(hello.LastWrite.Date, hello.LastWrite.Majority)
	}
	var status struct {
		Members []member
	}
	err := admin.RunCommand(ctx, bson.D{{Key: "replSetGetStatus", Value: 1}}).Decode(&status)
	switch {
	case hasAnyCode(err, codeUnauthorized):
		s.denied = true
		s.e.log.Info("the account may not see the state of the replica set (clusterMonitor); the lag of the majority is used instead of the slowest member's")
		return pace.LagBetween(hello.LastWrite.Date, hello.LastWrite.Majority)
	case err != nil:
		return pace.Unreadable(pace.Lag, err.Error())
	}
	return s.slowest(status.Members)
}

// member is one line of replSetGetStatus.
type member struct {
	Name   string
	Health float64
	State  int
	Optime time.Time `bson:"optimeDate"`
}

// States of members that have data and may be behind.
const (
	statePrimary   = 1
	stateSecondary = 2
	stateArbiter   = 7
)

// slowest is the lag of the member that is furthest behind. One that can't be reached is as far behind as can be, unless it is to be ignored.
func (s *signals) slowest(members []member) pace.Signal {
	var newest time.Time
	for _, m := range members {
		if m.State == statePrimary {
			newest = m.Optime
		}
	}
	worst := pace.LagBetween(newest, newest)
	for _, m := range members {
		switch {
		case m.State == stateArbiter || m.State == statePrimary:
			continue
		case m.Health == 0 || m.State != stateSecondary:
			if s.e.opts.Unreadable == UnreadableIgnore {
				s.ignore(fmt.Sprintf("member %s is not reachable or not in order", m.Name))
				continue
			}
			return pace.Unreadable(pace.Lag, fmt.Sprintf("member %s is not reachable or not in order, so nobody knows how far it is behind; to go on without it: runs tune RUN --max-lag=0s, or --unreadable=ignore from the start", m.Name))
		}
		if sig := pace.LagBetween(newest, m.Optime); sig.Unknown || sig.Value > worst.Value {
			worst = sig
		}
		if worst.Unknown {
			return worst
		}
	}
	return worst
}

// status is whether the server holds writers up because its majority is behind, and who else uses it.
func (s *signals) status(ctx context.Context, c *pace.Controller) {
	if s.noStatus {
		return
	}
	status, err := readStatus(ctx, s.e.client)
	switch {
	case hasAnyCode(err, codeUnauthorized):
		s.noStatus = true
		c.SetOthers(pace.Others{Unknown: "the account may not ask for serverStatus (clusterMonitor)"})
		s.e.log.Info("the account may not ask for the server's status (clusterMonitor): the run makes room for others as if there were any, unless --gentle=never says otherwise")
		return
	case err != nil:
		c.SetOthers(pace.Others{Unknown: err.Error()})
		if !s.e.alone {
			c.Observe(pace.Unreadable(pace.FlowControl, err.Error()))
		}
		return
	}
	if others, ok := s.others.look(status, s.e.run.Sent()); ok {
		c.SetOthers(others)
	}
	if !s.e.alone {
		c.Observe(pace.Flag(pace.FlowControl, status.FlowControl.IsLagged, "the server's flow control holds writers up: the majority is behind"))
	}
}
