package cli

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/internal/scaffold"
)

type newFlags struct {
	Dir string `placeholder:"DIR" help:"Where to write (default: here, for an app a new directory of its name)."`
}

type newScriptFlags struct {
	newFlags
	Backfill bool `help:"Write a backfill: a function of each document of a collection."`
}

type newAppFlags struct {
	newFlags
	Module string `placeholder:"PATH" help:"Module path (default: the name)."`
}

func newNewCommand(p *program) *cobra.Command {
	return p.group(&command{
		name: "new", short: "Write the files of a new script or app.",
		examples: []string{"new script rename-field", "new script lowercase-emails --backfill", "new app scripts --module=example.com/scripts"},
	}, newNewScriptCommand(p), newNewAppCommand(p))
}

func newNewScriptCommand(p *program) *cobra.Command {
	flags := &newScriptFlags{}
	c := &command{
		name: "script", short: "Write a script and its test.", args: []string{"NAME"}, flags: flags,
		long:     "In the directory of a program the script joins it. Anywhere else it becomes a program of its own.",
		examples: []string{"new script rename-field", "new script rename-field --dir=scripts", "new script lowercase-emails --backfill"},
	}
	c.run = func(_ context.Context, args []string) error {
		write := scaffold.Script
		if flags.Backfill {
			write = scaffold.Backfill
		}
		plan, err := write(cmp.Or(flags.Dir, "."), args[0])
		return p.write(plan, err)
	}
	return p.cobra(c)
}

func newNewAppCommand(p *program) *cobra.Command {
	flags := &newAppFlags{}
	c := &command{
		name: "app", short: "Write a module with a program and a first script.", args: []string{"NAME"}, flags: flags,
		examples: []string{"new app scripts", "new app scripts --module=example.com/scripts"},
	}
	c.run = func(_ context.Context, args []string) error {
		plan, err := scaffold.App(cmp.Or(flags.Dir, args[0]), cmp.Or(flags.Module, args[0]))
		return p.write(plan, err)
	}
	return p.cobra(c)
}

// write writes the planned files and says what they are, and what to do with them.
func (p *program) write(plan scaffold.Plan, err error) error {
	if err == nil {
		err = plan.Write()
	}
	if problem, ok := errors.AsType[*scaffold.Error](err); ok {
		return &problemError{What: problem.What, Fix: problem.Fix, Code: ExitUsage, Err: err}
	}
	if err != nil {
		return err
	}
	paths := make([]string, len(plan.Files))
	for i, file := range plan.Files {
		paths[i] = file.Path
	}
	if p.term.JSON() {
		return p.term.Result(struct {
			V     int      `json:"v"`
			Files []string `json:"files"`
			Next  []string `json:"next"`
		}{1, paths, plan.Next})
	}
	for _, path := range paths {
		if err := p.term.Print("%s", path); err != nil {
			return err
		}
	}
	p.term.Note("Next:")
	p.term.Next(plan.Next...)
	return nil
}
