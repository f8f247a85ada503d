package backfill_test

import (
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
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
