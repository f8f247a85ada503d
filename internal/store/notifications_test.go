package store

import (
	"testing"
	"time"
)

// What has recovered isn't told of again, and a newer failure is not forgotten with the one that was told of.
func TestRecoveredForgetsThatFailureAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	subject := func(stream string) string {
		t.Helper()
		f, err := b.Failing(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			return ""
		}
		return f.Subject
	}
	for _, stream := range []string{"shop/script/report", "shop/schedule/nightly"} {
		if err := b.SetFailing(ctx, stream, Failing{Subject: "first", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.SetFailing(ctx, "shop/script/report", Failing{Subject: "second", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ recovered, report, nightly string }{
		{"first", "second", "first"}, {"second", "", "first"},
	} {
		if err := b.Recovered(ctx, "shop/script/report", step.recovered); err != nil {
			t.Fatal(err)
		}
		if report, nightly := subject("shop/script/report"), subject("shop/schedule/nightly"); report != step.report || nightly != step.nightly {
			t.Errorf("after the recovery from %s: report fails since %q, want %q; nightly since %q, want %q", step.recovered, report, step.report, nightly, step.nightly)
		}
	}
}
