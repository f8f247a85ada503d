package backfill_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/rikkitest"
)

// churn does something else to each document: sets, removes, renames, nests, replaces, deletes, writes elsewhere.
type churn struct {
	Mode string `default:"changed"`
}

func (c *churn) Backfill() backfill.Options {
	return backfill.Options{Collection: "items", Journal: backfill.Journal(c.Mode), Chunk: 40}
}

func (*churn) Change(_ context.Context, doc bson.Raw) (backfill.Change, error) {
	i := doc.Lookup("i").AsInt64()
	switch i % 9 {
	case 0:
		return backfill.Set("email", "new@x.example").Set("added", i), nil
	case 1:
		return backfill.Unset("first", "nested.b"), nil
	case 2:
		return backfill.Update(bson.D{{Key: "$rename", Value: bson.D{{Key: "first", Value: "forename"}}}}), nil
	case 3:
		return backfill.Replace(bson.D{{Key: "z", Value: i}, {Key: "email", Value: "r"}, {Key: "i", Value: i}}), nil
	case 4:
		return backfill.Delete(), nil
	case 5:
		return backfill.Update(bson.D{
			{Key: "$push", Value: bson.D{{Key: "list", Value: 9}}},
			{Key: "$set", Value: bson.D{{Key: "nested.deep.er", Value: 1}, {Key: "email", Value: int64(1)}}},
		}), nil
	case 6:
		return backfill.None().Also("log", i, bson.D{{Key: "of", Value: i}}).
			AlsoUpdate("totals", "all", bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: i}}}}), nil
	case 7:
		return backfill.Set("email", strings.Repeat("long", 1000)).Also("victims", i, nil), nil
	default:
		return backfill.None(), nil
	}
}

// seedChurn makes documents of all sorts in three collections.
func seedChurn(t *testing.T, db *mongo.Database, n int) {
	t.Helper()
	decimal, _ := bson.ParseDecimal128("1.50")
	var items, victims []any
	for i := range n {
		var id any
		switch i % 7 {
		case 0:
			id = i
		case 1:
			id = fmt.Sprint("s", i)
		case 2:
			id = bson.D{{Key: "weird", Value: i}, {Key: "b", Value: "x"}}
		case 3:
			id = bson.Binary{Data: []byte(fmt.Sprint(i))}
		case 4:
			id = float64(i) + 0.5
		case 5:
			id = bson.DateTime(i)
		default:
			id = bson.NewObjectID()
		}
		items = append(items, bson.D{
			{Key: "_id", Value: id},
			{Key: "first", Value: "Ann"},
			{Key: "email", Value: "A@B.example"},
			{Key: "i", Value: i},
			{Key: "nested", Value: bson.D{{Key: "a", Value: 1}, {Key: "b", Value: decimal}, {Key: "c", Value: bson.A{1, "x", nil}}}},
			{Key: "list", Value: bson.A{1, 2.5, bson.D{{Key: "k", Value: "v"}}}},
			{Key: "re", Value: bson.Regex{Pattern: "^a"}},
			{Key: "ts", Value: bson.Timestamp{T: 5, I: 1}},
			{Key: "$dollar", Value: "and.dot"},
		})
		victims = append(victims, bson.D{{Key: "_id", Value: i}, {Key: "keep", Value: i}})
	}
	insert(t, db.Collection("items"), items...)
	insert(t, db.Collection("victims"), victims...)
	insert(t, db.Collection("totals"), bson.D{{Key: "_id", Value: "all"}, {Key: "n", Value: int64(0)}})
}

