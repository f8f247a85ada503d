package cli

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/params"
)

// program is one execution of a command line.
type program struct {
	app   *App
	std   Stdio
	env   environ
	name  string // for messages
	flags globalFlags
	given []params.Layer // where flags has its values from
	term  *term.Term
	specs struct{ global, run, queue *params.Spec }
	known *rikki.App // the app without a connection
	// alone says that the program is one script, so that nothing but flags is on the command line.
	alone bool
}

func newProgram(app *App, std Stdio, env environ) *program {
	if app == nil {
		app = &App{}
	}
	p := &program{app: app, std: std, env: env, name: cmp.Or(app.Name, baseName(env.self), "rikki")}
	p.term = p.newTerm()
	return p
}

func baseName(self string) string {
	if self == "" {
		return ""
	}
	return strings.TrimSuffix(filepath.Base(self), ".exe")
}

// newTerm returns the terminal as the global flags want it.
func (p *program) newTerm() *term.Term {
	f := p.flags
	color := term.ColorMode(f.Color)
	if f.NoColor && !given("color", p.given) {
		color = term.ColorNever
	}
	return term.New(term.Stdio(p.std), term.Options{
		Color: color, JSON: f.JSON, Plain: f.Plain, Quiet: f.Quiet, NoInput: f.NoInput,
		LogFormat: term.LogFormat(f.LogFormat), Getenv: p.env.Get,
	})
}

// given tells whether any of the layers names the flag.
func given(path string, layers []params.Layer) bool {
	for _, layer := range layers {
		if layer.Has(path) {
			return true
		}
	}
	return false
}

// main executes a command line of many commands.
func (p *program) main(ctx context.Context, args []string) int {
	root := newRootCommand(p) //nolint:contextcheck // cobra hands the context on
	if !strings.HasPrefix(first(args), cobra.ShellCompRequestCmd) {
		args = p.arrange(root, args)
	}
	root.SetArgs(args)
	return p.end(root.ExecuteContext(ctx))
}

// mainScript executes the command line of a single script.
func (p *program) mainScript(ctx context.Context, args []string) int {
	p.alone = true
	if n := len(p.app.Scripts); n != 1 {
		return p.end(problemf(ExitUsage, "a program of one script has exactly one, not %d", n))
	}
	cmd := newRunCommand(p) //nolint:contextcheck // cobra hands the context on
	cmd.SetArgs(args)
	// Without these cobra would take a first word for the name of a sub-command.
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetHelpCommand(&cobra.Command{Hidden: true})
	return p.end(cmd.ExecuteContext(ctx))
}

// end tells what went wrong and returns the exit code.
func (p *program) end(err error) int {
	code := exitOf(err)
	if problem, ok := p.problem(err, code); ok {
		p.term.Problem(problem)
	}
	p.term.Close()
	return code
}

// setUp reads the global flags: from the command line, then the environment, then the .env file.
func (p *program) setUp(layer params.Layer) error {
	spec, err := p.globalSpec()
	if err != nil {
		return err
	}
	fill := func() error {
		p.flags = globalFlags{}
		p.given = []params.Layer{layer, spec.FromEnv(p.env.Lookup, globalPrefix)}
		return spec.Fill(&p.flags, p.given...)
	}
	// Twice, because the flags say which .env file has some of them.
	first := fill()
	if err := p.env.load(p.flags.EnvFile); err != nil {
		p.term = p.newTerm()
		return errors.Join(first, err)
	}
	if p.app.exports {
		err = p.env.export()
	}
	if again := fill(); first == nil {
		first = again
	}
	p.term = p.newTerm()
	return errors.Join(first, err)
}

// call is how to type a command of this program.
func (p *program) call(words ...string) string {
	return strings.Join(append([]string{p.invocation()}, words...), " ")
}

// invocation is what people type to run this program. For a program that `go run` made, its file name leads nowhere.
func (p *program) invocation() string {
	if madeByGoRun(p.env.self) {
		return goRunCommand(p.name)
	}
	return p.name
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// workDir is the current directory, or what stands for it where that is gone.
func workDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return "."
	}
	return dir
}
