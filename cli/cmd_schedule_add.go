package cli

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/params"
	"github.com/rikki-go/rikki/schedule"
)

type scheduleAddFlags struct {
	schedule.Text
	File    string `placeholder:"FILE" help:"Store the schedules of a YAML file."`
	Replace bool   `help:"Change a schedule that exists."`
	DryRun  bool   `help:"Only show when it would run."`
	Note    string `placeholder:"TEXT" help:"Why, for the audit log."`
	Actor   string `placeholder:"NAME" help:"Who does it (default: the user)."`
}

func newScheduleAddCommand(p *program) *cobra.Command {
	flags := &scheduleAddFlags{}
	c := &command{
		name: "add", short: "Make a schedule, or change one.", args: []string{"[NAME]", "[SCRIPT]", "[-- PARAMETERS]"}, flags: flags,
		long: "The script's parameters follow after --. SCRIPT may be left out where it is called like the schedule. The next five\n" +
			"runs are shown before anything is stored; on a terminal it asks then, unless --yes is said. One of --cron, --every and --once\n" +
			"says when. With --file, several schedules come from a YAML file, in which the flags are the keys.",
		examples: []string{
			"schedule add nightly SCRIPT --cron='30 2 * * *' --zone=Europe/Berlin -- --batch-size=500",
			"schedule add SCRIPT --every=5m --pause-after=3", "schedule add launch SCRIPT --once=2026-12-24T18:00 --zone=Europe/Berlin",
			"schedule add --file=schedules.yaml --replace",
		},
		complete: func(_ context.Context, args []string) []string {
			if len(args) > 1 {
				return nil
			}
			return p.scriptNames()
		},
	}
	c.parse = func(ctx context.Context, args []string) error {
		own, script := beforeDashes(args)
		rest, err := p.read(c, own)
		if err != nil {
			return err
		}
		defs, err := p.newSchedules(rest, script, flags)
		if err != nil {
			return p.scheduleError(err)
		}
		return p.schedules(ctx, func(s *schedule.Scheduler) error { return p.addSchedules(ctx, s, defs, flags) })
	}
	return p.cobra(c)
}

// beforeDashes splits a command line at its first "--".
func beforeDashes(args []string) (own, script []string) {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i], args[i+1:]
	}
	return args, nil
}

// unexpected refuses a word: those of the script stand behind "--".
func unexpected(word string) error {
	return problemf(ExitUsage, "unexpected argument %s: the script's parameters follow after --", quote(word))
}

// newSchedules reads what is to be stored, without a connection.
func (p *program) newSchedules(rest, script []string, flags *scheduleAddFlags) ([]schedule.Schedule, error) {
	app, err := p.offline()
	if err != nil {
		return nil, err
	}
	if flags.File != "" {
		if len(rest)+len(script) > 0 {
			return nil, problemf(ExitUsage, "--file says it all: leave name, script and parameters out")
		}
		return schedule.Load(app, flags.File)
	}
	def, err := p.oneSchedule(app, rest, script, flags.Text)
	return []schedule.Schedule{def}, err
}

// oneSchedule is a schedule from the command line. The script's name may stand for both.
func (p *program) oneSchedule(app *rikki.App, rest, script []string, text schedule.Text) (schedule.Schedule, error) {
	if len(rest) > 2 {
		return schedule.Schedule{}, unexpected(rest[2])
	}
	if len(rest) == 0 {
		return schedule.Schedule{}, &problemError{What: "a schedule needs a name, and a script to run", Code: ExitUsage, Fix: "see " + p.call(scheduleName, "add", "--help")}
	}
	def, err := text.Schedule(time.Now())
	if err != nil {
		return def, err
	}
	def.Name, def.Script = rest[0], rest[len(rest)-1]
	def.Params, err = p.scheduleParams(app, def.Script, script)
	return def, err
}

// scheduleParams reads a script's own flags.
func (p *program) scheduleParams(app *rikki.App, name string, args []string) (any, error) {
	info, err := app.Script(name)
	if err != nil {
		return nil, err
	}
	parsed, err := params.Parser{Specs: []*params.Spec{info.Params.Named(name)}, Stdin: p.std.In}.Parse(args)
	if err := params.Join(refuseURI(args), err, p.extraWords(name, parsed.Rest)); err != nil {
		return nil, err
	}
	return []params.Layer{parsed.Flags[0], parsed.File[0]}, nil
}

const previewed = 5

