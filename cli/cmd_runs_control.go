package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
)

// controlFlags say who wants what of a run, and why.
type controlFlags struct {
	Reason string `placeholder:"TEXT" help:"Why; kept with the run and in the audit log."`
	Actor  string `placeholder:"NAME" help:"Who wants it (default: the user)."`
}

func (f controlFlags) options() *rikki.ControlOptions {
	return &rikki.ControlOptions{Reason: f.Reason, Actor: f.Actor}
}

// againFlags are those of commands that let a run go on or repeat it.
type againFlags struct {
	controlFlags
	Queue  bool `help:"Leave it to the processes that serve the queue."`
	Here   bool `help:"Run it here and now (default: as the run itself was started)."`
	Events bool `short:"f" help:"Print every event as a line of JSON on standard output."`
}

func (f againFlags) check() error {
	if f.Queue && f.Here {
		return problemf(ExitUsage, "--queue and --here contradict each other")
	}
	return nil
}

// here tells where the run goes on: where its kind of run does, unless told otherwise.
func (f againFlags) here(record rikki.Record) bool { return f.Here || !f.Queue && !record.Queue }

// changeable finds a run that shall be changed. One of another database is refused: the history is shared by all databases of a cluster, so
// that "last" or a typing error may name somebody else's, and what protects this database knows nothing of that one.
func (s *session) changeable(ctx context.Context, id string) (rikki.Record, error) {
	record, err := s.runs.Record(ctx, id)
	if err != nil {
		return record, s.uncontrolled(id, err)
	}
	if here := s.runs.Conn().Database(); record.Database != "" && record.Database != here {
		return record, &problemError{
			What: fmt.Sprintf("nothing was done: run %s (%s) is of the database %s", record.ID, record.Script, record.Database),
			Why:  "this is " + here, Fix: "name the run's database with --database=" + record.Database + ", or another run", Code: ExitUsage,
		}
	}
	return record, nil
}

// elsewhere finds a run that shall go on or be repeated, and has that done by others, unless it is to be done here.
func (p *program) elsewhere(ctx context.Context, id string, flags againFlags, do func(s *session, id string) (rikki.Record, error)) (record rikki.Record, here bool, err error) {
	if err := flags.check(); err != nil {
		return record, false, err
	}
	err = p.with(ctx, func(s *session) error {
		var err error
		if record, err = s.changeable(ctx, id); err != nil {
			return err
		}
		if here = flags.here(record); here {
			return nil
		}
		if err = s.mayChange(ctx, record.DryRun); err != nil {
			return err
		}
		record, err = do(s, record.ID)
		return s.controlled(record, id, err, p.call("runs", "watch", record.ID))
	})
	return record, here, err
}

func newRunsPauseCommand(p *program) *cobra.Command {
	flags := &controlFlags{}
	c := &command{
		name: "pause", short: "Let a run rest at its next checkpoint.", args: []string{"RUN"}, flags: flags,
		long: "Works wherever the run is executed, for scripts that keep checkpoints; a run that still waits in the queue is held\n" +
			"there. It goes on with runs resume.",
		examples: []string{"runs pause last", "runs pause r_7Kq2 --reason='too much load'"},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.with(ctx, func(s *session) error {
			record, err := s.changeable(ctx, args[0])
			if err != nil {
				return err
			}
			record, err = s.runs.Pause(ctx, record.ID, flags.options())
			return s.controlled(record, args[0], err, p.call("runs", "resume", record.ID))
		})
	}
	return p.cobra(c)
}

func newRunsCancelCommand(p *program) *cobra.Command {
	flags := &controlFlags{}
	c := &command{
		name: "cancel", short: "End a run for good.", args: []string{"RUN"}, flags: flags,
		long: "Works wherever the run is executed, and also when the process that did is dead. What the run still does on the\n" +
			"server is ended too. A run in the queue is taken out of it.",
		examples: []string{"runs cancel last", "runs cancel r_7Kq2 --reason='wrong tenant'"},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.with(ctx, func(s *session) error {
			record, err := s.changeable(ctx, args[0])
			if err != nil {
				return err
			}
			record, err = s.runs.Cancel(ctx, record.ID, flags.options())
			return s.controlled(record, args[0], err, p.call("runs", "show", record.ID))
		})
	}
	return p.cobra(c)
}

type resumeFlags struct {
	againFlags
	Force bool `help:"Go on though the program or the parameters have changed."`
}

func newRunsResumeCommand(p *program) *cobra.Command {
	flags := &resumeFlags{}
	c := &command{
		name: "resume", short: "Go on with a run that is paused or interrupted.", args: []string{"RUN"}, flags: flags,
		long: "The run goes on from its last checkpoint, with the parameters that it began with: through the queue if it came\n" +
			"that way, or else here.",
		examples: []string{"runs resume last", "runs resume r_7Kq2 --queue"},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		record, here, err := p.elsewhere(ctx, args[0], flags.againFlags, func(s *session, id string) (rikki.Record, error) {
			opts := flags.options()
			opts.Force = flags.Force
			return s.runs.Resume(ctx, id, opts)
		})
		if err != nil || !here {
			return err
		}
		return p.runAgain(ctx, &past{record: record, force: flags.Force, control: flags.controlFlags}, flags.Events)
	}
	return p.cobra(c)
}

