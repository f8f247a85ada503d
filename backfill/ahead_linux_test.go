package backfill_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// Without transactions a chunk can be cut off between its changes and what is kept of them. All that was changed is undone all the
// same: by changes whose outcome is known before and by those whose isn't, in this collection and in others.
func TestWithoutTransactionsNoUndoIsLost(t *testing.T) { //nolint:tparallel // a server has one fault at a time
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true})
	begun := func() {} // the first document is being done
	opts := backfill.Options{Collection: "things", Chunk: 50, Workers: 1}
	by := func(change func(bson.Raw) backfill.Change) rikki.Script {
		return function(opts, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
			begun()
			return change(doc), nil
		})
	}
	update := func(name string, by any) bson.D {
		return bson.D{{Key: name, Value: bson.D{{Key: "n", Value: by}}}}
	}
	note := bson.D{{Key: "noted", Value: true}}
	scripts := map[string]rikki.Script{
		"Delete":    by(func(bson.Raw) backfill.Change { return backfill.Delete() }),
		"Set":       by(func(bson.Raw) backfill.Change { return backfill.Set("n", 1) }),
		"Replace":   by(func(bson.Raw) backfill.Change { return backfill.Replace(note) }),
		"Increment": by(func(bson.Raw) backfill.Change { return backfill.Update(update("$inc", 1)) }),
		"Now":       by(func(bson.Raw) backfill.Change { return backfill.Update(update("$currentDate", true)) }),
		"Stamped":   by(func(bson.Raw) backfill.Change { return backfill.Replace(bson.D{{Key: "at", Value: bson.Timestamp{}}}) }),
		"Elsewhere": by(func(doc bson.Raw) backfill.Change {
			return backfill.Delete().Also("others", doc.Lookup("_id"), note).AlsoUpdate("counts", 1, update("$inc", 1))
		}),
		"ElsewhereStamped": by(func(doc bson.Raw) backfill.Change {
			return backfill.None().Also("others", doc.Lookup("_id"), bson.D{{Key: "at", Value: bson.Timestamp{}}})
		}),
		"Pipeline":    pipeline(opts, set("n", 1)),
		"PipelineNow": pipeline(opts, set("at", "$$NOW")),
		"Whole":       pipeline(opts, bson.D{{Key: "$replaceWith", Value: bson.D{{Key: "_id", Value: "$_id"}, {Key: "x", Value: 1}}}}),
	}
	client := clientOf(t, server.URI())
	for name, script := range scripts {
		for how, fault := range map[string]faultrig.Fault{
			"TheJournal": {Commands: []string{"insert"}, Times: 5, Close: true},
			"TheAnswer":  {Commands: []string{"update", "delete"}, Times: 1, WriteConcern: 91},
			"TheCursor":  {Commands: []string{"update", "delete"}, Times: 4, Close: true},
		} {
			if script.(rikki.Configured).Options().Name == "piped" && how == "TheAnswer" {
				continue // it would be that to the plan
			}
			t.Run(name+"/"+how, func(t *testing.T) { // one after another: a server has one fault at a time
				undoneAfter(t, client, server.URI(), script, fault, &begun)
			})
		}
	}
}

// undoneAfter runs a script with a fault, and undoes it.
func undoneAfter(t *testing.T, client *mongo.Client, uri string, script rikki.Script, fault faultrig.Fault, begun *func()) {
	t.Helper()
	db := client.Database("ahead")
	things, others, counts := db.Collection("things"), db.Collection("others"), db.Collection("counts")
	for _, coll := range []*mongo.Collection{things, others, counts} {
		if err := coll.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	numbered(t, things, 120)
	numbered(t, others, 40)
	insert(t, counts, bson.D{{Key: "_id", Value: 1}})
	state := func() string { return show(all(t, things)) + show(all(t, others)) + show(all(t, counts)) }
	before := state()
	const app = "cut-off"
	name := script.(rikki.Configured).Options().Name
	fault.AppName = app + "-" + name
	var fails *faultrig.FailPoint
	fail := sync.OnceFunc(func() { fails = faultrig.FailCommand(t, client, fault) })
	if *begun = fail; fault.WriteConcern == 0 {
		fail()
	}
	defer func() { fails.Off() }()
	a := rikki.New(&rikki.Config{Conn: conn.Config{URI: uri, Database: "ahead", AppName: app}, Actor: "test"}).MustAdd(script)
	defer func() {
		if err := a.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	result, err := a.Run(t.Context(), name, &rikki.RunOptions{Params: map[string]any{"at-least-once": true}})
	if err != nil {
		t.Fatal(err)
	}
	if fails.Count(t) == 0 {
		t.Fatal("nothing failed")
	}
	if state() == before {
		t.Fatal("nothing was changed")
	}
	if _, err := backfill.Undo(t.Context(), a, result.Run, &rikki.RunOptions{Params: &backfill.UndoRun{AtLeastOnce: true}}); err != nil {
		t.Error("undo:", err)
	}
	if after := state(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}

func clientOf(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) }) // its server ends
	return client
}

// Where nothing can be taken back, Fields guards before a document is written.
func TestWithoutTransactionsFieldsGuardBeforehand(t *testing.T) { //nolint:tparallel // they are short
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true})
	client := clientOf(t, server.URI())
	inc := bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}
	opts := backfill.Options{Collection: "things", Fields: []string{"a"}}
	for name, change := range map[string]backfill.Change{
		"Update": backfill.Update(inc), "Set": backfill.Set("n", 7), "Delete": backfill.Delete(), "Replace": backfill.Replace(bson.D{{Key: "n", Value: 7}}),
	} {
		t.Run(name, func(t *testing.T) {
			db := client.Database("guarded" + name)
			numbered(t, db.Collection("things"), 10)
			before := show(all(t, db.Collection("things")))
			a := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: db.Name()}, Actor: "test"}).
				MustAdd(function(opts, func(context.Context, bson.Raw) (backfill.Change, error) { return change, nil }))
			defer func() {
				if err := a.Close(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			}()
			if _, err := a.Run(t.Context(), "scripted", &rikki.RunOptions{Params: map[string]any{"at-least-once": true}}); !errors.Is(err, backfill.ErrGuard) {
				t.Errorf("error %v", err)
			}
			if after := show(all(t, db.Collection("things"))); after != before {
				t.Errorf("it was\n%s\nand is\n%s", before, after)
			}
		})
	}
}
