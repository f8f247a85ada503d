//go:build linux

package faultrig

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Mark is what a script leaves in a document that it has processed, in the array seen, beside adding 1 to n: both
// work that was done twice and work that was left out are visible.
type Mark struct {
	Run   string `bson:"run"`
	Chunk string `bson:"chunk"` // unique within the run
	Token int64  `bson:"token"` // the epoch of whoever wrote
}

// Doc is a document of a target collection.
type Doc struct {
	ID   any    `bson:"_id"`
	N    int64  `bson:"n"`
	Seen []Mark `bson:"seen"`
}

// Seed fills a target collection with documents that nobody has processed.
func Seed(t testing.TB, coll *mongo.Collection, ids ...any) {
	t.Helper()
	const batch = 10_000
	for len(ids) > 0 {
		n := min(batch, len(ids))
		docs := make([]any, n)
		for i, id := range ids[:n] {
			docs[i] = bson.D{{Key: "_id", Value: id}, {Key: "n", Value: 0}, {Key: "seen", Value: bson.A{}}}
		}
		if _, err := coll.InsertMany(t.Context(), docs, options.InsertMany().SetOrdered(false)); err != nil {
			t.Fatal("seed:", err)
		}
		ids = ids[n:]
	}
}

// Ints are n ids.
func Ints(n int) []any {
	ids := make([]any, n)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// violations collects what was wrong, and shows no more than a few.
type violations struct {
	list  []string
	total int
}

func (v *violations) add(format string, args ...any) {
	if v.total++; len(v.list) < 8 {
		v.list = append(v.list, fmt.Sprintf(format, args...))
	}
}

func (v *violations) err(invariant string) error {
	if v.total == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d violations:\n  %s", invariant, v.total, strings.Join(v.list, "\n  "))
}

// ExactlyOnce is invariant I1: want documents, each with n of 1 and one mark. It looks at every document.
func ExactlyOnce(t testing.TB, coll *mongo.Collection, want int) {
	t.Helper()
	if err := CheckExactlyOnce(t.Context(), coll, want); err != nil {
		t.Error(err)
	}
}

// CheckExactlyOnce is [ExactlyOnce] for negative controls.
func CheckExactlyOnce(ctx context.Context, coll *mongo.Collection, want int) error {
	var v violations
	count, sum := 0, int64(0)
	err := each(ctx, coll, func(d Doc) {
		count++
		sum += d.N
		if d.N != 1 || len(d.Seen) != 1 {
			v.add("document %v: n is %d, seen is %+v", d.ID, d.N, d.Seen)
		}
	})
	if err != nil {
		return err
	}
	if count != want || sum != int64(want) {
		v.add("%d documents with a sum of %d, want %d of both", count, sum, want)
	}
	return v.err("exactly once (I1)")
}

// Contiguous is invariant I2, as the documents tell it: in the order of the key, the documents of each chunk follow on each other, and no
// chunk comes back after another. It needs marks with chunks.
func Contiguous(t testing.TB, coll *mongo.Collection) {
	t.Helper()
	if err := CheckContiguous(t.Context(), coll); err != nil {
		t.Error(err)
	}
}

// CheckContiguous is [Contiguous] for negative controls.
func CheckContiguous(ctx context.Context, coll *mongo.Collection) error {
	var v violations
	ended := map[string]bool{}
	at := ""
	err := each(ctx, coll, func(d Doc) {
		if len(d.Seen) == 0 {
			v.add("document %v was left out", d.ID)
			return
		}
		chunk := d.Seen[0].Run + "/" + d.Seen[0].Chunk
		if chunk == at {
			return
		}
		if ended[chunk] {
			v.add("document %v is of chunk %s, which had ended before %s", d.ID, chunk, at)
		}
		ended[at], at = true, chunk
	})
	if err != nil {
		return err
	}
	return v.err("chunks tile the key space (I2)")
}

// each reads a target collection in the order of its key.
func each(ctx context.Context, coll *mongo.Collection, look func(Doc)) error {
	cur, err := coll.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return err
	}
	defer cur.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	for cur.Next(ctx) {
		var d Doc
		if err := cur.Decode(&d); err != nil {
			return err
		}
		look(d)
	}
	return cur.Err()
}

// Majority is invariant I11: every document that was reported as written can be read back with majority.
func Majority(t testing.TB, coll *mongo.Collection, ids []any) {
	t.Helper()
	if err := CheckMajority(t.Context(), coll, ids); err != nil {
		t.Error(err)
	}
}

// CheckMajority is [Majority] for negative controls.
func CheckMajority(ctx context.Context, coll *mongo.Collection, ids []any) error {
	var v violations
	coll = coll.Database().Collection(coll.Name(), options.Collection().SetReadConcern(majorityRead).SetReadPreference(primaryRead))
	for _, id := range ids {
		err := coll.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Err()
		if err == mongo.ErrNoDocuments { //nolint:errorlint // the driver returns it bare
			v.add("%v was acknowledged and is gone", id)
		} else if err != nil {
			return err
		}
	}
	return v.err("what was acknowledged is there (I11)")
}

// MarkOf is the mark that a change has left in its document, if it has.
func MarkOf(c Change) (m Mark, ok bool) {
	fields, err := c.Description.Updated.Elements()
	if err != nil {
		return m, false
	}
	for _, f := range fields {
		switch doc, isDoc := f.Value().DocumentOK(); {
		case strings.HasPrefix(f.Key(), "seen.") && isDoc:
			return m, bson.Unmarshal(doc, &m) == nil
		case f.Key() == "seen": // the array was replaced
			var all []Mark
			if f.Value().Unmarshal(&all) != nil || len(all) == 0 {
				return m, false
			}
			return all[len(all)-1], true
		}
	}
	return m, false
}
