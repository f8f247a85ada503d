package cli

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/term"
)

func newRunsWatchCommand(p *program) *cobra.Command {
	c := &command{
		name: "watch", short: "Watch a run until it has ended.", args: []string{"RUN"},
		long:     "RUN is an ID, the beginning of one, or \"last\". The exit code is that of the run. Ctrl-C ends the watching, not the run.",
		examples: []string{"runs watch last", "runs watch r_7Kq2 --json"},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.with(ctx, func(s *session) error {
			record, err := s.runs.Record(ctx, args[0])
			if err != nil {
				return s.noRun(args[0], err)
			}
			if record, err = s.watch(ctx, record); err != nil {
				return s.leave(ctx, err, "The run goes on. Watch it again: "+p.call("runs", "watch", record.ID))
			}
			return s.watched(record)
		})
	}
	return p.cobra(c)
}

// watch shows the progress and the log of a run, wherever it is executed, until it has ended.
func (s *session) watch(ctx context.Context, record rikki.Record) (rikki.Record, error) {
	if ended(record) {
		return record, nil
	}
	target := record.Database
	if on := onText(record); on != "" && record.State != rikki.Queued {
		target += ", " + on
	}
	bar := s.p.term.Progress(term.Head{Script: record.Script, Run: record.ID, Target: target})
	defer bar.Done()
	logs := rikki.LogFilter{MinLevel: slog.LevelInfo, Tail: 5}
	waits := false
	for {
		if sample, ok := watchedSample(record); ok {
			bar.Set(sample)
		}
		if record.State == rikki.Queued && !waits {
			s.p.term.Note("It waits in the queue: a process that serves takes it, or you do: %s", s.p.call("runs", "resume", record.ID, "--here"))
		}
		waits = record.State == rikki.Queued
		if !s.p.flags.Quiet {
			if err := s.showNewLogs(ctx, record.ID, &logs); err != nil {
				return record, err
			}
		}
		if ended(record) {
			return record, nil
		}
		var err error
		if record, err = s.next(ctx, record); err != nil {
			return record, err
		}
	}
}

// watchedSample is what the record says of a run's progress, if it does. One that waits in the queue may have done something before,
// but goes at no pace now.
func watchedSample(record rikki.Record) (term.Sample, bool) {
	var sample term.Sample
	if record.Progress != nil {
		sample = sampleOf(*record.Progress)
	}
	if tuned := tuningText(record); tuned != "" {
		sample.Detail = append(sample.Detail, "tuned: "+tuned)
	}
	if record.State == rikki.Queued {
		sample.Rate, sample.ETA = 0, 0
		sample.Detail = []string{"queued: no process has taken it yet"}
	}
	return sample, record.Progress != nil || record.State == rikki.Queued
}

// leave ends a command that somebody has seen enough of: that is no error. A question to the server that was under way at that moment
// only says that its context has ended.
func (s *session) leave(ctx context.Context, err error, note string) error {
	stopped, ok := errors.AsType[*SignalError](context.Cause(ctx))
	if err == nil || !ok {
		return err
	}
	s.p.term.Note("%s", note)
	return exitError(stopped.exit())
}

// showNewLogs passes new log records to where those of this program's own runs go.
func (s *session) showNewLogs(ctx context.Context, run string, filter *rikki.LogFilter) error {
	handler := s.p.term.Handler(s.p.flags.logLevel())
	for log, err := range s.runs.Logs(ctx, run, *filter) {
		if err != nil {
			return err
		}
		filter.AfterSeq, filter.Tail = log.Seq, 0
		var level slog.Level
		if level.UnmarshalText([]byte(log.Level)) != nil || !handler.Enabled(ctx, level) {
			continue
		}
		record := slog.NewRecord(log.Time.Local(), level, log.Message, 0)
		record.AddAttrs(attrsOf(log.Attrs)...)
		if err := handler.Handle(ctx, record); err != nil {
			return err
		}
	}
	return nil
}

// watched tells how the run ended, and returns its exit code.
func (s *session) watched(record rikki.Record) error {
	p := s.p
	code := exitOfState(record.State)
	if p.term.JSON() {
		if err := p.term.Result(struct {
			V int `json:"v"`
			rikki.Record
			Code int `json:"code"`
		}{1, record, code}); err != nil {
			return err
		}
	} else {
		line := outcome(&rikki.Result{
			Script: record.Script, State: record.State, Duration: record.Duration, DryRun: record.DryRun,
			Counters: record.Counters, Progress: record.Progress,
		})
		tell := p.term.Failed
		if code == ExitOK {
			tell = p.term.Done
		}
		tell("%s", line)
		p.term.Next(p.call("runs", "show", record.ID))
	}
	if code == ExitOK {
		return nil
	}
	return exitError(code)
}
