package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rikki-go/rikki/bench/internal/measure"
)

// life is a run and what follows it.
type life struct {
	name, script, params string
	share                int // one document of so many fails; 0: none does
	steps                []string
}

func lives() []life {
	failing := []string{"run", "groups", "export", "retry", "undo"}
	broken := func(share int) string { return fmt.Sprintf(`{"broken": true, "share": %d}`, share) }
	return []life{
		{name: "plain", script: "lowercase-function", steps: []string{"run", "undo-dry", "undo"}},
		{name: "verified", script: "verified", steps: []string{"run"}},
		{name: "half-function", script: "picky-function", params: broken(2), share: 2, steps: failing},
		{name: "all-function", script: "picky-function", params: broken(1), share: 1, steps: failing[:4]},
		{name: "some-server", script: "picky-server", params: broken(100), share: 100, steps: failing[:1]},
		{name: "half-server", script: "picky-server", params: broken(2), share: 2, steps: failing},
		{name: "some-pipeline", script: "picky-pipeline", params: broken(100), share: 100, steps: failing[:1]},
		{name: "half-pipeline", script: "picky-pipeline", params: broken(2), share: 2, steps: failing},
	}
}

// afterwards measures each step of each life, in a process of its own.
func (b *bench) afterwards(ctx context.Context, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d documents of %d bytes; %s, mongod %s\n\n", b.docs, b.size, measure.Here(), b.server.Version)
	fmt.Fprintln(w, "documents\ts\tdocs/s\tpeak MiB\tCPU µs/doc\tmongod's\t \t")
	for _, l := range lives() {
		if !b.wants(l.name) {
			continue
		}
		if err := b.reset(ctx); err != nil {
			return err
		}
		run := ""
		for _, step := range l.steps {
			s, err := b.step(ctx, l, step, run)
			if err != nil {
				return fmt.Errorf("%s, %s: %w\n%s", l.name, step, err, s.Output)
			}
			if run == "" {
				run, _, _ = strings.Cut(s.Output, " ")
			}
			fmt.Fprintf(w, "%d\t%.2f\t%.0f\t%.1f\t%.1f\t%.1f\t\t  %s, %s\n", s.Docs, s.Wall.Seconds(), measure.Rate(s), measure.MiB(s),
				perDoc(func(s measure.Sample) time.Duration { return s.CPU })(s),
				perDoc(func(s measure.Sample) time.Duration { return s.Server.CPU })(s), l.name, step)
			fmt.Fprintf(b.News, "%-14s %-9s %9.0f docs/s, %5.1f MiB: %s", l.name, step, measure.Rate(s), measure.MiB(s), s.Output)
		}
	}
	return w.Flush()
}

// wants tells whether a life is among those that were asked for.
func (b *bench) wants(name string) bool {
	return len(b.only) == 0 || slices.ContainsFunc(b.only, func(word string) bool { return strings.HasPrefix(name, word) })
}

func (b *bench) step(ctx context.Context, l life, step, run string) (measure.Sample, error) {
	params := l.params
	if step == "retry" {
		params = `{"broken": false}`
	}
	before, err := b.server.Counters(ctx)
	if err != nil {
		return measure.Sample{}, err
	}
	s, err := b.Run(ctx, limit, b.Dir, b.peer, "step", step, l.script, run, params)
	if err != nil {
		return s, err
	}
	after, err := b.server.Counters(ctx)
	s.Server, s.Docs = after.Since(before), b.docs
	switch {
	case step == "groups" || step == "export" || step == "retry":
		s.Docs = b.docs / max(l.share, 1)
	case step == "undo" && l.share > 0:
		s.Docs = b.docs - b.docs/l.share
	case step == "undo-dry":
		s.Docs = min(b.docs, 1000)
	}
	return s, err
}
