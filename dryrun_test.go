package rikki_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/preview"
	"github.com/rikki-go/rikki/rikkitest"
)

// content is everything in a database, to compare before with after.
func content(t *testing.T, db *mongo.Database) map[string][]bson.M {
	t.Helper()
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]bson.M)
	for _, name := range names {
		cursor, err := db.Collection(name).Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
		if err != nil {
			t.Fatal(err)
		}
		var docs []bson.M
		if err := cursor.All(t.Context(), &docs); err != nil {
			t.Fatal(err)
		}
		all[name] = docs
	}
	return all
}

func seedUsers(t *testing.T, db *mongo.Database) *mongo.Collection {
	t.Helper()
	users := db.Collection("users")
	if _, err := users.InsertMany(t.Context(), []any{
		bson.D{{Key: "_id", Value: 1}, {Key: "name", Value: "Ann"}, {Key: "age", Value: 30}},
		bson.D{{Key: "_id", Value: 2}, {Key: "name", Value: "Bob"}},
		bson.D{{Key: "_id", Value: 3}, {Key: "name", Value: "Cid"}},
	}); err != nil {
		t.Fatal(err)
	}
	return users
}

func TestDryRunShowsWhatWouldChangeAndChangesNothing(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	seedUsers(t, db)
	script := &staged{journal: &journal{}, opts: rikki.Options{Name: "edits"}}
	script.execute = func(ctx context.Context, run *rikki.Run) (any, error) {
		if !run.DryRun() {
			return nil, errors.New("not a dry run")
		}
		users := run.DB().Collection("users")
		err := run.Tx(ctx, func(ctx context.Context) error {
			_, err := users.UpdateOne(ctx, bson.M{"_id": 1}, bson.M{"$set": bson.M{"name": "Anna"}, "$unset": bson.M{"age": 1}})
			return err
		})
		if err != nil {
			return nil, err
		}
		if _, err := users.DeleteMany(ctx, bson.M{"name": "Bob"}); err != nil {
			return nil, err
		}
		if err := users.FindOneAndUpdate(ctx, bson.M{"_id": 3}, bson.M{"$set": bson.M{"seen": true}}).Err(); err != nil {
			return nil, err
		}
		if _, err := run.DB().Collection("audit").InsertOne(ctx, bson.M{"_id": "a", "n": 1}); err != nil {
			return nil, err
		}
		// The script sees its own changes.
		return users.CountDocuments(ctx, bson.M{})
	}
	script.cleanup = nil
	before := content(t, db)
	app := rikkitest.App(t, db, script)
	result, err := app.Run(t.Context(), "edits", &rikki.RunOptions{DryRun: true})
	if err != nil || result.Value != int64(2) || result.State != rikki.Succeeded {
		t.Fatalf("result %+v, error %v", result, err)
	}
	if diff := cmp.Diff(before, content(t, db)); diff != "" {
		t.Fatal("the dry run changed the database:\n" + diff)
	}
	want := []preview.Collection{
		{Name: db.Name() + ".audit", Inserted: 1},
		{Name: db.Name() + ".users", Updated: 2, Deleted: 1},
	}
	if diff := cmp.Diff(want, result.Preview.Collections); diff != "" {
		t.Error("collections (-want +got):\n" + diff)
	}
	var lines []string
	for _, c := range result.Preview.Changes {
		for _, f := range c.Fields {
			lines = append(lines, strings.Join([]string{c.Kind, string(c.ID), f.Path, string(f.Before), string(f.After)}, " "))
		}
	}
	if diff := cmp.Diff([]string{
		`update 1 name "Ann" "Anna"`, `update 1 age 30 `,
		`delete 2 _id 2 `, `delete 2 name "Bob" `,
		`update 3 seen  true`,
		`insert "a" _id  "a"`, `insert "a" n  1`,
	}, lines); diff != "" {
		t.Error("changes (-want +got):\n" + diff)
	}
	if result.Preview.More || len(result.Preview.NotPreviewable) > 0 {
		t.Errorf("preview %+v", result.Preview)
	}
	record, err := app.Record(t.Context(), result.Run)
	if err != nil || !record.DryRun {
		t.Errorf("record %+v, %v: want it marked as a dry run", record, err)
	}
}

