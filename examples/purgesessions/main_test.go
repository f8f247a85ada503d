package main

import (
	"os"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestMain(m *testing.M) { os.Exit(mongotest.Main(m)) }

func TestPurgeSessions(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	sessions := db.Collection("sessions")
	for _, age := range []int{1, 29, 31, 400} {
		if _, err := sessions.InsertOne(t.Context(), bson.M{"lastUsed": time.Now().AddDate(0, 0, -age)}); err != nil {
			t.Fatal(err)
		}
	}
	result := rikkitest.Run(t, db, &PurgeSessions{})
	if result.Counters["deleted"] != 2 {
		t.Errorf("deleted %d sessions, want 2", result.Counters["deleted"])
	}
	if n, err := sessions.CountDocuments(t.Context(), bson.D{}); err != nil || n != 2 {
		t.Errorf("%d sessions are left (%v), want 2", n, err)
	}
}
