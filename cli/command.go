package cli

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/params"
)

// command describes one command: its words in help and completion, its flags, and what it does. cobra keeps the tree
// of commands; all flags are read by package params, so that those of a command and those of a script obey the same
// rules.
type command struct {
	name     string
	short    string   // one line in the list of commands
	long     string   // more, above the flags
	args     []string // names of the arguments; "[NAME]" may be missing
	examples []string // what follows the program's name
	flags    any      // pointer to the struct that takes the flags; nil for none
	run      func(ctx context.Context, args []string) error
	// complete lists candidates for the next argument.
	complete func(ctx context.Context, args []string) []string
	// parse replaces the common reading of flags.
	parse func(ctx context.Context, args []string) error
}

// cobra returns the command as cobra wants it.
func (p *program) cobra(c *command) *cobra.Command {
	cmd := &cobra.Command{
		Use: strings.Join(append([]string{c.name}, c.args...), " "), Short: c.short,
		SilenceErrors: true, SilenceUsage: true, DisableFlagParsing: true, Args: cobra.ArbitraryArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if wantsHelp(args) {
			return p.help(cmd, c, args)
		}
		if c.parse != nil {
			return c.parse(cmd.Context(), args)
		}
		rest, err := p.read(c, args)
		if err != nil {
			return err
		}
		return c.run(cmd.Context(), rest)
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) { _ = p.help(cmd, c, args) })
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		return p.candidates(cmd.Context(), c, args, word)
	}
	return cmd
}

// read fills the global flags and those of the command, and returns the arguments.
func (p *program) read(c *command, args []string) ([]string, error) {
	global, err := p.globalSpec()
	if err != nil {
		return nil, err
	}
	own, err := params.Of(flagsOf(c))
	if err != nil {
		return nil, err
	}
	own = own.Named(c.name)
	parsed, argErr := params.Parser{Specs: []*params.Spec{global, own}, Stdin: p.std.In}.Parse(args)
	setErr := p.setUp(parsed.Flags[0])
	if setErr == nil && argErr == nil && parsed.File[0].Len()+parsed.File[1].Len() > 0 {
		argErr = problemf(ExitUsage, "--config is for the parameters of a script")
	}
	fillErr := own.Fill(flagsOf(c), parsed.Flags[1])
	if err := params.Join(refuseURI(args), argErr, setErr, fillErr); err != nil {
		return nil, err
	}
	return parsed.Rest, p.checkArgs(c, parsed.Rest)
}

// repeats tells whether the last argument may be given again and again.
func (c *command) repeats() bool {
	return len(c.args) > 0 && strings.HasSuffix(strings.TrimSuffix(c.args[len(c.args)-1], "]"), "…")
}

func flagsOf(c *command) any {
	if c.flags == nil {
		return &struct{}{}
	}
	return c.flags
}

// checkArgs compares the arguments with those that the command names.
func (p *program) checkArgs(c *command, args []string) error {
	for i, name := range c.args {
		if i >= len(args) && !strings.HasPrefix(name, "[") {
			return &problemError{
				What: c.name + " needs a " + name, Code: ExitUsage,
				Fix: "usage: " + p.call(strings.Fields(c.examples[0])...),
			}
		}
	}
	if len(args) > len(c.args) && !c.repeats() {
		return &problemError{
			What: "unexpected argument " + quote(args[len(c.args)]), Code: ExitUsage,
			Fix: "see " + c.name + " --help; a word with spaces needs quotes",
		}
	}
	return nil
}

// refuseURI catches the URI on the command line, where everybody on the machine could read its password. Anything of
// it that is printed is redacted; what the shell's history keeps is past help.
func refuseURI(args []string) error {
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case arg == "--":
			return nil
		case strings.HasPrefix(arg, "-") && isURIFlag(name), strings.HasPrefix(arg, "mongodb://"), strings.HasPrefix(arg, "mongodb+srv://"):
			return &problemError{
				What: "the MongoDB URI is not taken from the command line", Code: ExitUsage,
				Why: "every user of this machine could read its password in the list of processes",
				Fix: "set MONGODB_URI in the environment or in .env, or name a file that has it: --uri-file=FILE",
			}
		}
	}
	return nil
}

func isURIFlag(name string) bool {
	switch strings.ToLower(strings.ReplaceAll(name, "-", "")) {
	case "uri", "mongodburi", "mongouri", "url", "connectionstring":
		return true
	}
	return false
}

// wantsHelp finds --help wherever it stands.
func wantsHelp(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--":
			return false
		case "--help", "-h", "--help=true":
			return true
		}
	}
	return false
}

// arrange puts the words that name a command first, so that flags may stand before them too.
func (p *program) arrange(root *cobra.Command, args []string) []string {
	global, err := p.globalSpec()
	if err != nil {
		return args
	}
	var path, flags []string
	cmd := root
	for len(args) > 0 && cmd.HasSubCommands() {
		if word := args[0]; !strings.HasPrefix(word, "-") {
			next := subcommand(cmd, word)
			if next == nil {
				break
			}
			path, cmd, args = append(path, word), next, args[1:]
			continue
		}
		if args[0] == "--" {
			break
		}
		n := 1
		if len(args) > 1 && takesNext(global, args[0], args[1]) {
			n = 2
		}
		flags, args = append(flags, args[:n]...), args[n:]
	}
	return append(append(path, flags...), args...)
}

// takesNext tells whether a flag takes the next word as its value, by letting the parser try.
func takesNext(spec *params.Spec, flag, word string) bool {
	parsed, err := params.Parser{Specs: []*params.Spec{spec}, Open: closed, Stdin: strings.NewReader("")}.Parse([]string{flag, word})
	return err == nil && len(parsed.Rest) == 0
}

// closed is for looking at a command line before it is really read: files are opened once only.
func closed(string) (io.ReadCloser, error) { return nil, errors.New("not yet") }

func subcommand(cmd *cobra.Command, name string) *cobra.Command {
	for _, sub := range cmd.Commands() {
		if sub.Name() == name {
			return sub
		}
	}
	return nil
}

func quote(word string) string { return "\"" + word + "\"" }
