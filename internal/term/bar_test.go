package term

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// screen understands as much of a terminal as a live block needs: line feeds, cursor up and erase below.
func screen(t *testing.T, stream string) string {
	t.Helper()
	lines, row := []string{""}, 0
	for i := 0; i < len(stream); i++ {
		switch stream[i] {
		case '\n':
			row++
			if row == len(lines) {
				lines = append(lines, "")
			}
		case 0x1b:
			end := i + strings.IndexAny(stream[i:], "AJmK")
			arg := stream[i+2 : end]
			switch stream[end] {
			case 'A':
				n, err := strconv.Atoi(arg)
				if err != nil || n > row {
					t.Fatalf("cursor up %q in row %d", arg, row)
				}
				row -= n
			case 'J':
				lines = append(lines[:row], "")
			}
			i = end
		default:
			lines[row] += stream[i : i+1]
		}
	}
	return strings.Join(lines, "\n")
}

func TestLiveBar(t *testing.T) {
	t.Parallel()

	live := Options{Terminal: &Terminal{In: true, Out: true, Err: true, Width: 100}, Color: ColorNever}

	t.Run("LogLinesScrollAboveTheBlock", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, live)
			log := slog.New(b.Handler(slog.LevelInfo))
			bar := b.Progress(Head{Script: "backfill", Run: "r_1", Target: "shop"})
			for i := range 10 {
				bar.Set(Sample{Done: int64(i+1) * 1000, Total: 20_000, Detail: []string{"chunk " + strconv.Itoa(i)}})
				log.Info("chunk", "n", i)
				time.Sleep(time.Second)
			}
			mid := screen(t, b.err.String())
			bar.Done()
			b.Done("backfill finished")
			golden(t, "live.txt", "--- after 10 s\n"+mid+"\n--- at the end\n"+screen(t, b.err.String()))
		})
	})

	t.Run("RedrawsAtMostTenTimesASecond", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, live)
			bar := b.Progress(Head{Script: "s"})
			for i := range 5000 {
				bar.Set(Sample{Done: int64(i), Total: 5000})
				time.Sleep(time.Millisecond)
			}
			frames := strings.Count(b.err.String(), "\x1b[J")
			if frames < 40 || frames > 51 {
				t.Errorf("%d redraws in 5 s", frames)
			}
			bar.Done()
		})
	})

	t.Run("SilentRunLeavesNothingBehind", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, live)
			bar := b.Progress(Head{Script: "s"})
			time.Sleep(3 * time.Second)
			if got := screen(t, b.err.String()); !strings.Contains(got, "running   3s") && !strings.Contains(got, "running   2s") {
				t.Errorf("while running: %q", got)
			}
			bar.Done()
			if got := strings.TrimSpace(screen(t, b.err.String())); got != "" {
				t.Errorf("afterwards: %q", got)
			}
		})
	})

	t.Run("SeveralRunsShareTheBlock", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, live)
			one, two := b.Progress(Head{Script: "one"}), b.Progress(Head{Script: "two"})
			one.Set(Sample{Done: 5, Total: 10, Rate: 1})
			two.Set(Sample{Done: 7, Rate: 1})
			time.Sleep(time.Second)
			golden(t, "live_two.txt", screen(t, b.err.String()))
			one.Done()
			two.Set(Sample{Done: 9, Rate: 1})
			two.Done()
			got := screen(t, b.err.String())
			if strings.Contains(got, "one") || !strings.Contains(got, "9 docs") {
				t.Errorf("afterwards: %q", got)
			}
		})
	})

	t.Run("PartialLinesWaitForTheirEnd", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, live)
			bar := b.Progress(Head{Script: "s"})
			bar.Set(Sample{Done: 1, Total: 2})
			for _, part := range []string{"hel", "lo\nwor", "ld"} {
				if n, err := b.Err().Write([]byte(part)); n != len(part) || err != nil {
					t.Errorf("wrote %d, %v", n, err)
				}
				time.Sleep(time.Second)
			}
			bar.Done()
			got := strings.Split(screen(t, b.err.String()), "\n")
			if got[0] != "hello" || got[len(got)-1] != "world" {
				t.Errorf("got %q", got)
			}
		})
	})

	t.Run("DoneIsQuickAndMayBeCalledTwice", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, live)
			start := time.Now()
			bar := b.Progress(Head{Script: "s"})
			bar.Set(Sample{Done: 1, Total: 1})
			bar.Done()
			bar.Done()
			bar.Set(Sample{Done: 1, Total: 1})
			if took := time.Since(start); took > 2*redraw {
				t.Errorf("took %v", took)
			}
			if got := screen(t, b.err.String()); !strings.Contains(got, "100.0 %") {
				t.Errorf("the last frame is missing: %q", got)
			}
		})
	})

	t.Run("CloseEndsABlockThatWasLeftOpen", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, live)
			bar := b.Progress(Head{Script: "s"})
			bar.Set(Sample{Done: 1, Total: 2})
			b.Close()
			b.Note("after")
			bar.Done()
			if got := b.err.String(); !strings.HasSuffix(got, "after\n") {
				t.Errorf("got %q", got)
			}
		})
	})
}

