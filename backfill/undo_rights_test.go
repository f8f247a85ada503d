package backfill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/rikkitest"
)

// guarded is a server that demands a login.
type guarded struct {
	uri  string
	root *mongo.Client
}

func guard(t *testing.T) *guarded {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, bytes.Repeat([]byte("Rikki"), 10), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &guarded{uri: mongotest.Dedicated(t, &embedded.Options{Args: []string{"--keyFile", key}}).URI()}
	// The server lets the first account in from its own machine.
	g.do(t, g.client(t, g.uri), "createUser", "root", bson.A{"root"})
	g.root = g.client(t, g.as("root"))
	return g
}

func (g *guarded) client(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) })
	return client
}

// do makes an account, or gives it other roles.
func (g *guarded) do(t *testing.T, client *mongo.Client, command, user string, roles bson.A) {
	t.Helper()
	doc := bson.D{{Key: command, Value: user}, {Key: "roles", Value: roles}}
	if command == "createUser" {
		doc = append(doc, bson.E{Key: "pwd", Value: "pw"})
	}
	if err := client.Database("admin").RunCommand(t.Context(), doc).Err(); err != nil {
		t.Errorf("%s %s: %v", command, user, err)
	}
}

func (g *guarded) as(user string) string {
	return strings.NewReplacer("mongodb://", "mongodb://"+user+":pw@", "/?", "/?authSource=admin&").Replace(g.uri)
}

// app is what an account works with.
func (g *guarded) app(t *testing.T, user string, scripts ...rikki.Script) *rikki.App {
	t.Helper()
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: g.as(user), Database: "shop"}, HistoryDatabase: "history"}).MustAdd(scripts...)
	t.Cleanup(func() { _ = app.Close(context.WithoutCancel(t.Context())) })
	return app
}

func on(role, db string) bson.D { return bson.D{{Key: "role", Value: role}, {Key: "db", Value: db}} }

