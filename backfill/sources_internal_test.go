package backfill

import (
	"context"
	"io"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/store"
)

// fewRows gives no row at all.
type fewRows struct{}

func (fewRows) next(context.Context) (row, error) { return row{}, io.EOF }
func (fewRows) Close() error                      { return nil }

// A source that was planned with rows and gives none is an error, not a run that is done.
func TestASourceThatGivesFewerRowsThanItHadIsAnError(t *testing.T) {
	t.Parallel()
	for planned, wrong := range map[int64]string{0: "", 2: "had 2 rows when they were counted, and gave 0"} {
		r := &rowReader{
			size: func(context.Context) (int64, error) { return planned, nil },
			open: func(context.Context, bson.RawValue) (rows, error) { return fewRows{}, nil },
		}
		if _, _, err := r.plan(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := r.read(t.Context(), store.Partition{}, 10, chunkBytes)
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%d planned: error %v", planned, err)
		}
	}
}
