package backfill_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/rikkitest"
)

// Whoever types a command twice, as two operators do, has it done once at a time. Another command may run beside it.
func TestTheSameCommandTwiceAtATime(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 50)
	app := rikkitest.App(t, db, backfill.NewAdHoc())
	command := func(update string) *rikki.RunOptions {
		return &rikki.RunOptions{Params: map[string]any{"collection": "things", "update": update, "rate": 5, "chunk": 1}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := app.Run(ctx, backfill.AdHocName, command(`{"$inc": {"n": 1}}`))
		ended <- err
	}()
	defer func() {
		cancel()
		if err := <-ended; err == nil {
			t.Error("the first has ended before it was told to")
		}
	}()
	faultrig.Eventually(t, time.Minute, "the first has begun", func(ctx context.Context) (bool, error) {
		n, err := db.Collection("things").CountDocuments(ctx, bson.D{{Key: "n", Value: 1}})
		return n > 0, err
	})
	var busy *rikki.AlreadyRunningError
	if result, err := app.Run(t.Context(), backfill.AdHocName, command(`{"$inc": {"n": 1}}`)); !errors.As(err, &busy) {
		t.Errorf("the same again: %+v, %v", result, err)
	}
	if result, err := app.Run(t.Context(), backfill.AdHocName, &rikki.RunOptions{Params: map[string]any{"collection": "things", "update": `{"$inc": {"m": 1}}`}}); err != nil {
		t.Errorf("another one: %+v, %v", result, err)
	}
	if n, err := db.Collection("things").CountDocuments(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$gt", Value: 1}}}}); err != nil || n > 0 {
		t.Errorf("%d documents were done twice (%v)", n, err)
	}
}
