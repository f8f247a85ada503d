package cli_test

import (
	"context"
	"fmt"
	"os"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
)

// A program with commands of its own calls Run, which neither exits nor handles signals.
func ExampleRun() {
	app := &cli.App{Name: "tools", Scripts: []rikki.Script{
		rikki.Func("tidy-up", func(context.Context, *rikki.Run) (any, error) { return "done", nil }),
	}}
	stdio := cli.Stdio{Out: os.Stdout, Err: os.Stdout}

	code := cli.Run(context.Background(), app, []string{"list", "--offline", "--plain"}, stdio)
	fmt.Println("exit code", code)
	code = cli.Run(context.Background(), app, []string{"run", "tidy-pu"}, stdio)
	fmt.Println("exit code", code)
	// Output:
	// tidy-up			-
	// exit code 0
	// error: unknown script "tidy-pu". Did you mean tidy-up?
	//   fix: see tools list for what there is
	// exit code 2
}

// The whole of a program: its scripts.
func ExampleMain() {
	main := func() { cli.Main(&Greet{}, &Check{}) }
	_ = main
}

// An app of its own has a name, and may opt in to an embedded MongoDB where no URI is given.
func ExampleApp() {
	main := func() {
		cli.App{
			Name: "shop", Description: "shop keeps the shop's data in order.",
			Embedded: true, // for development: a missing MONGODB_URI is no error
			Scripts:  []rikki.Script{&Greet{}},
		}.Main()
	}
	_ = main
}
