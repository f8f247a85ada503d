package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/rikkitest"
)

// count adds one to n of every document.
type count struct {
	Coll string `default:"things"`
	Key  string `default:"_id"`
}

func (c *count) Backfill() backfill.Options {
	return backfill.Options{Collection: c.Coll, Key: c.Key, Chunk: 7}
}

func (*count) Change(context.Context, bson.Raw) (backfill.Change, error) {
	return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}), nil
}

// countPipeline does the same at the server.
type countPipeline struct{ count }

func (*countPipeline) Pipeline() mongo.Pipeline { return (&mark{}).Pipeline() }

func insert(t *testing.T, coll *mongo.Collection, docs ...any) {
	t.Helper()
	if _, err := coll.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
}

// each tells how many documents were counted, and how often at least and at most.
func each(t *testing.T, coll *mongo.Collection) (n, least, most int64) {
	t.Helper()
	cur, err := coll.Aggregate(t.Context(), mongo.Pipeline{{{Key: "$group", Value: bson.D{
		{Key: "_id", Value: nil},
		{Key: "docs", Value: bson.D{{Key: "$sum", Value: 1}}},
		{Key: "least", Value: bson.D{{Key: "$min", Value: bson.D{{Key: "$ifNull", Value: bson.A{"$n", 0}}}}}},
		{Key: "most", Value: bson.D{{Key: "$max", Value: "$n"}}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	var sums []struct{ Docs, Least, Most int64 }
	if err := cur.All(t.Context(), &sums); err != nil || len(sums) != 1 {
		t.Fatalf("%v (%v)", sums, err)
	}
	return sums[0].Docs, sums[0].Least, sums[0].Most
}

// numbered makes documents whose _ids are 0 to n-1.
func numbered(t *testing.T, coll *mongo.Collection, n int) {
	t.Helper()
	docs := make([]any, n)
	for i := range docs {
		docs[i] = bson.D{{Key: "_id", Value: i}}
	}
	insert(t, coll, docs...)
}

// once makes sure that there are so many documents, each counted once.
func once(t *testing.T, coll *mongo.Collection, want int64) {
	t.Helper()
	if n, least, most := each(t, coll); n != want || least != 1 || most != 1 {
		t.Errorf("%d documents, each %d to %d times; want %d, once", n, least, most, want)
	}
}

// Keys of every BSON type in one collection are all visited, once.
func TestMixedKeysAreAllVisitedOnce(t *testing.T) {
	t.Parallel()
	decimal, _ := bson.ParseDecimal128("3.5")
	keys := []any{
		bson.MinKey{},
		nil, 1, int64(2), 2.5, decimal, math.Inf(-1), math.Inf(1), math.NaN(), math.Copysign(0, -1),
		"a", "ä", "", bson.Symbol("sym"),
		bson.D{},
		bson.D{{Key: "a", Value: 1}},
		bson.D{{Key: "b", Value: bson.A{1}}},
		bson.Binary{Data: []byte{1}},
		bson.Binary{Subtype: 4, Data: make([]byte, 16)},
		bson.NewObjectID(), true, false,
		bson.NewDateTimeFromTime(time.Now()),
		bson.Timestamp{T: 1, I: 1},
		bson.JavaScript("1"),
		bson.CodeWithScope{Code: "1", Scope: bson.D{{Key: "a", Value: 1}}},
		bson.DBPointer{DB: "a.b", Pointer: bson.NewObjectID()},
		bson.MaxKey{},
	}
	for name, script := range map[string]rikki.Script{"function": backfill.New[bson.Raw](&count{}), "pipeline": backfill.NewPipeline(&countPipeline{})} {
		for _, chunk := range []int{1, 3, 100} {
			t.Run(fmt.Sprintf("%s/%d", name, chunk), func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				for _, key := range keys {
					insert(t, db.Collection("things"), bson.D{{Key: "_id", Value: key}})
				}
				for i := range 200 { // so that there is more than one partition
					insert(t, db.Collection("things"), bson.D{{Key: "_id", Value: fmt.Sprintf("k%03d", i)}}, bson.D{{Key: "_id", Value: 1000 + i}})
				}
				if _, err := rikkitest.Try(t, db, script, &rikki.RunOptions{Params: map[string]any{"chunk": chunk}}); err != nil {
					t.Fatal(err)
				}
				once(t, db.Collection("things"), int64(len(keys)+400))
			})
		}
	}
}

func TestWalksAnotherKey(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	for i := range 300 {
		insert(t, things, bson.D{{Key: "code", Value: fmt.Sprint(i)}})
	}
	run := func() error {
		_, err := rikkitest.Try(t, db, backfill.New[bson.Raw](&count{}), &rikki.RunOptions{Params: map[string]any{"key": "code"}})
		return err
	}
	if err := run(); !errors.Is(err, backfill.ErrCannotWalk) {
		t.Fatalf("without an index: %v", err)
	}
	name, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "code", Value: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(); !errors.Is(err, backfill.ErrCannotWalk) {
		t.Fatalf("with an index that isn't unique: %v", err)
	}
	if err := things.Indexes().DropOne(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "code", Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
		t.Fatal(err)
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	once(t, things, 300)
}

func TestRefusesWhatCannotBeWalked(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	ctx := t.Context()
	if err := db.CreateCollection(ctx, "capped", options.CreateCollection().SetCapped(true).SetSizeInBytes(1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateView(ctx, "view", "capped", mongo.Pipeline{}); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateCollection(ctx, "series", options.CreateCollection().SetTimeSeriesOptions(options.TimeSeries().SetTimeField("at"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"capped", "view", "series", "missing"} {
		_, err := rikkitest.Try(t, db, backfill.New[bson.Raw](&count{}), &rikki.RunOptions{Params: map[string]any{"coll": name}})
		if !errors.Is(err, backfill.ErrCannotWalk) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := db.CreateCollection(ctx, "empty"); err != nil {
		t.Fatal(err)
	}
	if _, err := rikkitest.Try(t, db, backfill.New[bson.Raw](&count{}), &rikki.RunOptions{Params: map[string]any{"coll": "empty"}}); err != nil {
		t.Errorf("an empty collection: %v", err)
	}
}

// picky fails for some documents, in several ways.
type picky struct{}

func (*picky) Backfill() backfill.Options {
	return backfill.Options{Collection: "things", Chunk: 64}
}

func (*picky) Change(_ context.Context, doc struct {
	ID int `bson:"_id"`
},
) (backfill.Change, error) {
	switch doc.ID % 100 {
	case 3:
		return backfill.None(), errors.New("three is no good")
	case 7:
		panic("seven is worse")
	case 11:
		return backfill.Set("taken", 1), nil // there is one already
	case 13:
		if doc.ID > 100 { // one of 17 MiB is enough
			return backfill.None(), errors.New("thirteen is no good either")
		}
		return backfill.Set("big", strings.Repeat("x", 17<<20)), nil
	default:
		return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}), nil
	}
}

func TestFailingDocumentsArePassedByAndRecorded(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	insert(t, things, bson.D{{Key: "_id", Value: -1}, {Key: "taken", Value: 1}})
	numbered(t, things, 300)
	if _, err := things.Indexes().CreateOne(t.Context(), mongo.IndexModel{
		Keys: bson.D{{Key: "taken", Value: 1}}, Options: options.Index().SetUnique(true).SetSparse(true),
	}); err != nil {
		t.Fatal(err)
	}
	app := rikkitest.App(t, db, backfill.New[struct {
		ID int `bson:"_id"`
	}](&picky{}))
	result, err := app.Run(t.Context(), "picky", &rikki.RunOptions{Params: map[string]any{"max-failures": 100}})
	var partial *rikki.PartialError
	if !errors.As(err, &partial) || partial.Failed != 12 || result.State != rikki.SucceededWithErrors {
		t.Fatalf("got %v, state %s", err, result.State)
	}
	failures := db.Client().Database(db.Name() + "_history").Collection("failures")
	if n, err := failures.CountDocuments(t.Context(), bson.D{{Key: "_id.r", Value: result.Run}}); err != nil || n != 12 {
		t.Errorf("%d failures are recorded (%v)", n, err)
	}
	if n, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); err != nil || n != 289 {
		t.Errorf("%d are counted once (%v)", n, err)
	}

	result, err = app.Run(t.Context(), "picky", &rikki.RunOptions{Params: map[string]any{"max-failures": 2}})
	if !errors.Is(err, rikki.ErrPaused) || result.State != rikki.Paused {
		t.Errorf("too many failures: %v, state %s", err, result.State)
	}
}

// slow waits in each chunk until the test lets it go on.
type slow struct {
	gate *gate
	run  *rikki.Run
	Stop int `default:"50"`
}

// Setup implements [rikki.Setupper].
func (s *slow) Setup(_ context.Context, run *rikki.Run) error {
	s.run = run
	return nil
}

// heard waits until the run knows that it was asked to stop.
func (s *slow) heard() {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for s.gate.asks && s.run.Asked() == nil {
		<-look.C
	}
}

// gate holds a script up from a certain call on.
type gate struct {
	calls   atomic.Int64
	reached chan struct{}
	open    chan struct{}
	asks    bool // beyond the gate the script waits until it is asked to stop
}

func newGate() *gate { return &gate{reached: make(chan struct{}), open: make(chan struct{})} }

func (s *slow) Backfill() backfill.Options {
	return backfill.Options{Collection: "things", Chunk: 10, Workers: 1}
}

func (s *slow) Change(ctx context.Context, _ bson.Raw) (backfill.Change, error) {
	if s.gate.calls.Add(1) == int64(s.Stop) {
		close(s.gate.reached)
		select {
		case <-s.gate.open:
			s.heard()
		case <-ctx.Done():
			return backfill.None(), context.Cause(ctx)
		}
	}
	return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}), nil
}

func TestPauseResumeAndTune(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 300)
	g := newGate()
	g.asks = true
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&slow{gate: g}))
	events := make(chan rikki.Event, 1000)
	done := make(chan error, 1)
	var result *rikki.Result
	go func() {
		var err error
		result, err = app.Run(t.Context(), "slow", &rikki.RunOptions{Observers: []rikki.Observer{rikki.ObserverFunc(func(e rikki.Event) { events <- e })}})
		done <- err
	}()
	id := (<-events).Run
	<-g.reached
	if _, err := app.Tune(t.Context(), id, rikki.Tuning{Chunk: 3}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Pause(t.Context(), id, &rikki.ControlOptions{Reason: "lunch"}); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	if err := <-done; !errors.Is(err, rikki.ErrPaused) || result.State != rikki.Paused {
		t.Fatalf("paused: %v, %s", err, result.State)
	}
	before := g.calls.Load()
	result, err := app.Continue(t.Context(), id, nil)
	if err != nil || result.State != rikki.Succeeded {
		t.Fatalf("continue: %v", err)
	}
	if n, least, most := each(t, things); n != 300 || least != 1 || most != 1 {
		t.Errorf("%d documents, each %d to %d times; %d calls before the pause", n, least, most, before)
	}
	if s := result.Value.(*backfill.Summary); s.Matched != 300 || s.Changed != 300 {
		t.Errorf("summary %+v", s)
	}
	controls, err := app.Audit(t.Context(), id)
	if err != nil || len(controls) != 3 || controls[0].Action != "tune" || controls[2].Action != "resume" {
		t.Errorf("audit %+v (%v)", controls, err)
	}
}

// A worker that has lost its run, and doesn't know yet, writes nothing any more.
func TestAWorkerThatLostTheRunWritesNothing(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 300)
	g := newGate()
	app := rikkitest.App(t, db, backfill.New[bson.Raw](&slow{gate: g}))
	id, done := begun(t, app, g, nil)
	// Another process takes the run over, as if the lease of this one had expired, and goes through all of it.
	history := db.Client().Database(db.Name() + "_history")
	if _, err := history.Collection("runs").UpdateByID(t.Context(), id, bson.A{bson.D{{Key: "$set", Value: bson.D{
		{Key: "lease.expires", Value: bson.D{{Key: "$subtract", Value: bson.A{"$$NOW", 1000}}}},
	}}}}); err != nil {
		t.Fatal(err)
	}
	free := newGate()
	close(free.open)
	other := rikki.New(&rikki.Config{
		Conn: conn.Config{URI: rikkitest.URI(t), Database: db.Name()}, HistoryDatabase: db.Name() + "_history", Actor: "other",
	}).MustAdd(backfill.New[bson.Raw](&slow{gate: free}))
	defer func() {
		if err := other.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	result, err := other.Continue(t.Context(), id, &rikki.RunOptions{Force: true})
	if err != nil || result.State != rikki.Succeeded {
		t.Fatalf("the other one: %v", err)
	}
	close(g.open)
	if err := <-done; !errors.Is(err, rikki.ErrLeaseLost) {
		t.Errorf("the one that lost it: %v", err)
	}
	once(t, things, 300)
}

// foreground counts up the field m of documents with the _ids 0 to docs-1, one after another, until it is stopped. Stopping it returns how often it wrote.
func foreground(t *testing.T, coll *mongo.Collection, docs int) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	wrote := make(chan int64, 1)
	go func() {
		var n int64
		for i := 0; ctx.Err() == nil; i = (i + 7) % docs {
			res, err := coll.UpdateByID(context.WithoutCancel(ctx), i, bson.D{{Key: "$inc", Value: bson.D{{Key: "m", Value: 1}}}})
			if err == nil {
				n += res.ModifiedCount
			}
		}
		wrote <- n
	}()
	return func() int64 {
		cancel()
		return <-wrote
	}
}

func TestForegroundWritersAreNotLost(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	for i := range 400 {
		insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "m", Value: 0}})
	}
	stop := foreground(t, things, 400)
	_, err := rikkitest.Try(t, db, backfill.New[bson.Raw](&count{}), nil)
	n := stop()
	if err != nil {
		t.Fatal(err)
	}
	cur, err := things.Aggregate(t.Context(), mongo.Pipeline{{{Key: "$group", Value: bson.D{{Key: "_id", Value: nil}, {Key: "m", Value: bson.D{{Key: "$sum", Value: "$m"}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var sums []struct{ M int64 }
	if err := cur.All(t.Context(), &sums); err != nil {
		t.Fatal(err)
	}
	if docs, least, most := each(t, things); docs != 400 || least != 1 || most != 1 || sums[0].M != n || n == 0 {
		t.Errorf("each %d to %d times; the others wrote %d, of which %d are there", least, most, n, sums[0].M)
	}
}

// wider changes more than it declares.
type wider struct{ count }

func (w *wider) Backfill() backfill.Options {
	return backfill.Options{Collection: "things", Fields: []string{"other"}}
}

func TestGuards(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, 30)
	for name, try := range map[string]func() error{
		"FieldNotDeclared": func() error { _, err := rikkitest.Try(t, db, backfill.New[bson.Raw](&wider{}), nil); return err },
		"MoreThanAnnounced": func() error {
			_, err := rikkitest.Try(t, db, backfill.New[bson.Raw](&count{}), &rikki.RunOptions{Params: map[string]any{"max-matched": 10}})
			return err
		},
	} {
		if err := try(); !errors.Is(err, backfill.ErrGuard) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, least, most := each(t, things); least != 0 || most != 0 {
		t.Errorf("something was changed: %d to %d", least, most)
	}
}

// brittle is a pipeline that the server can't apply to some documents.
type brittle struct{ Mode string }

func (b *brittle) Backfill() backfill.Options {
	return backfill.Options{Collection: "things", Chunk: 40, Journal: backfill.Journal(b.Mode), MaxFailures: 100}
}

func (*brittle) Pipeline() mongo.Pipeline {
	return mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "n", Value: bson.D{{Key: "$toInt", Value: "$text"}}}}}}}
}

func TestDocumentsThatAPipelineFailsForAreFound(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"changed", "full", "off"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			var docs []any
			for i := range 300 {
				text := "1"
				if i%100 == 50 {
					text = "one"
				}
				docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "text", Value: text}})
			}
			insert(t, things, docs...)
			_, err := rikkitest.Try(t, db, backfill.NewPipeline(&brittle{}), &rikki.RunOptions{Params: map[string]any{"mode": mode}})
			var partial *rikki.PartialError
			if !errors.As(err, &partial) || partial.Failed != 3 {
				t.Errorf("error %v", err)
			}
			if n, err := things.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); err != nil || n != 297 {
				t.Errorf("%d are done (%v)", n, err)
			}
		})
	}
}