// contents is a hash over every byte of every document of a database.
func contents(t *testing.T, db *mongo.Database) string {
	t.Helper()
	sum := sha256.New()
	for _, name := range []string{"items", "victims", "totals", "log"} {
		cur, err := db.Collection(name).Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
		if err != nil {
			t.Fatal(err)
		}
		for cur.Next(t.Context()) {
			sum.Write([]byte(name))
			sum.Write(cur.Current)
		}
		if err := cur.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func runChurn(t *testing.T, app *rikki.App, params map[string]any) string {
	t.Helper()
	result, err := app.Run(t.Context(), "churn", &rikki.RunOptions{Params: params})
	if err != nil {
		t.Fatal(err)
	}
	return result.Run
}

func undone(t *testing.T, result *rikki.Result) *backfill.Undone {
	t.Helper()
	if result == nil {
		t.Fatal("there is no result")
	}
	u, ok := result.Value.(*backfill.Undone)
	if !ok {
		t.Fatalf("the result is %T", result.Value)
	}
	return u
}

// After an undo all documents are, byte by byte, what they were before, in all collections; an undo of the undo does it all again.
func TestUndoRestoresEveryByte(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"changed", "full"} {
		for _, chunk := range []int{1, 13, 500} {
			t.Run(fmt.Sprint(mode, " ", chunk), func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				seedChurn(t, db, 400)
				before := contents(t, db)
				app := rikkitest.App(t, db, backfill.New[bson.Raw](&churn{}))
				run := runChurn(t, app, map[string]any{"mode": mode})
				after := contents(t, db)
				if after == before {
					t.Fatal("the run has changed nothing")
				}
				params := &backfill.UndoRun{Chunk: chunk, Journal: mode}
				undo, err := backfill.Undo(t.Context(), app, run, &rikki.RunOptions{Params: params})
				if err != nil {
					t.Fatal(err)
				}
				if now := contents(t, db); now != before {
					t.Fatalf("the undo left something: %+v", undone(t, undo).Summary)
				}
				again, err := backfill.Undo(t.Context(), app, run, nil)
				if err != nil || !undone(t, again).Nothing || contents(t, db) != before {
					t.Errorf("a second undo: %+v, %v", undone(t, again).Summary, err)
				}
				redo, err := backfill.Undo(t.Context(), app, undo.Run, nil)
				if err != nil || contents(t, db) != after {
					t.Fatalf("the redo: %+v, %v", undone(t, redo).Summary, err)
				}
				if _, err := backfill.Undo(t.Context(), app, redo.Run, nil); err != nil || contents(t, db) != before {
					t.Errorf("the undo of the redo: %v", err)
				}
				record, err := app.Record(t.Context(), undo.Run)
				if err != nil || record.Parent != run || record.Trigger != "undo" || record.Script != backfill.UndoName {
					t.Errorf("the record of the undo: %+v, %v", record, err)
				}
			})
		}
	}
}

func TestUndoOfAPipeline(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	seed(t, db.Collection("users"), 500)
	app := rikkitest.App(t, db, backfill.NewPipeline(&mark{}))
	first, err := app.Run(t.Context(), "mark", &rikki.RunOptions{Params: map[string]any{"mode": "changed"}})
	if err != nil {
		t.Fatal(err)
	}
	result, err := backfill.Undo(t.Context(), app, first.Run, nil)
	if err != nil || undone(t, result).Changed != 500 {
		t.Fatalf("%+v, %v", result, err)
	}
	if n, err := db.Collection("users").CountDocuments(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$exists", Value: true}}}}); err != nil || n != 0 {
		t.Errorf("%d documents still have n (%v)", n, err)
	}
}

// What others have changed since the run stays as it is, and is told; all else is restored.
func TestUndoLeavesWhatOthersChanged(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	items := db.Collection("items")
	for i := range 90 {
		insert(t, items, bson.D{{Key: "_id", Value: i}, {Key: "i", Value: i}, {Key: "first", Value: "Ann"}, {Key: "email", Value: "old"}})
	}
	insert(t, db.Collection("totals"), bson.D{{Key: "_id", Value: "all"}, {Key: "n", Value: int64(0)}})
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&churn{}))
	run := runChurn(t, app, nil)

	write := func(id int, update bson.D) {
		if _, err := items.UpdateByID(t.Context(), id, update); err != nil {
			t.Fatal(err)
		}
	}
	write(0, bson.D{{Key: "$set", Value: bson.D{{Key: "email", Value: "somebody else's"}}}}) // one of two paths
	write(9, bson.D{{Key: "$set", Value: bson.D{{Key: "other", Value: 1}}}})                 // not what the run changed
	if _, err := items.DeleteOne(t.Context(), bson.D{{Key: "_id", Value: 18}}); err != nil {
		t.Fatal(err)
	}
	insert(t, items, bson.D{{Key: "_id", Value: 4}, {Key: "fresh", Value: true}}) // which the run deleted

	dry, err := backfill.Undo(t.Context(), app, run, &rikki.RunOptions{DryRun: true})
	if !isPartial(err, 3) || dry.State != rikki.SucceededWithErrors {
		t.Fatalf("the dry run: %+v, %v", dry, err)
	}
	forecast := dry.Value.(*backfill.UndoForecast)
	if len(forecast.Conflicts) != 3 || !forecast.Complete || dry.Preview.Total() == 0 {
		t.Errorf("the dry run: %+v", forecast)
	}
	result, err := backfill.Undo(t.Context(), app, run, nil)
	if !isPartial(err, 3) || result.State != rikki.SucceededWithErrors {
		t.Fatalf("%+v, %v", result, err)
	}
	for id, want := range map[int]string{
		0: `{"_id": 0,"i": 0,"first": "Ann","email": "somebody else's"}`,
		4: `{"_id": 4,"fresh": true}`,
		9: `{"_id": 9,"i": 9,"first": "Ann","email": "old","other": 1}`,
	} {
		doc, err := items.FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Raw()
		if got := relaxed(t, doc); err != nil || got != relaxed(t, extJSON(t, want)) {
			t.Errorf("document %d: %s (%v), want %s", id, got, err, want)
		}
	}
	reasons := map[string]string{}
	for f, err := range backfill.Failures(t.Context(), app, result.Run) {
		if err != nil {
			t.Fatal(err)
		}
		reasons[string(f.ID)] = f.Class + ": " + f.Message
	}
	want := map[string]string{
		`{"$numberInt":"0"}`:  "conflict: email: changed since the run",
		`{"$numberInt":"18"}`: "conflict: the document was deleted since the run",
		`{"$numberInt":"4"}`:  "conflict: the document was created again since the run",
	}
	if fmt.Sprint(reasons) != fmt.Sprint(want) {
		t.Errorf("failures %v, want %v", reasons, want)
	}
}

