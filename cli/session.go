package cli

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/params"
)

// closeTimeout bounds the end of a session: disconnecting, and stopping the embedded server.
const closeTimeout = 20 * time.Second

// lateAfter is when a person begins to wonder what a silent program is waiting for.
const lateAfter = 300 * time.Millisecond

// session is what a command needs to work: the app that runs scripts and reads the history and, where nothing else
// was given, the embedded server behind it.
type session struct {
	p      *program
	target target
	server *embedded.Server
	runs   *rikki.App

	connected atomic.Bool // there has been a connection
}

// offline returns the app for questions that need no connection.
func (p *program) offline() (*rikki.App, error) {
	if p.known != nil {
		return p.known, nil
	}
	cfg := p.app.Config
	cfg.Actor = "nobody" // spares looking up the user
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = p.env.Lookup
	}
	app, err := p.newApp(cfg)
	if err == nil {
		err = p.clashes(app)
	}
	if err != nil {
		return nil, err
	}
	p.known = app
	return app, nil
}

func (p *program) newApp(cfg rikki.Config) (*rikki.App, error) {
	app := rikki.New(&cfg)
	if err := app.Add(p.app.Scripts...); err != nil {
		return nil, &problemError{
			What: "the scripts of this program can't be used", Why: err.Error(), Code: ExitUsage,
			Fix: "correct the scripts' Go code", Err: err,
		}
	}
	return app, addBuiltins(app)
}

// clashes refuses scripts with a parameter that is named like a flag of the command line. Whichever of the two won,
// somebody would set the other without noticing.
func (p *program) clashes(app *rikki.App) error {
	global, err := p.globalSpec()
	if err != nil {
		return err
	}
	run, err := p.runSpec()
	if err != nil {
		return err
	}
	for _, script := range app.Scripts() {
		if names := params.Clash(global, run, script.Params); len(names) > 0 {
			return &problemError{
				What: "script " + script.Name + " can't have a parameter named " + names[0], Code: ExitUsage,
				Why: "--" + names[0] + " is a flag of the command line itself",
				Fix: "rename the field, or give it another name with the tag params:\"…\"",
			}
		}
	}
	return nil
}

// open finds MongoDB, starting the embedded server if that is what it takes. It doesn't connect yet: the first use
// does.
func (p *program) open(ctx context.Context, change func(*rikki.Config)) (*session, error) {
	to, err := p.target()
	if err != nil {
		return nil, err
	}
	s := &session{p: p, target: to}
	if to.embedded {
		if s.server, err = p.startEmbedded(ctx, to.dir); err != nil {
			return nil, err
		}
		s.target.uri, s.target.origin = s.server.URI(), "embedded"
	}
	cfg := s.config()
	if change != nil {
		change(&cfg)
	}
	if s.runs, err = p.newApp(cfg); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// config completes the app's own configuration.
func (s *session) config() rikki.Config {
	p, to := s.p, s.target
	cfg := p.app.Config
	cfg.Conn.URI, cfg.Conn.Origin = to.uri, to.origin
	cfg.Conn.Getenv = func(string) string { return "" } // the target is the whole truth
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = p.env.Lookup
	}
	if to.database != "" {
		cfg.Conn.Database = to.database
	}
	if p.flags.ConnectTimeout > 0 {
		cfg.Conn.ServerSelectionTimeout = p.flags.ConnectTimeout
		cfg.Conn.ConnectFor = p.flags.ConnectTimeout
	}
	if cfg.Actor == "" {
		cfg.Actor = p.env.Get("RIKKI_ACTOR")
	}
	if cfg.Log == nil {
		cfg.Log = p.runLog()
	}
	if cfg.Conn.Log == nil {
		cfg.Conn.Log = p.connLog(&s.connected)
	}
	return cfg
}

// close ends the session, whatever became of the context.
func (s *session) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	var errs []error
	if s.runs != nil {
		errs = append(errs, s.runs.Close(ctx))
	}
	if s.server != nil {
		errs = append(errs, s.server.Stop(ctx))
	}
	return errors.Join(errs...)
}

// with opens a session for fn and closes it. A failure to close is told in passing: the work is done.
func (p *program) with(ctx context.Context, fn func(s *session) error) error {
	s, err := p.open(ctx, func(cfg *rikki.Config) { cfg.Conn.KeepOpen = true })
	if err != nil {
		return causeOf(ctx, err)
	}
	quiet := s.announce(lateAfter)
	err = causeOf(ctx, fn(s))
	quiet()
	if closeErr := s.close(ctx); closeErr != nil {
		p.term.Warn("closing the connection: %v", closeErr)
	}
	return err
}

// announce says where it connects to: after a while that this takes, or at once. Call the result when it has connected.
func (s *session) announce(after time.Duration) (stop func()) {
	if s.server != nil {
		return func() {} // that has been told
	}
	tell := func() { s.p.term.Note("Connecting to %s (from %s)", s.runs.Conn().URI(), s.target.origin) }
	if after == 0 {
		tell()
		return func() {}
	}
	timer := time.AfterFunc(after, func() {
		if s.runs.Conn().Status().State != conn.Connected {
			tell()
		}
	})
	return func() { timer.Stop() }
}

// where names the database and the server for people: "shop@rs0".
func (s *session) where() string {
	st := s.runs.Conn().Status()
	server := st.ReplicaSet
	switch {
	case s.server != nil:
		server = "embedded"
	case server == "" && len(st.Hosts) > 0:
		server = st.Hosts[0]
	}
	if server == "" {
		return st.Database
	}
	return st.Database + "@" + server
}
