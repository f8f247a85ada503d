package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestMain(m *testing.M) { os.Exit(mongotest.Main(m)) }

// mixed counts the users whose address isn't in lower case.
func mixed(t *testing.T, db *mongo.Database) int64 {
	t.Helper()
	n, err := db.Collection("users").CountDocuments(t.Context(), bson.D{{Key: "email", Value: bson.D{{Key: "$regex", Value: "[A-Z]"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLowercaseEmails(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if n := mixed(t, db); n != sampleUsers {
		t.Fatalf("%d users to begin with, want %d", n, sampleUsers)
	}

	dry, err := rikkitest.Try(t, db, &LowercaseEmails{}, &rikki.RunOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"would change": sampleUsers}, dry.Counters); diff != "" {
		t.Error("counters of a dry run:", diff)
	}
	if n := mixed(t, db); n != sampleUsers {
		t.Errorf("a dry run left %d users, want all", n)
	}

	first := rikkitest.Run(t, db, &LowercaseEmails{BatchSize: 700})
	if diff := cmp.Diff(map[string]int64{"changed": sampleUsers}, first.Counters); diff != "" {
		t.Error("counters:", diff)
	}
	if n := mixed(t, db); n != 0 {
		t.Errorf("%d users are left", n)
	}

	again := rikkitest.Run(t, db, &LowercaseEmails{})
	if diff := cmp.Diff(map[string]int64{"unchanged": sampleUsers}, again.Counters); diff != "" {
		t.Error("counters of the second run:", diff)
	}
}

func TestSeedLeavesDataAlone(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	users := db.Collection("users")
	if _, err := users.InsertOne(t.Context(), bson.D{{Key: "email", Value: "Mine@Example.com"}}); err != nil {
		t.Fatal(err)
	}
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if n, err := users.CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
		t.Errorf("%d users, %v; want the one that was there", n, err)
	}
}
