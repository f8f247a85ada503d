package rikkitest_test

import (
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/rikkitest"
)

// CloseTickets is the script that the example tests.
type CloseTickets struct {
	Queue string `default:"support"`
}

// Execute closes the tickets of the queue.
func (s *CloseTickets) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	result, err := run.DB().Collection("tickets").UpdateMany(ctx,
		bson.M{"queue": s.Queue}, bson.M{"$set": bson.M{"closed": true}})
	if err != nil {
		return nil, err
	}
	return result.ModifiedCount, nil
}

// TestCloseTickets is what the test of a script looks like: insert what it
// shall find, run it, look at the result and the database.
func TestCloseTickets(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	for _, queue := range []string{"support", "support", "sales"} {
		if _, err := db.Collection("tickets").InsertOne(t.Context(), bson.M{"queue": queue}); err != nil {
			t.Fatal(err)
		}
	}
	result := rikkitest.Run(t, db, &CloseTickets{})
	if result.Value != int64(2) {
		t.Errorf("closed %v tickets, want 2", result.Value)
	}
}
