package conn

import "log/slog"

// report starts the goroutine that tells of changes. It lives as long as the
// link; facts.end waits for it. Without anybody to tell there is none.
func (s *Source) report(l *link) {
	if s.cfg.Log == nil && s.cfg.OnChange == nil {
		return
	}
	l.facts.signal()
	l.facts.reports.Go(func() {
		for {
			select {
			case <-l.facts.changed:
				s.tell()
			case <-l.facts.ended:
				s.tell()
				return
			}
		}
	})
}

// tell reports the Source's state if it is another one than it told last. It
// runs on a goroutine of its own since log handlers and callbacks may use the
// client, which the driver's monitors must not.
func (s *Source) tell() {
	s.reporting.Lock()
	defer s.reporting.Unlock()
	st, old := s.Status(), s.reported
	if old.State == "" {
		old.State = Closed
	}
	if st.State == old.State && (st.Primary == old.Primary || st.State != Connected) {
		return
	}
	s.reported = st
	s.logChange(st, old)
	if s.cfg.OnChange != nil {
		s.cfg.OnChange(st)
	}
}

func (s *Source) logChange(st, old Status) {
	attrs := []any{slog.String("uri", st.URI), slog.String("database", st.Database)}
	switch st.State {
	case Connecting:
		s.log.Debug("connecting to MongoDB", append(attrs, slog.String("origin", st.Origin))...)
	case Connected:
		if st.Primary != "" {
			attrs = append(attrs, slog.String("primary", st.Primary), slog.String("replica_set", st.ReplicaSet))
		}
		s.log.Info("connected to MongoDB", attrs...)
	case NoPrimary, Unreachable:
		s.log.Warn("MongoDB: "+string(st.State), append(attrs, slog.String("error", st.LastError))...)
	case Closed:
		s.log.Debug("disconnected from MongoDB", append(attrs, slog.String("before", string(old.State)))...)
	}
}
