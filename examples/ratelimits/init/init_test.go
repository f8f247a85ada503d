package main

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/examples/ratelimits"
	"github.com/rikki-go/rikki/jsonconfig"
	"github.com/rikki-go/rikki/rikkitest"
)

// version returns the version of the config, or 0.
func version(t *testing.T, db *mongo.Database) int64 {
	t.Helper()
	cfg, err := jsonconfig.In(db).Get(t.Context(), ratelimits.Slug)
	if err != nil && !errors.Is(err, jsonconfig.ErrNotFound) {
		t.Fatal(err)
	}
	return cfg.Version
}

func TestInitErrorRateLimiters(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	first := rikkitest.Run(t, db, &InitErrorRateLimiters{})
	if got, _ := first.Value.(result); got.Action != "created" || got.Version != 1 || len(got.Changes) != 1 {
		t.Errorf("first run: %+v", first.Value)
	}
	cfg, err := jsonconfig.In(db).Get(t.Context(), "rateLimits")
	if err != nil {
		t.Fatal(err)
	}
	limits, has, err := ratelimits.Of(cfg)
	if diff := cmp.Diff(ratelimits.Defaults(), limits); diff != "" || !has || err != nil {
		t.Error(has, err, diff)
	}
	if cfg.Why != "run "+first.Run {
		t.Errorf("why = %q, want the run", cfg.Why)
	}

	for _, again := range []*InitErrorRateLimiters{{}, {Force: true}} {
		result2 := rikkitest.Run(t, db, again)
		if got, _ := result2.Value.(result); got.Action != "unchanged" || version(t, db) != 1 {
			t.Errorf("again with %+v: %+v, version %d", *again, result2.Value, version(t, db))
		}
	}
}

func TestAnExistingConfigIsExtended(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	configs := jsonconfig.In(db)
	value, err := jsonconfig.FromJSON([]byte(`{"api":{"requests":9007199254740993}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := configs.Create(t.Context(), jsonconfig.Config{Slug: "limits", Aliases: []string{ratelimits.Slug}, Value: value}, ""); err != nil {
		t.Fatal(err)
	}
	rikkitest.Run(t, db, &InitErrorRateLimiters{})
	var got struct {
		API struct{ Requests int64 }  `json:"api"`
		ER  ratelimits.ErrorReporting `json:"errorReporting"`
	}
	cfg, err := configs.Get(t.Context(), "limits")
	if err := errors.Join(err, cfg.Decode(&got)); err != nil {
		t.Fatal(err)
	}
	if got.API.Requests != 9007199254740993 || got.ER != ratelimits.Defaults() || cfg.Version != 2 {
		t.Errorf("%+v, version %d", got, cfg.Version)
	}
}

func TestOnlyForceOverwrites(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	own := ratelimits.ErrorReporting{PerIP: ratelimits.Limit{Requests: 1, WindowSeconds: 1}}
	cfg, err := ratelimits.With(ratelimits.New(), own)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jsonconfig.In(db).Create(t.Context(), cfg, ""); err != nil {
		t.Fatal(err)
	}
	rikkitest.Run(t, db, &InitErrorRateLimiters{})
	if version(t, db) != 1 {
		t.Error("limits that were there are overwritten")
	}
	rikkitest.Run(t, db, &InitErrorRateLimiters{Force: true})
	if version(t, db) != 2 {
		t.Error("--force did not overwrite")
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	res, err := rikkitest.Try(t, db, &InitErrorRateLimiters{}, &rikki.RunOptions{
		DryRun: true, Params: json.RawMessage(`{"force":true}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := res.Value.(result); got.Action != "dry run" || len(got.Changes) != 1 {
		t.Errorf("%+v", res.Value)
	}
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil || len(names) != 0 {
		t.Errorf("collections %v, %v; want none", names, err)
	}
}
