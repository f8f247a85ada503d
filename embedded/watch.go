package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// watcherEnv carries a [spec] to the re-executed program and marks it as watcher.
const watcherEnv = "RIKKI_EMBEDDED_WATCHER"

// stopGrace is how long mongod may take to shut down before it is killed.
const stopGrace = 20 * time.Second

// spec is what the watcher must know to run one mongod.
type spec struct {
	// Detach is set for the first of the two processes: it starts the real
	// watcher and ends at once, so that the watcher is nobody's child and
	// leaves no zombie in a long-lived program.
	Detach     bool     `json:"detach,omitempty"`
	Dir        string   `json:"dir"`
	Binary     string   `json:"binary"`
	Args       []string `json:"args"`
	Port       int      `json:"port"`
	Standalone bool     `json:"standalone,omitempty"`
	Private    bool     `json:"private,omitempty"`
}

// report is the one line that the watcher writes to its starter.
type report struct {
	Started bool   `json:"started,omitempty"`
	Busy    bool   `json:"busy,omitempty"`
	Error   string `json:"error,omitempty"`
}

// init turns this process into a watcher when it was started as one. It must
// happen in an init function: a library cannot ask every program that uses it
// to add a line to its main, and by the time main runs flags are parsed, logs
// are open and work may have begun. Nothing else ever sets the variable.
func init() {
	raw, ok := os.LookupEnv(watcherEnv)
	if !ok {
		return
	}
	_ = os.Unsetenv(watcherEnv)
	var s spec
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		tell(report{Error: "malformed " + watcherEnv})
		os.Exit(2)
	}
	// The starter may die while we write to it.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP, os.Interrupt)
	shedFiles()
	if s.Detach {
		os.Exit(detach(s))
	}
	os.Exit(watch(s))
}

func tell(r report) {
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	_, _ = os.Stdout.Write(append(b, '\n'))
}

func detach(s spec) int {
	s.Detach = false
	cmd, err := watcherCommand(context.Background(), s) // it outlives every context
	if err == nil {
		cmd.Stdout = os.Stdout
		err = cmd.Start()
	}
	if err != nil {
		tell(report{Error: err.Error()})
		return 1
	}
	return 0
}

// watcherCommand returns the command that runs this very program as watcher.
func watcherCommand(ctx context.Context, s spec) (*exec.Cmd, error) {
	self, err := executable()
	if err != nil {
		return nil, fmt.Errorf("find the running program's file: %w", err)
	}
	env, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self) //nolint:gosec // our own file
	cmd.Args = []string{"rikki-mongod-watcher"}
	cmd.Env = append(os.Environ(), watcherEnv+"="+string(env),
		// A program built with -race sleeps a second before it exits.
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.SysProcAttr = detached()
	return cmd, nil
}

// watch is the watcher's life: start mongod, wait for the last user to go, stop mongod.
//
// It runs in an init function, so on the process's main thread, which exists
// as long as the process: on Linux the kernel kills mongod when the *thread*
// that started it ends (see [tied]).
func watch(s spec) int {
	l := layout(s.Dir)
	only := flock.New(l.watcherLock())
	if ok, err := only.TryLock(); err != nil || !ok {
		tell(report{Busy: err == nil, Error: errorText(err)})
		return 1
	}
	defer only.Close() //nolint:errcheck // the process ends

	cmd, err := launch(s, l)
	if err != nil {
		tell(report{Error: err.Error()})
		return 1
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	tell(report{Started: true})
	_ = os.Stdout.Close() // the starter sees the end of our report
	if null, err := os.Open(os.DevNull); err == nil {
		os.Stdout = null // or the next file opened would be standard output
	}

	users := flock.New(l.usersLock())
	last := make(chan struct{})
	// Granted exactly when the last user has let go or died. When it cannot even
	// be waited for, mongod is stopped at once: better none than an orphan.
	go func() {
		_ = users.Lock()
		close(last)
	}()
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)

	select {
	case <-exited:
		return gone(l, cmd)
	case <-term:
	case <-last:
		defer users.Close() //nolint:errcheck // the process ends
	}
	end(cmd, exited, s.Private)
	code := gone(l, cmd)
	if s.Private {
		if err := discard(l, users, only); err != nil {
			return 1 // the next start sweeps it
		}
	}
	return code
}

// launch starts mongod and publishes it in server.json.
func launch(s spec, l layout) (*exec.Cmd, error) {
	out, err := os.OpenFile(l.log(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // mongod has its own copy
	_ = os.Remove(l.exit())
	cmd := exec.Command(s.Binary, s.Args...) //nolint:gosec,noctx // verified by the starter; it outlives every context
	cmd.Dir = l.data()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = tied()
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GORACE=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	rec := record{
		PID: cmd.Process.Pid, Started: startTime(cmd.Process.Pid),
		Watcher: os.Getpid(), Spec: s,
	}
	if err := writeJSON(l.server(), rec); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, err
	}
	return cmd, nil
}

// end stops mongod. A private server's data is thrown away anyway, so it is killed.
func end(cmd *exec.Cmd, exited <-chan struct{}, private bool) {
	if private {
		_ = cmd.Process.Kill()
		<-exited
		return
	}
	thaw(cmd.Process) // a frozen process would not see the signal below
	if err := terminate(cmd.Process); err != nil {
		_ = cmd.Process.Kill()
	}
	select {
	case <-exited:
	case <-time.After(stopGrace):
		_ = cmd.Process.Kill()
		<-exited
	}
}

// gone records how mongod ended and takes server.json away.
func gone(l layout, cmd *exec.Cmd) int {
	code, sig := exitStatus(cmd.ProcessState)
	_ = writeJSON(l.exit(), ExitError{Code: code, Signal: sig})
	if err := os.Remove(l.server()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 1
	}
	return 0
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
