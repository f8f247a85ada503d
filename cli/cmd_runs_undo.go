package cli

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/term"
)

// paceFlags are those of runs that go through many documents.
type paceFlags struct {
	Chunk        int            `min:"1" max:"10000" help:"Documents in a chunk (default: as many as take 100ms)."`
	Workers      int            `min:"1" max:"64" help:"Chunks at a time, where their order doesn't matter."`
	Rate         float64        `min:"0" help:"Documents a second at most; 0 for no limit."`
	MaxLag       *time.Duration `min:"0s" help:"How far secondaries may be behind (default 10s); 0s for no limit."`
	Gentle       string         `enum:"auto,always,never" help:"When to make room for others (default auto: while there are any)."`
	Unreadable   string         `enum:"wait,ignore" help:"What to do when the lag can't be told, as a member is down (default wait)."`
	IgnoreMember []string       `minItems:"1" placeholder:"HOST" help:"Members of the replica set whose lag doesn't matter."`
	Window       string         `placeholder:"22:00-05:00" help:"Only work at this time of day; an IANA zone may follow, else UTC."`
	MaxRuntime   time.Duration  `min:"1s" help:"Pause after this time."`
}

type undoFlags struct {
	DryRun  bool   `help:"Say what would be restored and what others have changed since, and change nothing."`
	Journal string `enum:"changed,full,ids,off" default:"changed" help:"How much is kept for an undo of the undo."`
	paceFlags
	MaxFailures int64  `min:"-1" help:"Pause when more documents than this can't be written (default 0: no limit); -1 to end at the first. Conflicts don't count."`
	AtLeastOnce bool   `help:"Go on without transactions on a standalone server, where others must not write meanwhile."`
	Queue       bool   `help:"Leave it to the processes that serve the queue, and print its ID."`
	Actor       string `placeholder:"NAME" help:"Who wants it (default: the user)."`
	Events      bool   `short:"f" help:"Print every event as a line of JSON on standard output."`
}

func newRunsUndoCommand(p *program) *cobra.Command {
	flags := &undoFlags{}
	c := &command{
		name: "undo", short: "Take back what a backfill has changed.", args: []string{"RUN"}, flags: flags,
		long: "Restores from the journal what the run has changed, deleted or inserted, the last change first. What others have\n" +
			"changed since stays as it is and is listed by runs failures. The script isn't needed: any program can undo any run.\n" +
			"The undo is a run of its own: it can be paused, resumed after a crash, and undone. The run must have ended; cancel\n" +
			"one that rests.",
		examples: []string{"runs undo last --dry-run", "runs undo r_7Kq2", "runs undo r_7Kq2 --rate=500 --max-lag=5s"},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		if err := p.databaseOf(ctx, args[0]); err != nil {
			return err
		}
		if flags.Queue {
			return p.queueUndo(ctx, args[0], *flags)
		}
		j := job{
			script: rikki.ScriptInfo{Name: backfill.UndoName},
			flags:  runFlags{DryRun: flags.DryRun, Actor: flags.Actor, Events: flags.Events},
		}
		j.do = func(ctx context.Context, s *session, opts *rikki.RunOptions) (*rikki.Result, error) {
			record, err := s.changeable(ctx, args[0])
			if err != nil {
				return nil, err
			}
			opts.Params = flags.params()
			result, err := backfill.Undo(ctx, s.runs, record.ID, opts)
			if err != nil && (result == nil || neverBegan(result, err)) {
				return nil, s.notUndone(ctx, record, err)
			}
			return result, err
		}
		return p.run(ctx, j)
	}
	return p.cobra(c)
}

// databaseOf takes the database from the run that is undone where the URI names none: the journal knows where everything is.
func (p *program) databaseOf(ctx context.Context, run string) error {
	to, err := p.target()
	if err != nil || to.embedded || to.database != "" || conn.New(conn.Config{URI: to.uri}).Database() != "" {
		return err
	}
	s, err := p.open(ctx, func(cfg *rikki.Config) { cfg.Conn.Database = cmp.Or(cfg.HistoryDatabase, rikki.DefaultHistoryDatabase) })
	if err != nil {
		return err
	}
	record, err := s.runs.Record(ctx, run)
	if err != nil {
		err = s.noRun(run, err)
	}
	if closeErr := s.close(ctx); closeErr != nil {
		p.term.Warn("closing the connection: %v", closeErr)
	}
	p.flags.Database = record.Database
	return err
}

// neverBegan tells whether an undo was refused when its run had a record already, as of two that were asked for at the same time.
func neverBegan(result *rikki.Result, err error) bool {
	return result.Value == nil && errors.Is(err, backfill.ErrNoUndo)
}

func (f undoFlags) params() *backfill.UndoRun {
	return &backfill.UndoRun{
		Journal: f.Journal, Chunk: f.Chunk, Workers: f.Workers, MaxFailures: f.MaxFailures, Rate: f.Rate, MaxLag: f.MaxLag, Gentle: f.Gentle, Unreadable: f.Unreadable, IgnoreMember: f.IgnoreMember,
		Window:     f.Window,
		MaxRuntime: f.MaxRuntime, AtLeastOnce: f.AtLeastOnce,
	}
}

