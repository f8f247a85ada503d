package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/rikki-go/rikki/bench/internal/measure"
)

// The versions of the peers from npm.
const (
	driverVersion  = "7.9.0"
	mongoshVersion = "2.12.0"
	migrateVersion = "14.0.7"
)

// The names of those that goals speak of.
const (
	naive           = "naive"
	bulkGo          = "bulk-go"
	updateMany      = "updatemany"
	pipelineOff     = "pipeline-off"
	pipelineChanged = "pipeline-changed"
	functionOff     = "function-off"
	functionChanged = "function-changed"
)

// ours begins the titles of Rikki's contestants.
const ours = "Rikki, "

// contestant is one way to change all documents.
type contestant struct {
	name, title string
	argv        []string
	docs        int // that it does; the rest is too slow
	journal     bool
	dir         string

	prepare func(context.Context) (argv []string, dir string, err error) // nil when argv is known
}

func (b *bench) contestants() []contestant {
	own := func(args ...string) []string { return append([]string{b.peer}, args...) }
	slow := min(b.naive, b.docs)
	return []contestant{
		{name: naive, title: fmt.Sprintf("naive loop in Go: one UpdateOne each, %d documents", slow), docs: slow, argv: own(naive, strconv.Itoa(slow))},
		{name: bulkGo, title: "cursor + unordered bulkWrite of 1,000, Go", argv: own(bulkGo)},
		{name: "bulk-node", title: "the same, Node with mongodb " + driverVersion, prepare: b.node},
		{name: "mongosh", title: "the same, mongosh " + mongoshVersion, prepare: b.mongosh},
		{name: "migrate-mongo", title: "the same, migrate-mongo " + migrateVersion, prepare: b.migrate},
		{name: updateMany, title: "updateMany with the pipeline", argv: own(updateMany)},
		{name: pipelineOff, title: ours + "pipeline, journal off", argv: own("rikki", "lowercase-pipeline", "off")},
		{name: pipelineChanged, title: ours + "pipeline, journal changed", argv: own("rikki", "lowercase-pipeline", "changed"), journal: true},
		{name: functionOff, title: ours + "Go function, journal off", argv: own("rikki", "lowercase-function", "off")},
		{name: functionChanged, title: ours + "Go function, journal changed", argv: own("rikki", "lowercase-function", "changed"), journal: true},
		{name: "function-full", title: ours + "Go function, journal full", argv: own("rikki", "lowercase-function", "full"), journal: true},
		{name: "function-ids", title: ours + "Go function, journal ids", argv: own("rikki", "lowercase-function", "ids"), journal: true},
	}
}

// ready returns the wanted contestants, and why others can't take part.
func (b *bench) ready(ctx context.Context) ([]contestant, []string, error) {
	all := b.contestants()
	for _, word := range b.only {
		if !slices.ContainsFunc(all, func(c contestant) bool { return strings.HasPrefix(c.name, word) }) {
			return nil, nil, fmt.Errorf("-only: no contestant's name begins with %q", word)
		}
	}
	var list []contestant
	var missing []string
	for _, c := range all {
		if len(b.only) > 0 && !slices.ContainsFunc(b.only, func(word string) bool { return strings.HasPrefix(c.name, word) }) {
			continue
		}
		if c.docs == 0 {
			c.docs = b.docs
		}
		c.dir = b.Dir
		if c.prepare != nil {
			var err error
			var lack *measure.LackError
			if c.argv, c.dir, err = c.prepare(ctx); errors.As(err, &lack) {
				missing = append(missing, c.title+": not measured: "+lack.Error())
				continue
			} else if err != nil {
				return nil, nil, fmt.Errorf("prepare %s: %w", c.title, err)
			}
		}
		list = append(list, c)
		if b.before != "" && strings.HasPrefix(c.title, ours) {
			c.name, c.title, c.argv = "before-"+c.name, "before: "+c.title, append([]string{b.before}, c.argv[1:]...)
			list = append(list, c)
		}
	}
	return list, missing, nil
}

//go:embed node
var scripts embed.FS

func (b *bench) node(ctx context.Context) ([]string, string, error) {
	return b.javaScript(ctx, "bulk-node", "bulk.mjs", "mongodb@"+driverVersion)
}

func (b *bench) mongosh(ctx context.Context) ([]string, string, error) {
	argv, dir, err := b.javaScript(ctx, "mongosh", "node_modules/mongosh/bin/mongosh.js", "mongosh@"+mongoshVersion)
	return append(argv, "--quiet", "--norc", b.server.URI, "mongosh.js"), dir, err
}

func (b *bench) migrate(ctx context.Context) ([]string, string, error) {
	argv, dir, err := b.javaScript(ctx, "migrate-mongo", "node_modules/migrate-mongo/bin/migrate-mongo.js",
		"migrate-mongo@"+migrateVersion, "mongodb@"+driverVersion)
	return append(argv, "up"), dir, err
}

func (b *bench) javaScript(ctx context.Context, name, file string, packages ...string) ([]string, string, error) {
	sources, err := fs.Sub(scripts, "node")
	if err != nil {
		return nil, "", err
	}
	return b.Script(ctx, "backfill-"+name, sources, file, packages...)
}
