package rikki

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"reflect"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/redact"
	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/params"
)

// Config configures an [App]. The zero value is fine.
type Config struct {
	// Conn says where MongoDB is. The zero value takes the URI from the
	// environment, as [conn.Config] describes.
	Conn conn.Config

	// HistoryDatabase is the database of Rikki's own collections on the same
	// cluster. Default "rikki".
	HistoryDatabase string

	// NoHistory turns the run history off, and with it leases and
	// [Options.Concurrency].
	NoHistory bool

	// LeaseTTL is how long a run counts as alive without a sign of life of
	// its process. Default 15 s, at least 3 s.
	LeaseTTL time.Duration

	// Log receives the records of the app and of all runs. nil discards them;
	// the history keeps those of the runs anyway.
	Log *slog.Logger

	// Observers are told of the events of all runs.
	Observers []Observer

	// Retention says how long runs are kept, for all scripts whose
	// [Options.Retention] says nothing else.
	Retention Retention

	// LookupEnv finds the secrets of runs that begin from the history, such as
	// queued ones. Default: [os.LookupEnv].
	LookupEnv func(name string) (value string, ok bool)

	// Actor says who starts runs. Default: the environment variable
	// RIKKI_ACTOR, else the user of the operating system.
	Actor string
}

// DefaultHistoryDatabase is the default of [Config.HistoryDatabase].
const DefaultHistoryDatabase = "rikki"

const (
	defaultLeaseTTL = 15 * time.Second
	minLeaseTTL     = 3 * time.Second
)

func (c Config) withDefaults() Config {
	c.HistoryDatabase = cmp.Or(c.HistoryDatabase, DefaultHistoryDatabase)
	c.LeaseTTL = max(cmp.Or(c.LeaseTTL, defaultLeaseTTL), minLeaseTTL)
	c.Conn.AppName = cmp.Or(c.Conn.AppName, "rikki")
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Conn.Log == nil {
		c.Conn.Log = c.Log
	}
	if c.Actor == "" {
		c.Actor = currentActor()
	}
	return c
}

