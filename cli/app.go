package cli

import (
	"context"
	"io"
	"os"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/schedule"
)

// App describes a command-line program. Its zero value is a program without scripts.
type App struct {
	// Name is how the program is called, in messages and as the embedded database's name. Default: the file name of
	// the running program.
	Name string

	// Description is one sentence for the top of the help page.
	Description string

	// Version is the program's own version. Default: what the build says.
	Version string

	// Scripts are what the program runs.
	Scripts []rikki.Script

	// Schedules are those that the program defines. `serve` stores them and fires them; see [schedule.Scheduler.Sync]
	// for what that does to schedules that were changed by hand.
	Schedules []schedule.Schedule

	// Config configures the runs. The command line fills in what it leaves open.
	Config rikki.Config

	// Embedded opts in to a mongod of the project's own where no URI is given. It suits examples and development; a
	// program for production leaves it off, so that a missing variable can't turn into an empty database.
	Embedded bool

	// Protected are patterns, as *prod*, of what nobody shall change by mistake: names of databases, replica sets and hosts.
	// Who starts or repeats a script there, or has it queued, must type the database's name, or give it with
	// --confirm. RIKKI_PROTECTED, a list with commas, adds to them. Processes that serve, and dry runs, aren't asked.
	Protected []string

	// Seed puts sample data into the embedded database before a script runs there, and before `dev` reports that it is
	// ready. It must do nothing where the data is there already. It never runs on a server whose URI was given.
	Seed func(ctx context.Context, db *mongo.Database) error

	exports bool // the .env file goes into the environment of the process, which is ours
}

// Stdio holds the three streams of a command. A missing stream is empty or goes nowhere.
type Stdio struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Main runs the command line of a program with these scripts and exits.
func Main(scripts ...rikki.Script) {
	App{Scripts: scripts}.Main()
}

// MainScript runs a program that is one script and exits: its whole command line is the flags of the script and of
// the run.
//
//	go run ./examples/ratelimits/init --force --timeout=60000
func MainScript(script rikki.Script) {
	App{Scripts: []rikki.Script{script}}.MainScript()
}

// Main runs the program's command line and exits.
func (a App) Main() {
	os.Exit(a.process(Run))
}

// MainScript is [MainScript] with the settings of an App, which must have exactly one script.
func (a App) MainScript() {
	os.Exit(a.process(RunScript))
}

// Run executes one command line, without the program's name, and returns the exit code. It reads the environment but
// doesn't change it, and leaves signals alone: cancel ctx with a cause that wraps [rikki.ErrInterrupted] to stop as a
// signal would.
func Run(ctx context.Context, app *App, args []string, stdio Stdio) int {
	return newProgram(app, stdio, osEnviron()).main(ctx, args)
}

// RunScript is to [MainScript] what [Run] is to [Main].
func RunScript(ctx context.Context, app *App, args []string, stdio Stdio) int {
	return newProgram(app, stdio, osEnviron()).mainScript(ctx, args)
}
