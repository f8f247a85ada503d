package backfill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// shouting sees documents in every way in which a type can have the bytes of one.
type shouting struct {
	ID    any           `bson:"_id"`
	Text  bson.RawValue `bson:"text"`
	Raw   bson.Raw      `bson:"raw"`
	Bytes []byte        `bson:"bytes"`
	Bin   bson.Binary   `bson:"bin"`
	Own   scribbled     `bson:"own"`
	Any   any           `bson:"any"`
}

// scribbled writes to what it is decoded from.
type scribbled struct{ text string }

func (s *scribbled) UnmarshalBSON(data []byte) error {
	scribble(data)
	s.text = string(data)
	return nil
}

// scribble writes small letters large where they are.
func scribble(data []byte) { copy(data, bytes.ToUpper(data)) }

// shout is a script of a T.
type shout[T any] struct {
	opts   backfill.Options
	change func(T) backfill.Change
}

func (s *shout[T]) Backfill() backfill.Options { return s.opts }
func (s *shout[T]) Change(_ context.Context, doc T) (backfill.Change, error) {
	return s.change(doc), nil
}

// shoutAll is the same for a chunk, with a Done.
type shoutAll[T any] struct{ shout[T] }

func (s *shoutAll[T]) ChangeAll(_ context.Context, docs []T) ([]backfill.Change, error) {
	var changes []backfill.Change
	for _, doc := range docs {
		changes = append(changes, s.change(doc))
	}
	return changes, nil
}

// A function may write to all that it is given: what is compared with, and what an undo brings back, is what was read.
func TestAFunctionGetsMemoryOfItsOwn(t *testing.T) {
	t.Parallel()
	opts := backfill.Options{Collection: "things", Chunk: 7, VerifyAgain: true}
	replaced := func(doc bson.Raw) backfill.Change {
		scribble(doc.Lookup("text").Value[4:])
		return backfill.Replace(doc)
	}
	for name, script := range map[string]rikki.Script{
		"RawReplaced": backfill.New[bson.Raw](&shout[bson.Raw]{opts, replaced}),
		"RawSet": backfill.New[bson.Raw](&shout[bson.Raw]{opts, func(doc bson.Raw) backfill.Change {
			scribble(doc.Lookup("text").Value[4:])
			return backfill.Set("text", doc.Lookup("text"))
		}}),
		"RawOfAChunk":     backfill.NewBatch[bson.Raw](&shoutAll[bson.Raw]{shout[bson.Raw]{opts, replaced}}),
		"FieldsOfAStruct": backfill.New[shouting](&shout[shouting]{opts, shoutFields}),
		"StructsOfAChunk": backfill.NewBatch[shouting](&shoutAll[shouting]{shout[shouting]{opts, shoutFields}}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			for i := range 20 {
				insert(t, things, bson.D{
					{Key: "_id", Value: i},
					{Key: "text", Value: "quiet"},
					{Key: "raw", Value: bson.D{{Key: "t", Value: "quiet"}}},
					{Key: "bytes", Value: []byte("quiet")},
					{Key: "bin", Value: bson.Binary{Data: []byte("quiet")}},
					{Key: "list", Value: bson.A{"quiet"}},
					{Key: "own", Value: bson.D{{Key: "t", Value: "quiet"}}},
					{Key: "any", Value: []byte("quiet")},
				})
			}
			before := all(t, things)
			app := rikkitest.App(t, db, script)
			result, err := app.Run(t.Context(), script.(rikki.Configured).Options().Name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if s := result.Value.(*backfill.Summary); s.Changed != 20 {
				t.Errorf("%+v", s)
			}
			if after := all(t, things); bytes.Count(after, []byte("QUIET")) < 20 {
				t.Errorf("it is %s", show(after))
			}
			if _, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
				t.Fatal(err)
			}
			if after := all(t, things); !bytes.Equal(after, before) {
				t.Errorf("it was\n%s\nand is\n%s", show(before), show(after))
			}
		})
	}
}

func shoutFields(s shouting) backfill.Change {
	for _, data := range [][]byte{s.Text.Value[4:], s.Raw[4:], s.Bytes, s.Bin.Data} {
		scribble(data)
	}
	if b, ok := s.Any.(bson.Binary); ok {
		scribble(b.Data)
	}
	return backfill.Set("text", s.Text).Set("bytes", s.Bytes).Set("bin", s.Bin)
}

