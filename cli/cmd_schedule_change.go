package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/schedule"
)

// scheduleChangeFlags say who changes a schedule, and why.
type scheduleChangeFlags struct {
	Note  string `placeholder:"TEXT" help:"Why; shown with the schedule, and kept in the audit log."`
	Actor string `placeholder:"NAME" help:"Who wants it (default: the user)."`
}

func (f scheduleChangeFlags) options() schedule.ChangeOptions {
	return schedule.ChangeOptions{Note: f.Note, Actor: f.Actor}
}

func newSchedulePauseCommand(p *program) *cobra.Command {
	flags := &scheduleChangeFlags{}
	c := &command{
		name: "pause", short: "Keep a schedule from firing.", args: []string{"NAME"}, flags: flags,
		long:     "What is under way goes on. The slots that pass meanwhile are skipped, which resume records.",
		examples: []string{"schedule pause nightly --note='migration under way'"}, complete: p.scheduleNames,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.schedules(ctx, func(s *schedule.Scheduler) error {
			opts := flags.options()
			info, err := s.Pause(ctx, args[0], &opts)
			if err != nil {
				return err
			}
			return p.scheduleChanged(info, "is paused", p.call(scheduleName, "resume", info.Name))
		})
	}
	return p.cobra(c)
}

func newScheduleResumeCommand(p *program) *cobra.Command {
	flags := &scheduleChangeFlags{}
	c := &command{
		name: "resume", short: "Let a schedule fire again, from now on.", args: []string{"NAME"}, flags: flags,
		examples: []string{"schedule resume nightly"}, complete: p.scheduleNames,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.schedules(ctx, func(s *schedule.Scheduler) error {
			opts := flags.options()
			info, err := s.Resume(ctx, args[0], &opts)
			if err != nil {
				return err
			}
			return p.scheduleChanged(info, "is "+string(info.State)+", next at "+clock(info.Next, info.Zone), p.call(scheduleName, "show", info.Name))
		})
	}
	return p.cobra(c)
}

func (p *program) scheduleChanged(info schedule.Info, what, next string) error {
	if p.term.JSON() {
		return p.term.Result(struct {
			V int `json:"v"`
			schedule.Info
		}{1, info})
	}
	p.term.Done("%s %s", info.Name, what)
	p.term.Next(next)
	return nil
}

func newScheduleRemoveCommand(p *program) *cobra.Command {
	flags := &scheduleChangeFlags{}
	c := &command{
		name: "rm", short: "Remove a schedule. What it has run stays in the history.", args: []string{"NAME"}, flags: flags,
		long: "It asks first, unless --yes is said. A schedule that a program defines is stored again when that program serves the next\n" +
			"time: pause it, or remove it there.",
		examples: []string{"schedule rm nightly", "schedule rm nightly --yes"}, complete: p.scheduleNames,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.schedules(ctx, func(s *schedule.Scheduler) error {
			info, err := s.Schedule(ctx, args[0])
			if err != nil {
				return err
			}
			if !p.flags.Yes {
				yes, err := p.term.Confirm(ctx, "Remove schedule "+info.String()+"?")
				if err != nil {
					return err
				}
				if !yes {
					return &problemError{What: "not removed: the answer was no", Code: ExitCancelled}
				}
			}
			opts := flags.options()
			if err := s.Remove(ctx, info.Name, &opts); err != nil {
				return err
			}
			if p.term.JSON() {
				return p.term.Result(map[string]any{"v": 1, "removed": info.Name})
			}
			p.term.Done("%s is removed", info.Name)
			return nil
		})
	}
	return p.cobra(c)
}