func TestDryRunLetsNoOtherWriteOut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts rikki.Options
		do   func(ctx context.Context, run *rikki.Run) error
		want string
	}{
		{"AWriteWithoutTheContext", rikki.Options{}, func(_ context.Context, run *rikki.Run) error {
			_, err := run.DB().Collection("users").InsertOne(context.Background(), bson.M{"_id": "stray"})
			return err
		}, "insert on"},
		{"AWriteWithoutTheContextWhoseErrorIsIgnored", rikki.Options{}, func(_ context.Context, run *rikki.Run) error {
			for range 3 {
				_, _ = run.DB().Collection("users").DeleteMany(context.Background(), bson.M{})
			}
			return nil
		}, "delete on"},
		{"AWriteFromAGoroutine", rikki.Options{}, func(_ context.Context, run *rikki.Run) error {
			done := make(chan error)
			go func() {
				_, err := run.DB().Collection("users").UpdateMany(context.Background(), bson.M{}, bson.M{"$set": bson.M{"x": 1}})
				done <- err
			}()
			return <-done
		}, "update on"},
		{"ATransactionOfTheScriptsOwn", rikki.Options{Grace: 100 * time.Millisecond}, func(_ context.Context, run *rikki.Run) error {
			session, err := run.Client().StartSession()
			if err != nil {
				return err
			}
			defer session.EndSession(context.Background())
			_, err = session.WithTransaction(context.Background(), func(ctx context.Context) (any, error) {
				return run.DB().Collection("users").InsertOne(ctx, bson.M{"_id": "stray"})
			})
			return err
		}, "insert on"},
		{"AnIndexBuild", rikki.Options{}, func(ctx context.Context, run *rikki.Run) error {
			_, err := run.DB().Collection("users").Indexes().CreateOne(context.Background(), mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}}})
			return errors.Join(err, ctx.Err())
		}, "createIndexes on"},
		{"AnAggregationThatWrites", rikki.Options{}, func(_ context.Context, run *rikki.Run) error {
			_, err := run.DB().Collection("users").Aggregate(context.Background(), bson.A{bson.M{"$match": bson.M{}}, bson.M{"$out": "copy"}})
			return err
		}, "aggregate on"},
		{"DroppingTheDatabase", rikki.Options{}, func(_ context.Context, run *rikki.Run) error {
			return run.DB().Drop(context.Background())
		}, "dropDatabase on"},
		{"AnyWriteOfAScriptWithADryRunOfItsOwn", rikki.Options{DryRun: true}, func(ctx context.Context, run *rikki.Run) error {
			_, err := run.DB().Collection("users").InsertOne(ctx, bson.M{"_id": "stray"})
			return err
		}, "must change nothing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			seedUsers(t, db)
			test.opts.Name = "stray"
			script := &staged{journal: &journal{}, opts: test.opts}
			script.execute = func(ctx context.Context, run *rikki.Run) (any, error) {
				if !test.opts.DryRun {
					if _, err := run.DB().Collection("users").InsertOne(ctx, bson.M{"_id": "inside"}); err != nil {
						return nil, err
					}
				}
				return nil, test.do(ctx, run)
			}
			before := content(t, db)
			app := rikkitest.App(t, db, script)
			result, err := app.Run(t.Context(), "stray", &rikki.RunOptions{DryRun: true})
			if !errors.Is(err, rikki.ErrNotPreviewable) || !strings.Contains(err.Error(), test.want) || result.State != rikki.Failed {
				t.Errorf("result %+v, error %v; want it to end at %q", result, err, test.want)
			}
			if len(result.Preview.NotPreviewable) != 1 {
				t.Errorf("not previewable: %q", result.Preview.NotPreviewable)
			}
			if diff := cmp.Diff(before, content(t, db)); diff != "" {
				t.Fatal("the dry run changed the database:\n" + diff)
			}
			// The locks of the aborted transaction are gone: somebody else can write at once.
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := db.Collection("users").InsertOne(ctx, bson.M{"_id": "inside"}); err != nil {
				t.Error("writing after the dry run: ", err)
			}
		})
	}
}

func TestDryRunOfAFailingScriptStillShowsWhatItDid(t *testing.T) {
	t.Parallel()
	db, boom := rikkitest.DB(t), errors.New("boom")
	seedUsers(t, db)
	script := rikki.Func("fails", func(ctx context.Context, run *rikki.Run) (any, error) {
		if _, err := run.DB().Collection("users").DeleteOne(ctx, bson.M{"_id": 1}); err != nil {
			return nil, err
		}
		return nil, boom
	})
	before := content(t, db)
	result, err := rikkitest.Try(t, db, script, &rikki.RunOptions{DryRun: true})
	if !errors.Is(err, boom) || len(result.Preview.Changes) != 1 {
		t.Errorf("preview %+v, error %v", result.Preview, err)
	}
	if diff := cmp.Diff(before, content(t, db)); diff != "" {
		t.Fatal("the dry run changed the database:\n" + diff)
	}
}

func TestDryRunNeedsTransactionsUnlessTheScriptHasItsOwn(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true})
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: "x"}})
	t.Cleanup(func() { closeApp(t, app) })
	app.MustAdd(
		rikki.Func("plain", func(context.Context, *rikki.Run) (any, error) { return nil, nil }),
		&staged{journal: &journal{}, opts: rikki.Options{Name: "own", DryRun: true}},
	)
	if _, err := app.Run(t.Context(), "plain", &rikki.RunOptions{DryRun: true}); !errors.Is(err, conn.ErrStandalone) {
		t.Errorf("error %v, want ErrStandalone", err)
	}
	if _, err := app.Run(t.Context(), "own", &rikki.RunOptions{DryRun: true}); err != nil {
		t.Error(err)
	}
}
