package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/params"
)

const (
	docsLink   = "https://github.com/rikki-go/rikki"
	issuesLink = docsLink + "/issues"
)

// page is a help page on its way to the terminal.
type page struct{ strings.Builder }

func (b *page) section(title string, lines ...string) {
	if len(lines) == 0 {
		return
	}
	b.WriteString("\n" + title + "\n")
	for _, line := range lines {
		b.WriteString("  " + line + "\n")
	}
}

func (b *page) flags(title string, spec *params.Spec) {
	if usage := spec.Usage(); usage != "" {
		b.WriteString("\n" + title + "\n" + usage)
	}
}

// help prints the help page of a command on standard output: it was asked for, so it is the result.
func (p *program) help(cmd *cobra.Command, c *command, args []string) error {
	var b page
	switch {
	case c.name == runName && (p.alone || len(p.wordsOf(args)) > 0):
		if err := p.scriptHelp(&b, args); err != nil {
			return err
		}
	case cmd.HasParent() || p.alone:
		if err := p.commandHelp(&b, cmd, c); err != nil {
			return err
		}
	default:
		p.rootHelp(&b, cmd)
	}
	_, err := io.WriteString(p.std.Out, strings.TrimLeft(b.String(), "\n"))
	return err
}

func (p *program) rootHelp(b *page, cmd *cobra.Command) {
	b.WriteString(cmp.Or(p.app.Description, p.name+" runs scripts on MongoDB.") + "\n")
	b.section("Usage", p.invocation()+" COMMAND [FLAGS]")
	b.section("Examples", p.exampleLines(p.rootExamples())...)
	b.section("Commands", commandLines(cmd)...)
	var codes []string
	for _, code := range ExitCodes() {
		codes = append(codes, fmt.Sprintf("%3d  %s", code.Code, code.Meaning))
	}
	b.section("Exit codes", codes...)
	b.section("More", p.call("COMMAND", "--help")+" shows the flags of a command, "+p.call("run", "SCRIPT", "--help")+" those of a script.",
		"Documentation: "+docsLink, "Report a fault: "+issuesLink)
}

func (p *program) commandHelp(b *page, cmd *cobra.Command, c *command) error {
	b.WriteString(c.short + "\n")
	if c.long != "" {
		b.WriteString("\n" + c.long + "\n")
	}
	usage := strings.TrimPrefix(cmd.CommandPath(), p.name+" ")
	words := append(strings.Fields(usage), c.args...)
	if cmd.HasSubCommands() {
		words = append(words, "COMMAND")
	}
	if !strings.HasPrefix(first(c.args), "[FLAGS]") {
		words = append(words, "[FLAGS]")
	}
	b.section("Usage", p.call(words...))
	b.section("Examples", p.exampleLines(c.examples)...)
	b.section("Commands", commandLines(cmd)...)
	if cmd.HasSubCommands() {
		return nil
	}
	if c.flags != nil {
		spec, err := params.Of(c.flags)
		if err != nil {
			return err
		}
		b.flags("Flags", spec)
	}
	return p.globalHelp(b)
}

func (p *program) globalHelp(b *page) error {
	spec, err := p.globalSpec()
	if err != nil {
		return err
	}
	b.flags("Flags of every command", spec)
	return nil
}

func (p *program) exampleLines(examples []string) []string {
	lines := make([]string, len(examples))
	for i, example := range examples {
		lines[i] = p.call(example)
	}
	return lines
}

// commandLines lists the sub-commands in the order in which people come to need them. cobra would sort them by name. What has
// no place in that order comes last.
func commandLines(cmd *cobra.Command) []string {
	order := []string{
		runName, backfill.AdHocName, batchName, execName, scheduleName, "serve", "list", "runs", "notify", "status", "dev", "new", "config", "audit", "doctor",
	}
	last := []string{"completion", "version", "help"}
	if cmd.HasParent() {
		order = []string{
			"add", "list", "show", "next", "logs", "failures", "watch", "pause", "resume", "tune", "cancel", "retry", "undo", "trigger", "backfill", "rm",
			"run", "get", "set", "history", "diff", "revert", "prune", "script", "app", "test",
		}
	}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden && !slices.Contains(order, sub.Name()) && !slices.Contains(last, sub.Name()) {
			order = append(order, sub.Name())
		}
	}
	var lines []string
	for _, name := range append(order, last...) {
		if sub := subcommand(cmd, name); sub != nil {
			lines = append(lines, fmt.Sprintf("%-11s %s", sub.Name(), sub.Short))
		}
	}
	return lines
}

func newHelpCommand(p *program, root *cobra.Command) *cobra.Command {
	c := &command{
		name: "help", short: "Show the help of a command or a script.", args: []string{"[COMMAND]"},
		examples: []string{"help runs", "help run SCRIPT"},
	}
	cmd := p.cobra(c)
	c.parse = func(ctx context.Context, args []string) error {
		words := p.wordsOf(args)
		sub := root
		for len(words) > 0 {
			next := subcommand(sub, words[0])
			if next == nil {
				break
			}
			sub, words = next, words[1:]
		}
		if len(words) > 0 && sub.Name() != runName {
			return p.unknownCommand(sub, words)
		}
		sub.SetContext(ctx)
		return sub.RunE(sub, append(words, "--help"))
	}
	c.complete = func(context.Context, []string) []string {
		var names []string
		for _, sub := range root.Commands() {
			names = append(names, sub.Name()+"\t"+sub.Short)
		}
		return names
	}
	return cmd
}

// wordsOf returns the words of a command line that are no flags, without reading what flags name.
func (p *program) wordsOf(args []string) []string {
	global, err := p.globalSpec()
	if err != nil {
		return nil
	}
	run, err := p.runSpec()
	if err != nil {
		return nil
	}
	queue, err := p.queueSpec()
	if err != nil {
		return nil
	}
	parsed, _ := params.Parser{ // what is wrong is found when the line is really read
		Specs: []*params.Spec{global, run, queue}, Open: closed, Stdin: strings.NewReader(""),
	}.Parse(args)
	return parsed.Rest
}
