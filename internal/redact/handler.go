package redact

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Handler returns a slog handler that passes records on to next with every
// secret hidden: in the message, in keys, and in values of any kind, inside
// groups and behind a LogValuer. A value of another type is replaced by its safe
// text when it would show a secret, and passed on as it is otherwise.
func (r *Redactor) Handler(next slog.Handler) slog.Handler { return &handler{next: next, redactor: r} }

type handler struct {
	next     slog.Handler
	redactor *Redactor
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	safe := slog.NewRecord(record.Time, record.Level, h.redactor.Text(record.Message), record.PC)
	record.Attrs(func(a slog.Attr) bool {
		safe.AddAttrs(h.redactor.attr(a))
		return true
	})
	return h.next.Handle(ctx, safe)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{next: h.next.WithAttrs(h.redactor.attrs(attrs)), redactor: h.redactor}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{next: h.next.WithGroup(h.redactor.Text(name)), redactor: h.redactor}
}

func (r *Redactor) attrs(attrs []slog.Attr) []slog.Attr {
	safe := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		safe[i] = r.attr(a)
	}
	return safe
}

func (r *Redactor) attr(a slog.Attr) slog.Attr {
	return slog.Attr{Key: r.Text(a.Key), Value: r.value(a.Value)}
}

func (r *Redactor) value(v slog.Value) slog.Value {
	v = v.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(r.Text(v.String()))
	case slog.KindGroup:
		return slog.GroupValue(r.attrs(v.Group())...)
	case slog.KindAny:
		return r.any(v.Any())
	default:
		return v
	}
}

// any looks at a value in the two ways in which handlers print one.
func (r *Redactor) any(v any) (safe slog.Value) {
	defer func() {
		// A nil pointer with a String method, for one.
		if p := recover(); p != nil {
			safe = slog.StringValue(fmt.Sprintf("!PANIC %T", v))
		}
	}()
	switch v := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case error:
		return slog.AnyValue(r.Error(v))
	case []byte:
		return slog.StringValue(r.Text(string(v)))
	case json.RawMessage:
		return slog.StringValue(r.Text(string(v)))
	}
	text := fmt.Sprintf("%+v", v)
	printed := r.Text(text)
	encoded, err := json.Marshal(v)
	if printed == text && (err != nil || r.Text(string(encoded)) == string(encoded)) {
		return slog.AnyValue(v)
	}
	if printed == text {
		// Only the encoded form shows it, behind a pointer say.
		printed = r.Text(string(encoded))
	}
	return slog.StringValue(printed)
}
