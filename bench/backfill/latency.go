package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rikki-go/rikki/bench/internal/measure"
)

// far is what is measured over one link.
type far struct {
	title        string
	script       string // "" for updateMany
	samples, was []measure.Sample
}

// overLinks measures backfills and their undos with the server at the other end of links, in turn with updateMany.
func (b *bench) overLinks(ctx context.Context, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d documents of %d bytes; %d rounds in turn; %s, mongod %s\n\n", b.docs, b.size, b.rounds, measure.Here(), b.server.Version)
	fmt.Fprintln(w, "round trip\ts: median\tmin\tmax\tdocs/s\t× updateMany's time\tundo, s: median\tmax\t \t")
	for _, trip := range b.latency {
		list := []*far{
			{title: "updateMany with the pipeline"},
			{title: ours + "pipeline, journal changed", script: "lowercase-pipeline"},
			{title: ours + "Go function, journal changed", script: "lowercase-function"},
		}
		if err := b.overLink(ctx, trip, list); err != nil {
			return fmt.Errorf("a round trip of %s: %w", trip, err)
		}
		seconds := func(s measure.Sample) float64 { return s.Wall.Seconds() }
		for _, f := range list {
			took, undo := measure.All(f.samples, seconds), measure.All(f.was, seconds)
			fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.0f\t%.2f\t%.2f\t%.2f\t\t  %s\n", trip, took.Median, took.Min, took.Max,
				measure.All(f.samples, measure.Rate).Median, measure.Ratios(f.samples, list[0].samples, seconds).Median, undo.Median, undo.Max, f.title)
		}
	}
	return w.Flush()
}

func (b *bench) overLink(ctx context.Context, trip time.Duration, list []*far) error {
	link, err := measure.OpenLink(ctx, measure.HostOf(b.server.URI), trip)
	if err != nil {
		return err
	}
	defer link.Close()
	near := b.URI
	defer func() { b.URI = near }()
	if b.URI, err = link.Through(near); err != nil {
		return err
	}
	return measure.Turns(b.rounds, len(list), func(_, i int) error { return b.farTurn(ctx, trip, list[i]) })
}

// farTurn does the backfill and, if it is one of ours, its undo.
func (b *bench) farTurn(ctx context.Context, trip time.Duration, f *far) error {
	if err := b.reset(ctx); err != nil {
		return err
	}
	argv := []string{b.peer, updateMany}
	if f.script != "" {
		argv = []string{b.peer, "step", "run", f.script}
	}
	s, err := b.Run(ctx, limit, b.Dir, argv...)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", f.title, err, s.Output)
	}
	s.Docs = b.docs
	f.samples = append(f.samples, s)
	fmt.Fprintf(b.News, "%s: %8.2f s  %s: %s", trip, s.Wall.Seconds(), f.title, s.Output)
	if f.script == "" {
		return nil
	}
	run, _, _ := strings.Cut(s.Output, " ")
	if s, err = b.Run(ctx, limit, b.Dir, b.peer, "step", "undo", f.script, run, ""); err != nil {
		return fmt.Errorf("the undo of %s: %w\n%s", f.title, err, s.Output)
	}
	f.was = append(f.was, s)
	fmt.Fprintf(b.News, "%s: %8.2f s  its undo: %s", trip, s.Wall.Seconds(), s.Output)
	return nil
}