func TestPlainBar(t *testing.T) {
	t.Parallel()

	t.Run("PrintsALineEveryTenSecondsAndTheLast", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, Options{})
			bar := b.Progress(Head{Script: "slow", Run: "r_1"})
			time.Sleep(500 * time.Millisecond) // the script's steps fall between the lines
			for i := range 25 {
				bar.Set(Sample{Done: int64(i), Total: 10_000})
				time.Sleep(time.Second)
			}
			time.Sleep(20 * time.Second) // a script that stopped reporting
			bar.Done()
			golden(t, "plain_slow.txt", b.err.String())
		})
	})

	for _, run := range []struct {
		name  string
		step  time.Duration // a thousand of them
		lines int
	}{
		{"PrintsALineEveryFivePerCent", 90 * time.Millisecond, 20}, // never at the same time as the line of every ten seconds,
		{"ButNotMoreOftenThanEveryTwoSeconds", 10 * time.Millisecond, 5},
		{"AndTheLastLineOfAShortRunOnly", time.Millisecond, 1},
	} {
		t.Run(run.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, Options{})
				bar := b.Progress(Head{Script: "fast", Run: "r_1"})
				for i := range 1001 {
					bar.Set(Sample{Done: int64(i), Total: 1000})
					time.Sleep(run.step)
				}
				bar.Done()
				lines := strings.Split(strings.TrimSpace(b.err.String()), "\n")
				if len(lines) != run.lines {
					t.Errorf("%d lines, want %d:\n%s", len(lines), run.lines, b.err.String())
				}
				if last := lines[len(lines)-1]; !strings.Contains(last, "pct=100.0 done=1000 total=1000") {
					t.Errorf("last line: %s", last)
				}
			})
		})
	}

	t.Run("UnknownTotalHasNoPercentage", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, Options{})
			bar := b.Progress(Head{Script: "x y", Run: "r_1"})
			bar.Set(Sample{Done: 5, Reached: "docs created 2025-03-11"})
			time.Sleep(11 * time.Second)
			bar.Done()
			golden(t, "plain_unknown.txt", b.err.String())
		})
	})

	t.Run("IsJSONAmongJSONLogs", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{LogFormat: LogJSON})
		bar := b.Progress(Head{Script: "s"})
		bar.Set(Sample{Done: 1, Total: 1, Rate: 5})
		bar.Done()
		for line := range strings.Lines(b.err.String()) {
			if !strings.HasPrefix(line, `{"time":`) {
				t.Errorf("not JSON: %s", line)
			}
		}
		if b.err.String() == "" {
			t.Error("no line")
		}
	})

	t.Run("CIAndDumbTerminalsGetNoAnimation", func(t *testing.T) {
		t.Parallel()
		for _, getenv := range []func(string) string{env("CI", "true"), env("TERM", "dumb")} {
			b := setup(t, Options{Terminal: &Terminal{Err: true, Width: 80}, Getenv: getenv, Color: ColorNever})
			bar := b.Progress(Head{Script: "s"})
			bar.Set(Sample{Done: 1, Total: 1})
			bar.Done()
			if got := b.err.String(); strings.Contains(got, "\x1b") || !strings.Contains(got, "pct=100.0") {
				t.Errorf("got %q", got)
			}
		}
	})

	t.Run("QuietAndJSONShowNothing", func(t *testing.T) {
		t.Parallel()
		for _, opts := range []Options{{Quiet: true}, {JSON: true}} {
			b := setup(t, opts)
			bar := b.Progress(Head{Script: "s"})
			bar.Set(Sample{Done: 1, Total: 1})
			bar.Done()
			if diff := cmp.Diff("", b.err.String()+b.out.String()); diff != "" {
				t.Error(diff)
			}
		}
	})
}
