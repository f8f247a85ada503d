package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/rikki-go/rikki/bench/internal/measure"
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

// bench is what the programs of this command share.
type bench struct{ *measure.Lab }

//go:embed node/*.js node/package.json node/agenda/agenda.mjs
var nodeHelper embed.FS

// prepare builds and installs the wanted peers. A peer from npm that can't be
// had is no error, but is listed as absent.
func (b *bench) prepare(ctx context.Context, wanted func(string) bool) ([]peer, []absent, error) {
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
		var lack *measure.LackError
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
		path, err := b.GoBuild(ctx, name)
		return append([]string{path}, args...), err
	}
}

// node writes the helper to the build directory and installs mongoose there.
func (b *bench) node(ctx context.Context) ([]string, error) {
	sources, err := fs.Sub(nodeHelper, "node")
	if err != nil {
		return nil, err
	}
	argv, _, err := b.Script(ctx, "node", sources, "find-one.js", "mongoose@"+mongooseVersion)
	return argv, err
}

func (b *bench) mongosh(ctx context.Context) ([]string, error) {
	argv, _, err := b.Script(ctx, "mongosh", nil, "node_modules/mongosh/bin/mongosh.js", "mongosh@"+mongoshVersion)
	return append(argv, "--quiet", "--norc", b.URI, "--eval", "db.users.findOne().email"), err
}
