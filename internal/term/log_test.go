package term

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

type shy struct{}

func (shy) LogValue() slog.Value { return slog.StringValue("mongodb://u:canary@h/") }

func TestHandler(t *testing.T) {
	t.Parallel()

	write := func(t *testing.T, opts Options) string {
		t.Helper()
		b := setup(t, opts)
		log := slog.New(b.Handler(slog.LevelInfo)).With("run", "r_1").WithGroup("g")
		log.Debug("hidden")
		log.Info(hostile, hostile, hostile, "err", errors.New(hostile), "any", []string{hostile}, "bytes", []byte(hostile),
			"uri", "mongodb://u:canary@h/", "shy", shy{}, slog.Group("in", "x", hostile), "n", 3)
		return b.err.String()
	}

	for name, opts := range map[string]Options{
		"Text":   {},
		"Pretty": {LogFormat: LogPretty, Color: ColorNever},
		"JSON":   {LogFormat: LogJSON},
	} {
		t.Run(name+"IsHarmlessAndRedacted", func(t *testing.T) {
			t.Parallel()
			got := write(t, opts)
			mustBeHarmless(t, "stderr", got)
			if strings.Count(got, "\n") != 1 {
				t.Errorf("not one line: %q", got)
			}
			if strings.Contains(got, "canary") || strings.Contains(got, "hidden") {
				t.Errorf("got %q", got)
			}
			if !strings.Contains(got, "r_1") || !strings.Contains(got, "forged") {
				t.Errorf("lost data: %q", got)
			}
		})
	}

	t.Run("JSONLosesNothing", func(t *testing.T) {
		t.Parallel()
		var rec struct{ Msg string }
		if err := json.Unmarshal([]byte(write(t, Options{LogFormat: LogJSON})), &rec); err != nil {
			t.Fatal(err)
		}
		if rec.Msg != hostile {
			t.Errorf("msg = %q", rec.Msg)
		}
	})

	t.Run("AutoIsPrettyOnATerminal", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{Terminal: &Terminal{Err: true}, Color: ColorNever})
		slog.New(b.Handler(slog.LevelInfo)).Warn("slow", "ms", 7)
		if got := b.err.String(); !strings.HasSuffix(got, "WRN slow ms=7\n") {
			t.Errorf("got %q", got)
		}
	})
}
