package cli

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/rikki-go/rikki/internal/term"
)

// briefly leaves out of a run's records what a person who watches it sees already: which run it is, and that it was
// asked to stop. Everywhere else, and in the history, the records are complete.
type briefly struct{ slog.Handler }

// WithAttrs implements [slog.Handler].
func (b briefly) WithAttrs(attrs []slog.Attr) slog.Handler {
	var kept []slog.Attr
	for _, attr := range attrs {
		if attr.Key != "run_id" && attr.Key != "script" {
			kept = append(kept, attr)
		}
	}
	if len(kept) == 0 {
		return b
	}
	return briefly{b.Handler.WithAttrs(kept)}
}

// WithGroup implements [slog.Handler].
func (b briefly) WithGroup(name string) slog.Handler { return briefly{b.Handler.WithGroup(name)} }

// Handle implements [slog.Handler].
func (b briefly) Handle(ctx context.Context, record slog.Record) error {
	if record.Level == slog.LevelInfo && record.Message == "stopping" {
		return nil
	}
	return b.Handler.Handle(ctx, record)
}

// afterwards holds the connection's complaints back until it has been there once: a connect that fails ends the
// command, with an error that says the same and more.
type afterwards struct {
	slog.Handler
	connected *atomic.Bool
}

// WithAttrs implements [slog.Handler].
func (a afterwards) WithAttrs(attrs []slog.Attr) slog.Handler {
	return afterwards{a.Handler.WithAttrs(attrs), a.connected}
}

// WithGroup implements [slog.Handler].
func (a afterwards) WithGroup(name string) slog.Handler {
	return afterwards{a.Handler.WithGroup(name), a.connected}
}

// Handle implements [slog.Handler].
func (a afterwards) Handle(ctx context.Context, record slog.Record) error {
	if record.Level == slog.LevelWarn && strings.HasPrefix(record.Message, "MongoDB: ") && !a.connected.Load() {
		return nil
	}
	return a.Handler.Handle(ctx, record)
}

// connLog shows the records of the connection.
func (p *program) connLog(connected *atomic.Bool) *slog.Logger {
	handler := p.term.Handler(p.flags.connLevel())
	if p.flags.Verbose || p.flags.Debug {
		return slog.New(handler)
	}
	return slog.New(afterwards{handler, connected})
}

// runLog shows the records of runs.
func (p *program) runLog() *slog.Logger {
	handler := p.term.Handler(p.flags.logLevel())
	format := term.LogFormat(p.flags.LogFormat)
	if format == term.LogPretty || format != term.LogText && format != term.LogJSON && term.IsTerminal(p.std.Err) {
		handler = briefly{handler}
	}
	return slog.New(handler)
}
