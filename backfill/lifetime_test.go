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

// A server that ends transactions early gets smaller chunks, and the log says why.
func TestChunksFitIntoTheServersTime(t *testing.T) {
	t.Parallel()
	uri := mongotest.Dedicated(t, &embedded.Options{Args: []string{"--setParameter", "transactionLifetimeLimitSeconds=1"}}).URI()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	const docs = 120
	coll := client.Database("lifetime").Collection("things")
	numbered(t, coll, docs)
	opts := backfill.Options{
		Collection: "things", Chunk: docs, Workers: 1, Script: rikki.Options{Name: "count"},
		Filter: bson.D{{Key: "$where", Value: "sleep(50) || true"}}, // what a server at its limit does by itself
	}
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: uri, Database: "lifetime"}}).MustAdd(function(opts, increment))
	defer func() {
		if err := app.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	result, err := app.Run(t.Context(), "count", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, least, most := each(t, coll); least != 1 || most != 1 {
		t.Errorf("changed %d to %d times", least, most)
	}
	if n := result.Counters["chunk_retries"]; n < 1 || n > 20 {
		t.Errorf("%d tries again", n)
	}
	told := false
	for log, err := range app.Logs(t.Context(), result.Run, rikki.LogFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		told = told || log.Message == "chunks take longer than the server lets them" && strings.Contains(string(log.Attrs), "transactionLifetimeLimitSeconds")
	}
	if !told {
		t.Error("the log doesn't say that the server ends chunks")
	}
}
