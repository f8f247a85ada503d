package rikkitest_test

import (
	"context"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/rikkitest"
)

func TestDatabasesOfParallelTestsAreApart(t *testing.T) {
	t.Parallel()
	for range 4 {
		t.Run("EachFindsItsOwnDocumentOnly", func(t *testing.T) {
			t.Parallel()
			tickets := rikkitest.DB(t).Collection("tickets")
			if _, err := tickets.InsertOne(t.Context(), bson.M{"_id": 1}); err != nil {
				t.Fatal(err)
			}
			if n, err := tickets.CountDocuments(t.Context(), bson.M{}); err != nil || n != 1 {
				t.Errorf("%d documents (%v), want 1", n, err)
			}
		})
	}
}

func TestTryReturnsTheScriptsError(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	script := rikki.Func("fails", func(context.Context, *rikki.Run) (any, error) { return nil, boom })
	result, err := rikkitest.Try(t, rikkitest.DB(t), script, &rikki.RunOptions{Actor: "ann"})
	if !errors.Is(err, boom) || result.State != rikki.Failed {
		t.Errorf("result %+v, error %v", result, err)
	}
}

//nolint:tparallel // the outer test looks at what the inner one left
func TestDatabaseIsDroppedWithItsTest(t *testing.T) {
	t.Parallel()
	var name string
	db := rikkitest.DB(t)
	t.Run("ATestThatLeavesData", func(t *testing.T) {
		own := rikkitest.DB(t)
		name = own.Name()
		if _, err := own.Collection("c").InsertOne(t.Context(), bson.M{}); err != nil {
			t.Fatal(err)
		}
	})
	names, err := db.Client().ListDatabaseNames(t.Context(), bson.M{"name": name})
	if err != nil || len(names) != 0 {
		t.Errorf("databases %v are left (%v)", names, err)
	}
}
