package jsonconfig_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/jsonconfig"
)

type Limits struct {
	PerMinute int `json:"perMinute"`
}

// Reading a config, or creating it where it is missing. In a script db is
// run.DB().
func Example() {
	ensure := func(ctx context.Context, db *mongo.Database) (Limits, error) {
		configs := jsonconfig.In(db)
		limits, err := jsonconfig.GetAs[Limits](ctx, configs, "rate-limits")
		if errors.Is(err, jsonconfig.ErrNotFound) {
			limits = Limits{PerMinute: 60}
			_, err = configs.Create(ctx, jsonconfig.Config{Slug: "rate-limits", Value: limits}, "first limits")
		}
		return limits, err
	}
	_ = ensure
}

// Changing a config that somebody else may change at the same time.
func ExampleConfigs_Put() {
	double := func(ctx context.Context, configs *jsonconfig.Configs) error {
		cfg, err := configs.Get(ctx, "rate-limits")
		if err != nil {
			return err
		}
		var limits Limits
		if err := cfg.Decode(&limits); err != nil {
			return err
		}
		limits.PerMinute *= 2
		cfg.Value = limits
		_, err = configs.Put(ctx, cfg, "OPS-812: double the limit")
		if errors.Is(err, jsonconfig.ErrConflict) {
			return fmt.Errorf("run the script again: %w", err)
		}
		return err
	}
	_ = double
}

func ExampleDiff() {
	from := jsonconfig.Config{Slug: "rate-limits", Value: Limits{PerMinute: 60}}
	to := jsonconfig.Config{Slug: "rate-limits", Value: bson.M{"perMinute": 120}, Aliases: []string{"limits"}}
	changes, err := jsonconfig.Diff(from, to)
	if err != nil {
		log.Fatal(err)
	}
	for _, change := range changes {
		fmt.Println(change)
	}
	// Output:
	// ~ value.perMinute: 60 → 120
	// + aliases: ["limits"]
}

func ExampleFromJSON() {
	value, err := jsonconfig.FromJSON([]byte(`{"perMinute": 9007199254740993}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(value.Document().Lookup("perMinute").Int64())

	_, err = jsonconfig.FromJSON([]byte(`{"perMinute": 99999999999999999999}`))
	fmt.Println(err)
	// Output:
	// 9007199254740993
	// config value: perMinute: 99999999999999999999 is beyond 64 bits: write it as {"$numberDecimal": "99999999999999999999"} or as text
}
