//go:build linux

package faults_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// maxDocument is the server's limit.
const maxDocument = 16 << 20

// strange are documents at the limits of what the server takes. The mark fits into each but the one called full.
func strange(t *testing.T) []any {
	t.Helper()
	begin := func(id string) bson.D {
		return bson.D{{Key: "_id", Value: id}, {Key: "n", Value: 0}, {Key: "seen", Value: bson.A{}}}
	}
	pad := func(id string, left int) bson.D {
		raw, err := bson.Marshal(append(begin(id), bson.E{Key: "pad", Value: ""}))
		if err != nil {
			t.Fatal(err)
		}
		return append(begin(id), bson.E{Key: "pad", Value: strings.Repeat("p", maxDocument-len(raw)-left)})
	}
	keys := begin("keys")
	for i := range 100_000 {
		keys = append(keys, bson.E{Key: fmt.Sprint("k", i), Value: i})
	}
	deep := any("bottom")
	for range 170 { // the server takes 200 levels, and an update some fewer
		deep = bson.D{{Key: "d", Value: deep}}
	}
	return []any{
		pad("big", 4096), pad("full", 0), keys,
		append(begin("deep"), bson.E{Key: "d", Value: deep}),
		append(begin("names"), bson.E{Key: "$set", Value: 1}, bson.E{Key: "a.b", Value: bson.D{{Key: "$c.d", Value: 2}}}, bson.E{Key: "", Value: 3}, bson.E{Key: "$", Value: 4}),
		append(begin("nul"), bson.E{Key: "s", Value: "a\x00b"}, bson.E{Key: "r", Value: bson.Regex{Pattern: ".*", Options: "i"}}),
		append(begin("twice"), bson.E{Key: "same", Value: 1}, bson.E{Key: "same", Value: 2}),
		append(begin("plain"), bson.E{Key: "s", Value: "plain"}),
	}
}

// Case 31: documents of 16 MiB, of 100,000 fields, 170 levels deep, with names and values that mean something elsewhere. What fits is
// changed once and restored to the byte, whatever the journal keeps; what doesn't is recorded as failed and left as it is.
func TestBackfillOfStrangeDocuments(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"marks", "pipes"} {
		for _, mode := range []string{"changed", "full"} {
			t.Run(kind+"/"+mode, func(t *testing.T) {
				t.Parallel()
				s := onShared(t)
				coll := s.db.Collection("docs")
				docs := strange(t)
				for _, doc := range docs {
					if _, err := coll.InsertOne(t.Context(), doc); err != nil {
						t.Fatal(err)
					}
				}
				before, app := hash(t, coll), s.own(t, nil)
				result, err := app.Run(t.Context(), kind, &rikki.RunOptions{Params: marks("docs", 5, map[string]any{"journal": mode})})
				if result == nil || result.State != rikki.SucceededWithErrors || result.Counters["failed"] != 1 || result.Counters["changed"] != int64(len(docs)-1) {
					t.Fatalf("%+v, %v", result, err)
				}
				left := bson.D{{Key: "_id", Value: "full"}, {Key: "n", Value: 0}}
				if n, err := coll.CountDocuments(t.Context(), left); err != nil || n != 1 {
					t.Errorf("the document that can't be changed was: %d, %v", n, err)
				}
				done, err := marked(t.Context(), coll)
				if err != nil || len(done) != len(docs)-1 {
					t.Errorf("%d documents are done, %v", len(done), err)
				}
				s.undo(t, coll, result.Run, before)
			})
		}
	}
}

// Negative control, fact V13: a journal that keeps documents whole cannot keep them all.
func TestAJournalOfWholeDocumentsIsFoundOut(t *testing.T) {
	t.Parallel()
	s := onShared(t)
	var failed error
	for _, doc := range strange(t) {
		if _, err := s.db.Collection("naive").InsertOne(t.Context(), bson.D{{Key: "run", Value: "r"}, {Key: "before", Value: doc}}); err != nil {
			failed = err
		}
	}
	if failed == nil {
		t.Error("every document fits into another one: the test can't tell")
	}
}

// Case 39: indexes are built on the collection that a backfill walks, and on a history that has lost its own, while the set fails over. Each is
// there once, and the run goes on.
func TestBackfillWhileIndexesAreBuiltAndTheSetFailsOver(t *testing.T) {
	t.Parallel()
	set := faultrig.Borrow(t)
	for range rounds(t, 1) {
		s := onSet(t, set)
		const docs = 2000
		coll := s.seed(t, "docs", docs)
		before := hash(t, coll)
		if _, err := s.app.Run(t.Context(), "once", &rikki.RunOptions{Params: &Once{Coll: "did"}}); err != nil { // so that the history has documents
			t.Fatal(err)
		}
		all := indexes(t, s.runs())
		if err := s.runs().Indexes().DropAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if maps.Equal(indexes(t, s.runs()), all) {
			t.Error("the history has lost no index: the test can't tell")
		}

		held := set.HoldIndexBuilds(t, set.Primary(t))
		p := faultrig.Start(t, "serve", s.place)
		s.alive = append(s.alive, p)
		held.Await(t, 1)
		set.StepDown(t) // while the history's indexes are built
		held.Off()
		p.Await(t, "ready")
		id := s.enqueue(t, "marks", marks("docs", 20, map[string]any{"rate": 300, "lag": "-1s"}))
		s.underWay(t, coll, 20)

		held = set.HoldIndexBuilds(t, set.Primary(t))
		built := make(chan []error, 1)
		go func() { built <- build(t.Context(), coll) }()
		held.Await(t, 1)
		set.StepDown(t)
		held.Off()
		refused := <-built
		if len(refused) == 0 { // the negative control: who asks once has failed
			t.Error("the first to ask for an index was told that it is there: the fault did not happen")
		}
		s.await(t, id, 2*time.Minute, rikki.Succeeded)
		s.audit(t, coll, id, docs)
		if names := indexes(t, coll); names["n_1_seen_1"] != 1 || len(names) != 2 {
			t.Errorf("the collection has the indexes %v", names)
		}
		if names := indexes(t, s.runs()); !maps.Equal(names, all) {
			t.Errorf("the history has the indexes %v, and had %v", names, all)
		}
		s.undo(t, coll, id, before)
		leave(t, s)
		t.Logf("the index was refused %d times: %v", len(refused), refused)
	}
}

// build asks for an index as a deployment would: again until it is there. It returns the answers before.
func build(ctx context.Context, coll *mongo.Collection) (refused []error) {
	model := mongo.IndexModel{Keys: bson.D{{Key: "n", Value: 1}, {Key: "seen", Value: 1}}}
	for ctx.Err() == nil {
		_, err := coll.Indexes().CreateOne(ctx, model)
		if err == nil {
			break
		}
		refused = append(refused, err)
	}
	return refused
}

// indexes counts a collection's indexes by name.
func indexes(t *testing.T, coll *mongo.Collection) map[string]int {
	t.Helper()
	specs, err := coll.Indexes().ListSpecifications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, spec := range specs {
		names[spec.Name]++
	}
	return names
}