func isPartial(err error, n int64) bool {
	partial, ok := errors.AsType[*rikki.PartialError](err)
	return ok && partial.Failed == n
}

func extJSON(t *testing.T, text string) bson.Raw {
	t.Helper()
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(text), false, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func relaxed(t *testing.T, doc bson.Raw) string {
	t.Helper()
	text, err := bson.MarshalExtJSON(doc, false, false)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// nickname moves a unique value from one document to the next.
type nickname struct{}

func (*nickname) Backfill() backfill.Options {
	return backfill.Options{Collection: "people", Workers: 1}
}

func (*nickname) ChangeAll(_ context.Context, docs []bson.Raw) ([]backfill.Change, error) {
	changes := make([]backfill.Change, len(docs))
	for i, doc := range docs {
		if n := doc.Lookup("_id").AsInt64(); n == 0 {
			changes[i] = backfill.Unset("nick")
		} else {
			changes[i] = backfill.Set("nick", fmt.Sprint("n", n-1))
		}
	}
	return changes, nil
}

// A unique index in the way is a conflict of the documents that it is about, and of no other.
func TestUndoAndUniqueIndexes(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	people := db.Collection("people")
	unique := mongo.IndexModel{Keys: bson.D{{Key: "nick", Value: 1}}, Options: options.Index().SetUnique(true).SetSparse(true)}
	if _, err := people.Indexes().CreateOne(t.Context(), unique); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		insert(t, people, bson.D{{Key: "_id", Value: i}, {Key: "nick", Value: fmt.Sprint("n", i)}})
	}
	app := rikkitest.App(t, db, backfill.NewBatch[bson.Raw](&nickname{}))
	first, err := app.Run(t.Context(), "nickname", nil)
	if err != nil {
		t.Fatal(err)
	}
	insert(t, people, bson.D{{Key: "_id", Value: "stranger"}, {Key: "nick", Value: "n39"}})
	dry, err := backfill.Undo(t.Context(), app, first.Run, &rikki.RunOptions{DryRun: true})
	if !isPartial(err, 40) {
		t.Fatalf("the dry run: %+v, %v", dry, err)
	}
	// Document 39 can't have n39 back and so keeps n38, which 38 can't have back, and so on.
	if f := dry.Value.(*backfill.UndoForecast); len(f.Conflicts) != 40 || f.Restored != 0 || !f.Complete ||
		!strings.Contains(f.Conflicts[0].Reason, "a unique index is in the way") {
		t.Errorf("the dry run: %d conflicts, %d restored, complete %t", len(f.Conflicts), f.Restored, f.Complete)
	}
	result, err := backfill.Undo(t.Context(), app, first.Run, nil)
	if !isPartial(err, 40) {
		t.Fatalf("%+v, %v", result, err)
	}
	if _, err := people.DeleteOne(t.Context(), bson.D{{Key: "_id", Value: "stranger"}}); err != nil {
		t.Fatal(err)
	}
	if result, err = backfill.Undo(t.Context(), app, first.Run, nil); err != nil || undone(t, result).Changed != 40 {
		t.Fatalf("%+v, %v", result, err)
	}
	for i := range 40 {
		n, err := people.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: i}, {Key: "nick", Value: fmt.Sprint("n", i)}})
		if err != nil || n != 1 {
			t.Errorf("document %d doesn't have its nick (%v)", i, err)
		}
	}
}