// An account that may not pass a validator by is told so before the undo begins. What the validator refuses are conflicts, all else comes back,
// and an account with the right takes back the rest.
func TestAnUndoWithoutTheRightToPassAValidator(t *testing.T) {
	t.Parallel()
	const docs = 40
	g := guard(t)
	g.do(t, g.root, "createUser", "clerk", bson.A{on("readWrite", "shop"), on("readWrite", "history")})
	things := g.root.Database("shop").Collection("things")
	for i := range docs {
		var n any = i
		if i%2 == 0 {
			n = "text"
		}
		insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "n", Value: n}})
	}
	before := raws(t, things)
	script := function(backfill.Options{Collection: "things"}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
		if doc.Lookup("_id").AsInt64()%4 < 2 {
			return backfill.Delete(), nil
		}
		return backfill.Set("n", -1), nil
	})
	root := g.app(t, "root", script)
	run, err := root.Run(t.Context(), "scripted", nil)
	if err != nil {
		t.Fatal(err)
	}
	validate(t, g.root.Database("shop"), "strict")
	const right, refuses = "bypassDocumentValidation, which the role dbAdmin has", "the validator of things refuses the document as it was; an account with the right bypassDocumentValidation"
	clerk := g.app(t, "clerk", backfill.NewUndo())
	dry, err := backfill.Undo(t.Context(), clerk, run.Run, &rikki.RunOptions{DryRun: true})
	if !isPartial(err, docs/2) {
		t.Fatalf("the dry run: %+v, %v", dry, err)
	}
	if f := dry.Value.(*backfill.UndoForecast); len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], right) || !strings.Contains(f.Conflicts[0].Reason, refuses) {
		t.Errorf("the dry run says %q, and %+v", f.Warnings, f.Conflicts)
	}
	var mu sync.Mutex
	said, first := "", false
	watch := rikki.ObserverFunc(func(e rikki.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case e.Log != nil && strings.Contains(e.Log.Message, right):
			said = e.Log.Level
		case e.Progress != nil && e.Progress.Done > 0:
			first = first || said != ""
		}
	})
	undo, err := backfill.Undo(t.Context(), clerk, run.Run, &rikki.RunOptions{Observers: []rikki.Observer{rikki.InStep(watch)}})
	if !isPartial(err, docs/2) {
		t.Fatalf("%+v, %v", undo, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if said != "WARN" || !first {
		t.Errorf("the right is told of as %q, before the first document %t", said, first)
	}
	for _, f := range failuresOf(t, clerk, undo.Run) {
		if f.Class != "conflict" || !strings.Contains(f.Message, refuses) {
			t.Errorf("%+v", f)
		}
	}
	for id, doc := range raws(t, things) {
		if n := before[id].Lookup("n"); n.Type != bson.TypeString && !bytes.Equal(doc, before[id]) {
			t.Errorf("the validator has nothing against %s, and it is %s", before[id], doc)
		}
	}
	if undo, err := backfill.Undo(t.Context(), root, run.Run, nil); err != nil || undone(t, undo).Changed != docs/2 {
		t.Fatalf("%+v, %v", undo, err)
	}
	asBefore(t, things, before)
}

// A right that is taken away in the middle of an undo pauses it, blames no document, and it goes on where it was. Without the right it doesn't begin.
func TestARightThatIsRevokedPausesTheUndo(t *testing.T) { //nolint:paralleltest // the points of the code are one for the process
	const docs = 100
	g := guard(t)
	may, mayNot := bson.A{on("readWrite", "shop"), on("readWrite", "history")}, bson.A{on("read", "shop"), on("readWrite", "history")}
	g.do(t, g.root, "createUser", "clerk", may)
	things := g.root.Database("shop").Collection("things")
	numbered(t, things, docs)
	before := raws(t, things)
	clerk := g.app(t, "clerk", function(backfill.Options{Collection: "things", Chunk: 10, Workers: 1}, increment), backfill.NewUndo())
	run, err := clerk.Run(t.Context(), "scripted", nil)
	if err != nil {
		t.Fatal(err)
	}
	var chunks atomic.Int64
	unhook := point.Hook(func(name string) {
		if name == "undo.chunk" && chunks.Add(1) == 3 {
			g.do(t, g.root, "updateUser", "clerk", mayNot)
		}
	})
	undo, err := backfill.Undo(t.Context(), clerk, run.Run, &rikki.RunOptions{Params: &backfill.UndoRun{Chunk: 10, Workers: 1}})
	unhook()
	if !errors.Is(err, rikki.ErrPaused) || undo.State != rikki.Paused || !strings.Contains(err.Error(), "not authorized on shop") {
		t.Fatalf("%+v, %v", undo, err)
	}
	if failures := failuresOf(t, clerk, undo.Run); len(failures) > 0 {
		t.Errorf("documents are blamed: %+v", failures)
	}
	again, err := clerk.Continue(t.Context(), undo.Run, nil)
	if !errors.Is(err, backfill.ErrNoUndo) || !strings.Contains(err.Error(), "it takes the right to update on shop.things, which the account hasn't") {
		t.Errorf("without the right: %+v, %v", again, err)
	}
	g.do(t, g.root, "updateUser", "clerk", may)
	if again, err = clerk.Continue(t.Context(), undo.Run, nil); err != nil || undone(t, again).Changed != docs {
		t.Fatalf("with the right again: %+v, %v", again, err)
	}
	asBefore(t, things, before)
}

// What can't be written for another reason than what others have changed counts for an undo's own limit of failures, which it has none of by itself.
func TestAnUndoHasItsOwnLimitOfFailures(t *testing.T) {
	t.Parallel()
	const docs, bad, chunk = 40, 20, 8
	for limit, want := range map[int64]struct {
		state       rikki.State
		least, most int // failures
	}{
		0:   {rikki.SucceededWithErrors, bad, bad},
		bad: {rikki.SucceededWithErrors, bad, bad},
		5:   {rikki.Paused, 6, bad - 1},
		-1:  {rikki.Failed, 1, chunk / 2}, // with the chunk of the first
	} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			for i := range docs {
				var at any = bson.A{i, 1}
				if i%2 == 0 {
					at = "nowhere"
				}
				insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "at", Value: at}})
			}
			before := raws(t, things)
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things"}, func(context.Context, bson.Raw) (backfill.Change, error) {
				return backfill.Set("at", bson.A{0, 0}), nil
			}))
			run, err := app.Run(t.Context(), "scripted", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "at", Value: "2dsphere"}}}); err != nil {
				t.Fatal(err)
			}
			undo, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{Params: &backfill.UndoRun{MaxFailures: limit, Chunk: chunk, Workers: 1}})
			if undo == nil || undo.State != want.state || err == nil {
				t.Fatalf("%+v, %v; want %s", undo, err, want.state)
			}
			failures := failuresOf(t, app, undo.Run)
			if n := len(failures); n < want.least || n > want.most {
				t.Errorf("%d failures, want %d to %d", n, want.least, want.most)
			}
			for _, f := range failures {
				if f.Class == "conflict" || !strings.Contains(f.Message, "geo") {
					t.Errorf("%+v", f)
				}
			}
			if err := things.Indexes().DropAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want.state == rikki.Paused { // what failed is tried by another undo
				if result, err := app.Cancel(t.Context(), undo.Run, nil); err != nil {
					t.Fatalf("%+v, %v", result, err)
				}
			}
			if result, err := backfill.Undo(t.Context(), app, run.Run, nil); err != nil {
				t.Fatalf("%+v, %v", result, err)
			}
			asBefore(t, things, before)
		})
	}
}
