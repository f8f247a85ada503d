//go:build linux

package faultrig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Process is a worker process from outside.
type Process struct {
	Name string

	cmd    *exec.Cmd
	stderr *output
	exited chan struct{}
	frozen atomic.Bool

	mu     sync.Mutex
	events []Event
	more   chan struct{} // closed when there is another event or no more
	over   bool
}

// Option says more about a process to start.
type Option func(*given)

// At has something happen to the process at a point of its code.
func At(c Crash) Option { return func(g *given) { g.Crash = &c } }

// Via gives the process ways through proxies.
func Via(r *Routes) Option { return func(g *given) { g.Routes = r.to } }

// Start runs one of the binary's [Workers] in a process of its own. The kernel kills it when the test binary ends, the test when it is over.
// What it writes to its standard error is shown if the test fails.
func Start(t testing.TB, worker string, args any, opts ...Option) *Process {
	t.Helper()
	var g given
	for _, o := range opts {
		o(&g)
	}
	var err error
	if g.Args, err = json.Marshal(args); err != nil {
		t.Fatal(err)
	}
	env, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Name: worker, stderr: &output{}, exited: make(chan struct{}), more: make(chan struct{})}
	p.cmd = exec.Command("/proc/self/exe") //nolint:noctx // it is killed at the test's end
	p.cmd.Env = append(os.Environ(), workerEnv+"="+worker, argsEnv+"="+string(env), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	p.cmd.Stdout, p.cmd.Stderr = p.stderr, p.stderr
	p.cmd.ExtraFiles = []*os.File{out}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = p.start()
	_ = out.Close()
	if err != nil {
		_ = in.Close()
		t.Fatal("start worker", worker+":", err)
	}
	read := make(chan struct{})
	go func() { defer close(read); p.read(in) }()
	t.Cleanup(func() {
		p.Kill()
		<-read
		if t.Failed() {
			t.Logf("%s (process %d):\n%s", worker, p.PID(), p.Output())
		}
	})
	return p
}

// start keeps the thread that started the process for as long as it lives: the kernel's signal of a parent's death is one
// of that thread's death.
func (p *Process) start() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
		}
		close(p.exited)
	}()
	return <-started
}

func (p *Process) read(in *os.File) {
	defer in.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // the last line of one that was killed
		}
		p.tell(func() { p.events = append(p.events, e) })
	}
	p.tell(func() { p.over = true })
}

func (p *Process) tell(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.more)
	p.more = make(chan struct{})
}

// Events are what the process has said so far.
func (p *Process) Events() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Event(nil), p.events...)
}

// Await waits for an event of this name: the first one, whether it has happened already or not.
func (p *Process) Await(t testing.TB, name string) Event {
	t.Helper()
	e, err := p.next(t.Context(), patience, func(e Event) bool { return e.Name == name })
	if err != nil {
		t.Fatalf("worker %s, event %s: %v\nso far: %s\n%s", p.Name, name, err, p.said(), p.Output())
	}
	return e
}

// AwaitPoint waits until the process has come to its crash point, and returns which.
func (p *Process) AwaitPoint(t testing.TB) string {
	t.Helper()
	var name string
	if err := json.Unmarshal(p.Await(t, pointEvent).Value, &name); err != nil {
		t.Fatal(err)
	}
	return name
}

// ReachedPoint tells whether the process came to its crash point, if any, before it ended. One that goes on for longer than
// a minute is taken for one that missed it.
func (p *Process) ReachedPoint() (name string, ok bool) { return p.reachedWithin(time.Minute) }

func (p *Process) reachedWithin(limit time.Duration) (name string, ok bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		return "", false
	}
	e, err := p.next(context.Background(), patience, func(e Event) bool { return e.Name == pointEvent })
	if err != nil || json.Unmarshal(e.Value, &name) != nil {
		return "", false
	}
	return name, true
}

func (p *Process) next(ctx context.Context, limit time.Duration, fits func(Event) bool) (Event, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for seen := 0; ; {
		p.mu.Lock()
		events, more, over := p.events[seen:], p.more, p.over
		p.mu.Unlock()
		for _, e := range events {
			seen++
			if fits(e) {
				return e, nil
			}
		}
		if over {
			return Event{}, fmt.Errorf("it ended before: %s", p.ending())
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("not within %s", limit)
		}
	}
}

func (p *Process) said() string {
	var names []string
	for _, e := range p.Events() {
		names = append(names, e.Name+" "+string(e.Value))
	}
	return strings.Join(names, ", ")
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is what the process has written to its standard output and error.
func (p *Process) Output() string { return p.stderr.String() }

// Signal sends a signal. A process that has ended gets none.
func (p *Process) Signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// Kill ends the process by SIGKILL, unless it has ended, and returns when it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.exited
}

// Terminate asks the process to end.
func (p *Process) Terminate() { p.Signal(syscall.SIGTERM) }

// Freeze stops every thread of the process (SIGSTOP), and returns when that is so.
func (p *Process) Freeze(t testing.TB) {
	t.Helper()
	p.Signal(syscall.SIGSTOP)
	p.AwaitFrozen(t)
}

// AwaitFrozen waits until every thread has stopped, by whatever signal.
func (p *Process) AwaitFrozen(t testing.TB) {
	t.Helper()
	Eventually(t, 10*time.Second, "worker "+p.Name+" to freeze", func(context.Context) (bool, error) {
		select {
		case <-p.exited:
			return false, fmt.Errorf("it ended: %s", p.ending())
		default:
			return stopped(p.PID()), nil
		}
	})
	p.frozen.Store(true)
}

// WasFrozen tells whether the process ever was.
func (p *Process) WasFrozen() bool { return p.frozen.Load() }

// Thaw lets a frozen process go on (SIGCONT).
func (p *Process) Thaw() { p.Signal(syscall.SIGCONT) }

// Wait waits for the process's end and returns its exit code, -1 if a signal ended it.
func (p *Process) Wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-timer.C:
		t.Fatalf("worker %s has not ended within %s\nso far: %s\n%s", p.Name, limit, p.said(), p.Output())
		return 0
	}
}

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

func (p *Process) ending() string {
	<-p.exited
	return p.cmd.ProcessState.String()
}

// stopped says whether every thread of a process has stopped.
func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, name := range threads {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		if f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])); len(f) > 0 && f[0] != "T" && f[0] != "t" {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

// output keeps the end of what a process writes.
type output struct {
	mu  sync.Mutex
	buf []byte
}

const outputLimit = 64 << 10

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, b...)
	if len(o.buf) > 2*outputLimit {
		o.buf = append(o.buf[:0], o.buf[len(o.buf)-outputLimit:]...)
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf)
}
