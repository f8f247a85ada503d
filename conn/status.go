package conn

import (
	"slices"
	"time"
)

// State says how a Source stands.
type State string

// The states of a Source.
const (
	// Closed is a Source without a client: never used, released or closed.
	Closed State = "closed"
	// Connecting is a Source whose first answer from the server is outstanding.
	Connecting State = "connecting"
	// Connected is a Source that knows a server it can write to.
	Connected State = "connected"
	// NoPrimary is a Source whose servers answer, and none takes writes: an election
	// is under way, or a majority is missing. The driver looks on.
	NoPrimary State = "no primary"
	// Unreachable is a Source of which no server answers, or whose last connect
	// failed. The driver looks on, the next Acquire tries anew.
	Unreachable State = "unreachable"
)

// Status is a picture of a Source. It holds no secret.
type Status struct {
	State State
	Since time.Time // of the State

	URI        string
	Origin     string // see Source.Origin
	Database   string
	References int // those that wait for a connect included

	Hosts         []string
	Topology      string // the driver's word: Single, ReplicaSetWithPrimary, Sharded …
	Primary       string // host; empty without one
	ReplicaSet    string
	Standalone    bool
	Transactions  bool   // and change streams
	ServerVersion string // empty until the first Check

	Pool      Pool
	Warnings  []string // what was overridden in the URI
	LastError string   // empty when nothing failed since the last connect
}

// Status returns how the Source stands. It does no I/O.
func (s *Source) Status() Status {
	st := Status{URI: s.URI(), Origin: s.Origin(), Database: s.Database()}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.State, st.Since, st.Warnings = Closed, s.since, slices.Clone(s.warned)
	if s.err != nil {
		st.LastError = s.redactor.Text(s.err.Error())
	}
	l := s.link
	if l == nil || l.taken {
		if s.failed {
			st.State = Unreachable
		}
		return st
	}
	st.References = l.refs
	st.Pool = l.facts.pool.snapshot()
	if v := l.version.Load(); v != nil {
		st.ServerVersion = *v
	}
	l.facts.fill(&st)
	if !l.opened {
		st.State, st.Since = Connecting, s.since
	}
	if err := l.facts.lastFailure(); err != nil {
		st.LastError = s.redactor.Text(err.Error())
	}
	return st
}

func (f *facts) fill(st *Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st.State, st.Since, st.Topology, st.ReplicaSet = f.state, f.since, f.topology.Kind, f.topology.SetName
	for _, server := range f.topology.Servers {
		st.Hosts = append(st.Hosts, server.Addr.String())
		switch server.Kind {
		case kindPrimary:
			st.Primary = server.Addr.String()
			st.Transactions = true
		case kindStandalone:
			st.Standalone = true
		case kindMongos, kindLoadBalancer:
			st.Transactions = true
		}
		if server.SetName != "" {
			st.ReplicaSet, st.Transactions = server.SetName, true
		}
	}
	slices.Sort(st.Hosts)
}
