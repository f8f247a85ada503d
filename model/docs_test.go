package model_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/model"
)

var numbers = model.Collection[doc]{Name: "numbers"}

func filled(t *testing.T, n int) (*model.Docs[doc], []doc) {
	t.Helper()
	docs := numbers.In(mongotest.DB(t))
	list := make([]doc, n)
	for i := range list {
		list[i].N = i
	}
	if err := docs.InsertMany(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	return docs, list
}

func byN(n int) bson.D { return bson.D{{Key: "n", Value: n}} }

func set(n int) bson.D { return bson.D{{Key: "$set", Value: byN(n)}} }

func TestDocs(t *testing.T) {
	t.Parallel()

	t.Run("GiveNewDocumentsAnIDAndKeepTheirs", func(t *testing.T) {
		t.Parallel()
		docs, list := filled(t, 2)
		if list[0].ID.IsZero() || list[0].ID == list[1].ID {
			t.Errorf("ids: %v", list)
		}
		own := doc{ID: bson.NewObjectID(), N: 7}
		id := own.ID
		if err := docs.Insert(t.Context(), &own); err != nil || own.ID != id {
			t.Errorf("%v, %v", own, err)
		}
		if got, err := docs.Get(t.Context(), id); err != nil || got != own {
			t.Errorf("%v, %v", got, err)
		}
		if err := docs.Insert(t.Context(), &own); !mongo.IsDuplicateKeyError(err) {
			t.Errorf("err = %v", err)
		}
	})

	t.Run("FindAsTheDriverDoes", func(t *testing.T) {
		t.Parallel()
		docs, list := filled(t, 5)
		got, err := docs.Find(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$gte", Value: 2}}}}, options.Find().SetSort(bson.D{{Key: "n", Value: -1}}).SetLimit(2))
		if diff := cmp.Diff([]doc{list[4], list[3]}, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
		if got, err := docs.FindOne(t.Context(), byN(3)); err != nil || got != list[3] {
			t.Errorf("%v, %v", got, err)
		}
		if _, err := docs.FindOne(t.Context(), byN(9)); !errors.Is(err, mongo.ErrNoDocuments) {
			t.Errorf("err = %v", err)
		}
		if n, err := docs.Count(t.Context(), bson.D{}); err != nil || n != 5 {
			t.Errorf("%d, %v", n, err)
		}
	})

	t.Run("ListOneByOneAndEndTheirCursor", func(t *testing.T) {
		t.Parallel()
		docs, _ := filled(t, 10)
		var seen []int
		for d, err := range docs.All(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "n", Value: 1}}).SetBatchSize(2)) {
			if err != nil {
				t.Fatal(err)
			}
			if seen = append(seen, d.N); len(seen) == 5 {
				break
			}
		}
		if !slices.Equal(seen, []int{0, 1, 2, 3, 4}) {
			t.Errorf("seen %v", seen)
		}
		var open struct {
			Cursors []bson.Raw `bson:"cursor"`
		}
		cursor, err := docs.Coll().Database().Client().Database("admin").Aggregate(t.Context(), bson.A{
			bson.D{{Key: "$currentOp", Value: bson.D{{Key: "idleCursors", Value: true}, {Key: "allUsers", Value: true}}}},
			bson.D{{Key: "$match", Value: bson.D{{Key: "type", Value: "idleCursor"}, {Key: "ns", Value: docs.Coll().Database().Name() + ".numbers"}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := cursor.All(t.Context(), &open.Cursors); err != nil || len(open.Cursors) != 0 {
			t.Errorf("%d cursors left, %v", len(open.Cursors), err)
		}
	})

	t.Run("ListEndsWithItsFirstError", func(t *testing.T) {
		t.Parallel()
		docs, _ := filled(t, 3)
		if _, err := docs.Coll().InsertOne(t.Context(), bson.D{{Key: "n", Value: "text"}}); err != nil {
			t.Fatal(err)
		}
		good, bad := 0, 0
		for _, err := range docs.All(t.Context(), bson.D{}) {
			if err == nil {
				good++
			} else {
				bad++
			}
		}
		if good != 3 || bad != 1 {
			t.Errorf("%d documents, %d errors", good, bad)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range docs.All(ctx, bson.D{}) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("err = %v", err)
			}
		}
	})

	t.Run("Change", func(t *testing.T) {
		t.Parallel()
		docs, list := filled(t, 3)
		ctx := t.Context()
		if err := docs.UpdateByID(ctx, list[0].ID, set(10)); err != nil {
			t.Error(err)
		}
		if err := docs.Replace(ctx, doc{ID: list[1].ID, N: 11}); err != nil {
			t.Error(err)
		}
		if result, err := docs.UpdateOne(ctx, byN(2), set(12)); err != nil || result.ModifiedCount != 1 {
			t.Errorf("%v, %v", result, err)
		}
		if result, err := docs.UpdateMany(ctx, bson.D{}, bson.D{{Key: "$inc", Value: byN(100)}}); err != nil || result.ModifiedCount != 3 {
			t.Errorf("%v, %v", result, err)
		}
		after := options.FindOneAndUpdate().SetReturnDocument(options.After)
		if got, err := docs.FindOneAndUpdate(ctx, byN(110), set(5), after); err != nil || got != (doc{list[0].ID, 5}) {
			t.Errorf("%v, %v", got, err)
		}
		if err := docs.Delete(ctx, list[0].ID); err != nil {
			t.Error(err)
		}
		if got, err := docs.Find(ctx, bson.D{}, options.Find().SetSort(byN(1))); err != nil || !slices.Equal(got, []doc{{list[1].ID, 111}, {list[2].ID, 112}}) {
			t.Errorf("%v, %v", got, err)
		}
		if n, err := docs.DeleteMany(ctx, bson.D{}); err != nil || n != 2 {
			t.Errorf("%d, %v", n, err)
		}
	})

	t.Run("SayWhenThereIsNothingToChange", func(t *testing.T) {
		t.Parallel()
		docs, _ := filled(t, 1)
		absent := bson.NewObjectID()
		_, getErr := docs.Get(t.Context(), absent)
		_, changeErr := docs.FindOneAndUpdate(t.Context(), byN(9), set(1))
		for _, err := range []error{
			getErr, changeErr,
			docs.UpdateByID(t.Context(), absent, set(1)),
			docs.Replace(t.Context(), doc{ID: absent}),
			docs.Delete(t.Context(), absent),
		} {
			if !errors.Is(err, mongo.ErrNoDocuments) {
				t.Errorf("err = %v", err)
			}
		}
		if err := docs.UpdateByID(t.Context(), absent, set(1), options.UpdateOne().SetUpsert(true)); err != nil {
			t.Errorf("upsert: %v", err)
		}
		type bare struct{ N int }
		if err := (model.Collection[bare]{Name: "bare"}).In(docs.Coll().Database()).Replace(t.Context(), bare{}); err == nil || errors.Is(err, mongo.ErrNoDocuments) {
			t.Errorf("without _id: %v", err)
		}
	})

	t.Run("WorkInATransaction", func(t *testing.T) {
		t.Parallel()
		docs, list := filled(t, 1)
		session, err := docs.Coll().Database().Client().StartSession()
		if err != nil {
			t.Fatal(err)
		}
		defer session.EndSession(t.Context())
		gone := errors.New("changed my mind")
		_, err = session.WithTransaction(t.Context(), func(ctx context.Context) (any, error) {
			if err := docs.Insert(ctx, &doc{N: 1}); err != nil {
				return nil, err
			}
			if err := docs.Delete(ctx, list[0].ID); err != nil {
				return nil, err
			}
			return nil, gone
		})
		if !errors.Is(err, gone) {
			t.Fatal(err)
		}
		if got, err := docs.Find(t.Context(), bson.D{}); err != nil || !slices.Equal(got, list) {
			t.Errorf("%v, %v", got, err)
		}
	})
}
