// Command bench measures whole processes that do one findOne: Rikki with and
// without its history, a program with nothing but the driver, the plan's Node
// helper on mongoose, and mongosh.
//
// All of them talk to the same mongod and take turns, in another order each
// round, so that whatever else the machine does hits them alike. Ratios are
// taken within a round; the table shows their median. Nothing here is a test:
// the figures depend on the machine, and the last column only says whether
// they are within what the project wants.
//
//	make bench
//	cd bench && go run . -rounds 50 -peers bare,rikki
//	cd bench && go run . -only serve -rounds 5
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/bench/internal/measure"
	"github.com/rikki-go/rikki/embedded"
)

type settings struct {
	rounds, warmup int
	build          string // directory for programs and npm packages
	json           string // file for the figures
	peers          []string
	only           string // "" or "serve"
	runs           int    // in the queue, with only "serve"
	uri            string
}

func main() {
	var s settings
	var peers string
	flag.IntVar(&s.rounds, "rounds", 30, "rounds to measure")
	flag.IntVar(&s.warmup, "warmup", 2, "rounds to run before")
	flag.StringVar(&s.build, "build", ".build", "directory to build in")
	flag.StringVar(&s.json, "json", "result.json", "file to write the figures to; empty for none")
	flag.StringVar(&peers, "peers", "", "only these, separated by commas, plus bare")
	flag.StringVar(&s.only, "only", "", `measure only this: "serve" for what a queue makes of empty runs`)
	flag.IntVar(&s.runs, "runs", queueRuns, "runs in the queue of -only serve")
	flag.Parse()
	s.uri = os.Getenv("MONGODB_URI")
	if peers != "" {
		s.peers = strings.Split(peers, ",")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, s, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run writes the table to out, and what it is doing to news.
func run(ctx context.Context, s settings, out, news io.Writer) (err error) {
	uri := s.uri
	if uri == "" {
		server, err := embedded.Start(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
		uri = measure.WithDatabase(server.URI())
	}
	lab, err := measure.Open(ctx, s.build, uri, news)
	if err != nil {
		return err
	}
	bench := &bench{lab}
	switch s.only {
	case "":
	case "serve":
		return bench.queue(ctx, s, out)
	default:
		return fmt.Errorf("-only=%s: there is only serve", s.only)
	}
	if err := seed(ctx, uri); err != nil {
		return err
	}

	peers, missing, err := bench.prepare(ctx, s.wanted)
	if err != nil {
		return err
	}
	fmt.Fprintf(news, "measuring %d rounds…\n", s.rounds)
	samples := make([][]measure.Sample, len(peers))
	err = measure.Turns(s.warmup+s.rounds, len(peers), func(round, i int) error {
		sample, err := bench.once(ctx, peers[i])
		if round >= s.warmup {
			samples[i] = append(samples[i], sample)
		}
		return err
	})
	if err != nil {
		return err
	}
	report := summarize(peers, missing, samples)
	if err := measure.Keep(s.json, report); err != nil {
		return err
	}
	return report.print(out)
}

// limit bounds one execution. A peer that needs longer hangs.
const limit = time.Minute

// once runs a peer and checks that it did its work.
func (b *bench) once(ctx context.Context, p peer) (measure.Sample, error) {
	s, err := b.Run(ctx, limit, b.Dir, p.argv...)
	if err == nil && !strings.Contains(s.Output, email) {
		err = fmt.Errorf("it printed %q", s.Output)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", p.title, err)
	}
	return s, err
}

// wanted tells whether to measure a peer. The bare program always takes part:
// the others are compared with it.
func (s settings) wanted(name string) bool {
	return len(s.peers) == 0 || name == bare || slices.Contains(s.peers, name)
}

const email = "ada@example.com"

// seed writes the one document that everybody reads.
func seed(ctx context.Context, uri string) error {
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	users := client.Database(measure.Database).Collection("users")
	_, err = users.ReplaceOne(ctx, bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "email", Value: email}}, options.Replace().SetUpsert(true))
	if err != nil {
		err = fmt.Errorf("seed: %w", err)
	}
	return errors.Join(err, client.Disconnect(context.WithoutCancel(ctx)))
}