func TestStandaloneServersNeedConsent(t *testing.T) {
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Standalone: true})
	app := rikki.New(&rikki.Config{Conn: conn.Config{URI: server.URI(), Database: "shop"}}).MustAdd(backfill.New[bson.Raw](&count{}))
	defer func() {
		if err := app.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	err := app.Conn().With(t.Context(), func(ctx context.Context, ref *conn.Ref) error {
		numbered(t, ref.DB().Collection("things"), 100)
		if _, err := app.Run(ctx, "count", nil); err == nil || !strings.Contains(err.Error(), "--at-least-once") {
			t.Errorf("without consent: %v", err)
		}
		result, err := app.Run(ctx, "count", &rikki.RunOptions{Params: map[string]any{"at-least-once": true}})
		if err != nil {
			return err
		}
		once(t, ref.DB().Collection("things"), 100)
		if _, err := backfill.Undo(ctx, app, result.Run, nil); err == nil || !strings.Contains(err.Error(), "--at-least-once") {
			t.Errorf("an undo without consent: %v", err)
		}
		_, err = backfill.Undo(ctx, app, result.Run, &rikki.RunOptions{Params: &backfill.UndoRun{AtLeastOnce: true}})
		left, countErr := ref.DB().Collection("things").CountDocuments(ctx, bson.D{{Key: "n", Value: bson.D{{Key: "$exists", Value: true}}}})
		if countErr != nil || left != 0 {
			t.Errorf("%d documents are not undone (%v)", left, countErr)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