func TestWhatCannotBeUndone(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	seedChurn(t, db, 50)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&churn{}), backfill.New[bson.Raw](&slow{}),
		rikki.Func("plain", func(context.Context, *rikki.Run) (any, error) { return nil, nil }))
	refused := func(run, why string) {
		t.Helper()
		result, err := backfill.Undo(t.Context(), app, run, nil)
		if !errors.Is(err, backfill.ErrNoUndo) || !strings.Contains(err.Error(), why) {
			t.Errorf("%+v, %v; want: %s", result, err, why)
		}
	}
	plain, err := app.Run(t.Context(), "plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	refused(plain.Run, "no backfill")
	dry, err := app.Run(t.Context(), "churn", &rikki.RunOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	refused(dry.Run, "dry run")
	queued, err := app.Enqueue(t.Context(), "churn", nil)
	if err != nil {
		t.Fatal(err)
	}
	refused(queued, "cancel it first")
	if _, err := app.Cancel(t.Context(), queued, nil); err != nil {
		t.Fatal(err)
	}
	refused(runChurn(t, app, map[string]any{"mode": "ids"}), "mode was ids")
	run := runChurn(t, app, map[string]any{"mode": "off"})
	refused(run, "mode was off")
	pruned := runChurn(t, app, nil)
	journal := db.Client().Database(db.Name() + "_history").Collection("journal")
	if _, err := journal.DeleteOne(t.Context(), bson.D{{Key: "_id.r", Value: pruned}}); err != nil {
		t.Fatal(err)
	}
	refused(pruned, "pruned")
	if _, err := backfill.Undo(t.Context(), app, "r_nothing", nil); !errors.Is(err, rikki.ErrNotFound) {
		t.Errorf("a run that there isn't: %v", err)
	}
}

// An undo that is stopped in the middle goes on where it was, whoever goes on with it.
func TestUndoGoesOn(t *testing.T) { //nolint:paralleltest // the points of the code are one for the process
	db := rikkitest.DB(t)
	seedChurn(t, db, 300)
	before := contents(t, db)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&churn{}))
	run := runChurn(t, app, nil)

	var chunks atomic.Int64
	stop := make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	unhook := point.Hook(func(name string) {
		if name == "undo.chunk" && chunks.Add(1) == 3 {
			cancel(rikki.ErrInterrupted)
			close(stop)
		}
	})
	result, err := backfill.Undo(ctx, app, run, &rikki.RunOptions{Params: &backfill.UndoRun{Chunk: 20}})
	unhook()
	<-stop
	if !errors.Is(err, rikki.ErrInterrupted) {
		t.Fatalf("%+v, %v", result, err)
	}
	if now := contents(t, db); now == before {
		t.Fatal("it was not stopped in the middle")
	}
	other := rikkitest.App(t, db, backfill.NewUndo())
	if result, err = other.Continue(t.Context(), result.Run, nil); err != nil || contents(t, db) != before {
		t.Errorf("%+v, %v", result, err)
	}
	if u := undone(t, result); u.Matched <= 100 || u.Conflicts != 0 {
		t.Errorf("%+v", u.Summary)
	}
}

// begun starts a run whose function stands still at its 50th document, and returns its ID and what it will return.
func begun(t *testing.T, app *rikki.App, g *gate, params map[string]any) (string, <-chan error) {
	t.Helper()
	events, done := make(chan rikki.Event, 1000), make(chan error, 1)
	go func() {
		_, err := app.Run(t.Context(), "slow", &rikki.RunOptions{
			Params: params, Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) { events <- e })},
		})
		done <- err
	}()
	id := (<-events).Run
	<-g.reached
	return id, done
}

// A process that was declared dead and lives on writes nothing any more once its run is undone, and holds nothing up.
func TestUndoOfARunWhoseProcessLivesOn(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 300)
	g := newGate()
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&slow{gate: g}))
	id, done := begun(t, app, g, nil)
	if _, err := backfill.Undo(t.Context(), app, id, nil); !errors.Is(err, backfill.ErrNoUndo) || !strings.Contains(err.Error(), "is running") {
		t.Fatalf("undo of a run that is under way: %v", err)
	}
	runs := db.Client().Database(db.Name() + "_history").Collection("runs")
	if _, err := runs.UpdateByID(t.Context(), id, bson.D{{Key: "$set", Value: bson.D{{Key: "state", Value: "cancelled"}}}}); err != nil {
		t.Fatal(err)
	}
	result, err := backfill.Undo(t.Context(), app, id, nil)
	if err != nil || undone(t, result).Changed == 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	close(g.open)
	if err := <-done; err == nil {
		t.Error("the run went on")
	}
	if n, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$exists", Value: true}}}}); err != nil || n != 0 {
		t.Errorf("%d documents are still changed (%v)", n, err)
	}
}

