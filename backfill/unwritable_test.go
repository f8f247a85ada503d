package backfill_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// Where Rikki's own collections can't be written, nothing is changed, and the error names the collection.
func TestCollectionsOfRikkiThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"journal", "partitions", "failures"} {
		for kind, as := range map[string]*options.CreateCollectionOptionsBuilder{
			"view":   nil,
			"capped": options.CreateCollection().SetCapped(true).SetSizeInBytes(1 << 20),
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				things, history := db.Collection("things"), db.Client().Database(db.Name()+"_history")
				seed(t, things, 50)
				before := all(t, things)
				app := rikkitest.App(t, db, function(backfill.Options{Collection: "things"}, func(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
					if name == "failures" && doc.Lookup("i").AsInt64() == 7 {
						return backfill.None(), errors.New("it fails")
					}
					return increment(ctx, doc)
				}))
				create := func() error { return history.CreateView(t.Context(), name, "elsewhere", bson.A{}) }
				if as != nil {
					create = func() error { return history.CreateCollection(t.Context(), name, as) }
				}
				if err := create(); err != nil {
					t.Fatal(err)
				}
				result, err := app.Run(t.Context(), "scripted", nil)
				if err == nil || result == nil || result.State != rikki.Failed || !strings.Contains(err.Error(), history.Name()+"."+name+" has to be a plain collection, neither a view nor capped: rename or drop it") {
					t.Errorf("result %+v, error %v", result, err)
				}
				if string(all(t, things)) != string(before) {
					t.Error("documents have changed")
				}
			})
		}
	}
}

// What was read from standard input is gone. A run that was stopped half-way is not begun anew with other rows.
func TestRowsOfStandardInputAreReadOnce(t *testing.T) { //nolint:paralleltest // there is one standard input
	db := rikkitest.DB(t)
	stdin := func(rows int) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		text := "_id\n"
		for i := range rows {
			text += strconv.Itoa(i) + "\n"
		}
		if _, err := w.WriteString(text); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		old := os.Stdin
		os.Stdin = r
		t.Cleanup(func() { os.Stdin = old; _ = r.Close() }) // it is only read
	}
	put := func(_ context.Context, row bson.Raw) (backfill.Change, error) {
		return backfill.Upsert(bson.D{{Key: "_id", Value: row.Lookup("_id").StringValue()}}), nil
	}
	app := rikkitest.App(t, db, function(backfill.Options{Collection: "rows", Source: backfill.CSV(backfill.Stdin), Chunk: 5}, put))
	stdin(100)
	result, err := app.Run(t.Context(), "scripted", &rikki.RunOptions{Params: map[string]any{"rate": 40, "max-runtime": "1s"}})
	if !errors.Is(err, rikki.ErrPaused) {
		t.Fatalf("%+v, %v", result, err)
	}
	count := func() int64 {
		n, err := db.Collection("rows").CountDocuments(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	half := count()
	if half == 0 || half == 100 {
		t.Fatalf("%d rows are done: not half-way", half)
	}
	stdin(200)
	again, err := app.Continue(t.Context(), result.Run, nil)
	if err == nil || !strings.Contains(err.Error(), "standard input, which is gone: put them into a file") {
		t.Errorf("it went on: %+v, %v", again, err)
	}
	if now := count(); now != half {
		t.Errorf("%d rows were done, and %d are", half, now)
	}
}
