package term

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/lmittmann/tint"
)

// LogFormat is the value of --log-format.
type LogFormat string

// The values of --log-format. Auto is pretty on a terminal and text elsewhere.
const (
	LogAuto   LogFormat = "auto"
	LogPretty LogFormat = "pretty"
	LogText   LogFormat = "text"
	LogJSON   LogFormat = "json"
)

// ParseLogFormat reads the value of --log-format.
func ParseLogFormat(s string) (LogFormat, error) {
	switch f := LogFormat(s); f {
	case "":
		return LogAuto, nil
	case LogAuto, LogPretty, LogText, LogJSON:
		return f, nil
	default:
		return "", fmt.Errorf("--log-format: %q is not one of auto, pretty, text, json", s)
	}
}

// Handler returns the handler that shows log records on stderr, above the live block when there is one.
func (t *Term) Handler(level slog.Leveler) slog.Handler {
	format := t.opts.LogFormat
	if format == "" || format == LogAuto {
		format = LogText
		if t.tty.Err {
			format = LogPretty
		}
	}
	switch format {
	case LogJSON:
		return &gate{t: t, next: slog.NewJSONHandler(jsonSafe{t.Err()}, &slog.HandlerOptions{Level: level}), keep: true}
	case LogPretty:
		return &gate{t: t, next: tint.NewTextHandler(t.Err(), &tint.Options{
			Level: level, TimeFormat: "15:04:05", NoColor: !t.errColor,
		})}
	default:
		return &gate{t: t, next: slog.NewTextHandler(t.Err(), &slog.HandlerOptions{Level: level})}
	}
}

// gate redacts and sanitizes records on their way to a handler that would print them as they are.
type gate struct {
	t    *Term
	next slog.Handler
	keep bool // the handler escapes by itself: redact only, and lose nothing
}

func (g *gate) Enabled(ctx context.Context, level slog.Level) bool { return g.next.Enabled(ctx, level) }

func (g *gate) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, g.text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(g.attr(a))
		return true
	})
	return g.next.Handle(ctx, out)
}

func (g *gate) WithAttrs(attrs []slog.Attr) slog.Handler {
	safe := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		safe[i] = g.attr(a)
	}
	return &gate{t: g.t, next: g.next.WithAttrs(safe), keep: g.keep}
}

func (g *gate) WithGroup(name string) slog.Handler {
	return &gate{t: g.t, next: g.next.WithGroup(g.text(name)), keep: g.keep}
}

func (g *gate) text(s string) string {
	if g.keep {
		return g.t.redact(s)
	}
	return g.t.data(s)
}

func (g *gate) attr(a slog.Attr) slog.Attr {
	a.Key = g.text(a.Key)
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		v = slog.StringValue(g.text(v.String()))
	case slog.KindGroup:
		group := v.Group()
		safe := make([]slog.Attr, len(group))
		for i, m := range group {
			safe[i] = g.attr(m)
		}
		v = slog.GroupValue(safe...)
	case slog.KindAny:
		v = slog.StringValue(g.text(printed(v.Any())))
	case slog.KindBool, slog.KindDuration, slog.KindFloat64, slog.KindInt64, slog.KindTime, slog.KindUint64, slog.KindLogValuer:
		// Written by the handler itself from fixed alphabets.
	}
	a.Value = v
	return a
}

// printed turns any value into text before a handler could do so behind the gate.
func printed(v any) string {
	switch x := v.(type) {
	case error:
		return x.Error()
	case fmt.Stringer:
		return x.String()
	case []byte:
		return strings.ToValidUTF8(string(x), "�")
	}
	return fmt.Sprintf("%+v", v)
}
