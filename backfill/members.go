package backfill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rikki-go/rikki/internal/pace"
)

// member is one of replSetGetStatus.
type member struct {
	Name    string
	Health  float64
	State   int
	Optime  time.Time `bson:"optimeDate"`
	Applied time.Time `bson:"lastAppliedWallTime"` // the same, as fresh as the member's own reports; not in all versions
}

// States of members.
const (
	statePrimary   = 1
	stateSecondary = 2
	stateArbiter   = 7
)

// applied is the newest write that the member has.
func (m member) applied() time.Time {
	if m.Applied.After(m.Optime) {
		return m.Applied
	}
	return m.Optime
}

// setConfig is what replSetGetConfig says of members.
type setConfig struct {
	Members []struct {
		Host  string
		Delay int64 `bson:"secondaryDelaySecs"`
		Older int64 `bson:"slaveDelay"` // before 5.0
	}
}

// members judges how far those of a replica set are behind the primary.
type members struct {
	ignored []string
	skip    bool // those that can't be read
	// delays are those that are late on purpose, by name.
	delays map[string]time.Duration
	// visible are those that hello lists, nil if nobody has asked. One that isn't there is hidden.
	visible []string

	first   time.Time            // look
	seen    map[string]time.Time // what members had then
	primary []mark               // what it had, the oldest first
	steady  map[string]*steady
}

// mark is what the primary had at a moment.
type mark struct{ at, newest time.Time }

const (
	// heartbeat is how old the primary's news of a member may be: a member that is asked every two seconds.
	heartbeat = 2500 * time.Millisecond
	// steadyLooks and steadyTime are how often and how long a hidden member must have been late by the same time to be taken for a delayed one.
	steadyLooks = 5
	steadyTime  = 6 * time.Second
	// marks is how many are kept: one a second for the commonest delays, and fewer for longer ones.
	marks = 1200
)

// lag is how far the member that is furthest behind is. It is false while nobody can tell whether that is above the limit: the primary's
// news of members may be from before the first write after a silence.
func (s *members) lag(all []member, limit time.Duration, now time.Time) (pace.Signal, bool) {
	if s.first.IsZero() {
		s.first, s.seen = now, make(map[string]time.Time)
		for _, m := range all {
			s.seen[m.Name] = m.applied()
		}
	}
	var newest time.Time
	for _, m := range all {
		if m.State == statePrimary {
			newest = m.applied()
		}
	}
	s.remember(now, newest)
	worst, sure := pace.LagBetween(newest, newest), true
	for _, m := range all {
		if m.State == stateArbiter || m.State == statePrimary || s.ignores(m.Name) {
			continue
		}
		if m.Health == 0 || m.State != stateSecondary {
			if s.skip {
				continue
			}
			return unreadable(m.Name), true
		}
		late := s.behind(m, newest, now)
		late.Who = "member " + m.Name
		if late.Unknown && s.skip {
			continue
		}
		if late.Unknown {
			return late, true
		}
		if late.Value > worst.Value {
			worst = late
			sure = late.Value <= limit.Seconds() || now.Sub(s.first) >= heartbeat || !m.applied().Equal(s.seen[m.Name])
		}
	}
	return worst, sure
}

func unreadable(name string) pace.Signal {
	s := pace.Unreadable(pace.Lag, fmt.Sprintf("member %[1]s is not reachable or not in order, so nobody knows how far it is behind; to go on without it: "+
		"runs tune RUN --max-lag=0s, or from the start --ignore-member=%[1]s or --unreadable=ignore", name))
	s.Who = "member " + name
	return s
}

// skipped are the members that can't be read, for the log.
func (s *members) skipped(all []member) []string {
	var names []string
	for _, m := range all {
		if m.State != stateArbiter && m.State != statePrimary && !s.ignores(m.Name) && (m.Health == 0 || m.State != stateSecondary) {
			names = append(names, m.Name)
		}
	}
	return names
}

func (s *members) ignores(name string) bool {
	return slices.ContainsFunc(s.ignored, func(other string) bool {
		host, _, _ := strings.Cut(name, ":")
		return strings.EqualFold(other, name) || strings.EqualFold(other, host)
	})
}

// behind is how far a member is, beside what it is late on purpose.
func (s *members) behind(m member, newest, now time.Time) pace.Signal {
	delay := s.delays[m.Name]
	if delay == 0 {
		late := pace.LagBetween(newest, m.applied())
		if late.Unknown || !s.hidden(m.Name) {
			return late
		}
		if delay = s.steadyAt(m, newest, now); delay == 0 {
			return late
		}
	}
	// It should have what the primary had that long ago. Before there were looks for so long, it is taken to be as it should be.
	due, known := s.had(now.Add(-delay - heartbeat))
	if !known {
		return pace.LagBetween(newest, newest)
	}
	return pace.LagBetween(due, m.applied())
}

func (s *members) hidden(name string) bool {
	return s.visible != nil && !slices.Contains(s.visible, name)
}

// remember keeps what the primary has, for members that are late on purpose.
func (s *members) remember(now, newest time.Time) {
	if newest.IsZero() {
		return
	}
	s.primary = append(s.primary, mark{now, newest})
	if len(s.primary) < marks {
		return
	}
	kept := s.primary[:0]
	for i, m := range s.primary {
		if i%2 == 0 || i > marks/2 {
			kept = append(kept, m)
		}
	}
	s.primary = kept
}

// had is what the primary had at a moment.
func (s *members) had(at time.Time) (newest time.Time, known bool) {
	for _, m := range s.primary {
		if m.at.After(at) {
			break
		}
		newest, known = m.newest, true
	}
	return newest, known
}

// steady is a hidden member that may be late on purpose.
type steady struct {
	since       time.Time
	looks       int
	least, most time.Duration // that it is late
	began       time.Time     // what the member had at first
}

// steadyAt is the delay of a hidden member that is late by the same time all along, while it gets on; 0 if it isn't. It is for accounts
// that may not see the configuration of the set.
func (s *members) steadyAt(m member, newest, now time.Time) time.Duration {
	const even = 3 * time.Second // heartbeats
	late := newest.Sub(m.applied())
	k := s.steady[m.Name]
	if k != nil {
		k.least, k.most, k.looks = min(k.least, late), max(k.most, late), k.looks+1
	}
	if k == nil || k.most-k.least > even {
		if s.steady == nil {
			s.steady = make(map[string]*steady)
		}
		s.steady[m.Name] = &steady{since: now, looks: 1, least: late, most: late, began: m.applied()}
		return 0
	}
	if k.looks < steadyLooks || now.Sub(k.since) < steadyTime || m.applied().Sub(k.began) < steadyTime/2 {
		return 0
	}
	s.delays[m.Name] = k.least
	return k.least
}
