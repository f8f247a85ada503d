package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
	"github.com/rikki-go/rikki/params"
)

// The programs of the stories. Each is the test binary under another name.

func demoApp() cli.App {
	return cli.App{
		Name: "demo", Description: "demo is a program for tests.", Version: "1.2.3",
		Scripts: []rikki.Script{&Greet{}, &Hang{}, &Stubborn{}, &Fail{}, &Check{}, &Vault{}, &Walk{}, &Tidy{}},
		Config:  rikki.Config{HistoryDatabase: os.Getenv("DEMO_HISTORY"), LeaseTTL: leaseOf("DEMO_LEASE"), Actor: "tester"},
	}
}

// leaseOf is how long leases last in a story that waits for one to expire. Others have the usual one, which a busy machine keeps.
func leaseOf(variable string) time.Duration {
	d, _ := time.ParseDuration(os.Getenv(variable))
	return d
}

func demo() { demoApp().Main() }

func greet() { cli.MainScript(&Greet{}) }

// pocket opts in to the embedded server.
func pocket() {
	app := demoApp()
	app.Name, app.Embedded = "pocket", true
	app.Config.HistoryDatabase = ""
	app.Seed = func(ctx context.Context, db *mongo.Database) error {
		_, err := db.Collection("people").UpdateOne(ctx, bson.D{{Key: "_id", Value: 1}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: "Ada"}}}}, upsert())
		if err != nil {
			return err
		}
		return touch(os.Getenv("SEEDED"))
	}
	app.Main()
}

// guarded says itself what is protected.
func guarded() {
	app := demoApp()
	app.Protected = []string{"story_*"}
	app.Main()
}

// coded runs a command, passes signals on to it, and prints its exit code. After -TERM it passes them on as SIGTERM,
// which testscript can't send.
func coded() {
	as := os.Interrupt
	if os.Args[1] == "-TERM" {
		as, os.Args = syscall.SIGTERM, os.Args[1:]
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt)
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for range signals {
			_ = cmd.Process.Signal(as)
		}
	}()
	_ = cmd.Wait() // the code is what tells
	fmt.Println("exit code", cmd.ProcessState.ExitCode())
}

// Greet has a parameter of each sort that the stories talk about.
type Greet struct {
	Name   string        `required:"true" help:"Whom to greet."`
	Times  int           `default:"1" min:"1" max:"5" help:"How often."`
	Style  string        `enum:"plain,loud" default:"plain" help:"How."`
	Pause  time.Duration `default:"0s" help:"Between two greetings."`
	Nicely bool          `help:"Say please."`
	Token  params.Secret `env:"GREET_TOKEN" help:"Password of the greeting service."`
}

func (*Greet) Options() rikki.Options {
	return rikki.Options{Description: "Greet somebody.", DryRun: true, Timeout: time.Minute}
}

func (g *Greet) Execute(_ context.Context, run *rikki.Run) (any, error) {
	run.Progress().SetTotal(int64(g.Times))
	for range g.Times {
		run.Log().Info("greeting", "name", g.Name, "token", g.Token)
		run.Progress().Add(1)
		run.Count("greeted", 1)
	}
	return map[string]any{"greeting": "Hello, " + g.Name + "!", "dry": run.DryRun(), "db": run.DB().Name()}, nil
}

// Hang goes on until it is stopped.
type Hang struct {
	Touch string `help:"File to create when it has begun."`
}

func (h *Hang) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	run.Log().Warn("hanging")
	if err := touch(h.Touch); err != nil {
		return nil, err
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// Stubborn ignores that it is stopped.
type Stubborn struct {
	Touch string `help:"File to create when it is stopped."`
	Begun string `help:"File to create when it has begun."`
}

func (s *Stubborn) Execute(ctx context.Context, _ *rikki.Run) (any, error) {
	if err := touch(s.Begun); err != nil {
		return nil, err
	}
	<-ctx.Done()
	if err := touch(s.Touch); err != nil {
		return nil, err
	}
	select {}
}

// Fail fails in the way that it is told.
type Fail struct {
	How string `enum:"error,panic,partly" default:"error"`
}

func (f *Fail) Execute(context.Context, *rikki.Run) (any, error) {
	if f.How == "panic" {
		panic("oh no")
	}
	return nil, errors.New("cannot copy to mongodb://bob:geheim@db1/x")
}

// Check never gets past its validation.
type Check struct{}

func (*Check) Validate(_ context.Context, _ *rikki.Run, findings *rikki.Findings) {
	findings.Warnf("the moon is full")
	findings.Errorf("the stars are wrong")
}

func (*Check) Execute(context.Context, *rikki.Run) (any, error) { return "never", nil }

// Vault can't do without a secret.
type Vault struct {
	Key params.Secret `required:"true" help:"Key of the vault"`
}

func (v *Vault) Execute(context.Context, *rikki.Run) (any, error) { return len(v.Key.Reveal()), nil }

func touch(path string) error {
	if path == "" {
		return nil
	}
	return os.WriteFile(path, nil, 0o600)
}

// Walk goes on from its last step. It stands still at a step until a file is there.
type Walk struct {
	Steps int    `default:"3" help:"How many."`
	Begun string `help:"File to create when it has begun."`
	Until string `help:"File to wait for at the second step."`
}

func (*Walk) Options() rikki.Options { return rikki.Options{Resumable: true} }

func (w *Walk) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	step := 0
	if _, err := run.LoadCheckpoint(&step); err != nil {
		return nil, err
	}
	run.Progress().SetTotal(int64(w.Steps))
	for ; step < w.Steps; step++ {
		if step == 1 {
			if err := w.stand(ctx, run); err != nil {
				return nil, err
			}
		}
		run.Progress().Add(1)
		run.Count("steps", 1)
		if err := run.Checkpoint(ctx, step+1); err != nil {
			return nil, err
		}
	}
	return fmt.Sprintf("walked in %d attempts", run.Attempt()), nil
}

func (w *Walk) stand(ctx context.Context, run *rikki.Run) error {
	if err := touch(w.Begun); err != nil || w.Until == "" {
		return err
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if _, err := os.Stat(w.Until); err == nil {
				return nil
			}
		case <-run.Stopping():
			return nil // the next checkpoint says why
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Tidy has a parameter that is named like a flag of the queue.
type Tidy struct {
	Queue string `help:"The queue to tidy up."`
}

func (t *Tidy) Execute(context.Context, *rikki.Run) (any, error) { return "tidied " + t.Queue, nil }
