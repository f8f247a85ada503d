package backfill_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/rikkitest"
)

// part is what a function knows of documents that have more.
type part struct {
	ID     bson.RawValue `bson:"_id"`
	I      int           `bson:"i"`
	Email  string        `bson:"email"`
	Nested bson.D        `bson:"nested"`
	Phone  *string       `bson:"phoneNumber"`
	SeenAt int           `bson:"seenAt"`
}

// whole has the same fields, and by its method whole documents are read for it.
type whole part

func (w *whole) UnmarshalBSON(doc []byte) error { return bson.Unmarshal(doc, (*part)(w)) }

// sorts of changes: those of fields that are known alone, a few others among them, nothing but others, and those of other documents.
type mixture int

const (
	known mixture = iota
	few
	most
	others
)

// viewing is a script whose changes depend on the document alone.
type viewing struct {
	opts backfill.Options
	sort mixture
}

func (v *viewing) change(d part) (backfill.Change, error) {
	usual := backfill.Set("email", strings.ToLower(d.Email)).Set("seenAt", d.I)
	n := d.I % 17
	switch {
	case v.sort == known:
		return usual, nil
	case v.sort == few:
		n = d.I % 50
	case v.sort == others && n%2 == 0:
		return backfill.Set("other", d.I).For(d.I/3*3 + 1), nil
	case v.sort == others:
		n = d.I % 3 // a field, or nothing
	}
	return v.unusual(d, n, usual)
}

func (v *viewing) unusual(d part, n int, usual backfill.Change) (backfill.Change, error) {
	switch n {
	case 0:
		return backfill.Unset("phoneNumber", "nowhere").Set("email", "x"), nil
	case 1:
		return backfill.Unset("seenAt"), nil
	case 2:
		return backfill.None(), nil
	case 3:
		return backfill.Replace(bson.D{{Key: "z", Value: d.I}, {Key: "i", Value: d.I}, {Key: "code", Value: d.I}}), nil
	case 4:
		return backfill.Delete(), nil
	case 5:
		return backfill.Set("other", d.I).Set("new", 1), nil
	case 6:
		return backfill.Set("other", "as it is"), nil
	case 7:
		return backfill.Set("nested.deep.er", d.I).Set("email", fmt.Sprint(d.Nested)), nil
	case 8:
		return backfill.Unset("nested.b", "nested.c"), nil
	case 9:
		return backfill.Update(bson.D{{Key: "$rename", Value: bson.D{{Key: "other", Value: "another"}}}}), nil
	case 10:
		return backfill.Update(mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "email", Value: "$other"}}}}}), nil
	case 11:
		return backfill.Set("email", d.Email).Also("log", d.I, bson.D{{Key: "of", Value: d.Email}}).AlsoUpdate("log", -1, set("n", 1)), nil
	case 12:
		return usual, errors.New("not this one")
	case 13:
		panic("nor this one")
	case 14:
		return backfill.Set("email", bson.Timestamp{T: 7, I: 1}), nil
	case 15:
		return backfill.Set("email", strings.Repeat("long", 500)).Also("items", "more", bson.D{{Key: "code", Value: -1}}), nil
	default:
		return usual, nil
	}
}

func (v *viewing) Backfill() backfill.Options { return v.opts }

type parts struct{ viewing }

func (p *parts) Change(_ context.Context, d part) (backfill.Change, error) { return p.change(d) }

type wholes struct{ viewing }

func (w *wholes) Change(_ context.Context, d whole) (backfill.Change, error) {
	return w.change(part(d))
}

