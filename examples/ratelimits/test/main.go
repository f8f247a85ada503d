// Command test is the script test-error-rate-limiting: it tries the limits of
// error reports that the config rate-limits has, by sending more requests than
// they allow. Real requests aren't counted with these.
//
//	go run ./examples/ratelimits/test --extra=10
package main

import (
	"context"
	"errors"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
	"github.com/rikki-go/rikki/examples/ratelimits"
	"github.com/rikki-go/rikki/jsonconfig"
)

// TestErrorRateLimiting is the script.
type TestErrorRateLimiting struct {
	Extra   int `default:"5" min:"1" max:"1000" help:"Requests to send beyond each limit."`
	Workers int `default:"4" min:"1" max:"64" help:"Requests under way at a time."`
}

// Options implements [rikki.Configured].
func (*TestErrorRateLimiting) Options() rikki.Options {
	return rikki.Options{Description: "Sends more error reports than the limits allow, and checks that they are refused."}
}

// Validate implements [rikki.Validator].
func (*TestErrorRateLimiting) Validate(ctx context.Context, run *rikki.Run, findings *rikki.Findings) {
	limits, err := load(ctx, run)
	if err != nil {
		findings.Errorf("%v", err)
	}
	for _, limit := range limits.All() {
		if err == nil && (limit.Requests < 1 || limit.WindowSeconds < 1) {
			findings.Errorf("limit %s allows %d requests in %s: both must be positive", limit.Name, limit.Requests, limit.Window())
		}
	}
}

// Execute implements [rikki.Script].
func (s *TestErrorRateLimiting) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	limits, err := load(ctx, run)
	if err != nil {
		return nil, err
	}
	limiter := ratelimits.NewLimiter(run.DB())
	var total int64
	for _, limit := range limits.All() {
		total += int64(limit.Requests + s.Extra)
	}
	run.Progress().SetTotal(total)
	var outcomes []ratelimits.Outcome
	for _, limit := range limits.All() {
		run.Progress().SetMessage(limit.Name)
		outcome, err := ratelimits.Trial{
			Allow: limiter.Allow, Key: key(run) + limit.Name, Limit: limit,
			Extra: s.Extra, Workers: s.Workers, Sent: run.Progress().Add,
		}.Run(ctx)
		if err != nil {
			return outcomes, err
		}
		run.Log().Info("limit holds", "limit", limit.Name, "allowed", outcome.Allowed, "refused", outcome.Refused)
		outcomes = append(outcomes, outcome)
	}
	return outcomes, nil
}

// Cleanup implements [rikki.Cleaner]: it removes what the requests counted.
func (*TestErrorRateLimiting) Cleanup(ctx context.Context, run *rikki.Run) error {
	return ratelimits.NewLimiter(run.DB()).Forget(ctx, key(run))
}

var errNoLimits = errors.New("the config rate-limits has no limits of error reports: run init-error-rate-limiters first")

// key is what only this run's requests begin with.
func key(run *rikki.Run) string { return "test/" + run.ID() + "/" }

func load(ctx context.Context, run *rikki.Run) (ratelimits.ErrorReporting, error) {
	cfg, err := jsonconfig.In(run.DB()).Get(ctx, ratelimits.Slug)
	switch {
	case errors.Is(err, jsonconfig.ErrNotFound):
		return ratelimits.ErrorReporting{}, errNoLimits
	case err != nil:
		return ratelimits.ErrorReporting{}, err
	}
	limits, has, err := ratelimits.Of(cfg)
	if err == nil && !has {
		err = errNoLimits
	}
	return limits, err
}

func main() {
	cli.App{
		Name:     "ratelimits",
		Embedded: true, // where no URI is given, a mongod of this project's own
		Scripts:  []rikki.Script{&TestErrorRateLimiting{}},
	}.MainScript()
}
