package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

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

// endless are keys that are listed from the beginning, whatever is asked for.
func endless(keys func(i int) any) backfill.Source {
	return backfill.Items(func(context.Context, bson.RawValue) iter.Seq2[backfill.Item, error] {
		return func(yield func(backfill.Item, error) bool) {
			for i := 0; ; i++ {
				key := keys(i)
				if key == nil || !yield(backfill.Item{Key: key, Value: bson.D{{Key: "of", Value: i % 3}}}, nil) {
					return
				}
			}
		}
	})
}

// A source that lists a key twice in a row, or begins again, ends its run, and nothing is done again and again.
func TestASourceThatRepeatsItselfEnds(t *testing.T) {
	t.Parallel()
	list := func(keys ...any) func(int) any {
		return func(i int) any {
			if i < len(keys) {
				return keys[i]
			}
			return nil
		}
	}
	for name, test := range map[string]struct {
		keys func(int) any
		says string
	}{
		"each once":        {list(1, 2, 3, 4), ""},
		"twice in a row":   {list(1, 1, 2), "of the item before it"},
		"other types":      {list(1, 2.0, int64(2)), "of the item before it"},
		"twice at the end": {list(1, 2, 2), "of the item before it"},
		"begins again":     {func(i int) any { return i % 7 }, "begin again"},
		"one in the end":   {func(i int) any { return min(i, 20) }, "of the item before it"},
		"a late circle":    {func(i int) any { return max(i, 0)%50 + min(i/50, 1)*50 }, "begin again"},
	} {
		for _, chunk := range []int{1, 2, 100} {
			t.Run(fmt.Sprint(name, chunk), func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				calls := 0
				script := function(backfill.Options{Collection: "things", Source: endless(test.keys), Chunk: chunk}, func(_ context.Context, item bson.Raw) (backfill.Change, error) {
					if calls++; calls > 1000 {
						t.Error("it never ends")
						return backfill.None(), errors.New("it never ends")
					}
					return backfill.Upsert(bson.D{}).For(item.Lookup("of")), nil
				})
				_, err := summary(t, db, script, nil)
				if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

// The verification takes off the very documents that failed, not as many others.
func TestVerificationGoesByTheDocumentsThatFailed(t *testing.T) {
	t.Parallel()
	const docs, bad = 40, 10
	db := rikkitest.DB(t)
	things := db.Collection("things")
	numbered(t, things, docs)
	opts := backfill.Options{Collection: "things", VerifyAgain: true, MaxFailures: docs, Workers: 1}
	app := rikkitest.App(t, db, function(opts, func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
		if n, _ := doc.Lookup("_id").AsInt64OK(); n < bad && doc.Lookup("mended").IsZero() {
			return backfill.None(), errors.New("no")
		}
		return backfill.Set("v", "right"), nil
	}))
	result, err := app.Run(t.Context(), "scripted", &rikki.RunOptions{Params: map[string]any{"hold": true}})
	if !errors.Is(err, rikki.ErrPaused) {
		t.Fatal(err)
	}
	// Those that failed are mended by hand, and as many others are spoilt.
	_, err = things.UpdateMany(t.Context(), bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: bad}}}}, bson.D{{Key: "$set", Value: bson.D{{Key: "mended", Value: true}, {Key: "v", Value: "right"}}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = things.UpdateMany(t.Context(), bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: docs - bad}}}}, bson.D{{Key: "$set", Value: bson.D{{Key: "v", Value: "wrong"}}}})
	if err != nil {
		t.Fatal(err)
	}
	result, err = app.Continue(t.Context(), result.Run, nil)
	if s, ok := result.Value.(*backfill.Summary); !ok || s.Verified == nil || s.Verified.Left != bad || s.Failed != bad {
		t.Errorf("%+v, %v: want %d left", result.Value, err, bad)
	}
}

