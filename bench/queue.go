package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/bench/internal/measure"
	"github.com/rikki-go/rikki/embedded"
)

// The versions of what the queue is measured against.
const (
	agendaVersion  = "6.2.6"
	backendVersion = "4.0.3"
	nodeDriver     = "6.21.0"
)

const (
	queueRuns    = 1000
	queueWorkers = 20
	queueSingles = 20
	pollSingles  = 5 // each of them waits for a poll
)

// queuePeer is a program that works off a queue of empty jobs.
type queuePeer struct {
	name     string
	title    string
	argv     []string
	uri      string
	database string // it is dropped before each round
	rate     []float64
	waits    []float64
}

// queue measures what a queue makes of empty runs, Rikki's beside agenda's.
func (b *bench) queue(ctx context.Context, s settings, out io.Writer) (err error) {
	standalone, err := embedded.Start(ctx, &embedded.Options{Standalone: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, standalone.Stop(context.WithoutCancel(ctx))) }()
	peers, err := b.queuePeers(ctx, s, measure.WithDatabase(standalone.URI()))
	if err != nil {
		return err
	}
	fmt.Fprintf(b.News, "measuring %d rounds of queues…\n", s.rounds)
	err = measure.Turns(s.rounds, len(peers), func(round, i int) error {
		if err := b.work(ctx, peers[i], s.runs); err != nil {
			return fmt.Errorf("%s: %w", peers[i].title, err)
		}
		fmt.Fprintf(b.News, "round %d: %s: %.0f runs/s\n", round+1, peers[i].title, peers[i].rate[round])
		return nil
	})
	if err != nil {
		return err
	}
	report := summarizeQueue(peers, s)
	if err := measure.Keep(s.json, report); err != nil {
		return err
	}
	return report.print(out)
}

// The peers, as settings.peers names them.
const (
	rikkiStreams  = "rikki-streams"
	rikkiPolling  = "rikki-polling"
	agendaStreams = "agenda-streams"
	agendaPolling = "agenda-polling"
)

func (b *bench) queuePeers(ctx context.Context, s settings, standalone string) ([]*queuePeer, error) {
	serve, err := b.GoBuild(ctx, "serve")
	if err != nil {
		return nil, err
	}
	wanted := func(p *queuePeer) bool { return len(s.peers) == 0 || slices.Contains(s.peers, p.name) }
	runs, workers := strconv.Itoa(s.runs), strconv.Itoa(queueWorkers)
	rikki := func(singles int) []string {
		return []string{serve, "-runs", runs, "-workers", workers, "-singles", strconv.Itoa(singles)}
	}
	agenda := func(singles int, more ...string) []string {
		return append([]string{"node", filepath.Join(b.Dir, "agenda", "agenda.mjs"), runs, workers, strconv.Itoa(singles)}, more...)
	}
	var peers []*queuePeer
	for _, p := range []*queuePeer{
		{name: rikkiStreams, title: "Rikki, change streams", argv: rikki(queueSingles), uri: b.URI, database: "bench_serve"},
		{name: agendaStreams, title: "agenda " + agendaVersion + ", change streams", argv: agenda(queueSingles, "streams"), uri: b.URI, database: "bench_agenda"},
		{name: agendaPolling, title: "agenda " + agendaVersion + ", polling (its default, 5 s)", argv: agenda(1), uri: b.URI, database: "bench_agenda"},
		{name: rikkiPolling, title: "Rikki, polling (2 s), standalone server", argv: rikki(pollSingles), uri: standalone, database: "bench_serve"},
	} {
		if wanted(p) {
			peers = append(peers, p)
		}
	}
	if slices.ContainsFunc(peers, func(p *queuePeer) bool { return p.argv[0] == "node" }) {
		return peers, b.prepareAgenda(ctx)
	}
	return peers, nil
}