// What a function returns is taken as it is then: it may use the memory of it again for the next document.
func TestAChangeIsTakenAsItIsReturned(t *testing.T) { //nolint:tparallel // they use the same memory
	t.Parallel()
	buf, doc := make([]byte, 2), bson.D{{Key: "n", Value: 0}}
	list := bson.A{0}
	for name, change := range map[string]func(n int) backfill.Change{
		"Set":       func(int) backfill.Change { return backfill.Set("v", buf) },
		"SetOfList": func(int) backfill.Change { return backfill.Set("v", list) },
		"Replace":   func(int) backfill.Change { return backfill.Replace(doc) },
		"Update":    func(int) backfill.Change { return backfill.Update(bson.D{{Key: "$set", Value: doc}}) },
		"Also":      func(n int) backfill.Change { return backfill.None().Also("things", 100+n, doc) },
		"AlsoUpdate": func(n int) backfill.Change {
			return backfill.None().AlsoUpdate("things", n, bson.D{{Key: "$set", Value: doc}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), 10)
			_, err := summary(t, db, function(backfill.Options{Collection: "things", Chunk: 100, Workers: 1, Filter: bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 10}}}}},
				func(_ context.Context, item bson.Raw) (backfill.Change, error) {
					n := int(item.Lookup("_id").AsInt64())
					buf[0], doc[0].Value, list[0] = byte(n), n, n
					return change(n), nil
				}), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range []string{"v", "n"} {
				values, err := db.Collection("things").Distinct(t.Context(), field, bson.D{{Key: field, Value: bson.D{{Key: "$exists", Value: true}}}}).Raw()
				if got, _ := values.Values(); err != nil || len(got) != 0 && len(got) != 10 {
					t.Errorf("%d values of %s, not one for each document (%v): %v", len(got), field, err, values)
				}
			}
		})
	}
}

// Whatever is said of a document is done, or the document fails and says why.
func TestNothingOfAChangeIsDropped(t *testing.T) {
	t.Parallel()
	with := bson.D{{Key: "r", Value: 1}}
	inc := bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}
	for name, c := range map[string]struct {
		change backfill.Change
		fails  string // part of the reason
		after  bson.D // else what is there afterwards, beside the _id
	}{
		"DeleteAndSet":     {change: backfill.Delete().Set("a", 1), fails: "Delete and Set"},
		"DeleteAndUnset":   {change: backfill.Delete().Unset("n"), fails: "Delete and Set"},
		"DeleteAndNothing": {change: backfill.Delete().Unset(), fails: "Delete and Set"},
		"ReplaceAndSet":    {change: backfill.Replace(with).Set("a", 1), fails: "Replace and Set"},
		"UpsertAndUnset":   {change: backfill.Upsert(with).Unset("r"), fails: "Upsert and Set"},
		"UpdateAndSet":     {change: backfill.Update(inc).Set("a", 1), fails: "Update and Set"},
		"ForTwice":         {change: backfill.Set("a", 1).For(3).For(4), fails: "For is said twice"},
		"ForTwiceNull":     {change: backfill.Set("a", 1).For(nil).For(3), fails: "For is said twice"},
		"SetAPart":         {change: backfill.Set("a", bson.D{}).Set("a.b", 1), fails: "a and a.b"},
		"SetTheWhole":      {change: backfill.Set("a.b.c", 1).Set("a", bson.D{}), fails: "a and a.b.c"},
		"UnsetAPart":       {change: backfill.Set("a", bson.D{}).Unset("a.b"), fails: "a and a.b"},
		"ManyAndAPart":     {change: many(20).Set("f7.x", 1), fails: "f7 and f7.x"},
		"SetTwice":         {change: backfill.Set("a", 1).Set("a", 2), after: bson.D{{Key: "n", Value: 1}, {Key: "a", Value: 2}}},
		"SetAndUnset":      {change: backfill.Set("n", 2).Unset("n"), after: bson.D{}},
		"UnsetAndSet":      {change: backfill.Unset("n").Set("n", 2), after: bson.D{{Key: "n", Value: 2}}},
		"UnsetTwice":       {change: backfill.Unset("n", "n"), after: bson.D{}},
		"ManyTwice":        {change: many(20).Set("n", 5).Unset("n"), after: nil},
		"NamesAlike":       {change: backfill.Set("a", 1).Set("a-b", 2).Set("ab", 3), after: bson.D{{Key: "n", Value: 1}, {Key: "a", Value: 1}, {Key: "a-b", Value: 2}, {Key: "ab", Value: 3}}},
		"SetOfNothing":     {change: backfill.None().Set("n", 7), after: bson.D{{Key: "n", Value: 7}}},
		"NulInAPath":       {change: backfill.Unset("a\x00b"), fails: "zero byte"},
		"NoName":           {change: backfill.Set("", 1), fails: "empty"},
		"NoNameInAPath":    {change: backfill.Set("a..b", 1), fails: "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			insert(t, things, bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 1}}, bson.D{{Key: "_id", Value: 3}, {Key: "n", Value: 1}}, bson.D{{Key: "_id", Value: nil}, {Key: "n", Value: 1}})
			before := all(t, things)
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Filter: bson.D{{Key: "_id", Value: 1}}},
				func(context.Context, bson.Raw) (backfill.Change, error) { return c.change, nil }))
			result, err := app.Run(t.Context(), "scripted", nil)
			if c.fails == "" {
				if err != nil {
					t.Fatal(err)
				}
				want, _ := bson.Marshal(append(bson.D{{Key: "_id", Value: 1}}, c.after...))
				if got, err := things.FindOne(t.Context(), bson.D{{Key: "_id", Value: 1}}).Raw(); err != nil || c.after != nil && !bytes.Equal(got, want) {
					t.Errorf("it is %s (%v)", got, err)
				}
				return
			}
			if !isPartial(err, 1) {
				t.Fatalf("error %v", err)
			}
			for f, err := range backfill.Failures(t.Context(), app, result.Run) {
				if err != nil || !strings.Contains(f.Message, c.fails) {
					t.Errorf("it failed for: %s (%v)", f.Message, err)
				}
			}
			if after := all(t, things); !bytes.Equal(after, before) {
				t.Errorf("it was\n%s\nand is\n%s", show(before), show(after))
			}
		})
	}
}

