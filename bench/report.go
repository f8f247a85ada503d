package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// report is what the benchmark found.
type report struct {
	Time    time.Time `json:"time"`
	Go      string    `json:"go"`
	OS      string    `json:"os"`
	Arch    string    `json:"arch"`
	CPUs    int       `json:"cpus"`
	Rounds  int       `json:"rounds"`
	Rows    []row     `json:"peers"`
	Goals   []goal    `json:"goals"`
	Missing []absent  `json:"missing,omitempty"`
}

// row is one peer's figures.
type row struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Version string   `json:"version,omitempty"`
	Wall    span     `json:"wall_ms"`
	CPU     span     `json:"cpu_ms"`
	RSS     span     `json:"peak_rss_mib"`
	Ratio   span     `json:"wall_to_bare"` // within a round
	Samples []sample `json:"-"`
}

// span sums up the values of all rounds.
type span struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// goal is a ratio that the project wants to keep.
type goal struct {
	What    string  `json:"what"`
	Ratio   span    `json:"ratio"` // within a round
	AtMost  float64 `json:"at_most,omitempty"`
	AtLeast float64 `json:"at_least,omitempty"`
	Reached bool    `json:"reached"`
}

func spanOf(values []float64) span {
	if len(values) == 0 {
		return span{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return span{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1]}
}

// ratios divides two peers' figures, round by round.
func ratios(over, under []sample, of func(sample) float64) span {
	var values []float64
	for i := range min(len(over), len(under)) {
		if of(under[i]) > 0 {
			values = append(values, of(over[i])/of(under[i]))
		}
	}
	return spanOf(values)
}

func wall(s sample) float64 { return float64(s.Wall) / float64(time.Millisecond) }
func cpu(s sample) float64  { return float64(s.CPU) / float64(time.Millisecond) }
func rss(s sample) float64  { return float64(s.RSS) / (1 << 20) }

func all(samples []sample, of func(sample) float64) span {
	var values []float64
	for _, s := range samples {
		values = append(values, of(s))
	}
	return spanOf(values)
}

func summarize(peers []peer, missing []absent, samples [][]sample) report {
	r := report{
		Time: time.Now().UTC(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
		Missing: missing,
	}
	of := make(map[string][]sample)
	for i, p := range peers {
		of[p.name] = samples[i]
		r.Rounds = len(samples[i])
	}
	for i, p := range peers {
		r.Rows = append(r.Rows, row{
			Name: p.name, Title: p.title, Version: p.version,
			Wall: all(samples[i], wall), CPU: all(samples[i], cpu), RSS: all(samples[i], rss),
			Ratio: ratios(samples[i], of[bare], wall),
		})
	}
	for _, g := range []struct {
		goal
		over, under string
		of          func(sample) float64
	}{
		{goal{What: "time with history ÷ bare", AtMost: 2}, rikki, bare, wall},
		{goal{What: "time without history ÷ bare", AtMost: 1.15}, noHistory, bare, wall},
		{goal{What: "peak memory with history ÷ bare", AtMost: 2}, rikki, bare, rss},
		{goal{What: "time of the Node helper ÷ with history", AtLeast: 15}, node, rikki, wall},
		{goal{What: "time of mongosh ÷ with history", AtLeast: 50}, mongosh, rikki, wall},
		{goal{What: "time of the Node helper ÷ without history", AtLeast: 15}, node, noHistory, wall},
		{goal{What: "time of mongosh ÷ without history", AtLeast: 50}, mongosh, noHistory, wall},
	} {
		g.Ratio = ratios(of[g.over], of[g.under], g.of)
		if g.Ratio == (span{}) {
			continue // its peer is missing, and listed as such, or wasn't asked for
		}
		g.Reached = g.Ratio.Median <= cmp.Or(g.AtMost, g.Ratio.Median) && g.Ratio.Median >= g.AtLeast
		r.Goals = append(r.Goals, g.goal)
	}
	return r
}

func (r report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "one findOne, whole process; %d rounds in turn; %s/%s, %d CPUs, %s\n\n", r.Rounds, r.OS, r.Arch, r.CPUs, r.Go)
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
		verdict := "reached"
		if !g.Reached {
			verdict = "MISSED"
		}
		bound := fmt.Sprintf("≤ %g", g.AtMost)
		if g.AtLeast > 0 {
			bound = fmt.Sprintf("≥ %g", g.AtLeast)
		}
		fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t%s\t%s\t\t\t  %s\n", g.Ratio.Median, g.Ratio.Min, g.Ratio.Max, bound, verdict, g.What)
	}
	return w.Flush()
}
