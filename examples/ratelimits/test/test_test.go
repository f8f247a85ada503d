package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/examples/ratelimits"
	"github.com/rikki-go/rikki/jsonconfig"
	"github.com/rikki-go/rikki/rikkitest"
)

func create(t *testing.T, db *mongo.Database, limits ratelimits.ErrorReporting) {
	t.Helper()
	cfg, err := ratelimits.With(ratelimits.New(), limits)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jsonconfig.In(db).Create(t.Context(), cfg, ""); err != nil {
		t.Fatal(err)
	}
}

func TestTheLimitsHold(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	create(t, db, ratelimits.ErrorReporting{
		PerIP:   ratelimits.Limit{Requests: 1, WindowSeconds: 3600},
		PerUser: ratelimits.Limit{Requests: 20, WindowSeconds: 3600},
		Global:  ratelimits.Limit{Requests: 50, WindowSeconds: 3600},
	})
	res := rikkitest.Run(t, db, &TestErrorRateLimiting{Extra: 3})
	want := []ratelimits.Outcome{
		{Limit: "perIP", Allowed: 1, Refused: 3},
		{Limit: "perUser", Allowed: 20, Refused: 3},
		{Limit: "global", Allowed: 50, Refused: 3},
	}
	if diff := cmp.Diff(any(want), res.Value); diff != "" {
		t.Error("(-want +got)", diff)
	}
	left, err := db.Collection("rate_limit_counters").CountDocuments(t.Context(), bson.D{})
	if err != nil || left != 0 {
		t.Errorf("%d counters left, %v", left, err)
	}
}

func TestBadLimitsAreFoundBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	try := func(t *testing.T, db *mongo.Database, want ...string) {
		t.Helper()
		_, err := rikkitest.Try(t, db, &TestErrorRateLimiting{}, nil)
		var invalid *rikki.ValidationError
		if !errors.As(err, &invalid) || len(invalid.Findings) != len(want) {
			t.Fatalf("got %v, want %d findings", err, len(want))
		}
		for i, finding := range invalid.Findings {
			if !strings.Contains(finding.Message, want[i]) {
				t.Errorf("finding %q, want %q", finding.Message, want[i])
			}
		}
	}
	t.Run("NoConfig", func(t *testing.T) {
		t.Parallel()
		try(t, rikkitest.DB(t), "run init-error-rate-limiters first")
	})
	t.Run("NoLimits", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		if _, err := jsonconfig.In(db).Create(t.Context(), ratelimits.New(), ""); err != nil {
			t.Fatal(err)
		}
		try(t, db, "run init-error-rate-limiters first")
	})
	t.Run("LimitsOfZero", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		create(t, db, ratelimits.ErrorReporting{PerUser: ratelimits.Limit{Requests: 5, WindowSeconds: 5}})
		try(t, db, "limit perIP allows 0 requests", "limit global allows 0 requests")
	})
}