func many(n int) (c backfill.Change) {
	for i := range n {
		c = c.Set(fmt.Sprintf("f%d", i), i)
	}
	return c
}

// Fields says what may change of the documents of the collection: a deletion changes all of a document, an insertion the fields that
// it has. Other collections are others.
func TestFieldsGuardDeletionsAndInsertions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  backfill.Change
		guarded bool
	}{
		"Delete":              {backfill.Delete(), true},
		"DeleteOfAnother":     {backfill.Set("a", 1).Also("things", 2, nil), true},
		"InsertOfOthers":      {backfill.Upsert(bson.D{{Key: "a", Value: 1}, {Key: "b", Value: 1}}).For(100), true},
		"InsertBesides":       {backfill.None().Also("things", 100, bson.D{{Key: "b", Value: 1}}), true},
		"InsertOfThese":       {backfill.Upsert(bson.D{{Key: "a", Value: 1}}).For(100), false},
		"Replace":             {backfill.Replace(bson.D{{Key: "a", Value: 1}}), true},
		"Set":                 {backfill.Set("a", 1), false},
		"SetOfAnother":        {backfill.Set("b", 1), true},
		"ElsewhereInserted":   {backfill.Set("a", 1).Also("others", 1, bson.D{{Key: "b", Value: 1}}), false},
		"ElsewhereDeleted":    {backfill.Set("a", 1).Also("others", 1, nil), false},
		"ElsewhereUpdated":    {backfill.None().AlsoUpdate("others", 2, bson.D{{Key: "$set", Value: bson.D{{Key: "b", Value: 7}}}}), false},
		"AnotherByAnOperator": {backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "b", Value: 7}}}}), true},
	} {
		for _, mode := range []backfill.Journal{backfill.JournalChanged, backfill.JournalOff} {
			t.Run(name+"/"+string(mode), func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				things, others := db.Collection("things"), db.Collection("others")
				for i := range 3 {
					insert(t, things, bson.D{{Key: "_id", Value: i}, {Key: "n", Value: 0}})
					insert(t, others, bson.D{{Key: "_id", Value: i}, {Key: "n", Value: 0}})
				}
				before := show(all(t, things)) + show(all(t, others))
				_, err := summary(t, db, function(backfill.Options{Collection: "things", Filter: bson.D{{Key: "_id", Value: 1}}, Fields: []string{"a"}, Journal: mode},
					func(context.Context, bson.Raw) (backfill.Change, error) { return c.change, nil }), nil)
				if errors.Is(err, backfill.ErrGuard) != c.guarded || !c.guarded && err != nil {
					t.Errorf("error %v", err)
				}
				if c.guarded != (show(all(t, things))+show(all(t, others)) == before) {
					t.Errorf("guarded: %v, and it is\n%s\n%s", c.guarded, show(all(t, things)), show(all(t, others)))
				}
			})
		}
	}
}

