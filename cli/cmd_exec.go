package cli

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/params"
)

const execName = "exec"

// execFlags are the flags of exec. Those of a run come last.
type execFlags struct {
	Name      string        `placeholder:"NAME" help:"Name of the run (default: that of the file, in kebab-case)."`
	Dir       string        `placeholder:"DIR" help:"Where the program runs (default: here)."`
	Env       []string      `params:"env" placeholder:"NAME" help:"Pass this variable on to the program, or set it (NAME=VALUE); * passes all on."`
	URIEnv    []string      `placeholder:"NAME" help:"Further variables that get the address of the database, such as DATABASE_URL."`
	KillAfter time.Duration `placeholder:"DURATION" help:"How long the program may take to end after SIGTERM (default: 1s)."`
	runFlags
}

func newExecCommand(p *program) *cobra.Command {
	flags := &execFlags{}
	c := &command{
		name: execName, short: "Run a program that is no script, unchanged.", args: []string{"[FLAGS] -- PROGRAM [ARG …]"}, flags: flags,
		long: "The program gets the address of the database in MONGODB_URI, and only a few other variables of the environment:\n" +
			"--env passes more on. Its output becomes the run's log. It is ended with all that it started when the run ends.",
		examples: []string{
			"exec -- node old.js --all", "exec --timeout=10m --env=API_TOKEN -- ./fix-users.sh", "exec --name=report --uri-env=DATABASE_URL -- python3 report.py",
		},
	}
	c.parse = func(ctx context.Context, args []string) error {
		command, err := p.readExec(c, flags, args)
		if err != nil {
			return err
		}
		job, err := p.execJob(command, flags.runFlags)
		if err != nil {
			return err
		}
		return p.run(ctx, job)
	}
	return p.cobra(c)
}

// readExec reads the command line of exec: flags, two dashes, and what to run. Nothing is connected.
func (p *program) readExec(c *command, flags *execFlags, args []string) (*rikki.Command, error) {
	own, words := args, []string(nil)
	at := slices.Index(args, "--")
	if at >= 0 {
		own, words = args[:at], args[at+1:]
	}
	rest, err := p.read(c, own)
	switch {
	case at < 0 && len(own) > 0 && !strings.HasPrefix(own[0], "-"):
		return nil, p.execUsage("exec needs two dashes before the program, or its flags would be taken for those of exec", own)
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, p.execUsage("the program stands before the two dashes", append(rest, words...))
	case len(words) == 0:
		return nil, p.execUsage("exec needs a program to run", []string{"node", "old.js"})
	case flags.DryRun:
		return nil, &problemError{
			What: "exec has no dry run", Why: "what another program would write can't be seen or held back", Code: ExitUsage,
			Fix: "leave --dry-run out, or make a script of the program: " + p.call("new", "script", "NAME"),
		}
	}
	name := flags.Name
	if name == "" {
		name = fileName(flags.Dir, words)
	}
	if name == "" || name != kebabFile(name) {
		fix := "give it one: --name=NAME"
		if near := kebabFile(name); near != "" {
			fix = "use lower-case letters, digits and single dashes: --name=" + near
		}
		return nil, &problemError{What: quote(name) + " is no name for a run", Code: ExitUsage, Fix: fix}
	}
	command := rikki.Exec(name, words...)
	command.Dir, command.Env, command.URIEnv, command.KillAfter = flags.Dir, flags.Env, flags.URIEnv, flags.KillAfter
	return command, nil
}

func (p *program) execUsage(what string, words []string) error {
	return &problemError{What: what, Code: ExitUsage, Fix: "usage: " + p.call(append([]string{execName, "--"}, words...)...)}
}

// execJob makes the program one of this command alone.
func (p *program) execJob(command *rikki.Command, flags runFlags) (job, error) {
	app := *p.app
	app.Scripts = []rikki.Script{command}
	p.app, p.known = &app, nil
	runs, err := p.offline()
	if err != nil {
		return job{}, err
	}
	script, err := runs.Script(command.Name)
	return job{script: script, flags: flags}, err
}

// fileName is the name of what is run: of the first argument that is a file, or else of the program.
func fileName(dir string, words []string) string {
	for _, word := range words[1:] {
		path := word
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return kebabFile(path)
		}
	}
	return kebabFile(words[0])
}

// kebabFile turns a file's name into one that a run may have: initRate_limits.v2.js is init-rate-limits-v2.
func kebabFile(path string) string {
	base := filepath.Base(path)
	if ext := filepath.Ext(base); ext != base {
		base = strings.TrimSuffix(base, ext)
	}
	var words []string
	for _, word := range regexp.MustCompile(`[A-Za-z0-9]+`).FindAllString(base, -1) {
		words = append(words, params.Kebab(word))
	}
	return strings.Join(words, "-")
}
