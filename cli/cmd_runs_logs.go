package cli

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
)

// pollEvery is how often a run that is followed is looked at: its history changes about once a second.
const pollEvery = 500 * time.Millisecond

type runsLogsFlags struct {
	Follow bool   `short:"f" help:"Go on until the run has ended."`
	Level  string `enum:"debug,info,warn,error" default:"debug" help:"This level and above."`
	Grep   string `placeholder:"TEXT" help:"Only messages that contain this text, in any case."`
	Tail   int    `min:"0" help:"Only the last so many."`
}

func newRunsLogsCommand(p *program) *cobra.Command {
	flags := &runsLogsFlags{}
	c := &command{
		name: "logs", short: "Print the log of a run.", args: []string{"RUN"}, flags: flags,
		long:     "RUN is an ID, the beginning of one, or \"last\". With --json each record is one line.",
		examples: []string{"runs logs last --tail=50", "runs logs r_7Kq2 --follow --level=warn"},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.with(ctx, func(s *session) error {
			record, err := s.runs.Record(ctx, args[0])
			if err != nil {
				return s.noRun(args[0], err)
			}
			err = s.printLogs(ctx, record, *flags)
			return s.leave(ctx, err, "The run goes on. Its log: "+p.call("runs", "logs", record.ID))
		})
	}
	return p.cobra(c)
}

// printLogs prints what there is and, when following, what comes until the run has ended.
func (s *session) printLogs(ctx context.Context, record rikki.Record, flags runsLogsFlags) error {
	filter := rikki.LogFilter{MinLevel: levelOf(flags.Level), Text: flags.Grep, Tail: flags.Tail}
	for {
		// Looked at before the logs: what a run that has ended wrote last isn't missed.
		over := ended(record)
		for log, err := range s.runs.Logs(ctx, record.ID, filter) {
			if err != nil {
				return err
			}
			filter.AfterSeq = log.Seq
			if err := s.printLog(log); err != nil {
				return err
			}
		}
		if over || !flags.Follow {
			if filter.AfterSeq == 0 {
				s.p.term.Note("No log records.")
			}
			return nil
		}
		filter.Tail = 0
		var err error
		if record, err = s.next(ctx, record); err != nil {
			return err
		}
	}
}

// next waits a moment and returns the run as it is then.
func (s *session) next(ctx context.Context, record rikki.Record) (rikki.Record, error) {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return record, context.Cause(ctx)
	case <-timer.C:
	}
	next, err := s.runs.Record(ctx, record.ID)
	if err != nil {
		return record, err
	}
	return next, nil
}

func (s *session) printLog(log rikki.LogRecord) error {
	if s.p.term.JSON() {
		return s.p.term.Event(log)
	}
	line := []string{log.Time.Local().Format("15:04:05.000"), level3(log.Level), log.Message}
	if s.p.term.Plain() {
		line[0] = log.Time.UTC().Format(time.RFC3339Nano)
		return s.p.term.Print("%s", strings.Join(append(line, attrText(log.Attrs)), "\t"))
	}
	if attrs := attrText(log.Attrs); attrs != "" {
		line = append(line, attrs)
	}
	if log.Cut != "" {
		line = append(line, "("+log.Cut+")")
	}
	return s.p.term.Print("%s", strings.Join(line, " "))
}

func level3(level string) string { return level[:min(len(level), 3)] }

// attrText shows the attributes of a record as key=value.
func attrText(raw json.RawMessage) string {
	attrs := attrsOf(raw)
	if attrs == nil {
		return string(raw)
	}
	parts := make([]string, len(attrs))
	for i, a := range attrs {
		value := a.Value.String()
		if strings.ContainsAny(value, " \"") && !strings.HasPrefix(value, "{") {
			value = strconv.Quote(value)
		}
		parts[i] = a.Key + "=" + value
	}
	return strings.Join(parts, " ")
}

// attrsOf are the attributes of a record, in the order of their names; nil if they are none.
func attrsOf(raw json.RawMessage) []slog.Attr {
	var values map[string]json.RawMessage
	if json.Unmarshal(raw, &values) != nil {
		return nil
	}
	attrs := make([]slog.Attr, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		attrs = append(attrs, slog.String(name, unquoted(values[name])))
	}
	return attrs
}

func levelOf(name string) slog.Level {
	switch name {
	case "info":
		return slog.LevelInfo
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelDebug
}