// An update says which fields it writes: one that may not is refused before the walk.
func TestFieldsGuardUpdatesBeforehand(t *testing.T) {
	t.Parallel()
	for _, update := range []string{`{"$set": {"n": 3}}`, `{"$inc": {"z": 1, "n": 1}}`, `{"$rename": {"z": "n"}}`, `{"$unset": {"n.a": 1}}`} {
		db := rikkitest.DB(t)
		numbered(t, db.Collection("things"), 3)
		s, err := summary(t, db, backfill.NewAdHoc(), map[string]any{"collection": "things", "update": update, "fields": []string{"z"}})
		if !errors.Is(err, backfill.ErrGuard) || !strings.Contains(err.Error(), "the update changes n") || s.Matched != 0 {
			t.Errorf("%s: %+v, %v", update, s, err)
		}
	}
}

// Documents whose _ids print alike are told apart: one that fails isn't taken for another.
func TestKeysThatPrintAlikeAreToldApart(t *testing.T) {
	t.Parallel()
	for name, ids := range map[string][]any{
		"NotUTF8":  {"a\xff", "a\xfe", "a\uFFFD"},
		"Doubles":  {math.Float64frombits(0x3ff0000000000001), math.Nextafter(1, 0), 1.0},
		"Types":    {"1", int64(1), true, bson.D{{Key: "1", Value: 1}}},
		"Symbols":  {"s", bson.Binary{Data: []byte("s")}, bson.JavaScript("s")},
		"Decimals": {decimal(t, "0.1"), 0.1, decimal(t, "1E+400")},
		"Binaries": {bson.Binary{Subtype: 0, Data: []byte("a")}, bson.Binary{Subtype: 128, Data: []byte("a")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			for i, id := range ids {
				n := any("text") // $inc is refused
				if i > 0 {
					n = 0
				}
				insert(t, things, bson.D{{Key: "_id", Value: id}, {Key: "n", Value: n}})
			}
			s, err := summary(t, db, function(backfill.Options{Collection: "things"}, increment), nil)
			if !isPartial(err, 1) || s.Failed != 1 || s.Changed != int64(len(ids)-1) {
				t.Errorf("%+v, %v\n%s", s, err, show(all(t, things)))
			}
		})
	}
}

// That a script would write the _id is said in one sentence before anything is written, and no document is blamed.
func TestTheIDCannotBeWritten(t *testing.T) {
	t.Parallel()
	d := func(name string, value any) bson.D { return bson.D{{Key: name, Value: value}} }
	one := func(change backfill.Change) rikki.Script {
		return function(backfill.Options{Collection: "things", Key: "k"}, func(context.Context, bson.Raw) (backfill.Change, error) { return change, nil })
	}
	byKey := backfill.Options{Collection: "things", Key: "k"}
	scripts := map[string]rikki.Script{
		"Set": one(backfill.Set("_id", 1)), "SetInside": one(backfill.Set("_id.a", 1)), "Unset": one(backfill.Unset("_id")),
		"Update":         one(backfill.Update(d("$set", d("_id", 1)))),
		"Rename":         one(backfill.Update(d("$rename", d("n", "_id")))),
		"RenameAway":     one(backfill.Update(d("$rename", d("_id", "n")))),
		"RenameToTheKey": one(backfill.Update(d("$rename", d("n", "k")))),
		"Stages":         one(backfill.Update(bson.A{d("$set", d("_id", 1))})),
		"Elsewhere":      one(backfill.None().AlsoUpdate("others", 1, d("$rename", d("n", "_id")))),
		"PipelineSet":    pipeline(byKey, set("_id", "$n")),
		"PipelineInside": pipeline(byKey, set("_id.x", "$n")),
		"PipelineUnset":  pipeline(byKey, d("$unset", bson.A{"n", "_id"})),
		"PipelineOthers": pipeline(byKey, d("$replaceWith", "$$ROOT"), set("_id", 1)),
		"Project":        pipeline(byKey, d("$project", bson.D{{Key: "_id", Value: "$n"}, {Key: "k", Value: 1}})),
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			keyed(t, db.Collection("things"), 20)
			s, err := summary(t, db, script, nil)
			if !errors.Is(err, backfill.ErrKey) || s.Failed != 0 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

// keyed makes documents that can be walked by k.
func keyed(t *testing.T, coll *mongo.Collection, n int) {
	t.Helper()
	for i := range n {
		insert(t, coll, bson.D{{Key: "_id", Value: i}, {Key: "k", Value: i}, {Key: "n", Value: i}})
	}
	if _, err := coll.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
		t.Fatal(err)
	}
}

// A collection whose own name has dots is named with a dot in front, or with its database; it isn't missed without a word.
func TestOtherCollectionsByTheirNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		collection string
		fails      string
		at         string // the collection of the same database, otherwise
	}{
		"Plain":        {collection: "notes", at: "notes"},
		"Dotted":       {collection: ".audit.log", at: "audit.log"},
		"WithDatabase": {collection: "DB.audit.log", at: "audit.log"},
		"New":          {collection: ".new.one", at: "new.one"},
		"Ambiguous":    {collection: "audit.log", fails: ".audit.log"},
		"Empty":        {collection: "", fails: "no name of a collection"},
		"NoCollection": {collection: "DB.", fails: "no name of a collection"},
		"TheServers":   {collection: ".system.users", fails: "system.users"},
		"Dollar":       {collection: "a$b", fails: "no name of a collection"},
		"Nul":          {collection: "a\x00b", fails: "no name of a collection"},
		"Dots":         {collection: "..a", fails: "no name of a collection"},
		"Rikkis":       {collection: "HISTORY.journal", fails: "Rikki's own"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), 3)
			insert(t, db.Collection("audit.log"), bson.D{{Key: "_id", Value: "old"}})
			history := ""
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things"}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
				collection := strings.NewReplacer("DB", db.Name(), "HISTORY", history).Replace(c.collection)
				return backfill.None().Also(collection, doc.Lookup("_id"), bson.D{{Key: "x", Value: 1}}), nil
			}))
			if err := app.WithHistory(t.Context(), func(_ context.Context, db *mongo.Database) error {
				history = db.Name()
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			result, err := app.Run(t.Context(), "scripted", nil)
			if c.fails == "" {
				n, countErr := db.Collection(c.at).CountDocuments(t.Context(), bson.D{{Key: "x", Value: 1}})
				if err != nil || countErr != nil || n != 3 {
					t.Errorf("%d notes: %v, %v", n, err, countErr)
				}
				return
			}
			if !isPartial(err, 3) {
				t.Fatalf("error %v", err)
			}
			for f, err := range backfill.Failures(t.Context(), app, result.Run) {
				if err != nil || !strings.Contains(f.Message, c.fails) {
					t.Errorf("it failed for: %s (%v)", f.Message, err)
				}
			}
		})
	}
}

