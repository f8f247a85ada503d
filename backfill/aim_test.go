package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

// disturbed runs a script, and does something to its database once the first documents are done.
func disturbed(t *testing.T, app *rikki.App, name string, disturb func() error) (*rikki.Result, error) {
	t.Helper()
	var once sync.Once
	var done sync.WaitGroup
	result, err := app.Run(t.Context(), name, &rikki.RunOptions{Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) {
		if e.Type == rikki.EventProgress && e.Progress.Done > 0 {
			once.Do(func() {
				done.Go(func() {
					if err := disturb(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	})}})
	done.Wait()
	return result, err
}

func rename(t *testing.T, db *mongo.Database, from, to string, replace bool) error {
	return db.Client().Database("admin").RunCommand(t.Context(), bson.D{
		{Key: "renameCollection", Value: db.Name() + "." + from}, {Key: "to", Value: db.Name() + "." + to}, {Key: "dropTarget", Value: replace},
	}).Err()
}

// A run is about one collection, whatever has its name by now. It pauses, and goes on once that collection is back.
func TestARunNoticesThatItsCollectionIsAnotherOne(t *testing.T) {
	t.Parallel()
	const docs = 300
	opts := backfill.Options{Collection: "things", Chunk: 10, Workers: 2, Rate: 150, Script: rikki.Options{Name: "walk"}}
	blind := opts
	blind.Journal = backfill.JournalOff
	staged := opts
	staged.Stages = []bson.D{set("m", 1)}
	rows := opts
	var ids []any
	for i := range docs {
		ids = append(ids, i)
	}
	rows.Source = items(ids...)
	add := bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$n", 0}}}, 1}}}
	scripts := map[string]rikki.Script{
		"function": function(opts, increment),
		"stages":   function(staged, increment),
		"pipeline": pipeline(opts, set("n", add)),
		"compared": pipeline(opts, set("n", add), set("at", "$$NOW")),
		"blind":    pipeline(blind, set("n", add)),
		"rows": function(rows, func(_ context.Context, row bson.Raw) (backfill.Change, error) {
			return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}).For(row.Lookup("of")), nil
		}),
	}
	for what, disturb := range map[string]struct {
		do, mend func(t *testing.T, db *mongo.Database) error
		says     string
	}{
		"renamed": {
			do:   func(t *testing.T, db *mongo.Database) error { return rename(t, db, "things", "kept", false) },
			mend: func(t *testing.T, db *mongo.Database) error { return rename(t, db, "kept", "things", false) },
			says: "there is no ",
		},
		"replaced": {
			do: func(t *testing.T, db *mongo.Database) error {
				if err := rename(t, db, "things", "kept", false); err != nil {
					return err
				}
				numbered(t, db.Collection("things"), docs)
				return nil
			},
			mend: func(t *testing.T, db *mongo.Database) error { return rename(t, db, "kept", "things", true) },
			says: "another collection now", // once that is there
		},
		"a view": {
			do: func(t *testing.T, db *mongo.Database) error {
				if err := rename(t, db, "things", "kept", false); err != nil {
					return err
				}
				return db.CreateView(t.Context(), "things", "kept", mongo.Pipeline{})
			},
			mend: func(t *testing.T, db *mongo.Database) error {
				if err := db.Collection("things").Drop(t.Context()); err != nil {
					return err
				}
				return rename(t, db, "kept", "things", false)
			},
			says: "is a view",
		},
	} {
		for kind, script := range scripts {
			t.Run(what+"/"+kind, func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				numbered(t, db.Collection("things"), docs)
				app := rikkitest.App(t, db, script)
				result, err := disturbed(t, app, "walk", func() error { return disturb.do(t, db) })
				if !errors.Is(err, backfill.ErrCollectionChanged) || !errors.Is(err, rikki.ErrPaused) || result.State != rikki.Paused {
					t.Fatalf("%s: %v", result.State, err)
				}
				if what == "replaced" {
					if _, least, most := each(t, db.Collection("things")); least+most != 0 {
						t.Error("the other collection was changed")
					}
				}
				result, err = app.Continue(t.Context(), result.Run, nil)
				if !errors.Is(err, backfill.ErrCollectionChanged) || result.State != rikki.Paused || !strings.Contains(err.Error(), disturb.says) {
					t.Fatalf("resumed too early: %v, %v", result, err)
				}
				if err := disturb.mend(t, db); err != nil {
					t.Fatal(err)
				}
				if result, err = app.Continue(t.Context(), result.Run, nil); err != nil || result.State != rikki.Succeeded {
					t.Fatalf("%v, %v", result, err)
				}
				once(t, db.Collection("things"), docs)
			})
		}
	}
}

