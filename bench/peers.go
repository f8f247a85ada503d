package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The versions of the peers from npm.
const (
	mongooseVersion = "9.12.1"
	mongoshVersion  = "2.12.0"
)

// The names of the peers.
const (
	bare      = "bare"
	rikki     = "rikki"
	noHistory = "rikki-no-history"
	library   = "library"
	node      = "node"
	mongosh   = "mongosh"
)

// peer is a program that reads one document and prints its email address.
type peer struct {
	name    string
	title   string
	version string
	argv    []string
}

// absent is a peer that can't be measured here.
type absent struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Reason string `json:"reason"`
}

type bench struct {
	build string
	uri   string
	news  io.Writer

	launch string // the program that starts the others
}

//go:embed node/*.js node/package.json
var nodeHelper embed.FS

// prepare builds and installs the wanted peers. A peer from npm that can't be
// had is no error, but is listed as absent.
func (b *bench) prepare(ctx context.Context, wanted func(string) bool) ([]peer, []absent, error) {
	dir, err := filepath.Abs(b.build)
	if err != nil {
		return nil, nil, err
	}
	b.build = dir
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, err
	}
	if b.launch, err = b.goBuild(ctx, "launch"); err != nil {
		return nil, nil, err
	}
	var peers []peer
	var missing []absent
	for _, p := range []struct {
		peer
		prepare func(context.Context) ([]string, error)
	}{
		{peer{name: bare, title: "bare mongo-driver program"}, b.program(bare)},
		{peer{name: rikki, title: "Rikki script"}, b.program("script")},
		{peer{name: noHistory, title: "Rikki script, --no-history"}, b.program("script", "--no-history")},
		{peer{name: library, title: "Rikki as a library"}, b.program("library")},
		{peer{name: node, title: "Node helper on mongoose", version: mongooseVersion}, b.node},
		{peer{name: mongosh, title: "mongosh", version: mongoshVersion}, b.mongosh},
	} {
		if !wanted(p.name) {
			continue
		}
		argv, err := p.prepare(ctx)
		var lack *lackError
		switch {
		case errors.As(err, &lack):
			missing = append(missing, absent{Name: p.name, Title: p.title, Reason: lack.Error()})
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("prepare %s: %w", p.title, err)
		}
		p.argv = argv
		peers = append(peers, p.peer)
	}
	return peers, missing, nil
}

// program returns how to prepare one of this module's programs.
func (b *bench) program(name string, args ...string) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		path, err := b.goBuild(ctx, name)
		return append([]string{path}, args...), err
	}
}

func (b *bench) goBuild(ctx context.Context, name string) (string, error) {
	path := filepath.Join(b.build, name)
	if err := command(ctx, "", "go", "build", "-o", path, "github.com/rikki-go/rikki/bench/"+name); err != nil {
		return "", err
	}
	return path, nil
}

// node writes the helper to the build directory and installs mongoose there.
func (b *bench) node(ctx context.Context) ([]string, error) {
	runtime, err := lookPath("node")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.build, "node")
	sources, err := fs.Sub(nodeHelper, "node")
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(sources, ".")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	for _, entry := range entries {
		data, err := fs.ReadFile(sources, entry.Name())
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, entry.Name()), data, 0o600); err != nil {
			return nil, err
		}
	}
	if err := b.npm(ctx, dir, "mongoose", mongooseVersion); err != nil {
		return nil, err
	}
	return []string{runtime, filepath.Join(dir, "find-one.js")}, nil
}

func (b *bench) mongosh(ctx context.Context) ([]string, error) {
	runtime, err := lookPath("node")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.build, "mongosh")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	if err := b.npm(ctx, dir, "mongosh", mongoshVersion); err != nil {
		return nil, err
	}
	return []string{
		runtime, filepath.Join(dir, "node_modules", "mongosh", "bin", "mongosh.js"),
		"--quiet", "--norc", b.uri, "--eval", "db.users.findOne().email",
	}, nil
}

// npm installs a package into dir, unless it is there in this version.
func (b *bench) npm(ctx context.Context, dir, name, version string) error {
	stamp := filepath.Join(dir, name+"-"+version)
	if _, err := os.Stat(stamp); err == nil {
		return nil
	}
	program, err := lookPath("npm")
	if err != nil {
		return err
	}
	fmt.Fprintf(b.news, "installing %s %s…\n", name, version)
	err = command(ctx, dir, program, "install", "--prefix", dir, "--no-package-lock", "--no-save", "--no-audit", "--no-fund", name+"@"+version)
	if err != nil {
		return &lackError{what: "npm can't install " + name + " " + version, err: err}
	}
	return os.WriteFile(stamp, nil, 0o600)
}

// lackError means that this machine lacks what a peer needs.
type lackError struct {
	what string
	err  error
}

func (e *lackError) Error() string { return e.what + ": " + firstLine(e.err.Error()) }

func (e *lackError) Unwrap() error { return e.err }

func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &lackError{what: name + " is not installed", err: err}
	}
	return path, nil
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // go and npm, with arguments of our own
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
