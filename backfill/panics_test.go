package backfill_test

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// touchy is a document that panics when it is decoded, and touchyValue a value that does when it is encoded.
type touchy struct{ ID int32 }

func (d *touchy) UnmarshalBSON(data []byte) error {
	if d.ID = bson.Raw(data).Lookup("_id").Int32(); d.ID == 7 {
		panic("it was touched")
	}
	return nil
}

type touchyValue int32

func (v touchyValue) MarshalBSONValue() (byte, []byte, error) {
	if v == 7 {
		panic("it was touched")
	}
	kind, data, err := bson.MarshalValue(int32(1))
	return byte(kind), data, err
}

type touchyDoc struct{ N int32 }

func (d touchyDoc) MarshalBSON() ([]byte, error) {
	if d.N == 7 {
		panic("it was touched")
	}
	return bson.Marshal(bson.D{{Key: "n", Value: 1}})
}

// panicker is a backfill with hooks that panic.
type panicker struct {
	opts     backfill.Options
	change   func(id int32) backfill.Change
	throttle func() time.Duration
	done     func(id int32) bool
	describe func() // is called by Backfill
	params   func() // is called by CheckParams
}

func (p *panicker) CheckParams() error {
	if p.params != nil {
		p.params()
	}
	return nil
}

func (p *panicker) Backfill() backfill.Options {
	if p.describe != nil {
		p.describe()
	}
	p.opts.Collection, p.opts.Chunk = "things", 10
	return p.opts
}

func (p *panicker) Change(_ context.Context, doc touchy) (backfill.Change, error) {
	if p.change == nil {
		return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}), nil
	}
	return p.change(doc.ID), nil
}

func (p *panicker) Throttle(context.Context) (time.Duration, string, error) {
	if p.throttle != nil {
		return p.throttle(), "", nil
	}
	return 0, "", nil
}

func (p *panicker) Done(doc touchy) bool { return p.done == nil || p.done(doc.ID) }

// What the author's code panics with about one document is the failure of that document, with the stack; the others are done.
func TestAPanicAboutADocumentIsItsFailure(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]*panicker{
		"UnmarshalBSON":    {},
		"MarshalBSONValue": {change: func(id int32) backfill.Change { return backfill.Set("n", touchyValue(id)) }},
		"MarshalBSON":      {change: func(id int32) backfill.Change { return backfill.Replace(touchyDoc{id}) }},
		"InAnUpdate": {change: func(id int32) backfill.Change {
			return backfill.Update(bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: touchyValue(id)}}}})
		}},
		"Also": {change: func(id int32) backfill.Change {
			return backfill.Set("n", 1).Also("others", id, touchyDoc{id})
		}},
		"Change": {change: func(id int32) backfill.Change {
			if id == 7 {
				panic("it was touched")
			}
			return backfill.Set("n", 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), 30)
			app := rikkitest.App(t, db, backfill.New[touchy](script))
			result, err := app.Run(t.Context(), "panicker", nil)
			partial, ok := errors.AsType[*rikki.PartialError](err)
			if !ok || partial.Failed != 1 {
				t.Fatalf("%+v, %v", result, err)
			}
			failures := failuresOf(t, app, result.Run)
			if len(failures) != 1 || failures[0].Class != "panic" || !strings.Contains(failures[0].Message, "it was touched") ||
				!strings.Contains(failures[0].Stack, "panics_test.go") {
				t.Errorf("failures %+v", failures)
			}
			counted(t, db.Collection("things"), 29)
			groups, err := backfill.FailureGroups(t.Context(), app, result.Run)
			if err != nil || len(groups) != 1 || !strings.Contains(groups[0].Stack, "panics_test.go") {
				t.Errorf("groups %+v, %v", groups, err)
			}
		})
	}
}

