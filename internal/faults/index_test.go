//go:build linux

package faults_test

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/internal/store"
)

// A history that has documents and no indexes, as after a restore, gets them though a voting member is down.
func TestIndexesAreMadeWhileAMemberIsDown(t *testing.T) { //nolint:paralleltest // it has the set for itself
	set := faultrig.Borrow(t)
	db := set.Client(t).Database(mongotest.Name(t))
	t.Cleanup(func() {
		if err := db.Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"runs", "control"} {
		if _, err := db.Collection(name).InsertOne(t.Context(), bson.D{{Key: "_id", Value: "r_1"}}); err != nil {
			t.Fatal(err)
		}
	}
	set.Kill(t, set.Secondaries(t)[0])
	// Negative control: by the server's own default the build waits for that member.
	if err := db.RunCommand(t.Context(), bson.D{
		{Key: "createIndexes", Value: "control"},
		{Key: "maxTimeMS", Value: 1500},
		{Key: "indexes", Value: bson.A{bson.D{{Key: "key", Value: bson.D{{Key: "x", Value: 1}}}, {Key: "name", Value: "x"}}}},
	}).Err(); err == nil {
		t.Error("an index was made without the member that is down: the test can't tell")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := store.New(db).EnsureIndexes(ctx); err != nil {
		t.Fatal(err)
	}
}
