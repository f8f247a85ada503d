package rikki

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/store"
)

// Keys of the attributes that Rikki itself adds to log records.
const (
	keyRun    = "run_id"
	keyScript = "script"
	keyStep   = "step"
)

// What a run's log may take in the history. Records above it are counted, not
// kept; a few more errors are, since they are what somebody will look for.
const (
	maxLogRecords = 10_000
	maxLogBytes   = 8 << 20
	spareErrors   = 100
)

// logBuffer keeps a run's log records until they are written to the history.
type logBuffer struct {
	mu      sync.Mutex
	seq     int64
	pending []store.Log
	kept    int
	bytes   int
	spare   int
	dropped int64
}

// attemptRecords keeps the numbers of a run's attempts apart: each attempt
// counts its records without knowing what an earlier one may still write.
const attemptRecords = 1_000_000_000

// startAt begins the numbers of an attempt.
func (b *logBuffer) startAt(attempt int) { b.seq = int64(attempt-1) * attemptRecords }

// add numbers the record and keeps it if the caps allow.
func (b *logBuffer) add(record store.Log) store.Log {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	record.Seq = b.seq
	size := len(record.Message)
	for _, attr := range record.Attrs {
		size += len(attr.Key) + attrSize(attr.Value)
	}
	if b.kept >= maxLogRecords || b.bytes+size > maxLogBytes {
		if record.Level < slog.LevelError || b.spare >= spareErrors {
			b.dropped++
			return record
		}
		b.spare++
	}
	b.kept++
	b.bytes += size
	b.pending = append(b.pending, record)
	return record
}

func attrSize(v any) int {
	if s, ok := v.(string); ok {
		return len(s)
	}
	return 16
}

func (b *logBuffer) take() []store.Log {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.pending
	b.pending = nil
	return taken
}

// putBack returns records that could not be written.
func (b *logBuffer) putBack(records []store.Log) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = append(records, b.pending...)
}

func (b *logBuffer) droppedCount() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

// runHandler is the slog handler that feeds the history and the observers.
type runHandler struct {
	buffer  *logBuffer
	publish func(Event)
	groups  []string
	attrs   bson.D // under the groups that were open when they were added
}

func (h *runHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelDebug
}

func (h *runHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := cloneDoc(h.attrs)
	r.Attrs(func(attr slog.Attr) bool {
		attrs = appendAttr(attrs, h.groups, attr)
		return true
	})
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	record := h.buffer.add(store.Log{Time: at, Level: r.Level, Message: r.Message, Attrs: attrs})
	view := logRecordOf(record)
	h.publish(Event{Type: EventLog, Log: &view})
	return nil
}

func (h *runHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = cloneDoc(h.attrs)
	for _, attr := range attrs {
		next.attrs = appendAttr(next.attrs, h.groups, attr)
	}
	return &next
}

func (h *runHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.groups = append(append([]string(nil), h.groups...), name)
	return &next
}

// appendAttr adds the attribute below the nested groups.
func appendAttr(doc bson.D, groups []string, attr slog.Attr) bson.D {
	if attr.Equal(slog.Attr{}) {
		return doc
	}
	if len(groups) > 0 {
		for i := range doc {
			if sub, ok := doc[i].Value.(bson.D); ok && doc[i].Key == groups[0] {
				doc[i].Value = appendAttr(sub, groups[1:], attr)
				return doc
			}
		}
		return append(doc, bson.E{Key: groups[0], Value: appendAttr(nil, groups[1:], attr)})
	}
	value := attr.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		var sub bson.D
		if attr.Key == "" {
			sub = doc
		}
		for _, member := range value.Group() {
			sub = appendAttr(sub, nil, member)
		}
		if attr.Key == "" {
			return sub
		}
		return append(doc, bson.E{Key: attr.Key, Value: sub})
	}
	return append(doc, bson.E{Key: attr.Key, Value: plainValue(value)})
}

// plainValue turns a value into one that BSON and JSON both know.
func plainValue(v slog.Value) any {
	switch v.Kind() {
	case slog.KindBool:
		return v.Bool()
	case slog.KindInt64:
		return v.Int64()
	case slog.KindFloat64:
		return v.Float64()
	case slog.KindTime:
		return v.Time()
	case slog.KindAny:
		if value, ok := jsonValue(v.Any()); ok {
			return value
		}
	case slog.KindDuration, slog.KindString, slog.KindUint64, slog.KindGroup, slog.KindLogValuer:
		// As text: a duration for people, a uint64 exactly.
	}
	return v.String()
}

// jsonValue turns structs and the like into plain documents the way their JSON
// looks. Errors and other things with a text of their own stay text.
func jsonValue(v any) (any, bool) {
	switch v.(type) {
	case error, interface{ String() string }:
		return nil, false
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, false
	}
	return decodeJSON(data)
}

// decodeJSON turns JSON into values that BSON can hold, integers exactly.
func decodeJSON(data []byte) (any, bool) {
	wrapped := make([]byte, 0, len(data)+8)
	wrapped = append(wrapped, `{"v":`...)
	wrapped = append(append(wrapped, data...), '}')
	var doc bson.D
	if err := bson.UnmarshalExtJSON(wrapped, false, &doc); err != nil || len(doc) != 1 {
		return nil, false
	}
	return doc[0].Value, true
}

func cloneDoc(doc bson.D) bson.D {
	dst := make(bson.D, len(doc), len(doc)+4)
	for i, e := range doc {
		if sub, ok := e.Value.(bson.D); ok {
			e.Value = cloneDoc(sub)
		}
		dst[i] = e
	}
	return dst
}
