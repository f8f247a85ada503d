package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/schedule"
)

const scheduleName = "schedule"

func newScheduleCommand(p *program) *cobra.Command {
	return p.group(&command{
		name: scheduleName, short: "Run scripts by the clock.",
		examples: []string{
			"schedule add nightly SCRIPT --cron='30 2 * * *' --zone=Europe/Berlin", "schedule list", "schedule next nightly",
			"schedule pause nightly --note='migration under way'", "schedule run SCRIPT --every=5m --max-runs=3",
		},
	}, newScheduleAddCommand(p), newScheduleListCommand(p), newScheduleShowCommand(p), newScheduleNextCommand(p),
		newSchedulePauseCommand(p), newScheduleResumeCommand(p), newScheduleTriggerCommand(p), newScheduleBackfillCommand(p),
		newScheduleRemoveCommand(p), newScheduleRunCommand(p))
}

// scheduler returns what changes the schedules of the session's database.
func (s *session) scheduler() *schedule.Scheduler {
	return schedule.New(s.runs, &schedule.Options{Schedules: s.p.app.Schedules, Program: s.p.name})
}

// schedules calls fn with the scheduler.
func (p *program) schedules(ctx context.Context, fn func(s *schedule.Scheduler) error) error {
	return p.with(ctx, func(s *session) error { return p.scheduleError(fn(s.scheduler())) })
}

// scheduleError explains what the package schedule refuses.
func (p *program) scheduleError(err error) error {
	var invalid *schedule.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return &problemError{What: invalid.Error(), Code: ExitUsage, Err: err}
	case errors.Is(err, schedule.ErrNotFound):
		return &problemError{What: bare(err), Fix: "see " + p.call(scheduleName, "list"), Code: ExitUsage, Err: err}
	case errors.Is(err, schedule.ErrExists):
		return &problemError{What: bare(err), Fix: "say --replace to change it, or choose another name", Code: ExitUsage, Err: err}
	case errors.Is(err, schedule.ErrNeverRuns), errors.Is(err, schedule.ErrState):
		return &problemError{What: bare(err), Code: ExitUsage, Err: err}
	}
	return err
}

func bare(err error) string { return strings.TrimPrefix(plain(err), "schedule: ") }

