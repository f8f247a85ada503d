package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/term"
)

type runsPruneFlags struct {
	Script    string        `placeholder:"NAME" help:"Only runs of this script."`
	OlderThan time.Duration `min:"0s" placeholder:"DURATION" help:"Delete runs that ended so long ago (90d, 12h)."`
	Keep      *int          `min:"0" placeholder:"N" help:"Keep the newest N runs of each script, whatever their age. Alone: delete all others."`
	LogsOlder time.Duration `min:"0s" params:"logs-older-than" placeholder:"DURATION" help:"Delete the logs of runs that ended so long ago; the runs stay."`
	DryRun    bool          `help:"Say what would be deleted, and delete nothing."`
}

func newRunsPruneCommand(p *program) *cobra.Command {
	flags := &runsPruneFlags{}
	c := &command{
		name: "prune", short: "Delete old runs and their logs.", flags: flags,
		long: "Without flags it does what serve does every so often: it deletes what the scripts and the program say, by default\n" +
			"runs that ended 90 days ago, all but the newest 10,000 of a script, and logs after 30 days; the newest 20 runs of a\n" +
			"script stay. Runs that are queued, under way, paused, or interrupted and able to resume are always kept, and so is\n" +
			"what they need: the run that an undo takes back, the run of --failed-of. --dry-run says which, and why.",
		examples: []string{
			"runs prune --dry-run", "runs prune --older-than=90d --keep=10", "runs prune --script=SCRIPT --keep=100 --yes",
			"runs prune --logs-older-than=7d",
		},
	}
	c.run = func(ctx context.Context, _ []string) error {
		return p.with(ctx, func(s *session) error { return s.pruneRuns(ctx, *flags) })
	}
	return p.cobra(c)
}

// retention is what the flags say, or nil.
func (f runsPruneFlags) retention() *rikki.Retention {
	if f.OlderThan == 0 && f.Keep == nil && f.LogsOlder == 0 {
		return nil
	}
	keep := rikki.Retention{MaxAge: -1, MaxRuns: -1, MinRuns: -1, LogAge: -1}
	if f.LogsOlder > 0 {
		keep.LogAge = f.LogsOlder
	}
	if f.OlderThan > 0 {
		keep.MaxAge = f.OlderThan
	}
	if f.Keep != nil && *f.Keep > 0 {
		keep.MinRuns = *f.Keep
	}
	if f.Keep != nil && f.OlderThan == 0 {
		keep.MaxAge = time.Nanosecond // whatever has ended; zero would mean the default
	}
	return &keep
}

func (s *session) pruneRuns(ctx context.Context, flags runsPruneFlags) error {
	p, keep := s.p, flags.retention()
	if err := s.hasRuns(ctx, flags.Script); err != nil {
		return err
	}
	if flags.DryRun || keep != nil && !p.flags.Yes {
		would, err := s.runs.PrunePreview(ctx, flags.Script, keep)
		if err != nil {
			return err
		}
		if flags.DryRun {
			return p.tellPruned(would, true)
		}
		p.tellKept(would.Kept)
		if would.Runs > 0 || flags.LogsOlder > 0 {
			question := "Delete " + runsText(would) + ", with their logs?"
			if flags.LogsOlder > 0 {
				question = "Delete " + runsText(would) + ", and all logs older than " + term.Duration(flags.LogsOlder) + "?"
			}
			yes, err := p.term.Confirm(ctx, question)
			if err != nil {
				return err
			}
			if !yes {
				return &problemError{What: "nothing was deleted: the answer was no", Code: ExitCancelled}
			}
		}
	}
	pruned, err := s.runs.Prune(ctx, flags.Script, keep)
	if err != nil {
		if pruned.Runs > 0 {
			p.term.Warn("deleted %s before this went wrong", runsText(pruned))
		}
		return err
	}
	return p.tellPruned(pruned, false)
}

// hasRuns refuses a script that has no runs: most likely its name is not spelled right.
func (s *session) hasRuns(ctx context.Context, script string) error {
	if script == "" {
		return nil
	}
	for _, err := range s.runs.Runs(ctx, rikki.RunFilter{Script: script, Limit: 1}) {
		return err
	}
	problem := problemf(ExitUsage, "the history has no runs of script %s", quote(script))
	if near := s.p.nearestScript(script); near != "" && near != script {
		problem.What += ". Did you mean " + near + "?"
	}
	problem.Fix = "see " + s.p.call("runs", "list", "--limit=0")
	return problem
}

// tellPruned says what was deleted, or would be.
func (p *program) tellPruned(pruned rikki.Pruned, dry bool) error {
	if p.term.JSON() {
		return p.term.Result(struct {
			V      int  `json:"v"`
			DryRun bool `json:"dry_run"`
			rikki.Pruned
		}{1, dry, pruned})
	}
	table := term.Table{Columns: []term.Column{{Name: "Script", Flex: true}, {Name: "Runs", Align: term.Right}}}
	for _, script := range slices.Sorted(maps.Keys(pruned.Scripts)) {
		n := term.Count(pruned.Scripts[script])
		if p.term.Plain() {
			n = strconv.FormatInt(pruned.Scripts[script], 10)
		}
		table.Rows = append(table.Rows, []string{script, n})
	}
	if err := p.term.Table(table); err != nil {
		return err
	}
	p.tellKept(pruned.Kept)
	switch {
	case dry && pruned.Runs == 0:
		p.term.Note("No run would be deleted.")
	case dry:
		p.term.Note("%s would be deleted, with their logs.", runsText(pruned))
	case pruned.Runs == 0 && pruned.Records == 0:
		p.term.Done("nothing to delete")
	default:
		p.term.Done("deleted %s and %s log records and the like", runsText(pruned), term.Count(pruned.Records))
	}
	return nil
}

// shownKept is how many runs are named that are kept because of others.
const shownKept = 10

// tellKept names runs that are old enough and stay all the same.
func (p *program) tellKept(kept map[string]string) {
	for i, run := range slices.Sorted(maps.Keys(kept)) {
		if i == shownKept {
			p.term.Note("… and %s more are kept for others", term.Count(int64(len(kept)-shownKept)))
			return
		}
		p.term.Note("%s is kept: %s", run, kept[run])
	}
}

func runsText(pruned rikki.Pruned) string {
	runs := "runs"
	if pruned.Runs == 1 {
		runs = "run"
	}
	scripts := "scripts"
	if len(pruned.Scripts) == 1 {
		scripts = "script"
	}
	if pruned.Runs == 0 {
		return "no runs"
	}
	return fmt.Sprintf("%s %s of %d %s", term.Count(pruned.Runs), runs, len(pruned.Scripts), scripts)
}
