package conn

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWatch(t *testing.T) {
	t.Parallel()

	t.Run("ReportsTheFirstOutcomeAndChangesOnly", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			down := &Error{Kind: Refused}
			outcomes := []Health{
				{OK: true, State: Connected, Primary: "a", Latency: 1},
				{OK: true, State: Connected, Primary: "a", Latency: 2},
				{OK: true, State: Connected, Primary: "b"},
				{State: Unreachable, Err: down},
				{State: Unreachable, Err: &Error{Kind: Refused, Why: "other words"}},
				{State: Unreachable, Err: &Error{Kind: DNS}},
				{OK: true, State: Connected, Primary: "b"},
			}
			ctx, cancel := context.WithCancel(t.Context())
			var at []time.Duration
			start, n := time.Now(), 0
			watch(ctx, time.Minute, func(context.Context) (Health, error) {
				h := outcomes[min(n, len(outcomes)-1)]
				n++
				if n > len(outcomes)+3 {
					cancel()
				}
				return h, h.Err
			}, func(Health) { at = append(at, time.Since(start)) })
			want := []time.Duration{0, 2 * time.Minute, 3 * time.Minute, 5 * time.Minute, 6 * time.Minute}
			if diff := cmp.Diff(want, at); diff != "" {
				t.Error(diff)
			}
		})
	})

	t.Run("EndsWithItsContextAndReportsNoFailureOfThat", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		watch(ctx, time.Hour, func(ctx context.Context) (Health, error) {
			cancel()
			return Health{Err: ctx.Err()}, ctx.Err()
		}, func(h Health) { t.Errorf("reported %+v", h) })
	})
}

func TestErrorIs(t *testing.T) {
	t.Parallel()
	sentinels := [...]error{ErrUnreachable, ErrAuth, ErrBadURI, ErrStandalone, ErrClosed}
	for kind, want := range map[Kind]error{
		BadURI: ErrBadURI, NoDatabase: ErrBadURI, Auth: ErrAuth, Standalone: ErrStandalone, Refused: ErrUnreachable,
		DNS: ErrUnreachable, TLS: ErrUnreachable, NotPrimary: ErrUnreachable, Timeout: ErrUnreachable,
	} {
		for _, sentinel := range sentinels {
			if got := errors.Is(&Error{Kind: kind}, sentinel); got != errors.Is(want, sentinel) {
				t.Errorf("%s is %v: %v", kind, sentinel, got)
			}
		}
	}
}
