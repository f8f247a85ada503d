package backfill

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/pace"
)

// signals reads what the server says about its load. Where the account may not ask for the state of the replica set, the
// primary's own word on how far the majority is has to do.
type signals struct {
	e        *engine
	others   others
	members  members
	looks    int  // at the lag
	told     bool // the log knows of members that are special
	denied   bool // replSetGetStatus
	noConfig bool // replSetGetConfig
	noStatus bool // serverStatus
	ignored  bool // the log knows that the lag can't be told, and is ignored
}

// newSignals takes a first look at what others do. One that fails is taken again.
func newSignals(ctx context.Context, e *engine) *signals {
	s := &signals{e: e}
	s.members = members{ignored: e.opts.IgnoreMembers, skip: e.opts.Unreadable == UnreadableIgnore, delays: map[string]time.Duration{}}
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
		lag, sure := s.lag(ctx, c.Settings().MaxLag)
		if lag.Unknown && s.e.opts.Unreadable == UnreadableIgnore {
			s.ignore(lag.Reason)
		}
		if sure {
			c.Observe(lag)
		}
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

// lag is how far the members that have data are behind, and false if nobody can tell yet. A set of one has none.
func (s *signals) lag(ctx context.Context, limit time.Duration) (pace.Signal, bool) {
	if s.denied {
		return s.majority(ctx), true
	}
	if err := s.configuration(ctx); err != nil {
		return pace.Unreadable(pace.Lag, err.Error()), true
	}
	var status struct{ Members []member }
	err := s.ask(ctx, "replSetGetStatus", &status)
	switch {
	case hasAnyCode(err, codeUnauthorized):
		s.denied = true
		s.e.log.Info("the account may not see the state of the replica set (clusterMonitor); the lag of the majority is used instead of the slowest member's")
		return s.majority(ctx), true
	case err != nil:
		return pace.Unreadable(pace.Lag, err.Error()), true
	}
	if s.members.skip {
		for _, name := range s.members.skipped(status.Members) {
			s.ignore(fmt.Sprintf("member %s is not reachable or not in order", name))
		}
	}
	if !s.told {
		s.told = true
		s.tell(status.Members)
	}
	return s.members.lag(status.Members, limit, time.Now())
}

func (s *signals) ask(ctx context.Context, command string, answer any) error {
	return s.e.client.Database("admin").RunCommand(ctx, bson.D{{Key: command, Value: 1}}).Decode(answer)
}

// majority is how far it is behind by the primary's own word.
func (s *signals) majority(ctx context.Context) pace.Signal {
	var hello helloAnswer
	if err := s.ask(ctx, "hello", &hello); err != nil {
		return pace.Unreadable(pace.Lag, err.Error())
	}
	late := pace.LagBetween(hello.LastWrite.Date, hello.LastWrite.Majority)
	late.Who = "the majority of the members"
	return late
}

type helloAnswer struct {
	Hosts, Passives, Arbiters []string
	LastWrite                 struct {
		Date     time.Time `bson:"lastWriteDate"`
		Majority time.Time `bson:"majorityWriteDate"`
	} `bson:"lastWrite"`
}

// configEvery is how many looks there are between two at the set's configuration.
const configEvery = 30

// configuration finds out which members are late on purpose: from the set's configuration or, where the account may not see that, which
// of them are hidden.
func (s *signals) configuration(ctx context.Context) error {
	if s.looks++; s.looks%configEvery != 1 {
		return nil
	}
	if !s.noConfig {
		var answer struct{ Config setConfig }
		err := s.ask(ctx, "replSetGetConfig", &answer)
		if err == nil {
			delays := make(map[string]time.Duration)
			for _, m := range answer.Config.Members {
				if d := max(m.Delay, m.Older); d > 0 {
					delays[m.Host] = time.Duration(d) * time.Second
				}
			}
			s.members.delays = delays
			return nil
		}
		if !hasAnyCode(err, codeUnauthorized) {
			return err
		}
		s.noConfig = true
	}
	var hello helloAnswer
	if err := s.ask(ctx, "hello", &hello); err != nil {
		return err
	}
	s.members.visible = slices.Concat(hello.Hosts, hello.Passives, hello.Arbiters)
	return nil
}

// tell says in the log which members are late on purpose, or are not waited for, and which of --ignore-member are none.
func (s *signals) tell(all []member) {
	for name, delay := range s.members.delays {
		s.e.log.Info("a member is late on purpose: its lag counts from there", "member", name, "delay", delay.String())
	}
	for _, name := range s.members.ignored {
		one := members{ignored: []string{name}}
		if !slices.ContainsFunc(all, func(m member) bool { return one.ignores(m.Name) }) {
			s.e.log.Warn("the set has no such member to be ignored (--ignore-member)", "member", name, "members", strings.Join(names(all), ", "))
		}
	}
}

func names(all []member) []string {
	var list []string
	for _, m := range all {
		list = append(list, m.Name)
	}
	return list
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
