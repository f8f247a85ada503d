package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/rikki-go/rikki/bench/internal/measure"
)

// report is what the benchmark found.
type report struct {
	measure.Machine
	Rounds  int            `json:"rounds"`
	Rows    []row          `json:"peers"`
	Goals   []measure.Goal `json:"goals"`
	Missing []absent       `json:"missing,omitempty"`
}

// row is one peer's figures.
type row struct {
	Name    string       `json:"name"`
	Title   string       `json:"title"`
	Version string       `json:"version,omitempty"`
	Wall    measure.Span `json:"wall_ms"`
	CPU     measure.Span `json:"cpu_ms"`
	RSS     measure.Span `json:"peak_rss_mib"`
	Ratio   measure.Span `json:"wall_to_bare"` // within a round
}

func summarize(peers []peer, missing []absent, samples [][]measure.Sample) report {
	r := report{Machine: measure.Here(), Missing: missing}
	of := make(map[string][]measure.Sample)
	for i, p := range peers {
		of[p.name] = samples[i]
		r.Rounds = len(samples[i])
	}
	for i, p := range peers {
		r.Rows = append(r.Rows, row{
			Name: p.name, Title: p.title, Version: p.version,
			Wall: measure.All(samples[i], measure.WallMS), CPU: measure.All(samples[i], measure.CPUMS), RSS: measure.All(samples[i], measure.MiB),
			Ratio: measure.Ratios(samples[i], of[bare], measure.WallMS),
		})
	}
	for _, g := range []struct {
		measure.Goal
		over, under string
		of          func(measure.Sample) float64
	}{
		{measure.Goal{What: "time with history ÷ bare", AtMost: 2}, rikki, bare, measure.WallMS},
		{measure.Goal{What: "time without history ÷ bare", AtMost: 1.15}, noHistory, bare, measure.WallMS},
		{measure.Goal{What: "peak memory with history ÷ bare", AtMost: 2}, rikki, bare, measure.MiB},
		{measure.Goal{What: "time of the Node helper ÷ with history", AtLeast: 15}, node, rikki, measure.WallMS},
		{measure.Goal{What: "time of mongosh ÷ with history", AtLeast: 50}, mongosh, rikki, measure.WallMS},
		{measure.Goal{What: "time of the Node helper ÷ without history", AtLeast: 15}, node, noHistory, measure.WallMS},
		{measure.Goal{What: "time of mongosh ÷ without history", AtLeast: 50}, mongosh, noHistory, measure.WallMS},
	} {
		if goal, known := g.Of(measure.Ratios(of[g.over], of[g.under], g.of)); known {
			r.Goals = append(r.Goals, goal)
		}
	}
	return r
}

func (r report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "one findOne, whole process; %d rounds in turn; %s\n\n", r.Rounds, r.Machine)
	fmt.Fprintln(w, "wall ms: median\tmin\tmax\tCPU ms\tpeak MiB\t÷ bare\t \t")
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t\t  %s %s\n",
			row.Wall.Median, row.Wall.Min, row.Wall.Max, row.CPU.Median, row.RSS.Median, row.Ratio.Median, row.Title, row.Version)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "-\t-\t-\t-\t-\t-\t\t  %s: not measured: %s\n", m.Title, m.Reason)
	}
	fmt.Fprintln(w, "\t\t\t\t\t\t\t")
	for _, g := range r.Goals {
		fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t%s\t%s\t\t\t  %s\n", g.Value.Median, g.Value.Min, g.Value.Max, g.Bound(), g.Verdict(), g.What)
	}
	return w.Flush()
}
