package backfill_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// A member without a vote that isn't there holds nothing up but a run that shall know how far all are behind. It is named before the first document is
// changed, not after the first chunk, and the run goes on once it needn't know.
func TestADeadMemberIsNoticedBeforeTheFirstDocument(t *testing.T) {
	t.Parallel()
	const docs, dead = 300, "127.0.0.1:1"
	server := mongotest.Dedicated(t, nil)
	client, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) })
	addMember(t, client, bson.D{{Key: "_id", Value: 1}, {Key: "host", Value: dead}, {Key: "votes", Value: 0}, {Key: "priority", Value: 0}})
	late := bson.D{{Key: "failCommands", Value: bson.A{"replSetGetStatus"}}, {Key: "blockConnection", Value: true}, {Key: "blockTimeMS", Value: 1500}}
	if err := server.FailPoint(t.Context(), bson.D{
		{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: bson.D{{Key: "times", Value: 1}}}, {Key: "data", Value: late},
	}); err != nil { // chunks would be done before the server's answer
		t.Fatal(err)
	}
	db := client.Database(mongotest.Name(t))
	things := db.Collection("things")
	numbered(t, things, docs)
	var calls atomic.Int64
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: db.Name()}, HistoryDatabase: db.Name() + "_history"}).MustAdd(
		function(backfill.Options{Collection: "things"}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
			calls.Add(1)
			return increment(ctx, doc)
		}))
	t.Cleanup(func() { _ = app.Close(context.WithoutCancel(t.Context())) })

	waits := make(chan string, 1)
	var first sync.Once
	watch := rikki.ObserverFunc(func(e rikki.Event) {
		if e.Progress != nil && strings.HasPrefix(e.Progress.Message, "waiting: replication lag can't be read: member "+dead) {
			first.Do(func() { waits <- e.Run })
		}
	})
	ended := make(chan error, 1)
	go func() {
		_, err := app.Run(t.Context(), "scripted", &rikki.RunOptions{Observers: []rikki.Observer{watch}})
		ended <- err
	}()
	select {
	case run := <-waits:
		if n, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); n != 0 || err != nil || calls.Load() != 0 {
			t.Errorf("%d documents are done (%v), and the function was called %d times", n, err, calls.Load())
		}
		if _, err := app.Tune(t.Context(), run, rikki.Tuning{MaxLag: -1}, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	case err := <-ended:
		t.Fatalf("it waits for nobody: %v", err)
	}
	once(t, things, docs)
}

// addMember gives a replica set one more.
func addMember(t *testing.T, client *mongo.Client, member bson.D) {
	t.Helper()
	var answer struct{ Config bson.D }
	admin := client.Database("admin")
	if err := admin.RunCommand(t.Context(), bson.D{{Key: "replSetGetConfig", Value: 1}}).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	for i, e := range answer.Config {
		switch e.Key {
		case "version":
			answer.Config[i].Value = e.Value.(int32) + 1 //nolint:forcetypeassert // it is one
		case "members":
			answer.Config[i].Value = append(e.Value.(bson.A), member) //nolint:forcetypeassert // it is one
		}
	}
	if err := admin.RunCommand(t.Context(), bson.D{{Key: "replSetReconfig", Value: answer.Config}}).Err(); err != nil {
		t.Fatal(err)
	}
}
