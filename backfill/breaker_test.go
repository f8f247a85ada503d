package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// TestTooManyFailuresPauseUntilSomebodyHasLooked: a run pauses with every so many failures, those before a pause count no more, and
// there is no pause where nothing is left to do.
func TestTooManyFailuresPauseUntilSomebodyHasLooked(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 60)
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Chunk: 10, Workers: 1}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
		if doc.Lookup("_id").Int32()%2 == 0 {
			return backfill.None(), errors.New("it is even")
		}
		return increment(ctx, doc)
	}))
	result, err := app.Run(t.Context(), "scripted", &rikki.RunOptions{Params: map[string]any{"max-failures": 8}})
	for _, done := range []int64{20, 40} {
		if s, ok := result.Value.(*backfill.Summary); !errors.Is(err, rikki.ErrPaused) || !ok || s.Matched != done || s.Failed != done/2 {
			t.Fatalf("state %s, %+v, %v: want a pause after %d documents", result.State, result.Value, err, done)
		}
		if want := fmt.Sprintf("paused by itself: %d of %d documents failed, more than the limit of 8;", 10, 20); err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("it says %v, not %q", err, want)
		}
		result, err = app.Continue(t.Context(), result.Run, nil)
	}
	if partial, ok := errors.AsType[*rikki.PartialError](err); !ok || partial.Failed != 30 {
		t.Errorf("state %s, %v: want its end with 30 failures", result.State, err)
	}
	if n, err := db.Collection("things").CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); err != nil || n != 30 {
		t.Errorf("%d are counted once (%v)", n, err)
	}
	for _, none := range []int64{0, math.MaxInt64} {
		if result, err := app.Run(t.Context(), "scripted", &rikki.RunOptions{Params: map[string]any{"max-failures": none}}); result == nil || result.State != rikki.SucceededWithErrors {
			t.Errorf("with a limit of %d: %v", none, err)
		}
	}
}
