package ratelimits_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/rikki-go/rikki/examples/ratelimits"
	"github.com/rikki-go/rikki/internal/connlines"
	"github.com/rikki-go/rikki/jsonconfig"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestLimitsKeepTheRestOfTheConfig(t *testing.T) {
	t.Parallel()
	value, err := jsonconfig.FromJSON([]byte(`{"api":{"burst":9007199254740993},"errorReporting":{"old":true},"z":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ratelimits.With(jsonconfig.Config{Slug: ratelimits.Slug, Value: value}, ratelimits.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	text, err := cfg.CanonicalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), `{"api":{"burst":{"$numberLong":"9007199254740993"}},"errorReporting":{"perIP":{"requests":`) ||
		!strings.HasSuffix(string(text), `,"z":[{"$numberInt":"1"}]}`) {
		t.Errorf("became %s", text)
	}
	limits, has, err := ratelimits.Of(cfg)
	if diff := cmp.Diff(ratelimits.Defaults(), limits); diff != "" || !has || err != nil {
		t.Error(has, err, diff)
	}
	if _, has, err := ratelimits.Of(ratelimits.New()); has || err != nil {
		t.Errorf("a new config: %v, %v", has, err)
	}
	if _, err := ratelimits.With(jsonconfig.Config{Value: "text"}, ratelimits.Defaults()); err == nil {
		t.Error("no error for a config that is no document")
	}
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	limiter := ratelimits.NewLimiter(db)
	for range 2 {
		if err := limiter.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("RefusesWhatIsBeyondTheLimitHoweverManyAskAtOnce", func(t *testing.T) {
		t.Parallel()
		limit := ratelimits.Limit{Requests: 20, WindowSeconds: 3600}
		var allowed atomic.Int64
		var group errgroup.Group
		for range 60 {
			group.Go(func() error {
				decision, err := limiter.Allow(t.Context(), "many", limit)
				if decision.Allowed {
					allowed.Add(1)
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if allowed.Load() != 20 {
			t.Errorf("%d of 60 requests were allowed, want 20", allowed.Load())
		}
	})
	t.Run("CountsEachKeyByItself", func(t *testing.T) {
		t.Parallel()
		for _, key := range []string{"a", "b", "a.b", "$x"} {
			decision, err := limiter.Allow(t.Context(), key, ratelimits.Limit{Requests: 1, WindowSeconds: 3600})
			if err != nil || !decision.Allowed || decision.Count != 1 || decision.Resets.Sub(decision.Window) != time.Hour {
				t.Errorf("%s: %+v, %v", key, decision, err)
			}
		}
	})
	t.Run("BeginsAgainWithTheNextWindow", func(t *testing.T) {
		t.Parallel()
		limit := ratelimits.Limit{Requests: 1, WindowSeconds: 1}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var first, last time.Time
		for first.Equal(last) {
			decision, err := limiter.Allow(ctx, "reset", limit)
			if err != nil {
				t.Fatal(err)
			}
			if last = decision.Window; first.IsZero() {
				first = last
			}
			if decision.Allowed != (decision.Count == 1) {
				t.Fatalf("%+v", decision)
			}
		}
		if last.Sub(first)%time.Second != 0 {
			t.Errorf("windows at %v and %v", first, last)
		}
	})
	t.Run("ForgetsOnlyWhatItIsTold", func(t *testing.T) {
		t.Parallel()
		limit := ratelimits.Limit{Requests: 9, WindowSeconds: 3600}
		for _, key := range []string{"f.1/a", "f.1/b", "fx1/a"} {
			if _, err := limiter.Allow(t.Context(), key, limit); err != nil {
				t.Fatal(err)
			}
		}
		if err := limiter.Forget(t.Context(), "f.1/"); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]int{"f.1/a": 1, "fx1/a": 2} {
			if decision, err := limiter.Allow(t.Context(), key, limit); err != nil || decision.Count != want {
				t.Errorf("%s: count %d, %v; want %d", key, decision.Count, err, want)
			}
		}
	})
	t.Run("RefusesAnEmptyWindow", func(t *testing.T) {
		t.Parallel()
		if _, err := limiter.Allow(t.Context(), "w", ratelimits.Limit{Requests: 1}); err == nil {
			t.Error("no error")
		}
	})
}

func TestTrialNoticesALimiterThatIsWrong(t *testing.T) {
	t.Parallel()
	limit := ratelimits.Named{Name: "perIP", Limit: ratelimits.Limit{Requests: 10, WindowSeconds: 60}}
	window := time.Unix(60, 0)
	broken := errors.New("broken")
	var calls atomic.Int64
	for name, tc := range map[string]struct {
		allow func(context.Context, string, ratelimits.Limit) (ratelimits.Decision, error)
		want  string
	}{
		"AllowsTooMuch": {func(context.Context, string, ratelimits.Limit) (ratelimits.Decision, error) {
			return ratelimits.Decision{Allowed: true, Window: window}, nil
		}, "of 13 requests 13 were allowed, want 10"},
		"AllowsTooLittle": {func(context.Context, string, ratelimits.Limit) (ratelimits.Decision, error) {
			return ratelimits.Decision{Window: window}, nil
		}, "of 13 requests 0 were allowed, want 10"},
		"Fails": {func(context.Context, string, ratelimits.Limit) (ratelimits.Decision, error) {
			return ratelimits.Decision{}, broken
		}, "broken"},
		"ItsWindowNeverHolds": {func(context.Context, string, ratelimits.Limit) (ratelimits.Decision, error) {
			return ratelimits.Decision{Allowed: true, Window: time.Unix(calls.Add(1), 0)}, nil
		}, "take longer than its window of 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ratelimits.Trial{Allow: tc.allow, Key: "k", Limit: limit, Extra: 3, Workers: 2}.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("StopsWithItsContext", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := ratelimits.Trial{Allow: ratelimits.NewLimiter(rikkitest.DB(t)).Allow, Key: "k", Limit: limit, Workers: 2}.Run(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// The promise of the migration: at least half of the lines about the
// connection are gone.
func TestHalfOfTheConnectionLinesAreGone(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"init", "test"} {
		c, err := connlines.Compare("before/"+script+"/main.go", script+"/main.go")
		if err != nil {
			t.Fatal(err)
		}
		if c.Saved() < 50 || c.Before.Connection == 0 {
			t.Errorf("%s: %d lines before, %d after, %.0f %% saved; want at least 50 %%",
				script, c.Before.Connection, c.After.Connection, c.Saved())
		}
	}
}

func TestOldAndNewWriteTheSameConfig(t *testing.T) {
	t.Parallel()
	var values []bson.RawValue
	for _, program := range []string{"./init", "./before/init"} {
		db := rikkitest.DB(t)
		out, err := runProgram(t, program, db.Name())
		if err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
		if out, err := runProgram(t, strings.Replace(program, "init", "test", 1), db.Name()); err != nil {
			t.Fatalf("the limits of %s, tried: %v\n%s", program, err, out)
		}
		cfg, err := jsonconfig.In(db).Get(t.Context(), ratelimits.Slug)
		if err != nil {
			t.Fatal(err)
		}
		value, _ := cfg.Value.(bson.RawValue)
		values = append(values, value)
	}
	if !values[0].Equal(values[1]) {
		t.Errorf("new %v, old %v", values[0], values[1])
	}
}