// What can't be verified is refused before anything is written, by the dry run as well.
func TestWhatCannotBeVerifiedIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	opts := backfill.Options{Collection: "things", VerifyAgain: true}
	timed := opts
	timed.Filter = bson.D{{Key: "$expr", Value: bson.D{{Key: "$lt", Value: bson.A{"$at", "$$NOW"}}}}}
	chance := opts
	chance.Filter = bson.D{{Key: "$sampleRate", Value: 0.5}}
	for name, script := range map[string]rikki.Script{
		"replaceWith":      pipeline(opts, bson.D{{Key: "$replaceWith", Value: bson.D{{Key: "$mergeObjects", Value: bson.A{"$$ROOT", bson.D{{Key: "n", Value: 1}}}}}}}),
		"now":              pipeline(opts, set("at", "$$NOW")),
		"filter of time":   pipeline(timed, set("n", 1)),
		"function, time":   function(timed, increment),
		"function, chance": function(chance, increment),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			numbered(t, db.Collection("things"), 10)
			before := all(t, db.Collection("things"))
			for _, dry := range []bool{true, false} {
				result, err := rikkitest.Try(t, db, script, &rikki.RunOptions{DryRun: dry})
				if err == nil || !strings.Contains(err.Error(), "VerifyAgain") || result.State != rikki.Failed {
					t.Errorf("dry run %v: %v", dry, err)
				}
			}
			if string(all(t, db.Collection("things"))) != string(before) {
				t.Error("something was written")
			}
		})
	}
}

// A document that can't be changed again would not stay as it is: it is left over, and no reason for the run to fail.
func TestADocumentThatCannotBeChangedAgainIsLeftOver(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	things := db.Collection("things")
	var list []any
	for i := range 60 {
		list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "s", Value: "text"}, {Key: "m", Value: i % 20}})
	}
	insert(t, things, list...)
	length := bson.D{{Key: "$cond", Value: bson.A{bson.D{{Key: "$eq", Value: bson.A{"$m", 7}}}, bson.D{{Key: "$strLenCP", Value: "$s"}}, "$s"}}}
	s, err := summary(t, db, pipeline(backfill.Options{Collection: "things", VerifyAgain: true, Chunk: 60}, set("s", length)), nil)
	if !isPartial(err, 3) || s.Changed != 3 || s.Verified == nil || s.Verified.Left != 3 || s.Verified.Checked != 60 {
		t.Errorf("%+v, verified %+v, %v", s, s.Verified, err)
	}
}

// A limit that is as many documents as there are, or more, is no limit: the run is verified.
func TestALimitThatWasAllIsNone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		docs, limit int
		all         bool
	}{{100, 100, true}, {100, 99, false}, {100, 1000, true}, {100, 50, false}} {
		for kind, script := range map[string]rikki.Script{
			"function": function(backfill.Options{Collection: "things", VerifyAgain: true, Chunk: 10, Workers: 3}, func(context.Context, bson.Raw) (backfill.Change, error) {
				return backfill.Set("v", 1), nil
			}),
			"pipeline": pipeline(backfill.Options{Collection: "things", VerifyAgain: true, Chunk: 10, Workers: 3}, set("v", 1)),
		} {
			t.Run(fmt.Sprint(kind, test.limit), func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				numbered(t, db.Collection("things"), test.docs)
				s, err := summary(t, db, script, map[string]any{"limit": test.limit})
				if err != nil || s.Limited == test.all || (s.Verified != nil && s.Verified.Checked == int64(test.docs)) != test.all {
					t.Errorf("%+v, verified %+v, %v", s, s.Verified, err)
				}
			})
		}
	}
}

