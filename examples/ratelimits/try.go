package ratelimits

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Outcome is what came of the requests of one trial.
type Outcome struct {
	Limit   string `json:"limit"`
	Allowed int    `json:"allowed"`
	Refused int    `json:"refused"`
}

// attempts bounds how often a trial begins again because the window ended
// while it sent its requests.
const attempts = 3

// Trial sends more requests than a limit allows and checks that exactly the
// excess is refused.
type Trial struct {
	// Allow is what is tried, usually [Limiter.Allow].
	Allow func(ctx context.Context, key string, limit Limit) (Decision, error)

	Key     string // of the requests, to be used by nobody else
	Limit   Named
	Extra   int           // requests beyond the limit
	Workers int           // requests under way at a time
	Sent    func(n int64) // is told of requests sent; nil is fine
}

// Run sends the requests.
func (t Trial) Run(ctx context.Context) (Outcome, error) {
	for attempt := range attempts {
		out, steady, err := t.send(ctx, fmt.Sprintf("%s/%d", t.Key, attempt))
		switch {
		case err != nil:
			return Outcome{}, err
		case !steady:
			continue // half of them counted for the next window
		case out.Allowed != t.Limit.Requests || out.Refused != t.Extra:
			return out, fmt.Errorf("limit %s: of %d requests %d were allowed, want %d",
				t.Limit.Name, t.Limit.Requests+t.Extra, out.Allowed, t.Limit.Requests)
		default:
			return out, nil
		}
	}
	return Outcome{}, fmt.Errorf("limit %s: %d requests take longer than its window of %s, so it can't be tried: send them from more workers",
		t.Limit.Name, t.Limit.Requests+t.Extra, t.Limit.Window())
}

// send sends all requests once. steady is false if they fell into more than
// one window.
func (t Trial) send(ctx context.Context, key string) (out Outcome, steady bool, err error) {
	out.Limit, steady = t.Limit.Name, true
	var mu sync.Mutex
	var first *Decision
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, t.Workers))
	for range t.Limit.Requests + t.Extra {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() error {
			decision, err := t.Allow(gctx, key, t.Limit.Limit)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = &decision
			}
			steady = steady && first.Window.Equal(decision.Window)
			if decision.Allowed {
				out.Allowed++
			} else {
				out.Refused++
			}
			if t.Sent != nil {
				t.Sent(1)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Outcome{}, false, err
	}
	return out, steady, context.Cause(ctx)
}
