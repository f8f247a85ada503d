package rikki_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/params"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestAddReportsEveryProblem(t *testing.T) {
	t.Parallel()
	err := rikki.New(nil).Add(
		rikki.Func("Bad Name", nil),
		rikki.Func("twice", nil), rikki.Func("twice", nil),
		&withChannel{}, byValue{},
	)
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{"Bad Name", `"twice"`, "withChannel", "byValue"} {
		if !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), params.Kebab(want)) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

type withChannel struct{ C chan int }

func (*withChannel) Execute(context.Context, *rikki.Run) (any, error) { return nil, nil }

type byValue struct{ N int }

func (byValue) Execute(context.Context, *rikki.Run) (any, error) { return nil, nil }

func TestWrongParametersRunNothing(t *testing.T) {
	t.Parallel()
	type parameters struct {
		Batch int `min:"1" default:"5"`
	}
	script := rikki.FuncOf("strict", func(context.Context, *rikki.Run, parameters) (any, error) {
		t.Error("the script ran")
		return nil, nil
	})
	// The address answers nothing: parameters are checked before connecting.
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: "mongodb://127.0.0.1:1/x"}}).MustAdd(script)
	_, err := app.Run(t.Context(), "strict", &rikki.RunOptions{Params: map[string]any{"batch": 0, "bach": 1}})
	var wrong *params.Error
	if !errors.As(err, &wrong) || len(wrong.Problems) != 2 {
		t.Fatalf("error %v, want two problems with parameters", err)
	}
	var unknown *rikki.UnknownScriptError
	if _, err := app.Run(t.Context(), "strickt", nil); !errors.As(err, &unknown) || unknown.Suggestion != "strict" {
		t.Errorf("error %v, want a suggestion", err)
	}
}

func TestParallelRunsShareNoParameters(t *testing.T) {
	t.Parallel()
	type parameters struct{ Tags []string }
	script := rikki.FuncOf("tags", func(_ context.Context, _ *rikki.Run, p parameters) (any, error) {
		p.Tags = append(p.Tags, "more")
		p.Tags[0] = "changed"
		return nil, nil
	})
	app := rikkitest.App(t, rikkitest.DB(t), script)
	given := map[string]any{"tags": []string{"a", "b"}}
	for range 2 {
		if _, err := app.Run(t.Context(), "tags", &rikki.RunOptions{Params: given}); err != nil {
			t.Fatal(err)
		}
	}
	if got := given["tags"].([]string)[0]; got != "a" { //nolint:forcetypeassert // set above
		t.Errorf("the caller's list was changed to %q", got)
	}
}

func TestOddResults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		value any
		check func(*testing.T, rikki.Record)
	}{
		{"TwentyMegabytesAreCutAndItIsSaid", strings.Repeat("x", 20<<20), func(t *testing.T, r rikki.Record) {
			if len(r.Result) == 0 || len(r.Result) > 2<<20 || len(r.Cut) != 1 || !strings.Contains(r.Cut[0], "result") {
				t.Errorf("result of %d bytes, cut %q", len(r.Result), r.Cut)
			}
		}},
		{"BinarySurvives", map[string]any{"b": []byte{0, 1, 255}}, func(t *testing.T, r rikki.Record) {
			if !strings.Contains(string(r.Result), "AAH/") {
				t.Errorf("result %s", r.Result)
			}
		}},
		{"InvalidUTF8IsNoFailure", "\xff\xfe", func(t *testing.T, r rikki.Record) {
			if len(r.Result) == 0 {
				t.Error("no result")
			}
		}},
		{"WhatJSONCannotHoldIsLeftOut", make(chan int), func(t *testing.T, r rikki.Record) {
			if len(r.Result) != 0 || r.State != rikki.Succeeded {
				t.Errorf("result %s, state %s", r.Result, r.State)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			script := rikki.Func("odd", func(context.Context, *rikki.Run) (any, error) { return test.value, nil })
			app := rikkitest.App(t, rikkitest.DB(t), script)
			result, err := app.Run(t.Context(), "odd", nil)
			if err != nil {
				t.Fatal(err)
			}
			record, err := app.Record(t.Context(), result.Run)
			if err != nil {
				t.Fatal(err)
			}
			test.check(t, record)
		})
	}
}

func TestLogsAreCappedAndItIsSaid(t *testing.T) {
	t.Parallel()
	script := rikki.Func("chatty", func(_ context.Context, run *rikki.Run) (any, error) {
		for range 10_050 {
			run.Log().Debug("again")
		}
		run.Log().Error("what somebody will look for")
		return nil, nil
	})
	app := rikki.New(&rikki.Config{
		Conn:            conn.Config{URI: rikkitest.URI(t), Database: rikkitest.DB(t).Name()},
		HistoryDatabase: mongotest.Name(t),
	}).MustAdd(script)
	t.Cleanup(func() { closeApp(t, app) })
	result, err := app.Run(t.Context(), "chatty", nil)
	if err != nil {
		t.Fatal(err)
	}
	record, err := app.Record(t.Context(), result.Run)
	if err != nil || record.LogsDropped != 50 {
		t.Errorf("%d dropped (%v), want 50", record.LogsDropped, err)
	}
	var n int
	var last string
	for l, err := range app.Logs(t.Context(), result.Run, rikki.LogFilter{MinLevel: -4}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		last = l.Message
	}
	if n != 10_001 || !strings.Contains(last, "look for") {
		t.Errorf("%d records, the last %q", n, last)
	}
}