func (p *program) addSchedules(ctx context.Context, s *schedule.Scheduler, defs []schedule.Schedule, flags *scheduleAddFlags) error {
	origin := ""
	if flags.File != "" {
		origin = "file"
	}
	var saved []schedule.Info
	for _, def := range defs {
		name := cmp.Or(def.Name, def.Script)
		slots, warnings, err := s.Preview(def, previewed, time.Now())
		if err != nil {
			return err
		}
		if old, err := s.Schedule(ctx, name); err == nil && !flags.Replace {
			return errors.Join(schedule.ErrExists, errors.New(old.String()))
		}
		p.notePreview(name, slots, warnings)
		if flags.DryRun {
			continue
		}
		if err := p.confirmSchedule(ctx, name); err != nil {
			return err
		}
		info, err := s.Save(ctx, def, &schedule.ChangeOptions{Replace: flags.Replace, Actor: flags.Actor, Note: flags.Note, Origin: origin})
		if err != nil {
			return err
		}
		saved = append(saved, info)
	}
	return p.tellSaved(saved, flags.DryRun)
}

func (p *program) notePreview(name string, slots []time.Time, warnings []string) {
	p.term.Note("%s would run next at", name)
	for _, slot := range slots {
		p.term.Note("  %s", slotText(slot))
	}
	for _, w := range warnings {
		p.term.Note("  daylight saving: %s", w)
	}
}

// slotText is a slot in its zone, with the day of the week.
func slotText(slot time.Time) string {
	layout := "Mon 2006-01-02 15:04:05 MST"
	if slot.Nanosecond() != 0 {
		layout = "Mon 2006-01-02 15:04:05.000 MST"
	}
	text := slot.Format(layout)
	if _, offset := slot.Zone(); offset != 0 {
		text += " (" + slot.UTC().Format("15:04:05 MST") + ")"
	}
	return text
}

// confirmSchedule asks a person who can answer.
func (p *program) confirmSchedule(ctx context.Context, name string) error {
	if p.flags.Yes || !p.term.Interactive() {
		return nil
	}
	yes, err := p.term.Confirm(ctx, "Store schedule "+name+"?")
	if err != nil || yes {
		return err
	}
	return &problemError{What: "not stored: the answer was no", Code: ExitCancelled}
}

func (p *program) tellSaved(saved []schedule.Info, dry bool) error {
	if p.term.JSON() {
		if saved == nil {
			saved = []schedule.Info{}
		}
		return p.printSchedules(saved)
	}
	for _, info := range saved {
		p.term.Done("%s is stored: %s", info.Name, info.When)
	}
	switch {
	case dry:
		p.term.Note("Nothing was stored.")
	case len(saved) == 1:
		p.term.Next(p.call(scheduleName, "show", saved[0].Name))
	default:
		p.term.Next(p.call(scheduleName, "list"))
	}
	return nil
}

type scheduleNextFlags struct {
	schedule.Text
	Count int `default:"5" min:"1" max:"1000" help:"How many."`
}

func newScheduleNextCommand(p *program) *cobra.Command {
	flags := &scheduleNextFlags{}
	c := &command{
		name: "next", short: "Show when a schedule, or an expression, runs next.", args: []string{"[NAME]"}, flags: flags,
		examples: []string{"schedule next nightly", "schedule next --cron='30 2 * * *' --zone=Europe/Berlin --count=10"},
		complete: p.scheduleNames,
	}
	c.run = func(ctx context.Context, args []string) error {
		if len(args) == 0 {
			return p.scheduleError(p.nextOf(flags))
		}
		return p.schedules(ctx, func(s *schedule.Scheduler) error {
			slots, warnings, err := s.Slots(ctx, args[0], flags.Count)
			if err != nil {
				return err
			}
			return p.printSlots(args[0], slots, warnings)
		})
	}
	return p.cobra(c)
}

// nextOf needs no connection, and no script.
func (p *program) nextOf(flags *scheduleNextFlags) error {
	def, err := flags.Schedule(time.Now())
	if err != nil {
		return err
	}
	slots, warnings, err := schedule.Next(def, flags.Count, time.Now())
	if err != nil {
		return err
	}
	return p.printSlots("", slots, warnings)
}

func (p *program) printSlots(name string, slots []time.Time, warnings []string) error {
	if p.term.JSON() {
		return p.term.Result(struct {
			V        int         `json:"v"`
			Schedule string      `json:"schedule,omitempty"`
			Slots    []time.Time `json:"slots"`
			Warnings []string    `json:"warnings,omitempty"`
		}{1, name, append([]time.Time{}, slots...), warnings})
	}
	if len(slots) == 0 {
		p.term.Note("No run follows: see %s", p.call(scheduleName, "show", name))
	}
	for _, slot := range slots {
		text := slotText(slot)
		if p.term.Plain() {
			text = slot.Format(time.RFC3339Nano)
		}
		if err := p.term.Print("%s", text); err != nil {
			return err
		}
	}
	for _, w := range warnings {
		p.term.Note("daylight saving: %s", w)
	}
	return nil
}
