package backfill_test

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// A function that takes longer with a chunk than the server lets a transaction live gets smaller chunks. One document that takes
// too long alone is a failure, and the others go on.
func TestSlowFunctionsGetSmallerChunks(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Args: []string{"--setParameter", "transactionLifetimeLimitSeconds=1"}})
	script := function(backfill.Options{Collection: "things", Chunk: 40, Workers: 1}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		takes := 100 * time.Millisecond
		if doc.Lookup("_id").AsInt64() == 5 {
			takes = 5 * time.Second
		}
		timer := time.NewTimer(takes) // the time that the function takes is what the test is about
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return increment(ctx, doc)
	})
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: "shop"}}).MustAdd(script)
	defer func() {
		if err := app.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	err := app.Conn().With(t.Context(), func(ctx context.Context, ref *conn.Ref) error {
		things := ref.DB().Collection("things")
		numbered(t, things, 40)
		result, err := app.Run(ctx, "scripted", nil)
		if !isPartial(err, 1) {
			t.Fatalf("error %v", err)
		}
		for f, err := range backfill.Failures(ctx, app, result.Run) {
			if err != nil || f.Class != "NoSuchTransaction" || string(f.ID) != `{"$numberInt":"5"}` {
				t.Errorf("failure %+v (%v)", f, err)
			}
		}
		n, err := things.CountDocuments(ctx, bson.D{{Key: "n", Value: 1}})
		if err != nil || n != 39 {
			t.Errorf("%d documents are counted once (%v)", n, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
