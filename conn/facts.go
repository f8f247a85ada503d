package conn

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// The driver's names for kinds of servers.
const (
	kindStandalone   = "Standalone"
	kindPrimary      = "RSPrimary"
	kindSecondary    = "RSSecondary"
	kindGhost        = "RSGhost"
	kindMongos       = "Mongos"
	kindLoadBalancer = "LoadBalancer"
	kindUnknown      = "Unknown"

	topologySingle = "Single"
)

// facts is what the driver's monitors tell about one client. Asking the server
// would cost a round trip; this is known anyway.
//
// The driver calls its monitors while it holds locks, so they only take notes.
type facts struct {
	pool poolCounters

	mu       sync.Mutex
	topology event.TopologyDescription
	failures map[string]error                   // by host, since it last answered
	members  map[string]event.ServerDescription // by host, what it last answered
	wantSet  string                             // the URI's replicaSet
	wantTLS  bool
	state    State
	since    time.Time
	last     error
	giveUp   context.CancelCauseFunc // ends a connect that cannot succeed; nil after it

	changed chan struct{} // holds one signal for the reporter
	ended   chan struct{}
	endOnce sync.Once
	reports sync.WaitGroup
}

func newFacts() *facts {
	return &facts{
		failures: make(map[string]error),
		members:  make(map[string]event.ServerDescription),
		state:    Connecting,
		since:    time.Now(),
		changed:  make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
}

// begin notes what the client is asked to find.
func (f *facts) begin(o *options.ClientOptions) *options.ClientOptions {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wantTLS = o.TLSConfig != nil
	if o.ReplicaSet != nil {
		f.wantSet = *o.ReplicaSet
	}
	return o
}

// hope makes giveUp end an attempt to connect as soon as it cannot succeed.
func (f *facts) hope(giveUp context.CancelCauseFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.giveUp = giveUp
	f.judge()
}

// settle ends the judging: from here on the driver is left to recover.
func (f *facts) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.giveUp = nil
}

func (f *facts) monitor() *event.ServerMonitor {
	return &event.ServerMonitor{
		TopologyDescriptionChanged: f.topologyChanged,
		ServerHeartbeatSucceeded:   f.heartbeatSucceeded,
		ServerHeartbeatFailed:      f.heartbeatFailed,
	}
}

func (f *facts) topologyChanged(e *event.TopologyDescriptionChangedEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(e.NewDescription.Servers) == 0 && e.NewDescription.Kind == kindUnknown {
		// The client is being disconnected.
		return
	}
	f.topology = e.NewDescription
	if state := stateOf(e.NewDescription); state != f.state {
		f.state, f.since = state, time.Now()
	}
	f.judge()
	f.signal()
}

func (f *facts) heartbeatSucceeded(e *event.ServerHeartbeatSucceededEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	host := hostOf(e.ConnectionID)
	delete(f.failures, host)
	f.members[host] = e.Reply
	f.judge()
}

func (f *facts) heartbeatFailed(e *event.ServerHeartbeatFailedEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	host := hostOf(e.ConnectionID)
	delete(f.members, host)
	f.failures[host] = e.Failure
	f.last = e.Failure
	f.judge()
}

// hostOf cuts the number of the connection off: "db1:27017[-4]".
func hostOf(connectionID string) string {
	if i := strings.LastIndex(connectionID, "[-"); i >= 0 {
		return connectionID[:i]
	}
	return connectionID
}

// judge gives up a connect when every host has failed for good: without it, a
// misspelled host would keep its user waiting for the whole server selection.
func (f *facts) judge() {
	if f.giveUp == nil {
		return
	}
	hosts := f.hosts()
	for _, host := range hosts {
		err, failed := f.failures[host]
		switch {
		case failed && hopeless(err), f.foreign(host):
		default:
			return
		}
	}
	if len(hosts) > 0 {
		f.giveUp(errHopeless)
		f.giveUp = nil
	}
}

// foreign reports whether a host belongs to another replica set than the URI
// asks for, or to none.
func (f *facts) foreign(host string) bool {
	m, ok := f.members[host]
	return ok && f.wantSet != "" && m.SetName != f.wantSet && m.Kind != kindGhost
}

// hosts lists the deployment's hosts. A member of the wrong replica set is no
// longer part of the topology, so those that answered or failed are added.
func (f *facts) hosts() []string {
	var hosts []string
	for _, server := range f.topology.Servers {
		hosts = append(hosts, server.Addr.String())
	}
	for host := range f.failures {
		hosts = append(hosts, host)
	}
	for host := range f.members {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func stateOf(t event.TopologyDescription) State {
	state := Unreachable
	for _, server := range t.Servers {
		switch server.Kind {
		case kindPrimary, kindStandalone, kindMongos, kindLoadBalancer:
			return Connected
		case kindUnknown, "":
		default:
			state = NoPrimary
		}
	}
	return state
}

func (f *facts) reachable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state == Connected
}

func (f *facts) lastFailure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *facts) transactions() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.topology.Servers, func(s event.ServerDescription) bool {
		return strings.HasPrefix(s.Kind, "RS") || s.Kind == kindMongos || s.Kind == kindLoadBalancer
	})
}

// signal wakes the reporter. A signal that is not yet seen stands for this one
// too.
func (f *facts) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// end stops the reporter and waits for it.
func (f *facts) end() {
	f.endOnce.Do(func() { close(f.ended) })
	f.reports.Wait()
}
