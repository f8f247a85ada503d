package term

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
)

var demo = Head{
	Script: "backfill-tenant", Run: "r_7Kq2", Target: "shop@rs0 (prod)", Link: "http://localhost:8080/runs/r_7Kq2",
	Hint: "rikki errors r_7Kq2", Keys: "[p]ause [c]ancel [+/-] workers [?]",
}

func demoFrame() frame {
	return frame{head: demo, set: true, elapsed: 135 * time.Second, sample: Sample{
		Done: 421337, Total: 1000000, Estimated: true, Errors: 3, Rate: 3120,
		ETA: 185 * time.Second, ETALow: 160 * time.Second, ETAHigh: 220 * time.Second,
		Detail: []string{"chunk 843", "500 docs", "p95 41 ms", "4 workers", "lag 0.8 s"},
	}}
}

func TestFrame(t *testing.T) {
	t.Parallel()

	unknown := demoFrame()
	unknown.sample.Total, unknown.sample.Reached, unknown.head.Keys = 0, "docs created 2025-03-11", ""
	final := demoFrame()
	final.sample.Done, final.sample.ETA, final.sample.Detail = 1000000, 0, nil
	final = final.ended()
	fresh := frame{head: Head{Script: "wait"}, elapsed: 3 * time.Second}
	stalled := demoFrame()
	stalled.sample = Sample{Done: 5, Total: 10}

	for name, f := range map[string]frame{
		"running": demoFrame(), "unknown": unknown, "final": final, "fresh": fresh, "stalled": stalled,
	} {
		t.Run("Golden/"+name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			for _, width := range []int{120, 80, 60, 40, 20} {
				fmt.Fprintf(&b, "--- %d\n%s\n", width, strings.Join(f.lines(width, false), "\n"))
			}
			fmt.Fprintf(&b, "--- compact 80\n%s\n", f.compact(80, false))
			now := time.Date(2026, 11, 23, 10, 0, 10, 0, time.UTC)
			fmt.Fprintf(&b, "--- plain\n%s\n--- json\n%s\n", f.plain(now), f.record(now))
			golden(t, "frame_"+name+".txt", b.String())
		})
	}

	t.Run("PlainLineIsTheReference", func(t *testing.T) {
		t.Parallel()
		want := "2026-11-23T10:00:10Z run=r_7Kq2 script=backfill-tenant pct=42.1 done=421337 total=1000000 rate=3120 eta=3m05s errors=3 msg=\"chunk 843; 500 docs; p95 41 ms; 4 workers; lag 0.8 s\""
		if got := demoFrame().plain(time.Date(2026, 11, 23, 10, 0, 10, 0, time.UTC)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})

	t.Run("NeverMoreThanFourLinesNorWiderThanTheTerminal", func(t *testing.T) {
		t.Parallel()
		rng := rand.New(rand.NewPCG(1, 2))
		for range 3000 {
			f := frame{
				head: Head{
					Script: strings.Repeat("日", rng.IntN(30)), Run: "r_1", Target: strings.Repeat("t", rng.IntN(50)),
					Link: strings.Repeat("l", rng.IntN(50)), Keys: "k",
				},
				elapsed: time.Duration(rng.Int64N(int64(1000 * time.Hour))), final: rng.IntN(2) == 0, set: rng.IntN(9) > 0,
				sample: Sample{
					Done: rng.Int64() >> rng.IntN(63), Total: rng.Int64() >> rng.IntN(63), Rate: rng.ExpFloat64() * 1e6,
					Errors: rng.Int64N(5), Detail: []string{strings.Repeat("d", rng.IntN(90))},
				},
			}
			width := 1 + rng.IntN(140)
			lines := append(f.lines(width, false), f.compact(width, false))
			if len(lines) > 5 {
				t.Fatalf("%d lines", len(lines)-1)
			}
			for _, l := range lines {
				if runewidth.StringWidth(l) > width {
					t.Fatalf("width %d: %q is %d wide (%+v)", width, l, runewidth.StringWidth(l), f)
				}
			}
		}
	})

	t.Run("ColourChangesNoText", func(t *testing.T) {
		t.Parallel()
		for _, width := range []int{120, 50, 20} {
			plain, color := demoFrame().lines(width, false), demoFrame().lines(width, true)
			for i := range plain {
				if Sanitize(color[i]) != plain[i] {
					t.Errorf("width %d: %q, coloured %q", width, plain[i], color[i])
				}
			}
			if got := Sanitize(demoFrame().compact(width, true)); got != demoFrame().compact(width, false) {
				t.Errorf("width %d: %q", width, got)
			}
		}
	})
}

func TestPercent(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		s    Sample
		want float64
	}{
		{"AlmostDoneIsNotDone", Sample{Done: 999_999, Total: 1_000_000}, 99.9},
		{"DoneIsDone", Sample{Done: 10, Total: 10}, 100},
		{"MoreThanTotalIsDone", Sample{Done: 11, Total: 10}, 100},
		{"EstimateNeverClaimsTheEnd", Sample{Done: 11, Total: 10, Estimated: true}, 99.9},
		{"NegativeIsNothing", Sample{Done: -1, Total: 10}, 0},
		{"UnknownIsNothing", Sample{Done: 5}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.s.percent(); got != test.want {
				t.Errorf("percent = %v, want %v", got, test.want)
			}
		})
	}
}
