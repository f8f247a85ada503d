package cli_test

import (
	"context"
	"testing"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
)

// BenchmarkOffline is what the command line itself adds to a program: everything up to the connection.
func BenchmarkOffline(b *testing.B) {
	nothing := rikki.Func("nothing", func(context.Context, *rikki.Run) (any, error) { return nil, nil })
	app := &cli.App{Name: "app", Scripts: []rikki.Script{nothing}}
	for b.Loop() {
		if code := cli.Run(b.Context(), app, []string{"run", "nothing", "--timeout=soon"}, cli.Stdio{}); code != cli.ExitUsage {
			b.Fatal("exit code", code)
		}
	}
}