// An undo that was cancelled in the middle is done with by another one, without conflicts in documents that the run had changed
// more than once.
func TestUndoAfterACancelledOne(t *testing.T) { //nolint:paralleltest // the points of the code are one for the process
	db := rikkitest.DB(t)
	seedChurn(t, db, 300)
	before := contents(t, db)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&churn{}))
	run := runChurn(t, app, nil)
	var chunks atomic.Int64
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	unhook := point.Hook(func(name string) {
		if name == "undo.chunk" && chunks.Add(1) == 4 {
			cancel(rikki.ErrInterrupted)
		}
	})
	result, err := backfill.Undo(ctx, app, run, &rikki.RunOptions{Params: &backfill.UndoRun{Chunk: 20}})
	unhook()
	if !errors.Is(err, rikki.ErrInterrupted) || contents(t, db) == before {
		t.Fatalf("%+v, %v", result, err)
	}
	if _, err := backfill.Undo(t.Context(), app, run, nil); !errors.Is(err, backfill.ErrNoUndo) || !strings.Contains(err.Error(), "resume or cancel it") {
		t.Errorf("beside an undo that could go on: %v", err)
	}
	if record, err := app.Cancel(t.Context(), result.Run, nil); err != nil || record.State != rikki.Cancelled {
		t.Fatal(record.State, err)
	}
	if result, err = backfill.Undo(t.Context(), app, run, nil); err != nil || contents(t, db) != before {
		t.Errorf("%+v, %v", result, err)
	}
}

// Of two undos of one run at the same time, the later one gives way or finds nothing to do.
func TestTwoUndosAtATime(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	items := db.Collection("items")
	for i := range 600 {
		insert(t, items, bson.D{{Key: "_id", Value: i}, {Key: "i", Value: i*9 + i%2*4}, {Key: "email", Value: "old"}}) // set, or deleted
	}
	before := contents(t, db)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&churn{}))
	run := runChurn(t, app, nil)
	errs := make(chan error)
	for range 2 {
		go func() {
			_, err := backfill.Undo(t.Context(), app, run, &rikki.RunOptions{Params: &backfill.UndoRun{Chunk: 10}})
			errs <- err
		}()
	}
	refused := 0
	for range 2 {
		err := <-errs
		if errors.Is(err, backfill.ErrNoUndo) && strings.Contains(err.Error(), "another undo of "+run) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused > 1 {
		t.Error("both gave way")
	}
	if contents(t, db) != before {
		t.Error("the two have not restored every byte")
	}
}

// Others write to the same documents while they are undone; what they write is not lost.
func TestUndoAmongWriters(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	for i := range 400 {
		insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "m", Value: 0}})
	}
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&count{}))
	run, err := app.Run(t.Context(), "count", nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := foreground(t, things, 400)
	result, err := backfill.Undo(t.Context(), app, run.Run, &rikki.RunOptions{Params: &backfill.UndoRun{Chunk: 20}})
	n := stop()
	if err != nil || undone(t, result).Changed != 400 {
		t.Fatalf("%+v, %v", result, err)
	}
	var sum int64
	cur, err := things.Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	for cur.Next(t.Context()) {
		sum += cur.Current.Lookup("m").AsInt64()
		if _, err := cur.Current.LookupErr("n"); err == nil {
			t.Errorf("%s is not undone", cur.Current)
		}
	}
	if n == 0 || sum != n {
		t.Errorf("the writers have written %d times, and %d is left of it", n, sum)
	}
}

func TestQueuedUndo(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	seedChurn(t, db, 60)
	before := contents(t, db)
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&churn{}))
	run := runChurn(t, app, nil)
	id, err := backfill.QueueUndo(t.Context(), app, run, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Continue(t.Context(), id, nil); err != nil || contents(t, db) != before {
		t.Error("after the queued undo:", err)
	}
	record, err := app.Record(t.Context(), id)
	if err != nil || record.Parent != run || record.Trigger != "undo" {
		t.Errorf("%+v, %v", record, err)
	}
	found, err := backfill.Inspect(t.Context(), app, run)
	if err != nil || found.Partitions == 0 || found.PartitionsDone != found.Partitions || len(found.UndoneBy) != 1 || found.UndoneBy[0].Run != id {
		t.Errorf("%+v, %v", found, err)
	}
}
