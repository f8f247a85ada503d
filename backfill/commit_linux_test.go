package backfill_test

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/internal/store"
	"github.com/rikki-go/rikki/rikkitest"
)

// fragile runs the script with an app name of its own, so that faults hit it alone.
func fragile(t *testing.T, db *mongo.Database, script rikki.Script, app string) (*rikki.Result, error) {
	t.Helper()
	a := rikki.New(&rikki.Config{
		Conn: conn.Config{URI: rikkitest.URI(t), Database: db.Name(), AppName: app}, HistoryDatabase: db.Name() + "_history", Actor: "test",
	}).MustAdd(script)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := a.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := db.Client().Database(db.Name() + "_history").Drop(ctx); err != nil {
			t.Error(err)
		}
	})
	return a.Run(t.Context(), a.Scripts()[0].Name, nil)
}

// The commit happens and its answer is an error that says nothing about that: whoever did the chunk again would count twice.
func TestACommitWithoutAnswerIsLookedUp(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 100)
	const app = "lost-answers"
	fault := faultrig.FailCommand(t, mongotest.Client(t), faultrig.Fault{
		Commands: []string{"commitTransaction"}, AppName: app + "-count", Times: 5, WriteConcern: 100,
	})
	result, err := fragile(t, db, backfill.New[bson.Raw](&count{}), app)
	if err != nil {
		t.Fatal(err)
	}
	if n := fault.Count(t); n != 5 {
		t.Fatalf("the fault happened %d times", n)
	}
	once(t, things, 100)
	if s := result.Value.(*backfill.Summary); s.Matched != 100 || s.Changed != 100 {
		t.Errorf("summary %+v", s)
	}
}

// Where a large part of a collection was deleted lately, the storage engine needs minutes to draw keys by chance. The plan doesn't wait
// for it.
func TestAPlanDoesNotWaitForKeysThatCannotBeDrawn(t *testing.T) {
	t.Parallel()
	const docs, app = 1000, "slow-draw"
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), docs)
	fault := faultrig.FailCommand(t, mongotest.Client(t), faultrig.Fault{Commands: []string{"aggregate"}, AppName: app + "-count", Times: 1, Block: 5 * time.Second})
	result, err := fragile(t, db, backfill.New[bson.Raw](&count{}), app)
	if err != nil {
		t.Fatal(err)
	}
	if n := fault.Count(t); n != 1 {
		t.Fatalf("the fault happened %d times", n)
	}
	once(t, db.Collection("things"), docs)
	parts, err := store.New(db.Client().Database(db.Name()+"_history")).Walk(result.Run, 0).Partitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const wanted = 8 // four for each of the workers that there are by default
	if len(parts) != wanted {
		t.Errorf("%d partitions", len(parts))
	}
	for i, p := range parts[:len(parts)-1] {
		if p.Counts.Matched != docs/wanted {
			t.Errorf("partition %d has %d documents", i, p.Counts.Matched)
		}
	}
}
