package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// Server is one process's use of a mongod. Its methods may be called from
// several goroutines.
type Server struct {
	opts   Options
	dir    layout
	joined bool
	spec   spec

	mu    sync.Mutex
	users *flock.Flock // nil once stopped
}

// URI returns the address for a client, without a database. It names the
// replica set rather than asking for a direct connection: with one host that
// costs no further round trip, and a client then waits for the primary instead
// of failing when the server restarts or steps down.
func (s *Server) URI() string {
	if s.spec.Standalone {
		return fmt.Sprintf("mongodb://127.0.0.1:%d/?directConnection=true", s.spec.Port)
	}
	return fmt.Sprintf("mongodb://127.0.0.1:%d/?replicaSet=%s", s.spec.Port, replicaSet)
}

// Port returns the TCP port on 127.0.0.1.
func (s *Server) Port() int { return s.spec.Port }

// Dir returns the directory of the server's files, data and log included.
func (s *Server) Dir() string { return string(s.dir) }

// Joined says that the server was running already, for another user.
func (s *Server) Joined() bool { return s.joined }

// PID returns the process number of the mongod now running, or 0.
func (s *Server) PID() int {
	r, err := s.dir.record()
	if err != nil || !r.alive() {
		return 0
	}
	return r.PID
}

// Logs returns the lines of mongod's log since its last start, at most the last 2,000.
func (s *Server) Logs() []string { return s.dir.tail(2000) }

// Stop ends this use of the server, and the server with it when nobody else
// uses it; Stop then returns once mongod has gone, and a private directory with
// it. A second Stop does nothing. When ctx ends while mongod shuts down, Stop
// returns its error and the watcher finishes alone.
//
// Stopping the last use of a persistent server takes a second, which mongod
// spends on waiting for its own threads. A private one is simply killed.
func (s *Server) Stop(ctx context.Context) error {
	left, err := s.leave()
	switch {
	case !left:
		return nil
	case s.opts.Dir == "":
		return errors.Join(err, wipe(ctx, s.dir))
	}
	return errors.Join(err, settle(ctx, s.dir))
}

// Leave is Stop without the wait, for a program that is about to exit: the
// watcher shuts mongod down in its own time, and whoever starts a server on
// the same Dir meanwhile waits for that.
func (s *Server) Leave() error {
	_, err := s.leave()
	return err
}

// leave lets the users lock go. It returns false when that was done before.
func (s *Server) leave() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == nil {
		return false, nil
	}
	err := s.users.Close()
	s.users = nil
	return true, err
}

// settle waits for the watcher to finish, unless others still use the server.
func settle(ctx context.Context, l layout) error {
	for watched(l) {
		if shared(l) {
			return nil
		}
		if err := pause(ctx, readyPoll); err != nil {
			return err
		}
	}
	return nil
}

// shared says whether somebody holds the users lock in common with us. Between
// two probes the watcher may get it; a third one tells that case apart.
func shared(l layout) bool {
	probe := flock.New(l.usersLock())
	defer probe.Close() //nolint:errcheck // nothing was written
	common := func() bool {
		ok, err := probe.TryRLock()
		_ = probe.Unlock()
		return ok && err == nil
	}
	if !common() {
		return false // the watcher has it
	}
	if ok, err := probe.TryLock(); ok || err != nil {
		return false // nobody has it: the watcher is about to get it
	}
	return common()
}

// wipe waits for the watcher of a private directory to go, and removes what
// is left when there was no watcher to do it.
func wipe(ctx context.Context, l layout) error {
	for watched(l) {
		if err := pause(ctx, readyPoll); err != nil {
			return err
		}
	}
	return os.RemoveAll(string(l))
}

// process returns the running mongod.
func (s *Server) process() (*os.Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == nil {
		return nil, ErrStopped
	}
	if r, err := s.dir.record(); err == nil {
		if p := r.process(); p != nil {
			return p, nil
		}
	}
	return nil, &Error{What: "no mongod to act on", Why: "it is not running", Fix: "call Restart", Err: ErrExited}
}

// Freeze stops mongod in its tracks (SIGSTOP): connections stay open and
// nothing answers, as on a machine that hangs. It returns when that is so.
func (s *Server) Freeze() error {
	p, err := s.process()
	if err != nil {
		return err
	}
	defer p.Release() //nolint:errcheck // nothing to do
	if err := freeze(p); err != nil {
		return err
	}
	for begun := time.Now(); !frozen(p.Pid); {
		if time.Since(begun) > stopGrace {
			return &Error{What: "mongod does not freeze", Why: "not all of its threads have stopped", Fix: "call Kill", Err: ErrExited}
		}
		<-time.After(time.Millisecond)
	}
	return nil
}

// Thaw lets a frozen mongod go on.
func (s *Server) Thaw() error {
	p, err := s.process()
	if err != nil {
		return err
	}
	defer p.Release() //nolint:errcheck // nothing to do
	thaw(p)
	return nil
}

// Kill ends mongod at once (SIGKILL), as a power cut would, and returns when
// it is gone. Use [Server.Restart] to bring it back.
func (s *Server) Kill() error {
	p, err := s.process()
	if err != nil {
		return err
	}
	defer p.Release() //nolint:errcheck // nothing to do
	if err := p.Kill(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	return s.unwatched(ctx)
}

// unwatched waits until mongod's watcher has seen it go and has ended too.
func (s *Server) unwatched(ctx context.Context) error {
	for watched(s.dir) {
		if err := pause(ctx, readyPoll); err != nil {
			return err
		}
	}
	return nil
}

// Restart shuts mongod down, if it runs, and starts it again on the same port
// and data. Clients of the same URI find it again by themselves.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	stopped := s.users == nil
	s.mu.Unlock()
	if stopped {
		return ErrStopped
	}
	start := flock.New(s.dir.startLock())
	if err := lockOr(ctx, start.TryLockContext, s.dir.startLock()); err != nil {
		return err
	}
	defer start.Close() //nolint:errcheck // nothing was written
	if err := s.shut(ctx); err != nil {
		return err
	}
	if err := s.bury(ctx); err != nil {
		return err
	}
	if err := recheck(s.spec.Binary); err != nil {
		return err
	}
	return s.spawn(ctx)
}

// shut ends mongod gently, if it runs, and waits for its watcher to end too.
func (s *Server) shut(ctx context.Context) error {
	if r, err := s.dir.record(); err == nil {
		if p := r.process(); p != nil {
			thaw(p)
			err = terminate(p)
			_ = p.Release()
			if err != nil {
				return err
			}
		}
	}
	return s.unwatched(ctx)
}

// FailPoint sends a configureFailPoint command, such as
//
//	bson.D{{"configureFailPoint", "failCommand"}, {"mode", bson.D{{"times", 1}}}, {"data", …}}
//
// The server must have been started with "--setParameter", "enableTestCommands=1".
func (s *Server) FailPoint(ctx context.Context, doc bson.D) error {
	client, err := s.direct()
	if err != nil {
		return err
	}
	defer client.Disconnect(context.WithoutCancel(ctx)) //nolint:errcheck // nothing to do
	if err := client.Database("admin").RunCommand(ctx, doc).Err(); err != nil {
		return &Error{
			What: "cannot set the fail point", Why: err.Error(),
			Fix: `start the server with Args "--setParameter", "enableTestCommands=1"`, Err: err,
		}
	}
	return nil
}