func currentActor() string {
	if actor := os.Getenv("RIKKI_ACTOR"); actor != "" {
		return actor
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return cmp.Or(os.Getenv("USER"), "unknown")
}

// App knows a set of scripts and runs them. Create it with [New]. Its methods
// may be called from several goroutines.
type App struct {
	cfg      Config
	source   *conn.Source // of the scripts
	history  *conn.Source // of Rikki's own collections; nil without history
	monitor  *monitor
	redactor *redact.Redactor
	owner    store.Owner

	mu      sync.Mutex
	entries map[string]*entry
	names   []string // in the order of Add
	closed  bool
	runs    sync.WaitGroup
}

// entry is one script that the app knows.
type entry struct {
	name  string
	proto Script
	spec  *params.Spec
	opts  Options
}

// New returns an app without scripts. It does no input or output. nil is a
// fine config.
func New(cfg *Config) *App {
	if cfg == nil {
		cfg = &Config{}
	}
	c := cfg.withDefaults()
	a := &App{
		cfg:      c,
		monitor:  newMonitor(c.Conn.Monitor),
		redactor: redact.New(),
		entries:  make(map[string]*entry),
		owner:    store.Owner{PID: os.Getpid(), Instance: rand.Text()},
	}
	a.owner.Host, _ = os.Hostname()

	scripts := c.Conn
	scripts.Monitor = a.monitor.commandMonitor()
	a.source = conn.New(scripts)
	a.source.Secrets(a.redactor.Add)
	if !c.NoHistory {
		a.history = conn.New(a.historyConfig())
	}
	return a
}

// historyConfig describes the small pool of Rikki's own, so that a script that
// uses up its connections can't starve the run's lease.
func (a *App) historyConfig() conn.Config {
	h := a.cfg.Conn
	h.Database = a.cfg.HistoryDatabase
	h.AppName += "-history"
	h.PoolSize = 2
	h.Timeout = historyTimeout
	h.Monitor = a.monitor.keeping()
	h.Log = slog.New(slog.DiscardHandler) // the scripts' connection says it all already
	return h
}

// historyTimeout bounds every operation on Rikki's own collections. It is
// below the lease's time to live, so that one hanging call can't lose it.
const historyTimeout = 5 * time.Second

// Add makes scripts known. The error lists every problem of every script:
// fields that can't be parameters, names that aren't valid or taken.
func (a *App) Add(scripts ...Script) error {
	var errs []error
	for _, script := range scripts {
		e, err := newEntry(script)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := a.register(e); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// MustAdd is like [App.Add] but panics on an error. It returns the app.
func (a *App) MustAdd(scripts ...Script) *App {
	if err := a.Add(scripts...); err != nil {
		panic(err)
	}
	return a
}

func (a *App) register(e *entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.name == batchName {
		return fmt.Errorf("a script can't be named %q, which is the name of batches: set its Options.Name", e.name)
	}
	if _, taken := a.entries[e.name]; taken {
		return fmt.Errorf("two scripts are named %q: set Options.Name of one of them", e.name)
	}
	a.entries[e.name] = e
	a.names = append(a.names, e.name)
	return nil
}

var validName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func newEntry(script Script) (*entry, error) {
	opts := Options{}
	if c, ok := script.(Configured); ok {
		opts = c.Options()
	}
	opts = opts.withDefaults()

	if _, ok := script.(Wrapper); !ok {
		t := reflect.TypeOf(script)
		if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
			return nil, fmt.Errorf("script %T: pass a pointer to a struct, or use rikki.Func", script)
		}
		opts.Name = cmp.Or(opts.Name, params.Kebab(t.Elem().Name()))
	}
	if !validName.MatchString(opts.Name) {
		return nil, fmt.Errorf("script %T: %q is no valid name: use lower-case letters, digits and single dashes", script, opts.Name)
	}

	e := &entry{name: opts.Name, proto: script, opts: opts}
	_, target := e.fresh()
	spec, err := params.Of(target)
	if err != nil {
		return nil, fmt.Errorf("script %s: %w", opts.Name, err)
	}
	e.spec = spec.Named(opts.Name)
	return e, nil
}

// fresh returns a copy of the script for one run, and its parameters.
func (e *entry) fresh() (Script, any) {
	if w, ok := e.proto.(Wrapper); ok {
		script, target := w.Fresh()
		if target == nil {
			target = &struct{}{}
		}
		return script, target
	}
	script := cloneStruct(e.proto).(Script) //nolint:forcetypeassert // a copy of a Script has its type
	return script, script
}

// ScriptInfo describes a script that an app knows.
type ScriptInfo struct {
	Name    string
	Options Options
	Params  *params.Spec

	fresh func() (Script, any)
}

// Fresh returns a pointer to the script's parameters with the values that it was
// added with, to try values on.
func (s ScriptInfo) Fresh() any {
	_, target := s.fresh()
	return target
}

// Scripts describes the scripts in the order in which they were added, but for
// those that are [Options.Hidden].
func (a *App) Scripts() []ScriptInfo {
	return slices.DeleteFunc(a.allScripts(), func(s ScriptInfo) bool { return s.Options.Hidden })
}

func (a *App) allScripts() []ScriptInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	infos := make([]ScriptInfo, len(a.names))
	for i, name := range a.names {
		infos[i] = a.entries[name].info()
	}
	return infos
}

// Script describes one script, or returns an [*UnknownScriptError].
func (a *App) Script(name string) (ScriptInfo, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, ok := a.entries[name]; ok {
		return e.info(), nil
	}
	return ScriptInfo{}, a.unknown(name)
}

func (e *entry) info() ScriptInfo {
	return ScriptInfo{Name: e.name, Options: e.opts, Params: e.spec, fresh: e.fresh}
}

// lookup finds a script, or the one that every app has: the batch.
func (a *App) lookup(name string) (*entry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, ok := a.entries[name]; ok {
		return e, nil
	}
	if name == batchName {
		return newEntry(&batchScript{app: a})
	}
	return nil, a.unknown(name)
}

// unknown needs the lock.
func (a *App) unknown(name string) error {
	return &UnknownScriptError{Name: name, Suggestion: params.Nearest(name, a.names)}
}

// Conn returns the source of the scripts' connection, for health checks and
// for code that wants to share it.
func (a *App) Conn() *conn.Source { return a.source }

// Actor says who starts runs, see [Config.Actor].
func (a *App) Actor() string { return a.cfg.Actor }

// Log returns the app's logger.
func (a *App) Log() *slog.Logger { return a.cfg.Log }

// Close waits for the runs under way and closes the connections. Cancel the
// contexts of the runs first to hurry them. When ctx ends before the runs do,
// Close closes the connections under them and returns the context's error.
// That includes scripts that outlived their runs, see [Result.Stopped].
func (a *App) Close(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()

	var errs []error
	idle := make(chan struct{})
	go func() { a.runs.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("waiting for runs under way: %w", context.Cause(ctx)))
	}
	ctx = context.WithoutCancel(ctx) // closing is bounded by itself
	errs = append(errs, a.source.Close(ctx))
	if a.history != nil {
		errs = append(errs, a.history.Close(ctx))
	}
	return errors.Join(errs...)
}

// enter counts a run in, unless the app is closed.
func (a *App) enter() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return ErrClosed
	}
	a.runs.Add(1)
	return nil
}
