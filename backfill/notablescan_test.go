package backfill_test

import (
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// On a server that scans no collection, a filter needs no index, for the walk has one. What a function looks for itself needs one, and the
// failure says so before the server's own words.
func TestAServerThatScansNoCollection(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Args: []string{"--setParameter", "notablescan=1"}})
	client, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) })
	const docs, match = 300, 100
	db := client.Database(mongotest.Name(t))
	things, others := db.Collection("things"), db.Collection("others")
	for i := range docs {
		insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "v", Value: i}})
	}
	numbered(t, others, 1)
	opts := backfill.Options{Collection: "things", Filter: bson.D{{Key: "v", Value: bson.D{{Key: "$lt", Value: match}}}}, MaxFailures: docs}
	looking := opts
	looking.Script.Name = "looking"
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: db.Name()}, HistoryDatabase: db.Name() + "_history"}).MustAdd(
		function(opts, increment),
		function(looking, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
			if doc.Lookup("_id").AsInt64() == 7 {
				return backfill.None(), backfill.DB(ctx).Collection("others").FindOne(ctx, bson.D{{Key: "v", Value: 1}}).Err()
			}
			return increment(ctx, doc)
		}))
	t.Cleanup(func() { _ = app.Close(context.WithoutCancel(t.Context())) })
	for _, dry := range []bool{true, false} {
		if result, err := app.Run(t.Context(), "scripted", &rikki.RunOptions{DryRun: dry}); err != nil {
			t.Fatalf("dry run %t: %+v, %v", dry, result, err)
		}
	}
	if n, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}, options.Count().SetHint("_id_")); err != nil || n != match {
		t.Errorf("%d documents are done (%v), want %d", n, err, match)
	}
	result, err := app.Run(t.Context(), "looking", nil)
	if !isPartial(err, 1) {
		t.Fatalf("%+v, %v", result, err)
	}
	failures := failuresOf(t, app, result.Run)
	if len(failures) != 1 || !strings.HasPrefix(failures[0].Message, "the server scans no collection (notablescan): make an index on what the function looks for") {
		t.Errorf("%+v", failures)
	}
}
