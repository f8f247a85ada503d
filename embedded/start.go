package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/gofrs/flock"
)

// lockPoll is how often a lock held by another process is tried again.
const lockPoll = 5 * time.Millisecond

// portTries is how many ports are tried when others take them first.
const portTries = 5

// Start returns a running server: the one that other processes already use on
// the same Dir, or a new one. When ctx ends first, nothing is left behind. The
// caller must call [Server.Stop]; should it die before, the kernel tells the
// watcher and the server ends all the same.
func Start(ctx context.Context, opts *Options) (*Server, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return startPrivate(ctx, o)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	l := layout(dir)
	if err := l.make(); err != nil {
		return nil, &Error{
			What: "cannot use " + dir + " for the embedded server", Why: err.Error(),
			Fix: "choose a directory that you may write to", Err: err,
		}
	}
	users := flock.New(l.usersLock())
	return open(ctx, o, l, users)
}

func startPrivate(ctx context.Context, o Options) (*Server, error) {
	l, users, err := newPrivate()
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, o, l, users)
	if err != nil {
		// The watcher removes the directory, unless there never was one.
		return nil, errors.Join(err, wipe(context.WithoutCancel(ctx), l))
	}
	return s, nil
}

// open joins or starts the server of a directory. It returns with the users
// lock shared, or with an error and the lock released.
func open(ctx context.Context, o Options, l layout, users *flock.Flock) (_ *Server, err error) {
	defer func() {
		if err != nil {
			_ = users.Close()
		}
	}()
	start := flock.New(l.startLock())
	if err := lockOr(ctx, start.TryLockContext, l.startLock()); err != nil {
		return nil, err
	}
	defer start.Close() //nolint:errcheck // nothing was written
	// The watcher of a server that is being stopped holds this one: wait for it.
	if !users.RLocked() {
		if err := lockOr(ctx, users.TryRLockContext, l.usersLock()); err != nil {
			return nil, err
		}
	}
	s := &Server{opts: o, dir: l, users: users}
	s.joined, err = s.join(ctx)
	if err != nil {
		return nil, err
	}
	if !s.joined {
		if err := s.begin(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func lockOr(ctx context.Context, lock func(context.Context, time.Duration) (bool, error), path string) error {
	if ok, err := lock(ctx, lockPoll); err != nil || !ok {
		return fmt.Errorf("wait for %s: %w", path, err)
	}
	return nil
}

// join takes over a server that has a watcher. It returns false when there is
// none, after the last traces of a former one have gone.
func (s *Server) join(ctx context.Context) (bool, error) {
	for {
		if !watched(s.dir) {
			return false, s.bury(ctx)
		}
		// Present as soon as there is a mongod, absent while its watcher leaves.
		if r, err := s.dir.record(); err == nil && r.alive() {
			s.spec = r.Spec
			if err := s.ready(ctx); err == nil {
				return true, nil
			} else if watched(s.dir) {
				return false, err
			}
		}
		if err := pause(ctx, lockPoll); err != nil {
			return false, err
		}
	}
}

// watched says whether a watcher lives.
func watched(l layout) bool {
	probe := flock.New(l.watcherLock())
	ok, err := probe.TryRLock()
	if ok {
		_ = probe.Close()
	}
	return err == nil && !ok
}

// bury waits until the mongod of a killed watcher is gone: the kernel is
// killing it on Linux, elsewhere it is ended here.
func (s *Server) bury(ctx context.Context) error {
	r, err := s.dir.record()
	if err != nil {
		return nil //nolint:nilerr // no record, no mongod
	}
	if p := r.process(); p != nil {
		_ = p.Kill()
		_ = p.Release()
	}
	for r.alive() {
		if err := pause(ctx, lockPoll); err != nil {
			return err
		}
	}
	return os.Remove(s.dir.server())
}

// begin starts a mongod under a new watcher, on another port when the chosen one was taken meanwhile.
func (s *Server) begin(ctx context.Context) error {
	binary, err := Locate(ctx, &s.opts)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		port := s.opts.Port
		if port == 0 {
			if port, err = pickPort(ctx, s.dir); err != nil {
				return err
			}
		}
		err = s.beginOn(ctx, binary.Path, port)
		var exit *ExitError
		if s.opts.Port != 0 || try == portTries || !errors.As(err, &exit) || exit.Code != exitPortTaken {
			return err
		}
		s.opts.Log.DebugContext(ctx, "port was taken, trying another", "port", port)
	}
}

func (s *Server) beginOn(ctx context.Context, binary string, port int) error {
	s.spec = spec{
		Dir: string(s.dir), Binary: binary, Args: s.arguments(port), Port: port,
		Standalone: s.opts.Standalone, Private: s.opts.Dir == "",
	}
	former := s.dir.formerPort()
	if s.opts.Standalone {
		if former == 0 {
			return errors.Join(s.spawn(ctx), s.dir.keepPort(port))
		}
		return s.spawn(ctx)
	}
	// The file must name the port in the set's configuration whenever we are
	// killed: it is written before there is one, and after it was changed.
	if former != 0 && former != port {
		set := s.spec
		s.spec.Standalone, s.spec.Private = true, false
		s.spec.Args = plain(set.Args)
		if err := s.move(ctx, port); err != nil {
			return err
		}
		s.spec = set
	}
	if former != port {
		if err := s.dir.keepPort(port); err != nil {
			return err
		}
	}
	return s.spawn(ctx)
}

// arguments returns mongod's command line.
func (s *Server) arguments(port int) []string {
	args := []string{
		"--dbpath", s.dir.data(), "--port", strconv.Itoa(port), "--bind_ip", "127.0.0.1",
		"--wiredTigerCacheSizeGB", "0.25",
		// Full-time diagnostics cost disk and time and help nobody here.
		"--setParameter", "diagnosticDataCollectionEnabled=false",
		"--quiet",
	}
	if runtime.GOOS != "windows" {
		args = append(args, "--nounixsocket")
	}
	args = append(args, s.opts.Args...)
	if !s.opts.Standalone {
		args = append(args, setArgs()...)
	}
	return args
}

// setArgs are the last arguments of a member of a replica set.
func setArgs() []string {
	return []string{
		"--oplogSize", "256",
		// Or a stopping primary waits 15 s for clients to go elsewhere.
		"--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0",
		"--replSet", replicaSet,
	}
}

// plain returns the arguments without those of a replica set.
func plain(args []string) []string { return args[:len(args)-len(setArgs())] }

// spawn runs the watcher for s.spec and waits until its mongod can be written to.
func (s *Server) spawn(ctx context.Context) error {
	begun := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.StartTimeout, s.timeout())
	defer cancel()
	r, err := s.startWatcher(ctx)
	if err != nil {
		return err
	}
	s.opts.seams.reach("spawned")
	switch {
	case r.Busy: // one that a killed starter had left half-way
		return s.adopt(ctx)
	case r.Error != "":
		return &Error{What: "cannot start mongod", Why: r.Error, Fix: hint(r.Error), Err: ErrExited}
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	s.opts.Log.DebugContext(ctx, "mongod started", "binary", s.spec.Binary, "dir", string(s.dir), "port", s.spec.Port, "took", time.Since(begun))
	return nil
}

func (s *Server) adopt(ctx context.Context) error {
	ok, err := s.join(ctx)
	if err == nil && !ok {
		err = &Error{
			What: "cannot start mongod", Why: "the server that another process had begun ended",
			Fix: "try again", Err: ErrExited,
		}
	}
	return err
}

// startWatcher re-executes this program and returns the watcher's report.
func (s *Server) startWatcher(ctx context.Context) (report, error) {
	first := s.spec
	first.Detach = true
	cmd, err := watcherCommand(ctx, first)
	if err != nil {
		return report{}, reexecError(err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		return report{}, err
	}
	defer in.Close() //nolint:errcheck // only read
	cmd.Stdout = out
	err = cmd.Run() // it ends as soon as it has started the real watcher
	_ = out.Close()
	if ctx.Err() != nil {
		return report{}, context.Cause(ctx)
	}
	if err != nil && cmd.ProcessState == nil {
		return report{}, reexecError(err)
	}
	if d, ok := ctx.Deadline(); ok {
		_ = in.SetReadDeadline(d)
	}
	stop := context.AfterFunc(ctx, func() { _ = in.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := bufio.NewReader(in).ReadBytes('\n')
	if ctx.Err() != nil {
		return report{}, context.Cause(ctx)
	}
	if err != nil {
		return report{}, reexecError(errors.New("it did not report"))
	}
	var r report
	if err := json.Unmarshal(line, &r); err != nil {
		return report{}, reexecError(fmt.Errorf("it printed %q", line))
	}
	return r, nil
}

func reexecError(err error) error {
	return &Error{
		What: "cannot start the watcher of the embedded server",
		Why:  "this program could not be started a second time: " + err.Error(),
		Fix:  "check that its file is still there and executable and that no other package's init prints or exits",
		Err:  err,
	}
}

// pause waits without outliving the context.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