// A panic that is about no document fails the run, with the stack. Nothing of it reaches the process, whatever goroutine it is in.
func TestAPanicOfTheScriptFailsTheRun(t *testing.T) {
	t.Parallel()
	touched := func() { panic("it was touched") }
	later := func(n int) func() {
		var mu sync.Mutex
		calls := 0
		return func() {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls > n {
				panic("it was touched")
			}
		}
	}
	described, checked := later(2), later(2)
	items := func(list func(yield func(backfill.Item, error) bool)) backfill.Source {
		return backfill.Items(func(context.Context, bson.RawValue) iter.Seq2[backfill.Item, error] { return list })
	}
	for name, script := range map[string]*panicker{
		"Throttle": {throttle: func() time.Duration { touched(); return 0 }},
		"TheIterator": {opts: backfill.Options{Source: items(func(yield func(backfill.Item, error) bool) {
			yield(backfill.Item{Key: 1, Value: bson.D{{Key: "_id", Value: 1}}}, nil)
			touched()
		})}},
		"TheSource": {opts: backfill.Options{Source: backfill.Items(func(context.Context, bson.RawValue) iter.Seq2[backfill.Item, error] {
			touched()
			return nil
		})}},
		"TheKeyOfAnItem": {opts: backfill.Options{Source: items(func(yield func(backfill.Item, error) bool) {
			yield(backfill.Item{Key: touchyValue(7), Value: bson.D{}}, nil)
		})}},
		"TheFilter": {opts: backfill.Options{Filter: bson.D{{Key: "a", Value: touchyValue(7)}}}},
		"Goexit":    {change: func(int32) backfill.Change { runtime.Goexit(); return backfill.None() }},
		"Backfill":  {describe: described},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), 30)
			if _, err := db.Collection("things").DeleteOne(t.Context(), bson.D{{Key: "_id", Value: 7}}); err != nil {
				t.Fatal(err)
			}
			app := rikkitest.App(t, db, backfill.New[touchy](script))
			result, err := app.Run(t.Context(), "panicker", nil)
			panicked, ok := errors.AsType[*rikki.PanicError](err)
			if !ok || result == nil || result.State != rikki.Failed || !result.Stopped {
				t.Fatalf("%+v, %v", result, err)
			}
			if name != "Goexit" && !strings.Contains(panicked.Stack, "panics_test.go") {
				t.Errorf("the stack is %s", panicked.Stack)
			}
			record, err := app.Record(t.Context(), result.Run)
			if err != nil || record.Error == nil || record.Error.Kind != "panic" || record.Error.Stack == "" {
				t.Errorf("the record says %+v (%v)", record.Error, err)
			}
			open, err := db.Client().Database("admin").RunCommand(t.Context(), bson.D{{Key: "currentOp", Value: true}, {Key: "transaction", Value: bson.D{{Key: "$exists", Value: true}}}, {Key: "$ownOps", Value: false}}).Raw()
			if err != nil || strings.Contains(open.String(), result.Run) {
				t.Errorf("a transaction is open still: %s (%v)", open, err)
			}
		})
	}
	t.Run("CheckParams", func(t *testing.T) {
		t.Parallel()
		db := rikkitest.DB(t)
		app := rikkitest.App(t, db, backfill.New[touchy](&panicker{params: checked}))
		for range 3 {
			if _, err := app.Run(t.Context(), "panicker", nil); err != nil && !errors.As(err, new(*rikki.PanicError)) {
				t.Log(err)
			}
		}
		if _, err := app.Run(t.Context(), "panicker", nil); !errors.As(err, new(*rikki.PanicError)) {
			t.Errorf("error %v", err)
		}
	})
}

// Under serve, other runs go on.
func TestAPanicEndsNoOtherRun(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 30)
	began, let := make(chan struct{}), make(chan struct{})
	steady := rikki.Func("steady", func(ctx context.Context, run *rikki.Run) (any, error) {
		close(began)
		<-let
		return nil, run.Client().Ping(ctx, nil)
	})
	var armed atomic.Bool
	app := rikkitest.App(t, db, steady,
		backfill.New[touchy](&panicker{throttle: func() time.Duration { panic("now") }}),
		backfill.New[touchy](&checker{panics: &armed}))
	ids := make(map[string]string)
	for _, name := range []string{"steady", "panicker", "checker"} {
		id, err := app.Enqueue(t.Context(), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = id
	}
	armed.Store(true)
	ctx, stop := context.WithCancelCause(t.Context())
	served := make(chan error, 1)
	go func() { served <- app.Serve(ctx, &rikki.ServeOptions{Workers: 3}) }()
	<-began
	ended := func(id string) rikki.Record {
		for {
			record, err := app.Record(t.Context(), id)
			if err != nil || record.State.Final() {
				return record
			}
		}
	}
	if record := ended(ids["panicker"]); record.State != rikki.Failed || record.Error == nil || record.Error.Kind != "panic" {
		t.Errorf("the one that panics: %+v", record)
	}
	if record := ended(ids["checker"]); record.State != rikki.Failed || record.Error == nil || record.Error.Kind != "panic" {
		t.Errorf("the one whose parameters panic: %+v", record)
	}
	close(let)
	if record := ended(ids["steady"]); record.State != rikki.Succeeded {
		t.Errorf("its neighbour: %+v", record)
	}
	stop(rikki.ErrInterrupted)
	if err := <-served; err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, rikki.ErrInterrupted) {
		t.Error(err)
	}
}

// checker is a backfill whose parameters panic when they are checked, once that is armed.
type checker struct{ panics *atomic.Bool }

func (*checker) Backfill() backfill.Options { return backfill.Options{Collection: "things"} }

func (*checker) Change(context.Context, touchy) (backfill.Change, error) { return backfill.None(), nil }

func (c *checker) CheckParams() error {
	if c.panics.Load() {
		panic("now")
	}
	return nil
}