// seedParts makes documents with their fields in any order, some of them missing, some twice, some with capitals.
func seedParts(t *testing.T, db *mongo.Database, n int, twice bool) {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	var items []any
	for i := range n {
		doc := bson.D{
			{Key: "i", Value: i},
			{Key: "code", Value: i},
			{Key: "nested", Value: bson.D{{Key: "a", Value: 1}, {Key: "b", Value: bson.A{i, nil}}, {Key: "c", Value: "x"}, {Key: "d", Value: 1}}},
			{Key: "other", Value: "as it is"},
			{Key: "blob", Value: strings.Repeat("x", random.IntN(400))},
		}
		if !twice {
			doc = append(doc, bson.E{Key: "$dollar", Value: 1})
		}
		email := []string{"email", "email", "email", "email", "email", "email", "email", "Email", "EMAIL", "eMail"}[random.IntN(10)]
		doc = append(doc, bson.E{Key: email, Value: fmt.Sprint("A@B", i)})
		switch n := random.IntN(12); {
		case n == 0:
			doc = append(doc, bson.E{Key: "Email", Value: "Capital"})
		case n == 1:
			doc[len(doc)-1].Value = 7 // which is no text
		case n == 2 && twice:
			doc = append(doc, bson.E{Key: "blob", Value: "again"})
		case n == 3 && twice:
			doc = append(doc, bson.E{Key: "email", Value: "again"})
		case n == 4 && twice:
			doc = append(doc, bson.E{Key: "nested", Value: bson.D{{Key: "d", Value: 1}, {Key: "d", Value: 2}}})
		}
		if random.IntN(2) == 0 {
			doc = append(doc, bson.E{Key: "phoneNumber", Value: "030"})
		}
		if random.IntN(3) == 0 {
			doc = append(doc, bson.E{Key: "seenAt", Value: i + random.IntN(2)})
		}
		random.Shuffle(len(doc), func(a, b int) { doc[a], doc[b] = doc[b], doc[a] })
		items = append(items, append(bson.D{{Key: "_id", Value: i}}, doc...))
	}
	insert(t, db.Collection("items"), items...)
	if _, err := db.Collection("items").Indexes().CreateOne(t.Context(), mongo.IndexModel{
		Keys: bson.D{{Key: "code", Value: 1}}, Options: options.Index().SetUnique(true),
	}); err != nil {
		t.Fatal(err)
	}
	insert(t, db.Collection("log"), bson.D{{Key: "_id", Value: -1}, {Key: "n", Value: 0}})
}

// outcome is all that one way leaves behind, as text.
type outcome struct{ name, text string }

// tried runs a script on documents of its own, dry and in earnest, and undoes it after others have changed some.
func tried(t *testing.T, script rikki.Script, twice bool) (list []outcome) {
	t.Helper()
	db := rikkitest.DB(t)
	const name, docs = "viewing", 99 // so few are one partition, and its chunks the same each time
	seedParts(t, db, docs, twice)
	note := func(name string, of any) { list = append(list, outcome{name, fmt.Sprint(of)}) }
	text := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer(db.Name(), "db", "backfill_test.whole", "backfill_test.part").Replace(string(data))
	}
	app := rikkitest.App(t, db, script)
	before := contents(t, db)
	dry, err := app.Run(t.Context(), name, &rikki.RunOptions{DryRun: true})
	note("the dry run's error", err)
	if dry != nil && dry.Preview != nil {
		note("preview", text(dry.Preview))
	}
	if dry != nil {
		if f, ok := dry.Value.(*backfill.Forecast); ok {
			f.Duration = 0
			note("forecast", text(f))
		}
	}
	if contents(t, db) != before {
		t.Error("the dry run has changed something")
	}
	result, err := app.Run(t.Context(), name, nil)
	note("error", err)
	if result == nil {
		t.Fatal(err)
	}
	s := result.Value.(*backfill.Summary)
	note("sums", fmt.Sprint(s.Matched, s.Changed, s.Deleted, s.Unchanged, s.Failed, s.Written, text(s.Verified)))
	for f, err := range backfill.Failures(t.Context(), app, result.Run) {
		note("failure", fmt.Sprint(string(f.ID), f.Class, strings.ReplaceAll(f.Message, "backfill_test.whole", "backfill_test.part"), err))
	}
	note("documents", show(all(t, db.Collection("items"))))
	note("log", show(all(t, db.Collection("log"))))
	if s.Changed == 0 {
		return list
	}
	if _, err := backfill.Undo(t.Context(), app, result.Run, nil); errors.Is(err, backfill.ErrNoUndo) {
		return list
	} else if err != nil || contents(t, db) != before {
		t.Errorf("undone, with the error %v, it isn't as it was", err)
	}
	if twice { // whole documents are kept as a whole then, and what others change in one is a conflict with all of it
		return list
	}
	again, err := app.Run(t.Context(), name, nil)
	note("second error", err)
	if _, err := db.Collection("items").UpdateMany(t.Context(), bson.D{{Key: "i", Value: bson.D{{Key: "$mod", Value: bson.A{3, 1}}}}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "email", Value: "of others"}, {Key: "last", Value: 1}}}}); err != nil {
		t.Fatal(err)
	}
	undone, err := backfill.Undo(t.Context(), app, again.Run, nil)
	note("the undo's error", err)
	u := undone.Value.(*backfill.Undone)
	note("the undo's sums", fmt.Sprint(u.Matched, u.Changed, u.Deleted, u.Unchanged, u.Failed, u.Conflicts))
	note("documents after the undo", show(all(t, db.Collection("items"))))
	return list
}

