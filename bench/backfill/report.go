package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rikki-go/rikki/bench/internal/measure"
)

// report is what the turns found.
type report struct {
	measure.Machine
	Mongod  string         `json:"mongod"`
	Cache   float64        `json:"cache_gib"`
	Docs    int            `json:"docs"`
	Size    int            `json:"size"`
	Rounds  int            `json:"rounds"`
	Rows    []row          `json:"contestants"`
	Goals   []measure.Goal `json:"goals"`
	Missing []string       `json:"missing,omitempty"`
}

// row is one contestant's figures.
type row struct {
	Name    string           `json:"name"`
	Title   string           `json:"title"`
	Rate    measure.Span     `json:"docs_per_second"`
	Ratio   measure.Span     `json:"rate_to_updatemany"` // within a round
	RSS     measure.Span     `json:"peak_rss_mib"`
	CPU     measure.Span     `json:"cpu_us_per_doc"`
	Server  measure.Span     `json:"mongod_cpu_us_per_doc"`
	Share   measure.Span     `json:"share_of_machine"` // of its cores, by the contestant and mongod together
	Log     measure.Span     `json:"mongod_log_bytes_per_doc"`
	Samples []measure.Sample `json:"samples"`
}

func perDoc(of func(measure.Sample) time.Duration) func(measure.Sample) float64 {
	return func(s measure.Sample) float64 { return float64(of(s).Microseconds()) / float64(s.Docs) }
}

// share is how much of the machine's cores a turn used: throughput × processor time per document ÷ cores. It can be compared from
// machine to machine, where a rate can't.
func share(s measure.Sample) float64 {
	return (s.CPU + s.Server.CPU).Seconds() / s.Wall.Seconds() / float64(runtime.NumCPU())
}

func (b *bench) summarize(list []contestant, missing []string, samples [][]measure.Sample) report {
	r := report{
		Machine: measure.Here(), Mongod: b.server.Version, Cache: b.cache, Docs: b.docs, Size: b.size, Rounds: b.rounds, Missing: missing,
	}
	of := make(map[string][]measure.Sample)
	for i, c := range list {
		of[c.name] = samples[i]
	}
	for i, c := range list {
		r.Rows = append(r.Rows, row{
			Name: c.name, Title: c.title, Samples: samples[i],
			Rate: measure.All(samples[i], measure.Rate), Ratio: measure.Ratios(samples[i], of[updateMany], measure.Rate),
			RSS:    measure.All(samples[i], measure.MiB),
			CPU:    measure.All(samples[i], perDoc(func(s measure.Sample) time.Duration { return s.CPU })),
			Server: measure.All(samples[i], perDoc(func(s measure.Sample) time.Duration { return s.Server.CPU })),
			Share:  measure.All(samples[i], share),
			Log:    measure.All(samples[i], func(s measure.Sample) float64 { return float64(s.Server.LogBytes) / float64(s.Docs) }),
		})
	}
	for _, g := range []struct {
		over, under string
		want        float64
	}{
		{pipelineOff, updateMany, 1.5},
		{pipelineChanged, updateMany, 1},
		{functionOff, updateMany, 0.85},
		{functionOff, bulkGo, 2.5},
		{functionOff, naive, 40},
		{functionChanged, updateMany, 0.7},
	} {
		goal := measure.Goal{What: g.over + " ÷ " + g.under, AtLeast: g.want}
		if goal, known := goal.Of(measure.Ratios(of[g.over], of[g.under], measure.Rate)); known {
			r.Goals = append(r.Goals, goal)
		}
	}
	const most = 64
	for _, row := range r.Rows {
		if strings.HasPrefix(row.Title, ours) {
			worst := measure.Span{Median: row.RSS.Max, Min: row.RSS.Min, Max: row.RSS.Max}
			if goal, known := (measure.Goal{What: "peak MiB, " + row.Name, AtMost: most}).Of(worst); known {
				r.Goals = append(r.Goals, goal)
			}
		}
	}
	return r
}

func (r report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d documents of %d bytes; %d rounds in turn; %s, mongod %s with %g GiB of cache\n\n",
		r.Docs, r.Size, r.Rounds, r.Machine, r.Mongod, r.Cache)
	fmt.Fprintln(w, "docs/s: median\tmin\tmax\t÷ updateMany\tpeak MiB\tCPU µs/doc\tmongod's\tof the cores\tlog B/doc\tcommands\tcommits\t \t")
	for _, row := range r.Rows {
		last := row.Samples[len(row.Samples)-1].Server
		fmt.Fprintf(w, "%.0f\t%.0f\t%.0f\t%.2f\t%.1f\t%.1f\t%.1f\t%.2f\t%.0f\t%d\t%d\t\t  %s\n", row.Rate.Median, row.Rate.Min, row.Rate.Max,
			row.Ratio.Median, row.RSS.Max, row.CPU.Median, row.Server.Median, row.Share.Median, row.Log.Median, last.Commands, last.Commits, row.Title)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "%s\t\t  %s\n", strings.Repeat("-\t", 11), m)
	}
	fmt.Fprintln(w, strings.Repeat("\t", 12))
	for _, g := range r.Goals {
		fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t%s\t%s%s\t  %s\n", g.Value.Median, g.Value.Min, g.Value.Max, g.Bound(), g.Verdict(), strings.Repeat("\t", 7), g.What)
	}
	return w.Flush()
}