func (p *program) queueUndo(ctx context.Context, run string, flags undoFlags) error {
	return p.with(ctx, func(s *session) error {
		record, err := s.changeable(ctx, run)
		if err != nil {
			return err
		}
		if err := s.mayChange(ctx, flags.DryRun); err != nil {
			return err
		}
		id, err := backfill.QueueUndo(ctx, s.runs, record.ID, &rikki.RunOptions{Params: flags.params(), Actor: flags.Actor, DryRun: flags.DryRun})
		if err != nil {
			return s.notUndone(ctx, record, err)
		}
		return s.queued(id, backfill.UndoName)
	})
}

// notUndone explains why a run can't be undone.
func (s *session) notUndone(ctx context.Context, record rikki.Record, err error) error {
	switch {
	case errors.Is(err, rikki.ErrNotFound):
		return s.noRun(record.ID, err)
	case isDenied(err): // another account could undo it
		return err
	case errors.Is(err, backfill.ErrNoUndo):
		return &problemError{What: plain(err), Code: ExitUsage, Fix: s.undoFix(ctx, record, err), Err: err}
	default:
		return err
	}
}

// undoFix says what to do about a run that can't be undone, or about the undo that is in its way.
func (s *session) undoFix(ctx context.Context, record rikki.Record, err error) string {
	p := s.p
	if record.DryRun {
		if meant := s.meantBy(ctx, record); meant != "" {
			return "see what an undo of the run itself would do: " + p.call("runs", "undo", meant, "--dry-run")
		}
		return "see " + p.call("runs", "list") + " for the run itself"
	}
	standing := record
	for _, id := range runID.FindAllString(plain(err), -1) {
		if id == record.ID {
			continue
		}
		if other, err := s.runs.Record(ctx, id); err == nil && other.Script == backfill.UndoName && !other.State.Final() {
			standing = other
			break
		}
	}
	switch {
	case standing.State.Final():
		return "see " + p.call("runs", "show", record.ID)
	case standing.State == rikki.Queued:
		return "cancel it: " + p.call("runs", "cancel", standing.ID)
	case standing.State.Active():
		return "watch it: " + p.call("runs", "watch", standing.ID)
	default:
		return "go on with it: " + p.call("runs", "resume", standing.ID) + "\ncancel it: " + p.call("runs", "cancel", standing.ID)
	}
}

// meantBy finds the run that somebody who names a dry run may mean: what the dry run of an undo was about, or else the newest run of
// the script before it that was none. It is "" where there is none among the last few.
func (s *session) meantBy(ctx context.Context, dry rikki.Record) string {
	const few = 20
	if dry.Script == backfill.UndoName {
		return dry.Parent
	}
	for record, err := range s.runs.Runs(ctx, rikki.RunFilter{Script: dry.Script, Before: dry.ID, Limit: few}) {
		if err != nil {
			return ""
		}
		if !record.DryRun && record.Database == dry.Database {
			return record.ID
		}
	}
	return ""
}

// printUndoForecast tells what an undo would do.
func (p *program) printUndoForecast(f *backfill.UndoForecast) error {
	sample := "the newest " + term.Count(f.Sampled) + " changes"
	if f.Complete {
		sample = "all " + term.Count(f.Sampled) + " changes"
	}
	if err := p.term.Fields(
		term.Field{Key: "undoes", Value: f.Undoes + ", at most " + term.Count(f.Changes) + " changes in " + f.Collection},
		term.Field{Key: "looked at", Value: sample},
		term.Field{Key: "outcome", Value: countList(
			counted{f.Restored, "would be restored"}, counted{f.Deleted, "would be deleted again"},
			counted{f.Written, "of other collections would be restored"}, counted{f.Unchanged, isOrAre(f.Unchanged, "as before already")},
			counted{int64(len(f.Conflicts)), "changed by others since would stay"},
		)},
	); err != nil {
		return err
	}
	for _, warning := range f.Warnings {
		p.term.Warn("%s", warning)
	}
	if len(f.Conflicts) == 0 {
		p.term.Next(p.call("runs", "undo", f.Undoes))
		return nil
	}
	table := term.Table{Columns: []term.Column{{Name: "Conflict"}, {Name: "In"}, {Name: "Reason", Flex: true}}}
	for _, c := range f.Conflicts[:min(len(f.Conflicts), shownConflicts)] {
		table.Rows = append(table.Rows, []string{term.Shorten(c.ID, shownID), c.Namespace, term.Shorten(c.Reason, shownMessage)})
	}
	if err := p.term.Table(table); err != nil {
		return err
	}
	if n := len(f.Conflicts) - shownConflicts; n > 0 {
		p.term.Note("… and %s more, all of them with --json", term.Count(int64(n)))
	}
	p.term.Next(p.call("runs", "undo", f.Undoes))
	return nil
}

// shownConflicts is how many conflicts a dry run lists for people.
const shownConflicts = 20

// printUndone tells what the last line, with its counters, leaves out.
func (p *program) printUndone(u *backfill.Undone) error {
	if u.Nothing {
		return p.term.Print("nothing was left to undo: all that run %s changed is as it was before", u.Undoes)
	}
	return p.printSummary(u.Summary, term.Field{Key: "undoes", Value: u.Undoes})
}
