package rikki_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rikki-go/rikki"
)

// The report needs both loads, one of which fails.
func ExampleApp_Batch() {
	type tenant struct{ Name string }
	app := rikki.New(nil).MustAdd(
		rikki.FuncOf("load", func(_ context.Context, _ *rikki.Run, t tenant) (any, error) {
			if t.Name == "b" {
				return nil, errors.New("tenant b has no region")
			}
			return "loaded " + t.Name, nil
		}),
		rikki.Func("report", func(context.Context, *rikki.Run) (any, error) { return "reported", nil }),
	)
	defer func() { _ = app.Close(context.Background()) }()

	// snippet:batch
	result, err := app.Batch(context.Background(), rikki.Batch{
		Name: "nightly",
		Steps: []rikki.Step{
			{Script: "load", Params: map[string]any{"name": "a"}},
			{Name: "load-b", Script: "load", Params: map[string]any{"name": "b"}},
			{Script: "report", After: []string{"load", "load-b"}},
		},
	}, &rikki.RunOptions{Timeout: time.Hour})
	// snippet:end
	for _, step := range result.Steps {
		if step.Skipped != "" {
			fmt.Println(step.Step, "skipped:", step.Skipped)
			continue
		}
		fmt.Println(step.Step, step.State)
	}
	fmt.Println(err)
	// Output:
	// load succeeded
	// load-b failed
	// report skipped: needs load-b, which failed
	// load-b failed; 2 of 3 steps did not finish
}
