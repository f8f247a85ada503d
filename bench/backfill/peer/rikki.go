package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
)

// LowercaseFunction writes e-mail addresses in lower case, by a function.
type LowercaseFunction struct{}

// Backfill implements [backfill.Described].
func (*LowercaseFunction) Backfill() backfill.Options { return backfill.Options{Collection: "users"} }

// Change implements [backfill.Changer].
func (*LowercaseFunction) Change(_ context.Context, u User) (backfill.Change, error) {
	return backfill.Set("email", strings.ToLower(u.Email)), nil
}

// LowercasePipeline writes e-mail addresses in lower case, at the server.
type LowercasePipeline struct{}

// Backfill implements [backfill.Described].
func (*LowercasePipeline) Backfill() backfill.Options { return backfill.Options{Collection: "users"} }

// Pipeline implements [backfill.Pipeliner].
func (*LowercasePipeline) Pipeline() mongo.Pipeline { return lowercase() }

// runRikki runs a script, or goes on with a run of it.
func runRikki(ctx context.Context, script, journal, id string) (err error) {
	// Not measure.Profiles: what isn't needed here would count as memory of the contestant.
	if dir := os.Getenv("BENCH_PROFILES"); dir != "" {
		stop, err := profile(filepath.Join(dir, script+"-"+journal+".pprof"))
		if err != nil {
			return err
		}
		defer stop()
	}
	app := rikki.New(nil).MustAdd(backfill.New[User](&LowercaseFunction{}), backfill.NewPipeline(&LowercasePipeline{}))
	defer func() { err = errors.Join(err, app.Close(ctx)) }()
	var result *rikki.Result
	if id == "" {
		params := map[string]any{"journal": journal}
		if text := os.Getenv("BENCH_PARAMS"); text != "" {
			if err := json.Unmarshal([]byte(text), &params); err != nil {
				return fmt.Errorf("the parameters %s: %w", text, err)
			}
		}
		result, err = app.Run(ctx, script, &rikki.RunOptions{Params: params})
	} else {
		result, err = takeOver(ctx, app, id)
	}
	if result != nil {
		fmt.Println(result.Counters["changed"], result.Counters)
	}
	return err
}

// takeOver waits for the lease of a run whose process has died, and goes on.
func takeOver(ctx context.Context, app *rikki.App, id string) (*rikki.Result, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		result, err := app.Continue(ctx, id, nil)
		if result != nil || !errors.Is(err, rikki.ErrState) {
			return result, err
		}
		<-tick.C
	}
}

func profile(path string) (stop func(), err error) {
	file, err := os.Create(path) //nolint:gosec // the caller's directory
	if err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close() // a profile that is cut short is seen
	}, pprof.StartCPUProfile(file)
}