// scheduleNames lists the schedules for completion: silent, and without starting a server for it.
func (p *program) scheduleNames(ctx context.Context, args []string) []string {
	if len(args) > 0 || p.env.load("") != nil {
		return nil
	}
	to, err := p.target()
	if err != nil || to.embedded {
		return nil
	}
	p.flags.Quiet, p.flags.ConnectTimeout = true, completionBudget
	p.std.Err = nil
	p.term = p.newTerm()
	var names []string
	err = p.schedules(ctx, func(s *schedule.Scheduler) error {
		for info, err := range s.Schedules(ctx, schedule.Filter{}) {
			if err != nil {
				return err
			}
			names = append(names, info.Name+"\t"+string(info.State)+", "+info.When)
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return names
}

type scheduleListFlags struct {
	Script string   `placeholder:"NAME" help:"Only those of this script."`
	State  []string `enum:"active,paused,completed,undeployed" help:"Only those in these states."`
}

func newScheduleListCommand(p *program) *cobra.Command {
	flags := &scheduleListFlags{}
	c := &command{
		name: "list", short: "List the schedules, and when they run next.", flags: flags,
		long:     "Those of this program that aren't stored yet are undeployed: serve stores them.",
		examples: []string{"schedule list", "schedule list --state=paused --json"},
	}
	c.run = func(ctx context.Context, _ []string) error {
		return p.schedules(ctx, func(s *schedule.Scheduler) error {
			filter := schedule.Filter{Script: flags.Script}
			for _, state := range flags.State {
				filter.States = append(filter.States, schedule.State(state))
			}
			list := []schedule.Info{}
			for info, err := range s.Schedules(ctx, filter) {
				if err != nil {
					return err
				}
				list = append(list, info)
			}
			return p.printSchedules(list)
		})
	}
	return p.cobra(c)
}

func (p *program) printSchedules(list []schedule.Info) error {
	if p.term.JSON() {
		return p.term.Result(struct {
			V         int             `json:"v"`
			Schedules []schedule.Info `json:"schedules"`
		}{1, list})
	}
	table := term.Table{Empty: "No schedules. Make one: " + p.call(scheduleName, "add", "NAME", "SCRIPT", "--cron='30 2 * * *'"), Columns: []term.Column{
		{Name: "Schedule"}, {Name: "Script"}, {Name: "State"}, {Name: "When", Flex: true}, {Name: "Next"}, {Name: "Runs", Align: term.Right}, {Name: "Remarks", Flex: true},
	}}
	for _, info := range list {
		next := ""
		if !info.Next.IsZero() {
			next = clock(info.Next, info.Zone)
		}
		table.Rows = append(table.Rows, []string{
			info.Name, info.Script, stateMark(info.State) + string(info.State), info.When, next, strconv.FormatInt(info.Fired, 10), remarks(info),
		})
	}
	return p.term.Table(table)
}

func stateMark(state schedule.State) string {
	switch state {
	case schedule.Active:
		return "● "
	case schedule.Paused:
		return "‖ "
	case schedule.Completed:
		return "✓ "
	}
	return "… "
}

// remarks is what somebody should know of a schedule.
func remarks(info schedule.Info) string {
	var list []string
	if info.Late > 0 {
		list = append(list, "late by "+term.Duration(info.Late.Round(time.Second))+": no process serves it")
	}
	if n := info.Note; n != nil {
		list = append(list, noteText(*n))
	}
	if info.Failures > 0 && info.State == schedule.Active {
		list = append(list, fmt.Sprintf("%d failed in a row", info.Failures))
	}
	if n := len(info.Drift); n > 0 {
		list = append(list, "differs from the program")
	}
	return strings.Join(list, "; ")
}

func noteText(n schedule.Note) string {
	text := n.Text
	if n.By != "" {
		text = strings.TrimSuffix("by "+n.By+": "+n.Text, ": ")
	}
	return text
}

// clock is a time in a zone, which it names.
func clock(t time.Time, zone string) string {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		loc = time.UTC
	}
	layout := "2006-01-02 15:04:05 MST"
	if t.Nanosecond() != 0 {
		layout = "2006-01-02 15:04:05.000 MST"
	}
	return t.In(loc).Format(layout)
}

type scheduleShowFlags struct {
	Limit int `default:"10" min:"1" max:"1000" help:"How many occurrences."`
}

func newScheduleShowCommand(p *program) *cobra.Command {
	flags := &scheduleShowFlags{}
	c := &command{
		name: "show", short: "Show one schedule: its definition, its last occurrences, and who changed it.", args: []string{"NAME"}, flags: flags,
		examples: []string{"schedule show nightly", "schedule show nightly --limit=100 --json"},
		complete: p.scheduleNames,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.schedules(ctx, func(s *schedule.Scheduler) error {
			info, err := s.Schedule(ctx, args[0])
			if err != nil {
				return err
			}
			var past []schedule.Occurrence
			for o, err := range s.Occurrences(ctx, schedule.OccurrenceFilter{Schedule: args[0], Limit: flags.Limit}) {
				if err != nil {
					return err
				}
				past = append(past, o)
			}
			changes, err := s.Changes(ctx, args[0])
			if err != nil {
				return err
			}
			return p.showSchedule(info, past, changes)
		})
	}
	return p.cobra(c)
}

func (p *program) showSchedule(info schedule.Info, past []schedule.Occurrence, changes []schedule.Change) error {
	if p.term.JSON() {
		return p.term.Result(struct {
			V int `json:"v"`
			schedule.Info
			Occurrences []schedule.Occurrence `json:"occurrences"`
			Changes     []schedule.Change     `json:"changes"`
		}{1, info, past, changes})
	}
	if err := p.term.Fields(scheduleFields(info, changes)...); err != nil {
		return err
	}
	if len(past) > 0 {
		if err := p.term.Print(""); err != nil {
			return err
		}
		if err := p.printOccurrences(past, info.Zone); err != nil {
			return err
		}
	}
	p.term.Next(p.call(scheduleName, "next", info.Name))
	return nil
}

func scheduleFields(info schedule.Info, changes []schedule.Change) []term.Field {
	state := stateMark(info.State) + string(info.State)
	if info.Note != nil {
		state += " since " + clock(info.Note.At, info.Zone) + ": " + noteText(*info.Note)
	}
	next := ""
	if !info.Next.IsZero() {
		next = clock(info.Next, info.Zone)
		if info.Due.After(info.Next) {
			next += ", starts at " + clock(info.Due, info.Zone)
		}
		if info.Late > 0 {
			next += " (late by " + term.Duration(info.Late.Round(time.Second)) + ": no process serves it)"
		}
	}
	runs := strconv.FormatInt(info.Fired, 10)
	if info.MaxRuns > 0 {
		runs += " of " + strconv.Itoa(info.MaxRuns)
	}
	if info.Failures > 0 {
		runs += fmt.Sprintf(", the last %d failed", info.Failures)
	}
	var open []string
	for _, o := range info.Open {
		open = append(open, strings.TrimSpace(fmt.Sprintf("%s %s %s", clock(o.At, info.Zone), o.State, o.Run)))
	}
	origin := strings.TrimSpace(info.Origin + " of " + info.Program)
	if info.Program == "" {
		origin = info.Origin + ", by " + info.By
	}
	var history []string
	for _, c := range slices.Backward(changes) {
		history = append(history, strings.TrimSuffix(fmt.Sprintf("%s %s by %s: %s", clock(c.At, info.Zone), c.Action, c.Actor, c.Note), ": "))
	}
	raw, _ := info.Params.(interface{ MarshalJSON() ([]byte, error) })
	params := ""
	if raw != nil {
		if data, err := raw.MarshalJSON(); err == nil {
			params = paramText(data, data)
		}
	}
	return []term.Field{
		{Key: "schedule", Value: info.Name},
		{Key: "description", Value: info.Description},
		{Key: "script", Value: info.Script},
		{Key: "parameters", Value: params},
		{Key: "database", Value: info.Database},
		{Key: "state", Value: state},
		{Key: "when", Value: info.When},
		{Key: "zone", Value: info.Zone},
		{Key: "next", Value: next},
		{Key: "runs", Value: runs},
		{Key: "open", Value: strings.Join(open, "\n")},
		{Key: "overlap", Value: string(info.Overlap)},
		{Key: "catch up", Value: catchUpText(info)},
		{Key: "pauses", Value: pauseText(info.PauseAfter)},
		{Key: "defined", Value: origin + fmt.Sprintf(", revision %d", info.Revision)},
		{Key: "drift", Value: strings.Join(info.Drift, "\n")},
		{Key: "changes", Value: strings.Join(history[:min(len(history), 5)], "\n")},
	}
}

func catchUpText(info schedule.Info) string {
	window := term.Duration(24 * time.Hour)
	if info.Window != 0 {
		window = term.Duration(info.Window)
	}
	switch {
	case info.CatchUp == schedule.CatchUpNone:
		return "none"
	case info.Window < 0:
		return string(info.CatchUp) + ", however late"
	default:
		return string(info.CatchUp) + ", within " + window
	}
}

func pauseText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("itself after %d failures in a row", n)
}

func (p *program) printOccurrences(past []schedule.Occurrence, zone string) error {
	table := term.Table{Columns: []term.Column{{Name: "Slot"}, {Name: "Kind"}, {Name: "Outcome"}, {Name: "Run"}, {Name: "Why", Flex: true}}}
	for _, o := range past {
		slot := clock(o.At, zone)
		outcome := strings.ReplaceAll(string(o.State), "_", " ")
		if o.Count > 1 {
			outcome += fmt.Sprintf(" ×%d", o.Count)
			if o.Count >= 10_000 {
				outcome += " or more"
			}
		}
		why := o.Reason
		if o.Actor != "" {
			why = strings.TrimSuffix("by "+o.Actor+": "+o.Reason, ": ")
		}
		table.Rows = append(table.Rows, []string{slot, string(o.Kind), outcome, o.Run, why})
	}
	return p.term.Table(table)
}
