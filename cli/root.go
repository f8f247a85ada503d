package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/params"
)

// newRootCommand returns the tree of commands.
func newRootCommand(p *program) *cobra.Command {
	c := &command{name: p.name}
	root := p.cobra(c)
	root.Use = p.name
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		newRunCommand(p), newBackfillCommand(p), newBatchCommand(p), newExecCommand(p), newAuditCommand(p), newListCommand(p), newRunsCommand(p), newStatusCommand(p), newDoctorCommand(p),
		newServeCommand(p), newNotifyCommand(p), newDevCommand(p), newNewCommand(p), newConfigCommand(p), newCompletionCommand(p), newVersionCommand(p),
		newScheduleCommand(p),
	)
	root.SetHelpCommand(newHelpCommand(p, root))
	c.parse = func(_ context.Context, args []string) error { return p.noCommand(root, c, args) }
	return root
}

// group returns a command that only holds others.
func (p *program) group(c *command, subs ...*cobra.Command) *cobra.Command {
	cmd := p.cobra(c)
	cmd.AddCommand(subs...)
	c.parse = func(_ context.Context, args []string) error { return p.noCommand(cmd, c, args) }
	return cmd
}

// noCommand handles a command line that names none of cmd's sub-commands: help when it says nothing at all, an error
// with the nearest name otherwise. The guess is never run.
func (p *program) noCommand(cmd *cobra.Command, c *command, args []string) error {
	parsed, argErr, setErr := p.setUpAlone(args)
	if err := params.Join(refuseURI(args), setErr); err != nil {
		return err
	}
	if len(parsed.Rest) == 0 {
		if argErr != nil {
			return argErr
		}
		return p.help(cmd, c, nil)
	}
	return p.unknownCommand(cmd, parsed.Rest)
}

// setUpAlone reads nothing but the global flags of a command line whose other flags can't be told.
func (p *program) setUpAlone(args []string) (parsed params.Parsed, argErr, setErr error) {
	global, err := p.globalSpec()
	if err != nil {
		return parsed, nil, err
	}
	parsed, argErr = params.Parser{Specs: []*params.Spec{global}, Open: closed, Stdin: strings.NewReader("")}.Parse(args)
	return parsed, argErr, p.setUp(parsed.Flags[0])
}

func (p *program) unknownCommand(cmd *cobra.Command, words []string) error {
	word := words[0]
	var names []string
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	owner := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), p.name), " ")
	problem := problemf(ExitUsage, "unknown command %s", quote(strings.TrimSpace(owner+" "+word)))
	near := params.Nearest(word, names)
	script := ""
	if owner == "" {
		script = p.nearestScript(word)
	}
	switch {
	case script == word:
		problem.Why = word + " is a script"
		problem.Fix = "run it: " + p.call(append([]string{"run"}, words...)...)
	case near != "":
		problem.What += ". Did you mean " + near + "?"
	case script != "":
		problem.What += ". Did you mean run " + script + "?"
	}
	if problem.Fix == "" {
		problem.Fix = "see " + p.call(append(strings.Fields(owner), "--help")...)
	}
	return problem
}

func (p *program) nearestScript(word string) string {
	runs, err := p.offline()
	if err != nil {
		return ""
	}
	var names []string
	for _, script := range runs.Scripts() {
		names = append(names, script.Name)
	}
	return params.Nearest(word, names)
}

func (p *program) rootExamples() []string {
	examples := []string{"list"}
	if len(p.app.Scripts) == 0 {
		return append(examples, "new script rename-field")
	}
	if runs, err := p.offline(); err == nil {
		examples = append(examples, "run "+runs.Scripts()[0].Name+" --help")
	}
	return examples
}
