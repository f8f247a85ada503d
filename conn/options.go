package conn

import (
	"errors"
	"fmt"
	"net"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// options builds the driver's options: URI, then Config, then the hook, then
// what must hold whatever those say.
func (s *Source) options(f *facts) (*options.ClientOptions, error) {
	o := options.Client().ApplyURI(s.address().uri)
	if err := o.Validate(); err != nil {
		return nil, s.uriError(err)
	}
	s.applyConfig(o)
	if s.cfg.ClientOptions != nil {
		s.cfg.ClientOptions(o)
	}
	if o.Auth != nil {
		s.redactor.Add(o.Auth.Password)
	}
	s.insist(o)
	watchPool(o, f)
	watchServers(o, f)
	if err := o.Validate(); err != nil {
		return nil, s.uriError(err)
	}
	return o, nil
}

func (s *Source) uriError(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return s.newError(DNS, s.redactor.Error(err), 0, "the SRV record of "+dns.Name+" cannot be resolved: "+dns.Err)
	}
	err = parseError(err, s.address().uri, s.redactor)
	return s.newError(BadURI, err, 0, err.Error())
}

func (s *Source) applyConfig(o *options.ClientOptions) {
	c := s.cfg
	switch {
	case c.AppName != "":
		o.SetAppName(c.AppName)
	case o.AppName == nil:
		o.SetAppName(DefaultAppName)
	}
	switch {
	case c.PoolSize != 0:
		o.SetMaxPoolSize(c.PoolSize)
	case o.MaxPoolSize == nil:
		size := uint64(DefaultPoolSize)
		if o.MinPoolSize != nil {
			size = max(size, *o.MinPoolSize)
		}
		o.SetMaxPoolSize(size)
	}
	o.SetServerSelectionTimeout(pick(c.ServerSelectionTimeout, o.ServerSelectionTimeout, DefaultServerSelectionTimeout))
	o.SetHeartbeatInterval(pick(c.HeartbeatInterval, o.HeartbeatInterval, DefaultHeartbeatInterval))
	if o.ServerMonitoringMode == nil {
		// Streaming would hold two connections more per server for the sake of hearing of a failover without asking.
		// An operation that meets one looks at once, and otherwise the heartbeat does.
		o.SetServerMonitoringMode("poll")
	}
	o.SetConnectTimeout(pick(0, o.ConnectTimeout, DefaultConnectTimeout))
	if c.Timeout >= 0 {
		o.SetTimeout(pick(c.Timeout, o.Timeout, DefaultTimeout))
	} else {
		o.Timeout = nil
	}
	if c.Monitor != nil {
		o.SetMonitor(c.Monitor)
	}
}

// pick returns the Config's value, else the URI's, else the default.
func pick(config time.Duration, uri *time.Duration, fallback time.Duration) time.Duration {
	switch {
	case config > 0:
		return config
	case uri != nil:
		return *uri
	default:
		return fallback
	}
}

// insist sets what Rikki's promises rest on. A write that one server has
// acknowledged can be rolled back after a failover, and with it a run's record.
func (s *Source) insist(o *options.ClientOptions) {
	var warnings []string
	override := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }

	majority := writeconcern.Majority()
	if wc := o.WriteConcern; wc != nil {
		if wc.W != nil && wc.W != "majority" {
			override("write concern w=%v is overridden with majority", wc.W)
		}
		if wc.Journal != nil {
			if *wc.Journal {
				majority.Journal = wc.Journal
			} else {
				override("write concern journal=false is overridden")
			}
		}
	}
	o.SetWriteConcern(majority)

	switch rc := o.ReadConcern; {
	case rc == nil || rc.Level == "":
		o.SetReadConcern(readconcern.Majority())
	case rc.Level != "majority" && rc.Level != "linearizable":
		override("read concern %s is overridden with majority", rc.Level)
		o.SetReadConcern(readconcern.Majority())
	}

	if o.RetryWrites != nil && !*o.RetryWrites {
		override("retryWrites=false is overridden")
	}
	o.SetRetryWrites(true)

	s.mu.Lock()
	first := s.warned == nil
	s.warned = append([]string{}, warnings...)
	s.mu.Unlock()
	if first {
		for _, warning := range warnings {
			s.log.Warn("MongoDB URI: "+warning, "uri", s.URI(), "origin", s.Origin())
		}
	}
}

// watchPool and watchServers put the Source's monitors before those that the
// hook may have set.
func watchPool(o *options.ClientOptions, f *facts) {
	own, users := f.pool.monitor(), o.PoolMonitor
	if users != nil && users.Event != nil {
		count := own.Event
		own.Event = func(e *event.PoolEvent) { count(e); users.Event(e) }
	}
	o.SetPoolMonitor(own)
}

func watchServers(o *options.ClientOptions, f *facts) {
	own := f.monitor()
	if users := o.ServerMonitor; users != nil {
		all := *users
		all.TopologyDescriptionChanged = both(own.TopologyDescriptionChanged, users.TopologyDescriptionChanged)
		all.ServerHeartbeatSucceeded = both(own.ServerHeartbeatSucceeded, users.ServerHeartbeatSucceeded)
		all.ServerHeartbeatFailed = both(own.ServerHeartbeatFailed, users.ServerHeartbeatFailed)
		own = &all
	}
	o.SetServerMonitor(own)
}

func both[E any](own, users func(*E)) func(*E) {
	if users == nil {
		return own
	}
	return func(e *E) { own(e); users(e) }
}
