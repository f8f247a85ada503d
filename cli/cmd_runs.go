package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/term"
)

func newRunsCommand(p *program) *cobra.Command {
	return p.group(&command{
		name: "runs", short: "Look at runs, and control them from anywhere.",
		examples: []string{"runs list --state=failed --since=-7d", "runs show last", "runs logs last --level=warn"},
	}, newRunsListCommand(p), newRunsShowCommand(p), newRunsLogsCommand(p), newRunsWatchCommand(p),
		newRunsPauseCommand(p), newRunsResumeCommand(p), newRunsCancelCommand(p), newRunsRetryCommand(p), newRunsUndoCommand(p), newRunsPruneCommand(p),
		newRunsTuneCommand(p), newRunsFailuresCommand(p))
}

type runsListFlags struct {
	Script string    `placeholder:"NAME" help:"Only runs of this script."`
	State  []string  `enum:"queued,running,pausing,paused,cancelling,cancelled,interrupted,succeeded,succeeded_with_errors,failed" placeholder:"STATE" help:"Only runs in these states."`
	Actor  string    `placeholder:"NAME" help:"Only runs that this one started."`
	Since  time.Time `placeholder:"TIME" help:"Only runs that started at or after this time (2026-01-02, -7d)."`
	Until  time.Time `placeholder:"TIME" help:"Only runs that started before this time."`
	Text   string    `help:"Only runs with this text in ID, script, actor, host or parameters."`
	Before string    `placeholder:"RUN" help:"Go on behind this run."`
	Limit  int       `default:"20" min:"0" help:"At most so many; 0 for all."`
}

func newRunsListCommand(p *program) *cobra.Command {
	flags := &runsListFlags{}
	c := &command{
		name: "list", short: "List runs, the newest first.", flags: flags,
		examples: []string{"runs list --script=SCRIPT --limit=50", "runs list --state=failed,interrupted --since=-7d", "runs list --plain | cut -f1"},
	}
	c.run = func(ctx context.Context, _ []string) error {
		return p.with(ctx, func(s *session) error { return s.listRuns(ctx, *flags) })
	}
	return p.cobra(c)
}