// A pipeline that leaves a document as it is changes nothing, whatever the server counts.
func TestAPipelineThatChangesNothingIsCountedSo(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	numbered(t, db.Collection("things"), 4)
	same := bson.A{bson.D{{Key: "$project", Value: bson.D{{Key: "_id", Value: 0}}}}}
	s, err := summary(t, db, function(backfill.Options{Collection: "things"}, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
		switch id := doc.Lookup("_id").AsInt64(); id {
		case 0:
			return backfill.Set("x", 1), nil
		case 1:
			return backfill.Delete(), nil
		default:
			return backfill.Update(same).AlsoUpdate("things", 100+id, same), nil
		}
	}), nil)
	if err != nil || s.Changed != 1 || s.Deleted != 1 || s.Unchanged < 2 || s.Written != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// The server fills in timestamps that are empty: the journal has what it put there, so that the undo knows it again.
func TestAnEmptyTimestampIsFilledInTheJournalToo(t *testing.T) {
	t.Parallel()
	stamped := bson.D{{Key: "at", Value: bson.Timestamp{}}, {Key: "in", Value: bson.D{{Key: "at", Value: bson.Timestamp{}}}}}
	for name, change := range map[string]func(doc bson.Raw) backfill.Change{
		"Replace": func(bson.Raw) backfill.Change { return backfill.Replace(stamped) },
		"Upsert":  func(bson.Raw) backfill.Change { return backfill.Upsert(stamped) },
		"Insert": func(doc bson.Raw) backfill.Change {
			return backfill.Upsert(stamped).For(doc.Lookup("_id").AsInt64() + 100)
		},
		"Also":      func(doc bson.Raw) backfill.Change { return backfill.None().Also("others", doc.Lookup("_id"), stamped) },
		"Set":       func(bson.Raw) backfill.Change { return backfill.Set("at", bson.Timestamp{}) },
		"SetBeside": func(bson.Raw) backfill.Change { return backfill.Update(bson.D{{Key: "$set", Value: stamped}}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), 5)
			before := show(all(t, db.Collection("things"))) + show(all(t, db.Collection("others")))
			app := rikkitest.App(t, db, function(backfill.Options{Collection: "things", Filter: bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 100}}}}},
				func(_ context.Context, doc bson.Raw) (backfill.Change, error) { return change(doc), nil }))
			result, err := app.Run(t.Context(), "scripted", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
				t.Error(err)
			}
			if after := show(all(t, db.Collection("things"))) + show(all(t, db.Collection("others"))); after != before {
				t.Errorf("it was\n%s\nand is\n%s", before, after)
			}
		})
	}
}
