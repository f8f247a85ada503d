package rikki_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
)

// CloseOldTickets is a script: its fields are its parameters, its name is
// close-old-tickets.
type CloseOldTickets struct {
	Days  int    `default:"90" min:"1" help:"Tickets untouched for so many days are closed."`
	Queue string `required:"true" help:"The queue to tidy up."`
}

// Options say how the script wants to be run.
func (*CloseOldTickets) Options() rikki.Options {
	return rikki.Options{Description: "Closes tickets nobody has touched for long.", DryRun: true}
}

// Validate looks before anything is changed.
func (s *CloseOldTickets) Validate(ctx context.Context, run *rikki.Run, findings *rikki.Findings) {
	n, err := run.DB().Collection("tickets").CountDocuments(ctx, bson.D{{Key: "queue", Value: s.Queue}})
	switch {
	case err != nil:
		findings.Errorf("counting tickets: %v", err)
	case n == 0:
		findings.Warnf("the queue %s has no tickets", s.Queue)
	}
}

// Execute does the work.
func (s *CloseOldTickets) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	filter := bson.D{{Key: "queue", Value: s.Queue}, {Key: "age", Value: bson.D{{Key: "$gt", Value: s.Days}}}}
	tickets := run.DB().Collection("tickets")
	if run.DryRun() {
		n, err := tickets.CountDocuments(ctx, filter)
		return map[string]int64{"wouldClose": n}, err
	}
	result, err := tickets.UpdateMany(ctx, filter, bson.D{{Key: "$set", Value: bson.D{{Key: "state", Value: "closed"}}}})
	if err != nil {
		return nil, err
	}
	run.Count("closed", result.ModifiedCount)
	return map[string]int64{"closed": result.ModifiedCount}, nil
}

// A script that checks first, honours a dry run and counts what it did. It is
// given to cli.Main for a command line, or run as here.
func Example() {
	ctx := context.Background()
	app := rikki.New(nil).MustAdd(&CloseOldTickets{})
	defer app.Close(ctx)

	for _, dryRun := range []bool{true, false} {
		result, err := app.Run(ctx, "close-old-tickets", &rikki.RunOptions{
			Params: map[string]any{"queue": "support", "days": 30},
			DryRun: dryRun,
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.State, result.Value)
		for _, finding := range result.Findings {
			fmt.Println(finding.Level, finding.Message)
		}
	}
	// Output:
	// succeeded map[wouldClose:0]
	// warning the queue support has no tickets
	// succeeded map[closed:0]
	// warning the queue support has no tickets
}

// A plain function is a script too.
func ExampleFunc() {
	ctx := context.Background()
	hello := rikki.Func("hello", func(ctx context.Context, run *rikki.Run) (any, error) {
		return "hello from " + run.DB().Name(), nil
	})
	app := rikki.New(nil).MustAdd(hello)
	defer app.Close(ctx)

	result, err := app.Run(ctx, "hello", nil)
	fmt.Println(result.Value, err)
	// Output: hello from examples <nil>
}

// A function may take its parameters as a struct.
func ExampleFuncOf() {
	ctx := context.Background()
	type greeting struct {
		Name string `default:"world" help:"Whom to greet."`
	}
	greet := rikki.FuncOf("greet", func(_ context.Context, _ *rikki.Run, p greeting) (any, error) {
		return "hello " + p.Name, nil
	})
	app := rikki.New(nil).MustAdd(greet)
	defer app.Close(ctx)

	for _, params := range []any{nil, map[string]any{"name": "Ann"}} {
		result, err := app.Run(ctx, "greet", &rikki.RunOptions{Params: params})
		fmt.Println(result.Value, err)
	}
	// Output:
	// hello world <nil>
	// hello Ann <nil>
}

// The history has one record of every run, also of those that failed.
func ExampleApp_Runs() {
	ctx := context.Background()
	app := rikki.New(&rikki.Config{HistoryDatabase: "examples_runs"}).MustAdd(
		rikki.Func("works", func(context.Context, *rikki.Run) (any, error) { return nil, nil }),
		rikki.Func("fails", func(context.Context, *rikki.Run) (any, error) { return nil, errors.New("no luck") }),
	)
	defer app.Close(ctx)
	app.Run(ctx, "works", nil)
	app.Run(ctx, "fails", nil)

	for record, err := range app.Runs(ctx, rikki.RunFilter{Limit: 10}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(record.Script, record.State)
	}
	// Output:
	// fails failed
	// works succeeded
}

// Observers are told what happens while it happens.
func ExampleObserver() {
	ctx := context.Background()
	app := rikki.New(nil).MustAdd(rikki.Func("observed", func(_ context.Context, run *rikki.Run) (any, error) {
		run.Log().Info("at work")
		return nil, nil
	}))
	defer app.Close(ctx)

	app.Run(ctx, "observed", &rikki.RunOptions{Observers: []rikki.Observer{
		rikki.ObserverFunc(func(e rikki.Event) {
			switch e.Type {
			case rikki.EventState:
				fmt.Println("state:", e.State)
			case rikki.EventLog:
				fmt.Println("log:", e.Log.Message)
			}
		}),
	}})
	// Output:
	// state: running
	// log: at work
	// state: succeeded
}