func newScheduleTriggerCommand(p *program) *cobra.Command {
	flags := &scheduleChangeFlags{}
	c := &command{
		name: "trigger", short: "Queue a run of a schedule's script now.", args: []string{"NAME", "[-- PARAMETERS]"}, flags: flags,
		long: "Parameters after -- replace those of the schedule, one by one. The run is no slot: it counts neither as a run nor as a\n" +
			"failure of the schedule, whatever its state.",
		examples: []string{"schedule trigger nightly", "schedule trigger nightly --actor=mira -- --batch-size=10"}, complete: p.scheduleNames,
	}
	c.parse = func(ctx context.Context, args []string) error {
		own, script := beforeDashes(args)
		rest, err := p.read(c, own)
		if err != nil {
			return err
		}
		if len(rest) > 1 {
			return unexpected(rest[1])
		}
		return p.with(ctx, func(ses *session) error {
			s := ses.scheduler()
			info, err := s.Schedule(ctx, rest[0])
			if err != nil {
				return p.scheduleError(err)
			}
			if err := ses.mayChange(ctx, false); err != nil {
				return err
			}
			opts := &schedule.TriggerOptions{ChangeOptions: flags.options()}
			if opts.Params, err = p.scheduleParams(ses.runs, info.Script, script); err != nil {
				return err
			}
			o, err := s.Trigger(ctx, info.Name, opts)
			if err != nil {
				return p.scheduleError(err)
			}
			if p.term.JSON() {
				return p.term.Result(struct {
					V int `json:"v"`
					schedule.Occurrence
				}{1, o})
			}
			p.term.Next(p.call("runs", "watch", o.Run))
			return p.term.Print("%s", o.Run)
		})
	}
	return p.cobra(c)
}

type scheduleBackfillFlags struct {
	scheduleChangeFlags
	From   string `required:"true" placeholder:"TIME" help:"The first slot, in the schedule's zone (2026-11-01, -7d)."`
	To     string `placeholder:"TIME" help:"The time before which the last slot lies (default: now)."`
	DryRun bool   `help:"Only show which slots would run."`
}

func newScheduleBackfillCommand(p *program) *cobra.Command {
	flags := &scheduleBackfillFlags{}
	c := &command{
		name: "backfill", short: "Queue a run for each slot of a past range that hasn't run.", args: []string{"NAME"}, flags: flags,
		long: "Slots that have run are left out. The script sees the slot that it is for; the runs wait behind those that are due now.\n" +
			"At most 500 at a time.",
		examples: []string{"schedule backfill nightly --from=2026-11-01 --to=2026-11-08 --dry-run", "schedule backfill nightly --from=-7d"},
		complete: p.scheduleNames,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.with(ctx, func(ses *session) error {
			s := ses.scheduler()
			info, err := s.Schedule(ctx, args[0])
			if err != nil {
				return p.scheduleError(err)
			}
			if err := ses.mayChange(ctx, flags.DryRun); err != nil {
				return err
			}
			opts := schedule.BackfillOptions{ChangeOptions: flags.options(), DryRun: flags.DryRun}
			if opts.From, opts.To, err = rangeOf(*flags, info); err != nil {
				return err
			}
			report, err := s.Backfill(ctx, info.Name, opts)
			if err != nil {
				return p.scheduleError(err)
			}
			return p.tellBackfill(info.Name, report, flags.DryRun)
		})
	}
	return p.cobra(c)
}

func rangeOf(flags scheduleBackfillFlags, info schedule.Info) (from, to time.Time, err error) {
	loc, err := time.LoadLocation(info.Zone)
	if err != nil {
		return from, to, err
	}
	parse := func(flag, text string) time.Time {
		t, wrong := schedule.ParseTime(text, loc, time.Now())
		if wrong != nil && err == nil {
			err = &problemError{What: flag + " " + quote(text) + " is not a time", Fix: wrong.Error(), Code: ExitUsage}
		}
		return t
	}
	return parse("--from", flags.From), parse("--to", cmp.Or(flags.To, "now")), err
}

func (p *program) tellBackfill(name string, report schedule.BackfillReport, dry bool) error {
	if p.term.JSON() {
		return p.term.Result(struct {
			V int `json:"v"`
			schedule.BackfillReport
			DryRun bool `json:"dry_run,omitempty"`
		}{1, report, dry})
	}
	for i, slot := range report.Slots {
		line := slotText(slot)
		if i < len(report.Runs) {
			line += "  " + report.Runs[i]
		}
		if err := p.term.Print("%s", line); err != nil {
			return err
		}
	}
	what := "are queued"
	if dry {
		what = "would run"
	}
	p.term.Done("%s: %s slots %s", name, term.Count(int64(len(report.Slots))), strings.TrimSuffix(fmt.Sprintf("%s, %d have run before", what, report.Ran), ", 0 have run before"))
	return nil
}