func (s *session) listRuns(ctx context.Context, flags runsListFlags) error {
	filter := rikki.RunFilter{
		Script: flags.Script, Actor: flags.Actor, Since: flags.Since, Until: flags.Until,
		Text: flags.Text, Before: flags.Before, Limit: flags.Limit,
	}
	for _, state := range flags.State {
		filter.States = append(filter.States, rikki.State(state))
	}
	records := []rikki.Record{}
	for record, err := range s.runs.Runs(ctx, filter) {
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	if s.p.term.JSON() {
		return s.p.term.Result(struct {
			V    int            `json:"v"`
			Runs []rikki.Record `json:"runs"`
		}{1, records})
	}
	return s.p.term.Table(s.runsTable(records, flags.Limit))
}

func (s *session) runsTable(records []rikki.Record, limit int) term.Table {
	table := term.Table{
		Columns: []term.Column{
			{Name: "Run"},
			{Name: "Script", Flex: true},
			{Name: "State"},
			{Name: "Started"},
			{Name: "Took", Align: term.Right},
			{Name: "Done", Flex: true},
			{Name: "By", Flex: true},
		},
		Empty: "No runs. Start one: " + s.p.call("run", "SCRIPT"),
	}
	for _, r := range records {
		state, started, took := stateText(r.State), term.Ago(r.StartedAt, time.Now()), term.Duration(r.Duration)
		if s.p.term.Plain() {
			state, started, took = string(r.State), r.StartedAt.UTC().Format(time.RFC3339), r.Duration.String()
		}
		if r.StartedAt.IsZero() {
			started, took = "", ""
		}
		table.Rows = append(table.Rows, []string{
			r.ID, r.Script + dryRunText(r), state, started, took, countText(r.Counters, r.Progress), r.Actor,
		})
	}
	if limit > 0 && len(records) == limit {
		s.p.term.Note("The newest %d. More: --limit=0, or --before=%s", limit, records[limit-1].ID)
	}
	return table
}

func newRunsShowCommand(p *program) *cobra.Command {
	c := &command{
		name: "show", short: "Show one run in full.", args: []string{"RUN"},
		long:     "RUN is an ID, the beginning of one, or \"last\".",
		examples: []string{"runs show last", "runs show r_7Kq2 --json"},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.with(ctx, func(s *session) error {
			record, err := s.runs.Record(ctx, args[0])
			if err != nil {
				return s.noRun(args[0], err)
			}
			walk, err := backfill.Inspect(ctx, s.runs, record.ID)
			if err != nil {
				return err
			}
			asked, err := s.runs.Audit(ctx, record.ID)
			switch {
			case isDenied(err) && record.Control != nil: // who may not read the audit log sees the last change
				asked = []rikki.Control{*record.Control}
			case err != nil && !isDenied(err):
				return err
			}
			return s.showRun(record, walk, asked)
		})
	}
	return p.cobra(c)
}

// showRun prints a run; walk is nil unless it is a backfill.
func (s *session) showRun(record rikki.Record, walk *backfill.Inspection, asked []rikki.Control) error {
	p := s.p
	if p.term.JSON() {
		return p.term.Result(struct {
			V int `json:"v"`
			rikki.Record
			Walk  *backfill.Inspection `json:"backfill,omitempty"`
			Audit []rikki.Control      `json:"audit,omitempty"`
		}{1, record, walk, asked})
	}
	var walked []term.Field
	shown := record
	if walk != nil {
		shown.Result = nil
		result := record.Result
		if !ended(record) { // an earlier attempt's
			result = nil
		}
		walked = walkFields(walk, result)
	}
	if err := p.term.Fields(append(recordFields(shown, asked), walked...)...); err != nil {
		return err
	}
	for _, next := range p.actionsFor(record, walk) {
		p.term.Next(next)
	}
	return nil
}

// actionsFor are what one may want to do about a run.
func (p *program) actionsFor(record rikki.Record, walk *backfill.Inspection) []string {
	id := record.ID
	switch {
	case !ended(record):
		next := []string{p.call("runs", "watch", id)}
		if walk != nil {
			next = append(next, p.call("runs", "tune", id, "--help"))
		}
		return next
	case record.State == rikki.Paused || record.State == rikki.Interrupted || record.HalfWay:
		return []string{p.call("runs", "logs", id), p.call("runs", "resume", id)}
	}
	next := []string{p.call("runs", "logs", id)}
	if walk == nil {
		return next
	}
	if walk.Failures > 0 {
		next = append(next, p.call("runs", "failures", id))
	}
	if walk.Failed > 0 && record.Script != backfill.UndoName {
		next = append(next, p.call("runs", "retry", id, "--failed-only"))
	}
	if walk.JournalBytes > 0 && len(walk.UndoneBy) == 0 {
		next = append(next, p.call("runs", "undo", id, "--dry-run"))
	}
	return next
}

// noRun explains why a run can't be had.
func (s *session) noRun(id string, err error) error {
	if code := exitOf(err); code != ExitUsage {
		return err
	}
	if is[*rikki.AmbiguousError](err) {
		return err
	}
	what := "no run has the ID " + quote(id)
	if id == "last" {
		what = "there are no runs yet"
	}
	return &problemError{What: what, Fix: "see " + s.p.call("runs", "list"), Code: ExitUsage, Err: err}
}

// runIDs lists the newest runs for completion: silent, and without starting a server for it.
func (p *program) runIDs(ctx context.Context, args []string) []string {
	if len(args) > 0 {
		return nil
	}
	if err := p.env.load(""); err != nil {
		return nil
	}
	to, err := p.target()
	if err != nil || to.embedded {
		return nil
	}
	p.flags.Quiet, p.flags.ConnectTimeout = true, completionBudget
	p.std.Err = nil
	p.term = p.newTerm()
	ids := []string{"last\tthe newest run"}
	err = p.with(ctx, func(s *session) error {
		for record, err := range s.runs.Runs(ctx, rikki.RunFilter{Limit: 20}) {
			if err != nil {
				return err
			}
			ids = append(ids, strings.Join([]string{record.ID + "\t" + record.Script, record.State.String(), term.Ago(record.StartedAt, time.Now())}, ", "))
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return ids
}
