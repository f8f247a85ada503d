package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// Without transactions a chunk whose answer was lost is done again, and may find nothing to do any more: its documents don't match the
// filter now. Then no count tells of its changes, and they are undone all the same, or the undo says why not.
func TestWithoutTransactionsALostAnswerLosesNoUndo(t *testing.T) { //nolint:tparallel // a server has one fault at a time
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true})
	client := clientOf(t, server.URI())
	unset := bson.D{{Key: "n", Value: bson.D{{Key: "$exists", Value: false}}}}
	scripts := map[string]func(backfill.Options) rikki.Script{
		"Update": func(o backfill.Options) rikki.Script {
			return function(o, func(context.Context, bson.Raw) (backfill.Change, error) {
				return backfill.Update(bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: -1}}}}), nil
			})
		},
		"Set": func(o backfill.Options) rikki.Script {
			return function(o, func(context.Context, bson.Raw) (backfill.Change, error) { return backfill.Set("n", -1), nil })
		},
		"Delete": func(o backfill.Options) rikki.Script {
			return function(o, func(context.Context, bson.Raw) (backfill.Change, error) { return backfill.Delete(), nil })
		},
		"Pipeline":    func(o backfill.Options) rikki.Script { return pipeline(o, set("n", -1)) },
		"PipelineNow": func(o backfill.Options) rikki.Script { return pipeline(o, set("n", "$$NOW")) },
	}
	for name, script := range scripts {
		for _, mode := range []backfill.Journal{backfill.JournalChanged, backfill.JournalFull, backfill.JournalIDs, backfill.JournalOff} {
			for _, answer := range []lostAnswer{
				{"insert", "journal", 1},
				{"insert", "journal", 2}, // what has turned out
				{"update", "things", 1},
				{"delete", "things", 1},
				{"delete", "journal", 1},
				{"update", "partitions", 3}, // of the cursor, behind those of the plan
			} {
				if answer.coll == "things" && (answer.command == "delete") != (name == "Delete") {
					continue
				}
				if (mode == backfill.JournalIDs || mode == backfill.JournalOff) && answer.coll != "things" {
					continue // whichever it was: there is no undo
				}
				t.Run(fmt.Sprintf("%s/%s/%s", name, mode, answer), func(t *testing.T) {
					undoneAfterLost(t, client, server.URI(), script(backfill.Options{Collection: "things", Filter: unset, Journal: mode, Workers: 1}), mode, answer)
				})
			}
		}
	}
}

// lostAnswer is the one to the nth command of a kind about a collection: the server carries it out.
type lostAnswer struct {
	command, coll string
	nth           int64
}

func (l lostAnswer) String() string { return fmt.Sprintf("%s-%s-%d", l.command, l.coll, l.nth) }

// undoneAfterLost runs a script all of whose documents stop matching its filter, and undoes it. A chunk that hasn't such a command isn't
// harmed: then this is about nothing.
func undoneAfterLost(t *testing.T, client *mongo.Client, uri string, script rikki.Script, mode backfill.Journal, lost lostAnswer) {
	t.Helper()
	things := client.Database("lost").Collection("things")
	if err := things.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	numbered(t, things, 20)
	before := show(all(t, things))
	const app = "lost"
	name := script.(rikki.Configured).Options().Name
	fault := faultrig.Fault{Commands: []string{lost.command}, AppName: app + "-" + name, Times: 1, WriteConcern: 91}
	idle := fault
	idle.AppName = "nobody"
	fails := faultrig.FailCommand(t, client, idle)
	defer func() { fails.Off() }()
	var seen atomic.Int64
	monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		if coll, _ := e.Command.Lookup(lost.command).StringValueOK(); coll == lost.coll && seen.Add(1) == lost.nth {
			fails.Become(t, fault) // before the command is sent
		}
	}}
	a := rikki.New(&rikki.Config{Conn: conn.Config{URI: uri, Database: "lost", AppName: app, Monitor: monitor}, Actor: "test"}).MustAdd(script)
	defer func() {
		if err := a.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	result, err := a.Run(t.Context(), name, &rikki.RunOptions{Params: map[string]any{"at-least-once": true}})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Load() >= lost.nth && fails.Count(t) == 0 {
		t.Error("no answer was lost")
	}
	if show(all(t, things)) == before {
		t.Fatal("nothing was changed")
	}
	_, err = backfill.Undo(t.Context(), a, result.Run, &rikki.RunOptions{Params: &backfill.UndoRun{AtLeastOnce: true}})
	if mode == backfill.JournalIDs || mode == backfill.JournalOff {
		if !errors.Is(err, backfill.ErrNoUndo) {
			t.Errorf("the undo without a journal that suffices: %v", err)
		}
		return
	}
	if err != nil {
		t.Error("undo:", err)
	}
	if after := show(all(t, things)); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}
