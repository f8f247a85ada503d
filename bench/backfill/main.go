// Command backfill measures ways to change all documents of a collection: Rikki's backfills, loops over a cursor in Go, in Node
// and in mongosh, a migration of migrate-mongo, and the server's updateMany.
//
// All of them lower-case the same e-mail addresses on the same mongod, as processes of their own, and take turns, in another order
// each round. Before each turn the collection is made anew and the server has a checkpoint behind it; after each, the documents
// are counted that still have a capital in their address. Ratios are taken within a round; the table shows their median.
//
//	cd bench && go run ./backfill -rounds 5
//	cd bench && go run ./backfill -docs 2000000 -rounds 1 -only updatemany,function
//	cd bench && go run ./backfill -before ../../old/bench/.build/backfill-peer    # two versions of Rikki in turn
//	cd bench && go run ./backfill -docs 1000000 -foreground      # what others feel of it meanwhile
//	cd bench && go run ./backfill -docs 2000000 -kill            # how a run goes on that was killed in its middle
//	cd bench && go run ./backfill -after                         # failures, their retry, verification and undo
//	cd bench && go run ./backfill -docs 20000 -latency 0,30ms,100ms,300ms    # the same and its undo over slow links
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/rikki-go/rikki/bench/internal/measure"
)

type settings struct {
	docs, size, rounds int
	naive              int    // documents that the slow loop does
	params             string // of Rikki's scripts, as JSON
	cache              float64
	build, json        string
	profile            string
	before             string // the peer of another version of Rikki
	only               []string
	foreground, kill   bool
	after              bool
	latency            []time.Duration
	uri                string
}

func main() {
	var s settings
	var only, latency string
	flag.IntVar(&s.docs, "docs", 200_000, "documents")
	flag.IntVar(&s.size, "size", 280, "bytes of each")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds to measure")
	flag.IntVar(&s.naive, "naive", 5_000, "documents that the naive loop does: it would take minutes for all")
	flag.StringVar(&s.params, "params", "", `parameters of Rikki's contestants, such as {"workers": 4}`)
	flag.Float64Var(&s.cache, "cache", 4, "GiB of cache for mongod")
	flag.StringVar(&s.build, "build", ".build", "directory to build in")
	flag.StringVar(&s.json, "json", "", "file to write the figures to")
	flag.StringVar(&s.profile, "profile", "", "directory for CPU profiles of Rikki's contestants")
	flag.StringVar(&s.before, "before", "", "the program backfill-peer of another version: its contestants of Rikki's take turns with these")
	flag.StringVar(&only, "only", "", "only these contestants, by the beginnings of their names, separated by commas")
	flag.BoolVar(&s.foreground, "foreground", false, "measure reads and writes of others meanwhile, instead")
	flag.BoolVar(&s.kill, "kill", false, "kill Rikki's contestants in the middle and measure how they go on, instead")
	flag.BoolVar(&s.after, "after", false, "measure failures, their retry, the verification and the undo, instead")
	flag.StringVar(&latency, "latency", "", "measure backfills and their undos over links with these round trips, separated by commas, instead")
	flag.Parse()
	s.uri = os.Getenv("MONGODB_URI")
	for _, text := range strings.FieldsFunc(latency, func(r rune) bool { return r == ',' }) {
		trip, err := time.ParseDuration(text)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: -latency:", err)
			os.Exit(2) //nolint:mnd // as package flag does
		}
		s.latency = append(s.latency, trip)
	}
	if only != "" {
		s.only = strings.Split(only, ",")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, s, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one execution of this program.
type bench struct {
	settings
	*measure.Lab
	server *measure.Server
	peer   string // the program of the contestants in Go
}

// run writes the table to out, and what it is doing to news.
func run(ctx context.Context, s settings, out, news io.Writer) (err error) {
	server, err := measure.Start(ctx, s.uri, s.cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	lab, err := measure.Open(ctx, s.build, server.URI, news)
	if err != nil {
		return err
	}
	b := &bench{settings: s, Lab: lab, server: server}
	b.Env = append(b.Env, "BENCH_PARAMS="+s.params)
	if err := b.profiles(); err != nil {
		return err
	}
	if b.peer, err = b.GoBuild(ctx, "backfill/peer"); err != nil {
		return err
	}
	if s.after {
		if err := b.seed(ctx); err != nil {
			return err
		}
		return b.afterwards(ctx, out)
	}
	if len(s.latency) > 0 {
		if err := b.seed(ctx); err != nil {
			return err
		}
		return b.overLinks(ctx, out)
	}
	list, missing, err := b.ready(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(news, "making %d documents of %d bytes…\n", s.docs, s.size)
	if err := b.seed(ctx); err != nil {
		return err
	}
	switch {
	case s.foreground:
		return b.beside(ctx, list, out)
	case s.kill:
		return b.kills(ctx, list, out)
	}
	return b.turns(ctx, list, missing, out)
}

// profiles tells our own contestants where to leave them.
func (b *bench) profiles() error {
	if b.profile == "" {
		return nil
	}
	dir, err := filepath.Abs(b.profile)
	if err != nil {
		return err
	}
	b.Env = append(b.Env, measure.Profiles+"="+dir)
	return os.MkdirAll(dir, 0o750)
}