// What a walk goes by must stay as it is. It pauses when the index is another one, even if the other one has the same name and keys.
func TestARunNoticesThatTheIndexOfItsKeyIsAnotherOne(t *testing.T) {
	t.Parallel()
	const docs = 300
	index := func(t *testing.T, db *mongo.Database, o *options.IndexOptionsBuilder) error {
		_, err := db.Collection("things").Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: o.SetName("by k").SetUnique(true)})
		return err
	}
	for what, other := range map[string]*options.IndexOptionsBuilder{
		"gone":    nil,
		"partial": options.Index().SetPartialFilterExpression(bson.D{{Key: "k", Value: bson.D{{Key: "$gt", Value: docs / 2}}}}),
		"sparse":  options.Index().SetSparse(true),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			var all []any
			for i := range docs {
				all = append(all, bson.D{{Key: "_id", Value: fmt.Sprint(i)}, {Key: "k", Value: i}})
			}
			insert(t, db.Collection("things"), all...)
			if err := index(t, db, options.Index()); err != nil {
				t.Fatal(err)
			}
			opts := backfill.Options{Collection: "things", Key: "k", Chunk: 10, Workers: 2, Rate: 150, Script: rikki.Options{Name: "walk"}}
			app := rikkitest.App(t, db, function(opts, increment))
			result, err := disturbed(t, app, "walk", func() error {
				if err := db.Collection("things").Indexes().DropOne(t.Context(), "by k"); err != nil || other == nil {
					return err
				}
				return index(t, db, other)
			})
			if !errors.Is(err, backfill.ErrCollectionChanged) || result.State != rikki.Paused {
				t.Fatalf("%s: %v", result.State, err)
			}
			if result, err = app.Continue(t.Context(), result.Run, nil); !errors.Is(err, backfill.ErrCollectionChanged) || result.State != rikki.Paused {
				t.Fatalf("resumed too early: %v, %v", result, err)
			}
			if other != nil {
				if err := db.Collection("things").Indexes().DropOne(t.Context(), "by k"); err != nil {
					t.Fatal(err)
				}
			}
			if err := index(t, db, options.Index()); err != nil {
				t.Fatal(err)
			}
			if result, err = app.Continue(t.Context(), result.Run, nil); err != nil || result.State != rikki.Succeeded {
				t.Fatalf("%v, %v", result, err)
			}
			once(t, db.Collection("things"), docs)
		})
	}
}

// between is a function that does something else between its third chunk and its fourth.
type between struct {
	scripted
	do   func() error
	asks int
}

func (b *between) Throttle(context.Context) (time.Duration, string, error) {
	if b.asks++; b.asks == 4 {
		return 0, "", b.do()
	}
	return 0, "", nil
}

// Between two chunks the index becomes another one at once, of the same name: there is no moment without one that would tell.
func TestAnotherIndexBetweenTwoChunks(t *testing.T) {
	t.Parallel()
	const docs = 100
	db := rikkitest.DB(t)
	things := db.Collection("things")
	var all []any
	for i := range docs {
		all = append(all, bson.D{{Key: "_id", Value: fmt.Sprint(i)}, {Key: "k", Value: i}})
	}
	insert(t, things, all...)
	index := func(o *options.IndexOptionsBuilder) error {
		_, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: o.SetName("by k").SetUnique(true)})
		return err
	}
	if err := index(options.Index()); err != nil {
		t.Fatal(err)
	}
	var then int64
	opts := backfill.Options{Collection: "things", Key: "k", Chunk: 10, Workers: 1}
	script := &between{scripted: scripted{opts, increment}, do: func() error {
		if err := things.Indexes().DropOne(t.Context(), "by k"); err != nil {
			return err
		}
		if err := index(options.Index().SetSparse(true)); err != nil {
			return err
		}
		var err error
		then, err = things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
		return err
	}}
	result, err := rikkitest.Try(t, db, backfill.New[bson.Raw](script), nil)
	if !errors.Is(err, backfill.ErrCollectionChanged) || result.State != rikki.Paused {
		t.Errorf("%+v, %v", result, err)
	}
	if now, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); err != nil || then == 0 || then == docs || now != then {
		t.Errorf("%d documents were done when the index became another one, and %d are now (%v)", then, now, err)
	}
}

