//go:build linux

package faults_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// Case 40 beside others: they write to documents while an undo of these is killed, and while another process goes on with it. Nothing of
// theirs is lost, and the rest is as before, byte for byte.
func TestKilledUndoBesideForegroundWriters(t *testing.T) {
	t.Parallel()
	const docs, chunk = 300, 10
	for range rounds(t, 1) {
		s := onShared(t).shortLease()
		coll := s.seed(t, "docs", docs)
		before := bytesOf(t, coll)
		first := s.start(t)
		id := s.enqueue(t, "marks", marks("docs", chunk, nil))
		s.await(t, id, time.Minute, rikki.Succeeded)
		first.Kill()
		others := besides(t, coll, docs)
		victim := s.start(t, faultrig.At(faultrig.Crash{Point: "undo.chunk", Hit: 5 + rand.IntN(docs/chunk-10), Then: faultrig.Suicide}))
		undo := s.enqueue(t, backfill.UndoName, map[string]any{"run": id, "chunk": chunk})
		if _, ok := victim.ReachedPoint(); !ok {
			t.Fatalf("the undo was not killed:\n%s", victim.Output())
		}
		s.start(t)
		record := s.await(t, undo, time.Minute, rikki.Succeeded, rikki.SucceededWithErrors)
		others.stop()
		tookOver(t, record, 1)
		if others.added() == 0 {
			t.Error("others wrote nothing: the fault did not happen")
		}
		if err := others.check(before, bytesOf(t, coll)); err != nil {
			t.Error(err)
		}
		t.Logf("%d writes of others, %+v", others.added(), record.Counters)

		// Negative control: the same judge sees an undo that puts whole documents back.
		if _, err := coll.ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: 0}}, before[0]); err != nil {
			t.Fatal(err)
		}
		if others.check(before, bytesOf(t, coll)) == nil {
			t.Error("a document was replaced with what others wrote to it, and nobody noticed")
		}
		leave(t, s)
	}
}

// bystanders write to documents beside a run: they count in w of a third of them, and take n of another third over.
type bystanders struct {
	stop  func()
	third int

	mu    sync.Mutex
	count map[int]int32 // of w, by _id
	taken map[int]bool
}

const takenOver = 1_000 // what they make of n

func besides(t *testing.T, coll *mongo.Collection, docs int) *bystanders {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &bystanders{third: docs / 3, count: map[int]int32{}, taken: map[int]bool{}}
	var writers sync.WaitGroup
	write := func(pick func(i int) int, change bson.D, done func(id int)) {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := pick(i)
				if _, err := coll.UpdateByID(context.WithoutCancel(ctx), id, change); err != nil {
					t.Error("a write of others:", err)
					return
				}
				b.mu.Lock()
				done(id)
				b.mu.Unlock()
			}
		})
	}
	inc := bson.D{{Key: "$inc", Value: bson.D{{Key: "w", Value: int32(1)}}}}
	set := bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: takenOver}}}}
	// From both ends, so that they meet the undo wherever it is.
	write(func(i int) int { return i % b.third }, inc, func(id int) { b.count[id]++ })
	write(func(i int) int { return b.third - 1 - i%b.third }, inc, func(id int) { b.count[id]++ })
	write(func(i int) int { return b.third + i%b.third }, set, func(id int) { b.taken[id] = true })
	b.stop = func() { cancel(); writers.Wait() }
	t.Cleanup(b.stop)
	return b
}

func (b *bystanders) added() (n int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.count {
		n += w
	}
	return n
}

// check compares documents with those from before.
func (b *bystanders) check(before, after map[int]bson.Raw) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(after) != len(before) {
		return fmt.Errorf("%d documents, and %d before", len(after), len(before))
	}
	var errs []error
	for id, doc := range after {
		n, _ := doc.Lookup("n").AsInt64OK()
		switch w, _ := doc.Lookup("w").Int32OK(); {
		case w != b.count[id]:
			errs = append(errs, fmt.Errorf("document %d: w is %d after %d acknowledged writes", id, w, b.count[id]))
		case b.taken[id] && n != takenOver:
			errs = append(errs, fmt.Errorf("document %d: n is %d, and was set to %d by others", id, n, takenOver))
		case !b.taken[id] && !bytes.Equal(without(doc, "w"), before[id]):
			errs = append(errs, fmt.Errorf("document %d: %s, and was %s", id, doc, before[id]))
		}
	}
	return errors.Join(errs...)
}

// without is a document without a field, byte for byte.
func without(doc bson.Raw, field string) bson.Raw {
	elements, err := doc.Elements()
	if err != nil {
		return nil
	}
	rest := bson.D{}
	for _, e := range elements {
		if e.Key() != field {
			rest = append(rest, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	out, err := bson.Marshal(rest)
	if err != nil {
		return nil
	}
	return out
}

// bytesOf is each document of a collection with numbers for _ids.
func bytesOf(t testing.TB, coll *mongo.Collection) map[int]bson.Raw {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.Raw
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	all := make(map[int]bson.Raw, len(docs))
	for _, doc := range docs {
		all[int(doc.Lookup("_id").AsInt64())] = doc
	}
	return all
}
