package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to run, and how to end it.
type Config struct {
	Path string   // of the program
	Args []string // as the program sees them, its own name first
	Dir  string   // where it runs; empty means here
	Env  []string // all of its environment

	// KillAfter is how long the program and what it started may go on after SIGTERM.
	KillAfter time.Duration

	// Line is told of each line of output. It is called by one goroutine for each stream.
	Line func(stream Stream, line Line)
}

// A Stream is one of the two outputs of a program.
type Stream int

// The streams.
const (
	Stdout Stream = iota
	Stderr
)

// Exit says how a program ended.
type Exit struct {
	State *os.ProcessState // nil when it never started
	// Killed tells that SIGTERM was not enough.
	Killed bool
	// Left tells that the program had ended before some of what it started did.
	Left bool
	// Escaped tells that a process which could not be ended still held the output open.
	Escaped bool
}

const (
	pollInterval = 10 * time.Millisecond
	// vanish bounds the wait for processes that were killed. One that hangs in the kernel may take forever.
	vanish = 500 * time.Millisecond
	// drain is how long the output may be silent, but open, once nothing is left that could be ended; drains is how
	// many times that whoever holds it open may go on writing.
	drain  = 300 * time.Millisecond
	drains = 20
)

// Run runs the program until it has ended, with all that it started. The error is nil if it exited with code 0, an
// [*exec.ExitError] if it exited otherwise, and anything else if it could not be started. A context that ends ends the
// program, but isn't in the error.
func Run(ctx context.Context, cfg Config) (Exit, error) {
	var outputs, inputs [2]*os.File
	for stream := range outputs {
		r, w, err := os.Pipe()
		if err != nil {
			return Exit{}, errors.Join(fmt.Errorf("make a pipe: %w", err), closeAll(outputs[:stream]), closeAll(inputs[:stream]))
		}
		outputs[stream], inputs[stream] = r, w
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), cfg.Path) //nolint:gosec // running what was asked for is the purpose
	cmd.Args, cmd.Dir, cmd.Env = cfg.Args, cfg.Dir, cfg.Env
	cmd.Stdout, cmd.Stderr = inputs[Stdout], inputs[Stderr]
	cmd.SysProcAttr = attributes()

	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	var waiter sync.WaitGroup
	waiter.Go(func() { p.startAndWait(started) })
	defer waiter.Wait()
	err := errors.Join(<-started, closeAll(inputs[:]))
	if err != nil {
		return Exit{}, errors.Join(err, closeAll(outputs[:]))
	}
	return p.follow(ctx, cfg, outputs)
}

// process is a program that runs.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the program itself is gone; then err is set
	err    error
	exit   Exit
}

// startAndWait keeps its thread, because on Linux the program dies with the thread that started it.
func (p *process) startAndWait(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.exited)
}

// follow reads the output and sees to the end.
func (p *process) follow(ctx context.Context, cfg Config, outputs [2]*os.File) (Exit, error) {
	taps := [2]tap{{file: outputs[Stdout]}, {file: outputs[Stderr]}}
	var readers sync.WaitGroup
	for stream := range taps {
		readers.Go(func() { readLines(&taps[stream], func(line Line) { cfg.Line(Stream(stream), line) }) })
	}
	silent := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() { readers.Wait(); close(silent) })
	defer waiter.Wait()

	select {
	case <-p.exited:
	case <-ctx.Done():
		p.end(cfg.KillAfter)
	}
	<-p.exited
	if p.alive() {
		p.exit.Left = true
		p.end(cfg.KillAfter)
	}
	p.exit.Escaped = !drained(silent, &taps)
	closeErr := closeAll(outputs[:]) // ends the readers that are left
	<-silent
	p.exit.State = p.cmd.ProcessState
	return p.exit, errors.Join(p.err, closeErr)
}

// drained waits for the end of the output. It gives up when that is silent, and not when somebody is slow to take it.
func drained(silent <-chan struct{}, taps *[2]tap) bool {
	ticker := time.NewTicker(drain)
	defer ticker.Stop()
	for range drains {
		before := taps[Stdout].reads.Load() + taps[Stderr].reads.Load()
		select {
		case <-silent:
			return true
		case <-ticker.C:
		}
		after := taps[Stdout].reads.Load() + taps[Stderr].reads.Load()
		if before == after && !taps[Stdout].busy.Load() && !taps[Stderr].busy.Load() {
			return false
		}
	}
	return false
}

// tap is an output that knows whether something comes out of it.
type tap struct {
	file  *os.File
	reads atomic.Int64
	busy  atomic.Bool // with what was read last
}

func (t *tap) Read(b []byte) (int, error) {
	t.busy.Store(false)
	n, err := t.file.Read(b)
	t.busy.Store(n > 0)
	t.reads.Add(1)
	return n, err
}

// end asks the group to end, and kills it when it doesn't.
func (p *process) end(after time.Duration) {
	p.ask()
	if p.gone(after) {
		return
	}
	p.exit.Killed = true
	p.kill()
	p.gone(vanish)
}

// gone waits until nothing is left of the group.
func (p *process) gone(limit time.Duration) bool {
	timer, ticker := time.NewTimer(limit), time.NewTicker(pollInterval)
	defer timer.Stop()
	defer ticker.Stop()
	for p.running() || p.alive() {
		select {
		case <-timer.C:
			return false
		case <-ticker.C:
		}
	}
	return true
}

// running tells whether the program itself is still there.
func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func closeAll[C io.Closer](list []C) error {
	var errs []error
	for _, c := range list {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