// A plan is made for the collection that was looked at. If that has gone meanwhile, the run has nothing to go on with,
// and fails before it has done anything.
func TestACollectionThatGoesBeforeItIsPlannedFor(t *testing.T) {
	t.Parallel()
	const docs = 30
	for name, script := range map[string]rikki.Script{
		"deletion": backfill.NewAdHoc(),
		"function": function(backfill.Options{Collection: "things", Script: rikki.Options{Name: backfill.AdHocName}}, func(context.Context, bson.Raw) (backfill.Change, error) {
			return backfill.Delete(), nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), docs)
			var once sync.Once
			app := rikki.New(&rikki.Config{HistoryDatabase: db.Name() + "_history", Conn: conn.Config{
				URI: rikkitest.URI(t), Database: db.Name(), Monitor: &event.CommandMonitor{Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
					if e.CommandName == "explain" { // the last look before the plan is made
						once.Do(func() {
							if err := rename(t, db, "things", "kept", false); err != nil {
								t.Error(err)
							}
						})
					}
				}},
			}}).MustAdd(script)
			defer func() { _ = app.Close(context.WithoutCancel(t.Context())) }()
			params := map[string]any{}
			if name == "deletion" {
				params = map[string]any{"collection": "things", "delete": true}
			}
			result, err := app.Run(t.Context(), backfill.AdHocName, &rikki.RunOptions{Params: params})
			if !errors.Is(err, backfill.ErrCollectionChanged) || result.State != rikki.Failed || result.HalfWay {
				t.Fatalf("%+v, %v", result, err)
			}
			if n, err := db.Collection("kept").CountDocuments(t.Context(), bson.D{}); err != nil || n != docs {
				t.Errorf("%d documents are left, %v", n, err)
			}
			if _, err := app.Continue(t.Context(), result.Run, nil); !errors.Is(err, rikki.ErrState) {
				t.Errorf("it went on: %v", err)
			}
		})
	}
}

// Servers that can't be told which collection a command is for are asked in each chunk what the collection is.
func TestACollectionThatIsReplacedOnAnOlderServer(t *testing.T) {
	t.Parallel()
	const docs = 300
	server := mongotest.Dedicated(t, nil)
	client, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) }()
	if err := client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "setFeatureCompatibilityVersion", Value: "5.0"}}).Err(); err != nil {
		t.Fatal(err)
	}
	db := client.Database("older")
	numbered(t, db.Collection("things"), docs)
	probe := bson.D{{Key: "find", Value: "things"}, {Key: "collectionUUID", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: make([]byte, 16)}}}
	if err := db.RunCommand(t.Context(), probe).Err(); err == nil || strings.Contains(err.Error(), "does not match") {
		t.Fatalf("this server can be told: %v", err)
	}
	opts := backfill.Options{Collection: "things", Chunk: 10, Workers: 2, Rate: 150, Script: rikki.Options{Name: "walk"}}
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: db.Name()}}).MustAdd(function(opts, increment))
	defer func() { _ = app.Close(context.WithoutCancel(t.Context())) }()
	numbered(t, db.Collection("restored"), docs)
	result, err := disturbed(t, app, "walk", func() error { return rename(t, db, "things", "kept", false) })
	if !errors.Is(err, backfill.ErrCollectionChanged) || result.State != rikki.Paused {
		t.Fatalf("%s: %v", result.State, err)
	}
	if err := rename(t, db, "kept", "things", false); err != nil {
		t.Fatal(err)
	}
	result, err = app.Continue(t.Context(), result.Run, nil)
	if err != nil {
		t.Fatalf("%v, %v", result, err)
	}
	once(t, db.Collection("things"), docs)
}

// Where others delete what there was to do, the summary says how much that was.
func TestFewerThanPlanned(t *testing.T) {
	t.Parallel()
	const docs = 300
	for name, filter := range map[string]bson.D{"all": {}, "some": {{Key: "_id", Value: bson.D{{Key: "$gte", Value: 0}}}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			numbered(t, things, docs)
			opts := backfill.Options{Collection: "things", Filter: filter, Chunk: 10, Workers: 1, Rate: 150, Script: rikki.Options{Name: "walk"}}
			app := rikkitest.App(t, db, function(opts, increment))
			result, err := disturbed(t, app, "walk", func() error {
				_, err := things.DeleteMany(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$exists", Value: false}}}})
				return err
			})
			if s, ok := result.Value.(*backfill.Summary); !ok || err != nil || s.Matched >= docs || s.Planned != docs {
				t.Errorf("%+v, %v", result.Value, err)
			}
			whole := rikkitest.App(t, db, function(opts, increment))
			result, err = whole.Run(t.Context(), "walk", nil)
			if s, ok := result.Value.(*backfill.Summary); !ok || err != nil || s.Planned != 0 {
				t.Errorf("undisturbed: %+v, %v", result.Value, err)
			}
		})
	}
}