func (b *bench) prepareAgenda(ctx context.Context) error {
	sources, err := fs.Sub(nodeHelper, "node/agenda")
	if err != nil {
		return err
	}
	_, _, err = b.Script(ctx, "agenda", sources, "agenda.mjs",
		"mongodb@"+nodeDriver, "agenda@"+agendaVersion, "@agendajs/mongo-backend@"+backendVersion)
	return err
}

// work has a peer work off its queue, and keeps what it measured.
func (b *bench) work(ctx context.Context, p *queuePeer, runs int) error {
	client, err := mongo.Connect(options.Client().ApplyURI(p.uri))
	if err != nil {
		return err
	}
	err = errors.Join(client.Database(p.database).Drop(ctx), client.Disconnect(ctx))
	if err != nil {
		return err
	}
	at := *b.Lab
	at.URI = p.uri
	data, err := at.Output(ctx, limit, "", p.argv...)
	if err != nil {
		return err
	}
	var f struct {
		Seconds float64   `json:"seconds"`
		Waits   []float64 `json:"waits_ms"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("it printed %q: %w", data, err)
	}
	p.rate = append(p.rate, float64(runs)/f.Seconds)
	p.waits = append(p.waits, f.Waits...)
	return nil
}

// The queue's goals.
const (
	wantedRate = 5  // times agenda's
	wantedWait = 20 // ms
)

// queueReport is what the JSON file has.
type queueReport struct {
	measure.Machine
	Runs    int        `json:"runs"`
	Workers int        `json:"workers"`
	Rounds  int        `json:"rounds"`
	Rows    []queueRow `json:"rows"`
}

type queueRow struct {
	Name  string        `json:"name"`
	Title string        `json:"title"`
	Rate  measure.Span  `json:"runs_per_second"`
	Wait  measure.Span  `json:"queue_to_start_ms"`
	Ratio *measure.Span `json:"rikki_ratio,omitempty"` // Rikki's rate with change streams ÷ this one's, round by round
}

func summarizeQueue(peers []*queuePeer, s settings) queueReport {
	r := queueReport{Machine: measure.Here(), Runs: s.runs, Workers: queueWorkers, Rounds: s.rounds}
	for _, p := range peers {
		row := queueRow{Name: p.name, Title: p.title, Rate: measure.SpanOf(p.rate), Wait: measure.SpanOf(p.waits)}
		if peers[0].name == rikkiStreams && p != peers[0] {
			var ratio []float64
			for i := range p.rate {
				ratio = append(ratio, peers[0].rate[i]/p.rate[i])
			}
			of := measure.SpanOf(ratio)
			row.Ratio = &of
		}
		r.Rows = append(r.Rows, row)
	}
	return r
}

func (r queueReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d empty runs, %d workers; %d rounds in turn; %s\n\n", r.Runs, r.Workers, r.Rounds, r.Machine)
	fmt.Fprintln(w, "runs/s: median\tmin\tmax\tqueue to start, ms: median\tmin\tmax\t \t")
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t\t  %s\n",
			row.Rate.Median, row.Rate.Min, row.Rate.Max, row.Wait.Median, row.Wait.Min, row.Wait.Max, row.Title)
	}
	for _, row := range r.Rows {
		switch row.Name {
		case agendaStreams, agendaPolling:
			if row.Ratio != nil {
				fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t≥ %d\t%s\t\t\t  runs per second ÷ %s\n",
					row.Ratio.Median, row.Ratio.Min, row.Ratio.Max, wantedRate, measure.Verdict(row.Ratio.Median >= wantedRate), row.Title)
			}
		case rikkiStreams:
			fmt.Fprintf(w, "%.1f\t%.1f\t%.1f\t< %d\t%s\t\t\t  ms from queue to start, change streams\n",
				row.Wait.Median, row.Wait.Min, row.Wait.Max, wantedWait, measure.Verdict(row.Wait.Median < wantedWait))
		}
	}
	return w.Flush()
}
