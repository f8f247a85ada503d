//go:build unix

package child_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/internal/child"
)

// runnerEnv makes the test binary a runner that is to be killed.
const runnerEnv = "RIKKI_TEST_CHILD_RUNNER"

func TestMain(m *testing.M) {
	if os.Getenv(runnerEnv) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	_, err := child.Run(context.Background(), child.Config{
		Path: "/bin/sh", Args: []string{"sh", "-c", "echo $$; exec sleep 300"}, Env: []string{"PATH=" + os.Getenv("PATH")},
		Line: func(_ child.Stream, line child.Line) { fmt.Println(string(line.Text)) },
	})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// goneWithin tells a program that was ended from one that ends by itself, after 300 s. What Rikki promises for everything that a
// stopped program has started is 2 s, which a test on a busy machine can't hold it to.
const goneWithin = 30 * time.Second

// printed is what a program has printed so far.
type printed struct {
	mu    sync.Mutex
	lines [2][]string
	cut   int64
	seen  chan string // every line of standard output; nil for nobody
}

func (p *printed) add(stream child.Stream, line child.Line) {
	p.mu.Lock()
	p.lines[stream] = append(p.lines[stream], string(line.Text))
	p.cut += line.Cut
	p.mu.Unlock()
	if p.seen != nil && stream == child.Stdout {
		p.seen <- string(line.Text)
	}
}

// shell runs a shell script until it ends, or until ctx does.
func shell(ctx context.Context, p *printed, script string) (child.Exit, error) {
	return child.Run(ctx, child.Config{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")},
		KillAfter: 300 * time.Millisecond, Line: p.add,
	})
}

// living tells whether a process runs; a zombie doesn't.
func living(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func number(t *testing.T, line string) int {
	t.Helper()
	n, err := strconv.Atoi(line)
	if err != nil {
		t.Fatalf("the program printed %q, not a process's number", line)
	}
	return n
}

// stopAfterFirstLine starts a script, ends its context once it has printed a line, and returns that line.
func stopAfterFirstLine(t *testing.T, script string) (string, child.Exit, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &printed{seen: make(chan string, 16)}
	var exit child.Exit
	done := make(chan struct{})
	go func() {
		defer close(done)
		exit, _ = shell(ctx, p, script)
	}()
	line := <-p.seen
	began := time.Now()
	cancel()
	<-done
	return line, exit, time.Since(began)
}

func TestRun(t *testing.T) {
	t.Parallel()

	t.Run("ReadsBothStreamsToTheirEnd", func(t *testing.T) {
		t.Parallel()
		var p printed
		exit, err := shell(t.Context(), &p, `echo one; echo oops >&2; printf 'a\r\nb\n\nno end'`)
		if err != nil {
			t.Fatal(err)
		}
		want := [2][]string{{"one", "a", "b", "", "no end"}, {"oops"}}
		if diff := cmp.Diff(want, p.lines); diff != "" {
			t.Error(diff)
		}
		if exit.Killed || exit.Left || exit.Escaped {
			t.Errorf("a program that ended by itself: %+v", exit)
		}
	})

	t.Run("TellsTheExitCode", func(t *testing.T) {
		t.Parallel()
		var p printed
		_, err := shell(t.Context(), &p, "exit 3")
		var exited *exec.ExitError
		if !errors.As(err, &exited) || exited.ExitCode() != 3 {
			t.Errorf("error %v, want exit code 3", err)
		}
	})

	t.Run("TellsWhatCannotBeStarted", func(t *testing.T) {
		t.Parallel()
		_, err := child.Run(t.Context(), child.Config{Path: "/no/such/program", Line: new(printed).add})
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error %v, want that the program doesn't exist", err)
		}
	})

	t.Run("GivesTheProgramNoOtherEnvironment", func(t *testing.T) {
		t.Parallel()
		var p printed
		_, err := child.Run(t.Context(), child.Config{Path: "/usr/bin/env", Args: []string{"env"}, Env: []string{"A=1"}, Line: p.add})
		if diff := cmp.Diff([]string{"A=1"}, p.lines[child.Stdout]); diff != "" || err != nil {
			t.Error(err, diff)
		}
	})

	t.Run("DoesNotKeepAFlood", func(t *testing.T) {
		t.Parallel()
		var p printed
		_, err := shell(t.Context(), &p, "head -c 100000000 /dev/zero")
		if err != nil {
			t.Fatal(err)
		}
		lines := p.lines[child.Stdout]
		if len(lines) != 1 || len(lines[0]) != child.MaxLine || p.cut != 100_000_000-child.MaxLine {
			t.Errorf("%d lines, %d bytes cut; want one line of %d bytes and the rest cut", len(lines), p.cut, child.MaxLine)
		}
	})

	t.Run("WaitsForWhoeverIsSlowToTakeTheOutput", func(t *testing.T) {
		t.Parallel()
		lines, slow := 0, time.NewTicker(time.Millisecond)
		defer slow.Stop()
		_, err := child.Run(t.Context(), child.Config{
			Path: "/bin/sh", Args: []string{"sh", "-c", "yes | head -n 900"},
			Line: func(child.Stream, child.Line) { <-slow.C; lines++ },
		})
		if err != nil || lines != 900 {
			t.Errorf("%d lines, error %v; want 900", lines, err)
		}
	})
}

func TestEnd(t *testing.T) {
	t.Parallel()

	t.Run("AskIsEnoughForAProgramThatListens", func(t *testing.T) {
		t.Parallel()
		_, exit, _ := stopAfterFirstLine(t, `trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done`)
		if exit.Killed || exit.State.ExitCode() != 0 {
			t.Errorf("%+v, %v; want an exit by itself", exit, exit.State)
		}
	})

	t.Run("AProgramThatIgnoresSIGTERMIsKilled", func(t *testing.T) {
		t.Parallel()
		line, exit, took := stopAfterFirstLine(t, `trap '' TERM; echo $$; while :; do sleep 0.05; done`)
		if !exit.Killed || took > goneWithin || living(number(t, line)) {
			t.Errorf("%+v after %s; want it killed within %s", exit, took, goneWithin)
		}
	})

	t.Run("AGrandchildThatHoldsThePipeIsKilledToo", func(t *testing.T) {
		t.Parallel()
		line, exit, took := stopAfterFirstLine(t, `sh -c 'trap "" TERM; echo $$; while :; do sleep 0.05; done' & wait`)
		if took > goneWithin || exit.Escaped || living(number(t, line)) {
			t.Errorf("%+v after %s; want all gone within %s", exit, took, goneWithin)
		}
	})

	t.Run("WhatAProgramLeavesBehindIsEnded", func(t *testing.T) {
		t.Parallel()
		var p printed
		began := time.Now()
		exit, err := shell(t.Context(), &p, `sleep 300 & echo $!`)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); !exit.Left || exit.Escaped || took > goneWithin || living(number(t, p.lines[child.Stdout][0])) {
			t.Errorf("%+v after %s; want what was left ended within %s", exit, took, goneWithin)
		}
	})

	t.Run("AProcessThatLeftTheGroupIsReportedAndNotWaitedFor", func(t *testing.T) {
		t.Parallel()
		if _, err := exec.LookPath("setsid"); err != nil {
			t.Skip("no setsid here")
		}
		var p printed
		began := time.Now()
		fifo := filepath.Join(t.TempDir(), "gone")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		exit, err := shell(t.Context(), &p, `setsid sh -c 'echo $$; echo gone >`+fifo+`; exec sleep 300' & read _ <`+fifo)
		if err != nil {
			t.Fatal(err)
		}
		pid := number(t, p.lines[child.Stdout][0])
		defer func() {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error("the process was expected to get away:", err)
			}
		}()
		if took := time.Since(began); !exit.Escaped || took > goneWithin {
			t.Errorf("%+v after %s; want it reported within %s", exit, took, goneWithin)
		}
	})

	t.Run("AContextThatHasEndedEndsTheProgramAtOnce", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if _, err := shell(ctx, &printed{}, "sleep 300"); err == nil || time.Since(began) > goneWithin {
			t.Errorf("error %v after %s", err, time.Since(began))
		}
	})
}
