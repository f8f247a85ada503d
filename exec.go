package rikki

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rikki-go/rikki/internal/redact"
)

// DefaultKillAfter is the default of [Command.KillAfter].
const DefaultKillAfter = time.Second

// execGuide says how to turn an old program into a script.
const execGuide = "https://github.com/rikki-go/rikki/blob/main/docs/features/exec.md"

// Command is a [Script] that runs another program, unchanged: an old Node
// script, a shell script, mongosh, anything. It is the way to have old and new
// scripts side by side until the old ones are migrated, and says so in a
// warning.
//
// The program gets the address of the database in MONGODB_URI and MONGO_URI,
// and the run's ID in RIKKI_RUN_ID. Its lines of output become records of the
// run's log: level info for standard output, warn for standard error. A line
// "progress 30/100" or "progress 30%" sets the run's progress instead. A JSON
// object or array on the last line of standard output is the run's result. The
// run succeeds if the program exits with code 0; otherwise its error is an
// [*exec.ExitError].
//
// On a timeout or a stop the program and all that it started are ended:
// SIGTERM first, SIGKILL after KillAfter, and then what it still does on the
// server. This contains accidents; it is no sandbox.
type Command struct {
	// Name is the name of the script.
	Name string

	// Args are the program and its arguments. No shell is involved. Passwords
	// don't belong here: every user of the machine can read them.
	Args []string

	// Description is one sentence for lists and help. Default: the arguments.
	Description string

	// Dir is where the program runs. Default: where this process does.
	Dir string

	// Env adds to the environment of the program, which by default has only
	// what programs need to run at all (PATH, HOME, LANG, TZ and the like), so
	// that no credentials get there by accident. NAME=VALUE sets a variable, NAME
	// passes one on that this process has, and * passes on all.
	Env []string

	// URIEnv names further variables that get the address of the database,
	// such as DATABASE_URL.
	URIEnv []string

	// Timeout is [Options.Timeout].
	Timeout time.Duration

	// KillAfter is how long the program may take to end after SIGTERM. Zero
	// means [DefaultKillAfter].
	KillAfter time.Duration

	// Concurrency is [Options.Concurrency].
	Concurrency int

	// Root, if set, is the directory that must hold the program's file, with
	// all symbolic links resolved. That is the first argument that is a file,
	// or else the program itself.
	Root string

	// SHA256, if set, is the hash in hexadecimal that the same file must have.
	SHA256 string

	path string // of the program, once it was found
}

// Exec makes a script of a program and its arguments. The fields of the result
// may be set before it is added to an [App].
func Exec(name string, command ...string) *Command {
	return &Command{Name: name, Args: command}
}

// Options implements [Configured].
func (c *Command) Options() Options {
	return Options{
		Name:        c.Name,
		Description: cmp.Or(c.Description, redact.Text("Runs "+strings.Join(c.Args, " ")+" as it is.")),
		Timeout:     c.Timeout,
		Grace:       c.killAfter() + DefaultGrace,
		Concurrency: c.Concurrency,
	}
}

func (c *Command) killAfter() time.Duration {
	if c.KillAfter <= 0 {
		return DefaultKillAfter
	}
	return c.KillAfter
}

// Fresh implements [Wrapper].
func (c *Command) Fresh() (Script, any) {
	fresh := *c
	return &fresh, nil
}

// Validate implements [Validator]: it looks for the program, and checks what
// can be checked before anything is started.
func (c *Command) Validate(_ context.Context, run *Run, findings *Findings) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		findings.Errorf("there is no program to run: say which, as in rikki.Exec(%q, \"node\", \"old.js\")", run.Script())
		return
	}
	if run.DryRun() {
		findings.Errorf("%s has no dry run: what another program would write can't be seen or held back", run.Script())
		return
	}
	c.validateArgs(findings)
	c.validateEnv(findings)
	path, err := c.lookPath()
	if err != nil {
		findings.Errorf("cannot find the program %s: %v; give its path, or add its directory to PATH", c.Args[0], err)
		return
	}
	c.path = path
	c.validateFile(findings)
	findings.Warnf("%s runs a program that is no script of Rikki: it has no dry run and cannot be resumed or undone. "+
		"How to migrate it: %s#migrate", run.Script(), execGuide)
}

// validateArgs refuses passwords in the list of processes.
func (c *Command) validateArgs(findings *Findings) {
	for i, arg := range c.Args {
		at := max(strings.Index(arg, "mongodb://"), strings.Index(arg, "mongodb+srv://"))
		if at >= 0 && len(redact.Secrets(arg[at:])) > 0 {
			findings.Errorf("argument %d has a password in it, which every user of this machine can read in the list of processes: "+
				"let the program take the address from MONGODB_URI, which is set for it", i)
		}
		if strings.ContainsRune(arg, 0) {
			findings.Errorf("argument %d contains a zero byte", i)
		}
	}
}

func (c *Command) validateEnv(findings *Findings) {
	for _, entry := range c.Env {
		name, _, _ := strings.Cut(entry, "=")
		switch {
		case entry == "*":
		case !validEnvName(name):
			findings.Errorf("%q is no name of an environment variable: Env takes NAME=VALUE, NAME and *", name)
		case slices.Contains(c.reserved(), name):
			findings.Errorf("%s is set for the program by Rikki: leave it out of Env", name)
		}
	}
	for _, name := range c.URIEnv {
		if !validEnvName(name) {
			findings.Errorf("%q is no name of an environment variable", name)
		}
	}
}

// lookPath finds the program: names with a slash from Dir, others in PATH.
func (c *Command) lookPath() (string, error) {
	name := c.Args[0]
	if c.Dir != "" && !filepath.IsAbs(name) && filepath.Base(name) != name {
		name = filepath.Join(c.Dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		if failed, ok := errors.AsType[*exec.Error](err); ok {
			err = failed.Err
		}
		return "", err
	}
	return filepath.Abs(path)
}

// validateFile checks the file that says what the program does.
func (c *Command) validateFile(findings *Findings) {
	if c.Root == "" && c.SHA256 == "" {
		return
	}
	file := c.file()
	if c.Root != "" && !within(c.Root, file) {
		findings.Errorf("%s is not below %s, the only place from which this may be run", file, c.Root)
	}
	if c.SHA256 == "" {
		return
	}
	switch sum, err := hashOf(file); {
	case err != nil:
		findings.Errorf("cannot check %s: %v", file, err)
	case !strings.EqualFold(sum, c.SHA256):
		findings.Errorf("%s was changed: its SHA-256 is %s, and %s was approved. Look at the change, then approve the new one", file, sum, c.SHA256)
	}
}

// file is the first argument that names a file, or else the program.
func (c *Command) file() string {
	for _, arg := range c.Args[1:] {
		path := arg
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.Dir, path)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return c.path
}

// within tells whether the file lies below dir, wherever links lead.
func within(dir, file string) bool {
	dir, dirErr := resolve(dir)
	file, fileErr := resolve(file)
	if dirErr != nil || fileErr != nil {
		return false
	}
	rel, err := filepath.Rel(dir, file)
	return err == nil && filepath.IsLocal(rel)
}

func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
