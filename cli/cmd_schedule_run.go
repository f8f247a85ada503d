package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/schedule"
)

type scheduleRunFlags struct {
	schedule.Text
	Grace time.Duration `default:"30s" min:"0s" help:"How long a run may go on after Ctrl-C or SIGTERM."`
}

func newScheduleRunCommand(p *program) *cobra.Command {
	flags := &scheduleRunFlags{}
	c := &command{
		name: "run", short: "Run a script by the clock, here, until Ctrl-C.", args: []string{"SCRIPT", "[-- PARAMETERS]"}, flags: flags,
		long: "This process alone runs it: nothing of the schedule is stored, and no serve is needed. The runs are in the history as\n" +
			"others are. Ctrl-C begins no more of them and waits for the one under way.",
		examples: []string{"schedule run SCRIPT --every=5m --max-runs=3", "schedule run SCRIPT --cron='*/10 * * * *' -- --batch-size=500"},
		complete: func(context.Context, []string) []string { return p.scriptNames() },
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
		app, err := p.offline()
		if err != nil {
			return err
		}
		def, err := p.oneSchedule(app, rest, script, flags.Text)
		if err == nil {
			_, _, err = schedule.New(app, nil).Preview(def, 1, time.Now())
		}
		if err != nil {
			return p.scheduleError(err)
		}
		return p.scheduleHere(ctx, def, flags.Grace)
	}
	return p.cobra(c)
}

// scheduleHere runs a schedule in this process.
func (p *program) scheduleHere(ctx context.Context, def schedule.Schedule, grace time.Duration) error {
	s, err := p.open(ctx, func(cfg *rikki.Config) { cfg.Conn.KeepOpen = true })
	if err != nil {
		return causeOf(ctx, err)
	}
	tally, err := s.here(ctx, def, grace)
	if closeErr := s.close(ctx); closeErr != nil {
		p.term.Warn("closing the connection: %v", closeErr)
	}
	if err != nil {
		return p.scheduleError(err)
	}
	return p.tellTally(def.Script, tally)
}

func (s *session) here(ctx context.Context, def schedule.Schedule, grace time.Duration) (schedule.Tally, error) {
	p := s.p
	defer s.announce(0)()
	if err := s.prepare(ctx, false); err != nil {
		return schedule.Tally{}, err
	}
	slots, _, err := schedule.New(s.runs, nil).Preview(def, 1, time.Now())
	if err != nil {
		return schedule.Tally{}, err
	}
	p.term.Note("%s runs first at %s. Ctrl-C ends it.", def.Script, slotText(slots[0]))
	if !p.flags.Quiet {
		defer context.AfterFunc(ctx, func() {
			p.term.Note("Stopping: a run under way has %s. Press Ctrl-C again to exit now.", grace)
		})()
	}
	return schedule.Here(ctx, s.runs, def, &schedule.HereOptions{
		Grace: max(grace, time.Nanosecond), OnOccurrence: func(o schedule.Occurrence) { p.tellSlot(o, def.Zone) },
	})
}

func (p *program) tellSlot(o schedule.Occurrence, zone string) {
	at := clock(o.At, zone)
	switch {
	case p.term.JSON():
		_ = p.term.Event(o) // nobody reads it any more
	case o.State == schedule.Fired, o.State == schedule.Waiting:
	case o.State == schedule.Succeeded:
		p.term.Done("%s %s %s", at, o.Script, o.Run)
	case o.State == schedule.Skipped:
		p.term.Note("%s skipped: %s", at, o.Reason)
	default:
		p.term.Failed("%s %s %s %s: %s", at, o.Script, o.Run, strings.ReplaceAll(string(o.State), "_", " "), o.Reason)
	}
}

func (p *program) tellTally(script string, tally schedule.Tally) error {
	if p.term.JSON() {
		if err := p.term.Event(struct {
			V int `json:"v"`
			schedule.Tally
		}{1, tally}); err != nil {
			return err
		}
	} else {
		p.term.Note("%s: %s", script, strings.TrimSuffix(fmt.Sprintf("%s runs, %d failed, %d slots skipped", term.Count(int64(tally.Fired)), tally.Failed, tally.Skipped), ", 0 slots skipped"))
	}
	if tally.Failed > 0 {
		return exitError(ExitFailed)
	}
	return nil
}
