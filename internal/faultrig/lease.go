//go:build linux

package faultrig

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
)

// NoDeadLeases is invariant I6: no run in the collection has an owner whose lease ran out longer than grace ago, on the server's clock.
// It waits for a process that sweeps as long as grace is.
func NoDeadLeases(t testing.TB, runs *mongo.Collection, grace time.Duration) {
	t.Helper()
	if err := CheckNoDeadLeases(t.Context(), runs, grace); err != nil {
		t.Error(err)
	}
}

// CheckNoDeadLeases is [NoDeadLeases] for negative controls.
func CheckNoDeadLeases(ctx context.Context, runs *mongo.Collection, grace time.Duration) error {
	filter := bson.D{
		{Key: "lease.owner", Value: bson.D{{Key: "$exists", Value: true}}},
		{Key: "slot", Value: bson.D{{Key: "$exists", Value: true}}},
		{Key: "$expr", Value: bson.D{{Key: "$lt", Value: bson.A{
			"$lease.expires", bson.D{{Key: "$subtract", Value: bson.A{"$$NOW", grace.Milliseconds()}}},
		}}}},
	}
	cur, err := runs.Find(ctx, filter)
	if err != nil {
		return err
	}
	var found []bson.M
	if err := cur.All(ctx, &found); err != nil {
		return err
	}
	var v violations
	for _, run := range found {
		v.add("run %v in state %v has a lease that ran out: %v", run["_id"], run["state"], run["lease"])
	}
	return v.err("no lease is held by the dead (I6)")
}

// NoOpenTransactions is the part of invariant I7 that can be told by an app name: soon none is open.
func NoOpenTransactions(t testing.TB, client *mongo.Client, appName string) {
	t.Helper()
	admin := client.Database("admin", options.Database().SetReadConcern(readconcern.Local())) // $currentOp takes no other
	Eventually(t, 10*time.Second, "the transactions of "+appName+" to be gone", func(ctx context.Context) (bool, error) {
		cur, err := admin.Aggregate(ctx, mongo.Pipeline{
			{{Key: "$currentOp", Value: bson.D{{Key: "idleSessions", Value: true}}}},
			{{Key: "$match", Value: bson.D{{Key: "appName", Value: appName}, {Key: "transaction.autocommit", Value: false}}}},
		})
		if err != nil {
			return false, err
		}
		var open []bson.M
		err = cur.All(ctx, &open)
		return len(open) == 0, err
	})
}