// The keys of what failed in another run are taken for nothing else, and --only names documents by their _ids whatever the walk goes by.
func TestDocumentsArePickedByWhatTheyAreKnownBy(t *testing.T) {
	t.Parallel()
	const docs = 10
	seed := func(t *testing.T, db *mongo.Database) {
		for _, name := range []string{"things", "others"} {
			var list []any
			for i := range docs {
				list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "k", Value: docs - 1 - i}})
			}
			insert(t, db.Collection(name), list...)
			if _, err := db.Collection(name).Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: options.Index().SetUnique(true)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	broken := func(_ context.Context, doc bson.Raw) (backfill.Change, error) {
		if k, _ := doc.Lookup("k").AsInt64OK(); k > 6 {
			return backfill.None(), errors.New("no")
		}
		return backfill.None(), nil
	}
	named := func(name string, o backfill.Options, change func(context.Context, bson.Raw) (backfill.Change, error)) rikki.Script {
		o.Script.Name, o.MaxFailures = name, 100
		return function(o, change)
	}
	byKey := backfill.Options{Collection: "things", Key: "k"}
	rows := backfill.Options{Collection: "things", Source: items(0, 1, 2, 3)}
	db := rikkitest.DB(t)
	seed(t, db)
	app := rikkitest.App(t, db,
		named("broken", byKey, broken), named("mended", byKey, increment),
		named("by-id", backfill.Options{Collection: "things"}, increment), named("other", backfill.Options{Collection: "others", Key: "k"}, increment),
		named("rows", rows, increment),
	)
	first, err := app.Run(t.Context(), "broken", nil)
	if !isPartial(err, 3) {
		t.Fatal(err)
	}
	before := all(t, db.Collection("things"))
	for name, says := range map[string]string{"by-id": "went by k", "other": "and this is about", "rows": "source"} {
		result, err := app.Run(t.Context(), name, &rikki.RunOptions{Params: map[string]any{"failed-of": first.Run}})
		if err == nil || !strings.Contains(err.Error(), says) || result.State != rikki.Failed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if string(all(t, db.Collection("things"))) != string(before) {
		t.Error("other documents were changed")
	}
	ids := func() string {
		cur, err := db.Collection("things").Find(t.Context(), bson.D{{Key: "n", Value: 1}}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
		var found []struct {
			ID int `bson:"_id"`
		}
		if err == nil {
			err = cur.All(t.Context(), &found)
		}
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(found)
	}
	if _, err := app.Run(t.Context(), "mended", &rikki.RunOptions{Params: map[string]any{"failed-of": first.Run}}); err != nil || ids() != "[{0} {1} {2}]" {
		t.Errorf("%v, %s were changed", err, ids())
	}
	if _, err := app.Run(t.Context(), "mended", &rikki.RunOptions{Params: map[string]any{"only": []string{"7"}}}); err != nil || ids() != "[{0} {1} {2} {7}]" {
		t.Errorf("%v, %s were changed", err, ids())
	}
	// What failed of those that were named is known by its _id as well.
	named7, err := app.Run(t.Context(), "broken", &rikki.RunOptions{Params: map[string]any{"only": []string{"0", "8"}}})
	if !isPartial(err, 1) {
		t.Fatal(err)
	}
	if _, err := db.Collection("things").UpdateByID(t.Context(), 0, bson.D{{Key: "$unset", Value: bson.D{{Key: "n", Value: 1}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Run(t.Context(), "mended", &rikki.RunOptions{Params: map[string]any{"failed-of": named7.Run}}); err != nil || ids() != "[{0} {1} {2} {7}]" {
		t.Errorf("%v, %s were changed", err, ids())
	}
}

// A document whose key becomes an array stops the walk, which would meet it once for each element.
func TestAnArrayThatArrivesInTheKey(t *testing.T) {
	t.Parallel()
	const docs = 300
	for kind, script := range map[string]rikki.Script{
		"function": function(backfill.Options{Collection: "things", Key: "k", Chunk: 10, Workers: 1, Rate: 150, Script: rikki.Options{Name: "walk"}}, increment),
		"pipeline": pipeline(backfill.Options{Collection: "things", Key: "k", Chunk: 10, Workers: 1, Rate: 150, Script: rikki.Options{Name: "walk"}},
			set("n", bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$n", 0}}}, 1}}})),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			things := db.Collection("things")
			var list []any
			for i := range docs {
				list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "k", Value: i}})
			}
			insert(t, things, list...)
			index := mongo.IndexModel{Keys: bson.D{{Key: "k", Value: 1}}, Options: options.Index().SetUnique(true).SetName("by k")}
			if _, err := things.Indexes().CreateOne(t.Context(), index); err != nil {
				t.Fatal(err)
			}
			become := func(value any) error {
				_, err := things.UpdateByID(t.Context(), docs-1, bson.D{{Key: "$set", Value: bson.D{{Key: "k", Value: value}}}})
				return err
			}
			app := rikkitest.App(t, db, script)
			result, err := disturbed(t, app, "walk", func() error {
				return become(bson.A{docs - 1, 100.5, 150.5, 200.5, 250.5, 270.5})
			})
			if !errors.Is(err, backfill.ErrCollectionChanged) || result.State != rikki.Paused {
				t.Fatalf("%s: %v", result.State, err)
			}
			if result, err = app.Continue(t.Context(), result.Run, nil); !errors.Is(err, backfill.ErrCollectionChanged) || result.State != rikki.Paused {
				t.Fatalf("resumed too early: %v, %v", result, err)
			}
			if err := errors.Join(become(docs-1), things.Indexes().DropOne(t.Context(), "by k")); err != nil {
				t.Fatal(err)
			}
			if _, err := things.Indexes().CreateOne(t.Context(), index); err != nil {
				t.Fatal(err)
			}
			if result, err = app.Continue(t.Context(), result.Run, nil); err != nil {
				t.Fatalf("%v, %v", result, err)
			}
			once(t, things, docs)
		})
	}
}

// An index that doesn't have every document, or not in the order of the collection, is no index to walk by. Among several with the same
// key the one that serves is taken.
func TestIndexesToWalkBy(t *testing.T) {
	t.Parallel()
	unique := func() *options.IndexOptionsBuilder { return options.Index().SetUnique(true) }
	k := func(order any) bson.D { return bson.D{{Key: "k", Value: order}} }
	active := bson.D{{Key: "active", Value: true}}
	english := &options.Collation{Locale: "en", Strength: 2}
	for name, test := range map[string]struct {
		indexes []mongo.IndexModel
		says    string
	}{
		"plain":      {[]mongo.IndexModel{{Keys: k(1), Options: unique()}}, ""},
		"descending": {[]mongo.IndexModel{{Keys: k(-1), Options: unique()}}, ""},
		"partial":    {[]mongo.IndexModel{{Keys: k(1), Options: unique().SetPartialFilterExpression(active)}}, "partial"},
		"sparse":     {[]mongo.IndexModel{{Keys: k(1), Options: unique().SetSparse(true)}}, "sparse"},
		"hidden":     {[]mongo.IndexModel{{Keys: k(1), Options: unique().SetHidden(true)}}, "hidden"},
		"collation":  {[]mongo.IndexModel{{Keys: k(1), Options: unique().SetCollation(english)}}, "collation"},
		"not unique": {[]mongo.IndexModel{{Keys: k(1)}}, "not unique"},
		"hashed":     {[]mongo.IndexModel{{Keys: k("hashed")}}, "no order"},
		"compound":   {[]mongo.IndexModel{{Keys: append(k(1), bson.E{Key: "x", Value: 1}), Options: unique()}}, "no index"},
		"none":       {nil, "no index"},
		"several": {[]mongo.IndexModel{
			{Keys: k(1), Options: unique().SetPartialFilterExpression(active).SetName("a")},
			{Keys: k(1), Options: unique().SetCollation(english).SetName("b")},
			{Keys: k(1), Options: unique().SetName("c")},
			{Keys: k("hashed")},
		}, ""},
		"several others": {[]mongo.IndexModel{
			{Keys: k(1), Options: unique().SetPartialFilterExpression(active).SetName("a")}, {Keys: k(1), Options: unique().SetCollation(english).SetName("b")},
		}, "b has another collation"},
	} {
		for kind, script := range map[string]rikki.Script{
			"function": function(backfill.Options{Collection: "things", Key: "k", Chunk: 30}, increment),
			"deletion": function(backfill.Options{Collection: "things", Key: "k", Chunk: 30}, func(context.Context, bson.Raw) (backfill.Change, error) { return backfill.Delete(), nil }),
			"pipeline": pipeline(backfill.Options{Collection: "things", Key: "k", Chunk: 30}, set("n", 1)),
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				db := rikkitest.DB(t)
				things := db.Collection("things")
				var list []any
				for i := range 120 {
					list = append(list, bson.D{{Key: "_id", Value: -i}, {Key: "k", Value: fmt.Sprintf("%03d", i)}, {Key: "active", Value: i%4 == 0}})
				}
				insert(t, things, list...)
				if len(test.indexes) > 0 {
					if _, err := things.Indexes().CreateMany(t.Context(), test.indexes); err != nil {
						t.Fatal(err)
					}
				}
				s, err := summary(t, db, script, nil)
				if test.says != "" {
					if !errors.Is(err, backfill.ErrCannotWalk) || !strings.Contains(err.Error(), test.says) || s.Matched != 0 {
						t.Errorf("%+v, %v", s, err)
					}
					return
				}
				if err != nil || s.Changed+s.Deleted != 120 {
					t.Errorf("%+v, %v", s, err)
				}
			})
		}
	}
}