func closeApp(t *testing.T, app *rikki.App) {
	t.Helper()
	if err := app.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestHistoryCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	app := rikkitest.App(t, db, rikki.Func("quiet", func(context.Context, *rikki.Run) (any, error) { return 1, nil }))
	result, err := app.Run(t.Context(), "quiet", &rikki.RunOptions{NoHistory: true})
	if err != nil || result.Recorded || result.Value != 1 {
		t.Errorf("result %+v, %v", result, err)
	}
	for record, err := range app.Runs(t.Context(), rikki.RunFilter{}) {
		t.Errorf("the history has %s (%v)", record.ID, err)
	}
	off := rikki.New(&rikki.Config{NoHistory: true})
	if _, err := off.Record(t.Context(), "x"); !errors.Is(err, rikki.ErrNoHistory) {
		t.Errorf("error %v, want ErrNoHistory", err)
	}
}

func TestScriptRunsWhereTheHistoryMayNotBeWritten(t *testing.T) {
	t.Parallel()
	// A plain server has transactions neither, and a run doesn't need them.
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true, Args: []string{"--auth"}})
	createUser(t, server.URI(), "root", bson.D{{Key: "role", Value: "root"}, {Key: "db", Value: "admin"}})
	asRoot := strings.Replace(server.URI(), "mongodb://", "mongodb://root:pw@", 1)
	createUser(t, asRoot, "limited", bson.D{{Key: "role", Value: "readWrite"}, {Key: "db", Value: "app"}})
	script := rikki.Func("humble", func(ctx context.Context, run *rikki.Run) (any, error) {
		_, err := run.DB().Collection("c").InsertOne(ctx, bson.D{{Key: "a", Value: 1}})
		return "done", err
	})
	uri := strings.Replace(server.URI(), "mongodb://", "mongodb://limited:pw@", 1)
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: uri, Database: "app"}}).MustAdd(script)
	t.Cleanup(func() { closeApp(t, app) })
	var warned bool
	result, err := app.Run(t.Context(), "humble", &rikki.RunOptions{Observers: []rikki.Observer{
		rikki.ObserverFunc(func(e rikki.Event) {
			warned = warned || e.Log != nil && strings.Contains(e.Log.Message, "no history")
		}),
	}})
	if err != nil || result.Value != "done" || result.Recorded {
		t.Fatalf("result %+v, %v", result, err)
	}
	if !warned {
		t.Error("nobody was warned")
	}
}

func createUser(t *testing.T, uri, name string, role bson.D) {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	if err := client.Database("admin").RunCommand(t.Context(), bson.D{
		{Key: "createUser", Value: name}, {Key: "pwd", Value: "pw"}, {Key: "roles", Value: bson.A{role}},
	}).Err(); err != nil {
		t.Fatal(err)
	}
}

// exitEnv makes the test binary the victim of TestScriptThatExits.
const exitEnv = "RIKKI_TEST_EXIT"

func TestScriptThatExitsTheProcessIsInterrupted(t *testing.T) {
	t.Parallel()
	if os.Getenv(exitEnv) != "" {
		t.Skip("for the other process")
	}
	db, history := rikkitest.DB(t), mongotest.Name(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestExitVictim$")
	cmd.Env = append(os.Environ(), exitEnv+"="+history, "RIKKI_TEST_URI="+rikkitest.URI(t))
	if out, err := cmd.CombinedOutput(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 7 {
		t.Fatalf("the victim ended with %v: %s", err, out)
	}
	app := rikki.New(&rikki.Config{
		Conn: conn.Config{URI: rikkitest.URI(t), Database: db.Name()}, HistoryDatabase: history, LeaseTTL: 3 * time.Second,
	})
	t.Cleanup(func() {
		closeApp(t, app)
		if err := db.Client().Database(history).Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	deadline := time.Now().Add(time.Minute)
	for {
		record, err := app.Record(t.Context(), "last")
		if err != nil {
			t.Fatal(err)
		}
		if record.State == rikki.Interrupted {
			return
		}
		if record.State != rikki.Running || time.Now().After(deadline) {
			t.Fatalf("state %s, want interrupted", record.State)
		}
	}
}

func TestExitVictim(t *testing.T) {
	history := os.Getenv(exitEnv)
	if history == "" {
		t.Skip("runs in a process of its own")
	}
	script := rikki.Func("exits", func(context.Context, *rikki.Run) (any, error) { os.Exit(7); return nil, nil })
	app := rikki.New(&rikki.Config{
		Conn: conn.Config{URI: os.Getenv("RIKKI_TEST_URI"), Database: "x"}, HistoryDatabase: history, LeaseTTL: 3 * time.Second,
	}).MustAdd(script)
	_, err := app.Run(t.Context(), "exits", nil)
	t.Fatal("the process must have ended: ", err)
}

func TestConnectionKilledInTheMiddleOfAScript(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, nil)
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: "x", AppName: "victim"}})
	t.Cleanup(func() { closeApp(t, app) })
	app.MustAdd(rikki.Func("steady", func(ctx context.Context, run *rikki.Run) (any, error) {
		if err := killConnections(ctx, server); err != nil {
			return nil, err
		}
		// Reads and writes are both tried again by the driver.
		_, err := run.DB().Collection("c").InsertOne(ctx, bson.D{{Key: "a", Value: 1}})
		return nil, err
	}))
	if _, err := app.Run(t.Context(), "steady", nil); err != nil {
		t.Fatal(err)
	}
}

// killConnections lets the server close the connection of the script's next insert.
func killConnections(ctx context.Context, server *embedded.Server) error {
	return server.FailPoint(ctx, bson.D{
		{Key: "configureFailPoint", Value: "failCommand"},
		{Key: "mode", Value: bson.D{{Key: "times", Value: 1}}},
		{Key: "data", Value: bson.D{
			{Key: "failCommands", Value: bson.A{"insert"}}, {Key: "closeConnection", Value: true}, {Key: "appName", Value: "victim"},
		}},
	})
}
