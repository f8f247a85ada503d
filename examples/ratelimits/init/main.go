// Command init is the script init-error-rate-limiters: it adds the limits of
// error reports to the config rate-limits, which it creates where it is
// missing. Running it again changes nothing.
//
//	go run ./examples/ratelimits/init --dry-run
//	go run ./examples/ratelimits/init --force --timeout=60000
package main

import (
	"context"
	"errors"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
	"github.com/rikki-go/rikki/examples/ratelimits"
	"github.com/rikki-go/rikki/jsonconfig"
)

// InitErrorRateLimiters is the script.
type InitErrorRateLimiters struct {
	Force bool `help:"Overwrite limits that are there already."`
}

// Options implements [rikki.Configured].
func (*InitErrorRateLimiters) Options() rikki.Options {
	return rikki.Options{
		Description: "Adds the limits of error reports to the config rate-limits.",
		Timeout:     time.Minute,
		DryRun:      true,
	}
}

// result says what the script did, or would do.
type result struct {
	Action  string   `json:"action"`
	Version int64    `json:"version,omitempty"`
	Changes []string `json:"changes,omitempty"`
}

// Execute implements [rikki.Script].
func (s *InitErrorRateLimiters) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	configs := jsonconfig.In(run.DB())
	old, err := configs.Get(ctx, ratelimits.Slug)
	missing := errors.Is(err, jsonconfig.ErrNotFound)
	if missing {
		old = ratelimits.New()
	} else if err != nil {
		return nil, err
	}

	if _, has, err := ratelimits.Of(old); has && !s.Force {
		run.Log().Info("the limits are there already; --force overwrites them", "version", old.Version)
		return result{Action: "unchanged", Version: old.Version}, nil
	} else if err != nil && !s.Force {
		return nil, err
	}
	next, err := ratelimits.With(old, ratelimits.Defaults())
	if err != nil {
		return nil, err
	}
	changes, err := jsonconfig.Diff(old, next)
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		return result{Action: "unchanged", Version: old.Version}, nil
	}
	done := result{Action: "changed"}
	for _, change := range changes {
		done.Changes = append(done.Changes, change.String())
	}
	if run.DryRun() {
		done.Action = "dry run"
		return done, nil
	}

	if err := ratelimits.NewLimiter(run.DB()).Prepare(ctx); err != nil {
		return nil, err
	}
	write := configs.Put
	if missing {
		write, done.Action = configs.Create, "created"
	}
	written, err := write(ctx, next, "run "+run.ID())
	done.Version = written.Version
	return done, err
}

func main() {
	cli.App{
		Name:     "ratelimits",
		Embedded: true, // where no URI is given, a mongod of this project's own
		Scripts:  []rikki.Script{&InitErrorRateLimiters{}},
	}.MainScript()
}
