package rikki

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rikki-go/rikki/internal/child"
	"github.com/rikki-go/rikki/internal/plain"
	"github.com/rikki-go/rikki/internal/redact"
)

// maxHashed bounds what is hashed just to have it in the log.
const maxHashed = 32 << 20

// Execute implements [Script].
func (c *Command) Execute(ctx context.Context, run *Run) (any, error) {
	tmp, err := os.MkdirTemp("", "rikki-exec-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for temporary files: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(tmp); err != nil {
			run.Log().Warn("temporary files of the program are left", "error", err)
		}
	}()

	appName := "rikki-exec-" + run.ID()
	uri := run.ref.Reveal(appName)
	secrets := redact.New()
	secrets.AddURI(uri)
	out := newExecOutput(run, secrets)
	c.logStart(run)

	began := time.Now()
	exit, err := child.Run(ctx, child.Config{
		Path: c.path, Args: c.Args, Dir: c.Dir, Env: c.environ(run, uri, tmp), KillAfter: c.killAfter(), Line: out.line,
	})
	value := out.end()
	c.logEnd(run, exit, time.Since(began), out)
	if ctx.Err() != nil {
		if err := killApp(ctx, run.Client(), appName); err != nil {
			run.Log().Warn("what the program had going on may go on at the server", "error", err)
		}
		return value, context.Cause(ctx)
	}
	return value, c.failure(err, out)
}

// logStart leaves in the log what exactly was run.
func (c *Command) logStart(run *Run) {
	args := make([]string, len(c.Args))
	for i, arg := range c.Args {
		args[i] = plain.Line(arg)
	}
	attrs := []any{"command", args, "path", c.path}
	file := c.file()
	if info, err := os.Stat(file); err == nil && info.Size() <= maxHashed {
		if sum, err := hashOf(file); err == nil {
			attrs = append(attrs, "file", file, "sha256", sum)
		}
	}
	run.Log().Debug("running "+filepath.Base(c.path), attrs...)
}

func (c *Command) logEnd(run *Run, exit child.Exit, took time.Duration, out *execOutput) {
	if exit.State == nil {
		return // it never began, which is the run's error
	}
	run.Log().Debug(filepath.Base(c.path)+" ended",
		"exit_code", exit.State.ExitCode(), "status", exit.State.String(), "killed", exit.Killed, "duration", took.String(),
		"cpu_time", (exit.State.UserTime() + exit.State.SystemTime()).String(),
		"stdout_bytes", out.streams[child.Stdout].bytes, "stderr_bytes", out.streams[child.Stderr].bytes)
	if exit.Left {
		run.Log().Warn("the program left processes behind when it ended, and they were ended too")
	}
	if exit.Escaped {
		run.Log().Warn("a process that the program started has left its process group and could not be ended; it may still be writing")
	}
}

// failure says in one line why the program failed: its exit code, and what it
// said about that.
func (c *Command) failure(err error, out *execOutput) error {
	if err == nil {
		return nil
	}
	name := filepath.Base(c.path)
	var exited *exec.ExitError
	switch reason := out.reason(); {
	case !errors.As(err, &exited):
		return fmt.Errorf("start %s: %w", name, err)
	case reason != "":
		return fmt.Errorf("%s ended with %w: %s", name, err, reason)
	default:
		return fmt.Errorf("%s ended with %w", name, err)
	}
}