// Whether parts of documents are read or whole ones makes no difference but in time.
func TestPartsOfDocumentsAreAsGoodAsTheWhole(t *testing.T) {
	t.Parallel()
	touched := []string{"email", "Email", "EMAIL", "eMail", "seenAt", "phoneNumber", "other", "another", "new", "nested", "z", "i", "blob", "$dollar"}
	usual := backfill.Options{Collection: "items", Chunk: 40, Workers: 1, MaxFailures: 1000, Journal: backfill.JournalChanged}
	with := func(change func(*backfill.Options)) backfill.Options {
		o := usual
		change(&o)
		return o
	}
	off := with(func(o *backfill.Options) { o.Journal = backfill.JournalOff })
	again := with(func(o *backfill.Options) { o.Journal, o.VerifyAgain = backfill.JournalOff, true })
	for name, v := range map[string]viewing{
		"known":         {usual, known},
		"fields twice":  {usual, known},
		"few":           {usual, few},
		"most":          {usual, most},
		"others":        {usual, others},
		"another key":   {with(func(o *backfill.Options) { o.Key = "code" }), most},
		"full journal":  {with(func(o *backfill.Options) { o.Journal = backfill.JournalFull }), few},
		"ids":           {with(func(o *backfill.Options) { o.Journal = backfill.JournalIDs }), most},
		"no journal":    {off, most},
		"off, others":   {off, others},
		"again, known":  {again, known},
		"again, most":   {again, most},
		"guarded":       {with(func(o *backfill.Options) { o.Fields, o.Journal = touched, backfill.JournalOff }), most},
		"not declared":  {with(func(o *backfill.Options) { o.Fields = []string{"email"} }), known},
		"small journal": {with(func(o *backfill.Options) { o.Fields = touched }), few},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v.opts.Script.Name = "viewing"
			want := tried(t, backfill.New[whole](&wholes{v}), name == "fields twice")
			got := tried(t, backfill.New[part](&parts{v}), name == "fields twice")
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					t.Fatalf("of parts:\n%.3000s\nof whole documents:\n%.3000s", at(got, i), at(want, i))
				}
			}
		})
	}
}

func at(list []outcome, i int) string {
	if i >= len(list) {
		return "nothing"
	}
	return list[i].name + ": " + list[i].text
}

// Only what a function sees is fetched, and whole documents once that isn't enough.
func TestOnlyWhatAFunctionSeesIsFetched(t *testing.T) {
	t.Parallel()
	const docs = 2000
	large := strings.Repeat("x", 8<<10)
	for name, c := range map[string]struct {
		script rikki.Script
		least  int
		most   int
	}{
		"parts": {backfill.New[part](&parts{viewing{backfill.Options{Collection: "items", Workers: 1}, known}}), 0, 200 * docs},
		"whole": {backfill.New[whole](&wholes{viewing{backfill.Options{Collection: "items", Workers: 1}, known}}), len(large) * docs, 2 * len(large) * docs},
		"purge": {backfill.New[position](&purge{}), len(large) * docs, 12 * len(large) * docs / 10},
		"late":  {backfill.New[position](&purge{after: docs / 2}), len(large) * docs / 2, 16 * len(large) * docs / 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			var list []any
			for i := range docs {
				list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "i", Value: i}, {Key: "email", Value: "A"}, {Key: "nested", Value: bson.D{}}, {Key: "v", Value: large}})
			}
			insert(t, db.Collection("items"), list...)
			var fetched atomic.Int64
			app := rikki.New(&rikki.Config{HistoryDatabase: db.Name() + "_history", Conn: conn.Config{
				URI: rikkitest.URI(t), Database: db.Name(), Monitor: &event.CommandMonitor{Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
					if e.CommandName == "find" || e.CommandName == "getMore" {
						fetched.Add(int64(len(e.Reply)))
					}
				}},
			}}).MustAdd(c.script)
			defer func() {
				if err := app.Close(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			}()
			if _, err := app.Run(t.Context(), c.script.(rikki.Configured).Options().Name, nil); err != nil {
				t.Fatal(err)
			}
			if n := int(fetched.Load()); n < c.least || n > c.most {
				t.Errorf("%d bytes were read, %d for each document; want %d to %d", n, n/docs, c.least, c.most)
			}
		})
	}
}

// position is all that purge sees of documents, and the journal takes all of those that it deletes.
type position struct {
	I int `bson:"i"`
}

type purge struct{ after int }

func (*purge) Backfill() backfill.Options {
	return backfill.Options{Collection: "items", Chunk: 500, Workers: 1}
}

func (p *purge) Change(_ context.Context, d position) (backfill.Change, error) {
	if d.I < p.after {
		return backfill.None(), nil
	}
	return backfill.Delete(), nil
}
