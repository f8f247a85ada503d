package cli

import (
	"context"
	"regexp"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/params"
)

// queueFlags are those of run for a run that begins elsewhere. A script may have parameters with these names, which are
// words of many trades: then the flags are the script's.
type queueFlags struct {
	Queue    bool      `help:"Leave the run to the processes that serve the queue, and print its ID."`
	Priority int       `placeholder:"N" help:"With --queue: of what is due, the greatest is next (default: 0)."`
	At       time.Time `placeholder:"TIME" help:"With --queue: not before this time (2026-01-02T15:04, +2h)."`
}

func (p *program) queueSpec() (*params.Spec, error) { return p.spec(&p.specs.queue, &queueFlags{}) }

// check refuses flags that have no meaning with or without --queue.
func (f queueFlags) check(run runFlags) error {
	switch {
	case !f.Queue && f.Priority != 0:
		return problemf(ExitUsage, "--priority is for a run in the queue: say --queue too")
	case !f.Queue && !f.At.IsZero():
		return problemf(ExitUsage, "--at is for a run in the queue: say --queue too")
	case f.Queue && run.NoHistory:
		return problemf(ExitUsage, "--queue and --no-history contradict each other: the queue is part of the history")
	case f.Queue && run.Events:
		return problemf(ExitUsage, "--queue and --events contradict each other: the events happen elsewhere")
	}
	return nil
}

// enqueue leaves a run to the processes that serve the queue, and prints its ID.
func (p *program) enqueue(ctx context.Context, j job) error {
	return p.with(ctx, func(s *session) error {
		if err := s.mayChange(ctx, j.flags.DryRun); err != nil {
			return err
		}
		id, err := s.runs.Enqueue(ctx, j.script.Name, &rikki.RunOptions{
			Params: j.layers, Timeout: j.flags.Timeout, DryRun: j.flags.DryRun, Trigger: "cli", Actor: j.flags.Actor,
			Priority: j.queue.Priority, NotBefore: j.queue.At,
		})
		if err != nil {
			return err
		}
		return s.queued(id, j.script.Name)
	})
}

// queued tells of a run that others will execute.
func (s *session) queued(id, script string) error {
	p := s.p
	if p.term.JSON() {
		return p.term.Result(struct {
			V      int         `json:"v"`
			Run    string      `json:"run"`
			Script string      `json:"script"`
			State  rikki.State `json:"state"`
		}{1, id, script, rikki.Queued})
	}
	p.term.Next(p.call("runs", "watch", id))
	return p.term.Print("%s", id)
}

var runID = regexp.MustCompile(`\br_[0-9a-z]+`)

// lastRun finds the run that an error speaks of.
func lastRun(err error) string { return runID.FindString(err.Error()) }