// Clustered collections have no other index on _id.
func TestClusteredCollections(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	clustered := bson.D{{Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "unique", Value: true}, {Key: "name", Value: "by id"}}
	if err := db.RunCommand(t.Context(), bson.D{{Key: "create", Value: "things"}, {Key: "clusteredIndex", Value: clustered}}).Err(); err != nil {
		t.Fatal(err)
	}
	things := db.Collection("things")
	numbered(t, things, 300)
	opts := backfill.Options{Collection: "things", Chunk: 20}
	off := opts
	off.Journal = backfill.JournalOff
	add := set("n", bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$n", 0}}}, 1}}})
	chance := opts
	chance.Filter = bson.D{{Key: "$sampleRate", Value: 1.0}}
	for i, script := range []rikki.Script{function(opts, increment), pipeline(opts, add), pipeline(off, add), pipeline(chance, add)} {
		if s, err := summary(t, db, script, nil); err != nil || s.Changed != 300 {
			t.Fatalf("%d: %+v, %v", i, s, err)
		}
	}
	if n, least, most := each(t, things); n != 300 || least != 4 || most != 4 {
		t.Errorf("%d documents, each %d to %d times", n, least, most)
	}
}

// Neither Rikki's own collections nor the server's can be walked or written to.
func TestCollectionsThatAreNobodysAreRefused(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	history := db.Name() + "_history"
	numbered(t, db.Collection("things"), 3)
	if _, err := summary(t, db, function(backfill.Options{Collection: "things"}, increment), nil); err != nil {
		t.Fatal(err)
	}
	for _, ns := range [][2]string{
		{history, "runs"}, {history, "journal"}, {history, "partitions"}, {history, "failures"}, {"admin", "things"}, {"local", "oplog.rs"}, {"config", "transactions"}, {db.Name(), "system.views"},
	} {
		for kind, script := range map[string]rikki.Script{
			"walk":     function(backfill.Options{Database: ns[0], Collection: ns[1]}, increment),
			"rows":     function(backfill.Options{Database: ns[0], Collection: ns[1], Source: items(1, 2)}, increment),
			"pipeline": pipeline(backfill.Options{Database: ns[0], Collection: ns[1]}, set("n", 1)),
		} {
			for _, dry := range []bool{true, false} {
				result, err := rikkitest.Try(t, db, script, &rikki.RunOptions{DryRun: dry})
				if err == nil || !strings.Contains(err.Error(), "own") || result != nil && result.State != rikki.Failed {
					t.Errorf("%s of %v, dry run %v: %v", kind, ns, dry, err)
				}
			}
		}
	}
}

// What the URI or the server demands of others' commands doesn't disturb a run.
func TestServersAndURIsWithDemands(t *testing.T) { //nolint:tparallel // one server for all of them, one after another
	t.Parallel()
	server := mongotest.Dedicated(t, &embedded.Options{Args: []string{"--setParameter", "notablescan=1"}})
	for _, demand := range []string{"readConcernLevel=linearizable", "readConcernLevel=available", "readPreference=secondaryPreferred", "w=1", "readConcernLevel=snapshot"} {
		t.Run(demand, func(t *testing.T) {
			client, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) }()
			db := client.Database("demands_" + strings.NewReplacer("=", "_").Replace(demand))
			things := db.Collection("things")
			numbered(t, things, 3000)
			uri := server.URI() + "&" + demand
			if !strings.Contains(server.URI(), "?") {
				uri = strings.TrimSuffix(server.URI(), "/") + "/?" + demand
			}
			opts := backfill.Options{Collection: "things", VerifyAgain: true}
			app := rikki.New(&rikki.Config{Conn: conn.Config{URI: uri, Database: db.Name()}, HistoryDatabase: db.Name() + "_history"}).MustAdd(
				function(opts, func(context.Context, bson.Raw) (backfill.Change, error) { return backfill.Set("v", 1), nil }),
				pipeline(backfill.Options{Collection: "things", Filter: bson.D{{Key: "v", Value: 1}}}, set("w", 1)), backfill.NewUndo())
			defer func() { _ = app.Close(context.WithoutCancel(t.Context())) }()
			for _, name := range []string{"scripted", "piped"} {
				for _, dry := range []bool{true, false} {
					result, err := app.Run(t.Context(), name, &rikki.RunOptions{DryRun: dry})
					if err != nil {
						t.Fatalf("%s, dry run %v: %v", name, dry, err)
					}
					if dry {
						continue
					}
					if s := result.Value.(*backfill.Summary); s.Changed != 3000 {
						t.Errorf("%s: %+v", name, s)
					}
					if name == "piped" {
						if _, err := backfill.Undo(t.Context(), app, result.Run, nil); err != nil {
							t.Errorf("undo: %v", err)
						}
					}
				}
			}
		})
	}
}
