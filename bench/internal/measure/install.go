package measure

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// LackError means that this machine lacks what a contestant needs.
type LackError struct {
	What string
	Err  error
}

func (e *LackError) Error() string {
	line, _, _ := strings.Cut(e.Err.Error(), "\n")
	return e.What + ": " + line
}

func (e *LackError) Unwrap() error { return e.Err }

// LookPath finds a program, or says with a [LackError] that there is none.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &LackError{What: name + " is not installed", Err: err}
	}
	return path, nil
}

// GoBuild builds a program of this module.
func (l *Lab) GoBuild(ctx context.Context, name string) (string, error) {
	path := filepath.Join(l.Dir, strings.ReplaceAll(name, "/", "-"))
	return path, command(ctx, "", "go", "build", "-o", path, "github.com/rikki-go/rikki/bench/"+name)
}

// Script writes sources to a directory of its own, installs packages beside them ("name@version"), and returns the command that
// runs a file of it, and the directory.
func (l *Lab) Script(ctx context.Context, name string, sources fs.FS, file string, packages ...string) (argv []string, dir string, err error) {
	runtime, err := LookPath("node")
	if err != nil {
		return nil, "", err
	}
	dir = filepath.Join(l.Dir, name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, "", err
	}
	if sources != nil {
		if err := writeAll(sources, dir); err != nil {
			return nil, "", err
		}
	}
	return []string{runtime, filepath.Join(dir, file)}, dir, l.npm(ctx, dir, packages)
}

func writeAll(from fs.FS, dir string) error {
	return fs.WalkDir(from, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if entry.IsDir() {
			return os.MkdirAll(to, 0o750)
		}
		data, err := fs.ReadFile(from, path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o600)
	})
}

// npm installs packages into dir, unless they are there in these versions.
func (l *Lab) npm(ctx context.Context, dir string, packages []string) error {
	slices.Sort(packages)
	stamp := filepath.Join(dir, strings.ReplaceAll(strings.Join(packages, "+"), "/", "-"))
	if _, err := os.Stat(stamp); err == nil {
		return nil
	}
	program, err := LookPath("npm")
	if err != nil {
		return err
	}
	fmt.Fprintf(l.News, "installing %s…\n", strings.Join(packages, ", "))
	args := append([]string{"install", "--prefix", dir, "--no-package-lock", "--no-save", "--no-audit", "--no-fund"}, packages...)
	if err := command(ctx, dir, program, args...); err != nil {
		return &LackError{What: "npm can't install " + strings.Join(packages, ", "), Err: err}
	}
	return os.WriteFile(stamp, nil, 0o600)
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // go and npm, with arguments of our own
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return nil
}