type retryFlags struct {
	againFlags
	FailedOnly bool `help:"Only the documents that failed, of a backfill."`
}

// queue makes the new run and leaves it to the processes that serve.
func (f retryFlags) queue(ctx context.Context, s *session, id string) (rikki.Record, error) {
	return f.retry(ctx, s, id, f.options())
}

// hold makes the new run and keeps it from the processes that serve: it is for this one.
func (f retryFlags) hold(ctx context.Context, s *session, id string) (rikki.Record, error) {
	opts := f.options()
	opts.Held = true
	return f.retry(ctx, s, id, opts)
}

func (f retryFlags) retry(ctx context.Context, s *session, id string, opts *rikki.ControlOptions) (rikki.Record, error) {
	if f.FailedOnly {
		return backfill.RetryFailed(ctx, s.runs, id, opts)
	}
	return s.runs.Retry(ctx, id, opts)
}

func newRunsRetryCommand(p *program) *cobra.Command {
	flags := &retryFlags{}
	c := &command{
		name: "retry", short: "Run again what a run did that has ended.", args: []string{"RUN"}, flags: flags,
		long: "A new run begins with the same parameters: in the queue if the old one came that way, or else here. Secrets are\n" +
			"not kept with a run; they come from the environment.",
		examples: []string{"runs retry last", "runs retry r_7Kq2 --queue", "runs retry r_7Kq2 --failed-only"},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		record, here, err := p.elsewhere(ctx, args[0], flags.againFlags, func(s *session, id string) (rikki.Record, error) {
			return flags.queue(ctx, s, id)
		})
		if err != nil || !here {
			return err
		}
		return p.runAgain(ctx, &past{record: record, retry: flags.hold, control: flags.controlFlags}, flags.Events)
	}
	return p.cobra(c)
}

// past is a run that goes on here, or that a new run repeats.
type past struct {
	record  rikki.Record
	retry   func(ctx context.Context, s *session, id string) (rikki.Record, error) // makes the new run; nil if this one goes on
	force   bool
	control controlFlags
}

// runAgain shows the run as any other that is executed here.
func (p *program) runAgain(ctx context.Context, again *past, events bool) error {
	if again.record.Script == batchName {
		return p.batch(ctx, batchJob{
			past: again.record.ID, retry: again.retry != nil, force: again.force, why: again.control, flags: runFlags{Events: events},
		})
	}
	j := job{past: again, flags: runFlags{Events: events}}
	j.script.Name = again.record.Script
	return p.run(ctx, j)
}

// again does what the past asks for.
func (s *session) again(ctx context.Context, again *past, opts *rikki.RunOptions) (*rikki.Result, error) {
	opts.Force, opts.Actor, opts.Reason = again.force, again.control.Actor, again.control.Reason
	id := again.record.ID
	if again.retry == nil {
		result, err := s.runs.Continue(ctx, id, opts)
		return result, s.explain(err)
	}
	if _, err := s.runs.Script(again.record.Script); err != nil {
		return nil, err
	}
	record, err := again.retry(ctx, s, id)
	if err != nil {
		return nil, s.explain(err)
	}
	result, err := s.runs.Continue(ctx, record.ID, opts)
	if result == nil {
		err = s.drop(ctx, record.ID, err)
	}
	return result, s.explain(err)
}

// drop ends a run that was made for here and could not begin, for the reason err: it must not rest for ever. One that somebody else
// has gone on with in the meantime is theirs.
func (s *session) drop(ctx context.Context, id string, err error) error {
	if errors.Is(err, rikki.ErrState) {
		return err
	}
	_, cancelErr := s.runs.Cancel(context.WithoutCancel(ctx), id, &rikki.ControlOptions{Reason: "it could not begin"})
	return errors.Join(err, cancelErr)
}

// controlled tells how a run stands that somebody has changed.
func (s *session) controlled(record rikki.Record, id string, err error, next string) error {
	if err != nil {
		return s.uncontrolled(id, err)
	}
	p := s.p
	if p.term.JSON() {
		return p.term.Result(struct {
			V int `json:"v"`
			rikki.Record
		}{1, record})
	}
	p.term.Done("%s %s is %s", record.Script, record.ID, record.State)
	p.term.Next(next)
	return nil
}

// uncontrolled explains why a run can't be changed.
func (s *session) uncontrolled(id string, err error) error {
	if errors.Is(err, rikki.ErrNotFound) || is[*rikki.AmbiguousError](err) {
		return s.noRun(id, err)
	}
	return s.explain(err)
}

func (s *session) explain(err error) error {
	switch {
	case errors.Is(err, rikki.ErrSourceChanged):
		return &problemError{
			What: plain(err), Code: ExitUsage, Err: err,
			Fix: "use the program that the run began with, or say --force once you know that the change does no harm",
		}
	case errors.Is(err, rikki.ErrState):
		return &problemError{What: plain(err), Code: ExitUsage, Fix: "see " + s.p.call("runs", "show", cmp.Or(lastRun(err), "RUN")), Err: err}
	default:
		return err
	}
}
