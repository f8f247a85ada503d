package model_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/mongotest"
	"github.com/rikki-go/rikki/model"
)

type doc struct {
	ID bson.ObjectID `bson:"_id"`
	N  int           `bson:"n"`
}

func lines(changes []model.Change) []string {
	var list []string
	for _, c := range changes {
		line := c.String()
		if c.Applied {
			line += " ✓"
		}
		list = append(list, line)
	}
	return list
}

func TestEnsureIndexes(t *testing.T) {
	t.Parallel()

	all := []model.Index{
		{Keys: "email", Unique: true},
		{Keys: "team, -createdAt"},
		{Keys: "nick", Sparse: true},
		{Keys: "expiresAt", TTL: new(24 * time.Hour)},
		{Keys: "gone", TTL: new(time.Duration)},
		{Keys: "place:2dsphere"},
		{Keys: "key:hashed"},
		{Keys: "email, state", Partial: bson.D{{Key: "state", Value: "open"}, {Key: "n", Value: bson.D{{Key: "$gt", Value: 1}}}}},
		{Keys: "email", Name: "email_ci", Collation: bson.D{{Key: "locale", Value: "en"}, {Key: "strength", Value: 2}}},
		{Keys: "address.city"},
	}

	t.Run("CreatesWhatIsMissingAndIsDoneThen", func(t *testing.T) {
		t.Parallel()
		docs := model.Collection[doc]{Name: "c", Indexes: all}.In(mongotest.DB(t))
		diff, err := docs.DiffIndexes(t.Context())
		if err != nil || len(diff) != len(all) || diff[0].Applied {
			t.Fatalf("diff: %v, %v", diff, err)
		}
		done, err := docs.EnsureIndexes(t.Context(), nil)
		if err != nil || len(done) != len(all) || slices.ContainsFunc(done, func(c model.Change) bool { return c.Kind != model.Missing || !c.Applied }) {
			t.Fatalf("first: %v, %v", lines(done), err)
		}
		done, err = docs.EnsureIndexes(t.Context(), &model.IndexOptions{Rebuild: true, DropExtra: true})
		if err != nil || len(done) != 0 {
			t.Fatalf("a second time: %v, %v", lines(done), err)
		}
	})

	t.Run("NeverDropsUnlessAsked", func(t *testing.T) {
		t.Parallel()
		db := mongotest.DB(t)
		before := model.Collection[doc]{Name: "c", Indexes: []model.Index{{Keys: "a"}, {Keys: "old"}, {Keys: "at", TTL: new(time.Hour)}}}.In(db)
		if _, err := before.EnsureIndexes(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		docs := model.Collection[doc]{Name: "c", Indexes: []model.Index{{Keys: "a", Unique: true}, {Keys: "b"}, {Keys: "at", TTL: new(2 * time.Hour)}}}.In(db)
		got, err := docs.EnsureIndexes(t.Context(), nil)
		if !errors.Is(err, model.ErrIndexDiffers) {
			t.Errorf("err = %v", err)
		}
		want := []string{
			`~ a_1: a_1 {"a":1} → {"a":1} unique`,
			`+ b_1: {"b":1} ✓`,
			`~ at_1: at_1 {"at":1} expires after 3600 s → {"at":1} expires after 7200 s`,
			`- old_1: {"old":1}`,
		}
		if diff := cmp.Diff(want, lines(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		want = slices.Delete(want, 1, 2)
		if left, err := docs.DiffIndexes(t.Context()); err != nil || !slices.Equal(lines(left), want) {
			t.Errorf("left: %v, %v", lines(left), err)
		}
		if got, err = docs.EnsureIndexes(t.Context(), &model.IndexOptions{Rebuild: true}); err != nil || len(got) != 3 || got[2].Applied {
			t.Errorf("rebuild: %v, %v", lines(got), err)
		}
		if got, err = docs.EnsureIndexes(t.Context(), &model.IndexOptions{DropExtra: true}); err != nil || len(got) != 1 || !got[0].Applied {
			t.Errorf("drop: %v, %v", lines(got), err)
		}
		if left, err := docs.DiffIndexes(t.Context()); err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", lines(left), err)
		}
	})

	t.Run("KnowsAnIndexByItsKeysWhateverItsName", func(t *testing.T) {
		t.Parallel()
		db := mongotest.DB(t)
		_, err := db.Collection("c").Indexes().CreateOne(t.Context(), mongo.IndexModel{
			Keys: bson.D{{Key: "email", Value: 1.0}}, Options: options.Index().SetName("by_mail").SetUnique(true),
		})
		if err != nil {
			t.Fatal(err)
		}
		docs := model.Collection[doc]{Name: "c", Indexes: []model.Index{{Keys: "email", Unique: true}}}.In(db)
		if got, err := docs.EnsureIndexes(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("%v, %v", lines(got), err)
		}
		named := model.Collection[doc]{Name: "c", Indexes: []model.Index{{Keys: "email", Unique: true, Name: "mail"}}}.In(db)
		if got, err := named.EnsureIndexes(t.Context(), &model.IndexOptions{Rebuild: true}); err != nil || len(got) != 1 {
			t.Errorf("%v, %v", lines(got), err)
		}
		if got, err := named.DiffIndexes(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("%v, %v", lines(got), err)
		}
	})

	t.Run("SaysWhichUniqueIndexFailed", func(t *testing.T) {
		t.Parallel()
		docs := model.Collection[doc]{Name: "c", Indexes: []model.Index{{Keys: "ok"}, {Keys: "n", Unique: true}}}.In(mongotest.DB(t))
		if err := docs.InsertMany(t.Context(), []doc{{N: 1}, {N: 1}}); err != nil {
			t.Fatal(err)
		}
		got, err := docs.EnsureIndexes(t.Context(), nil)
		if !mongo.IsDuplicateKeyError(err) || len(got) != 2 || !got[0].Applied || got[1].Applied {
			t.Errorf("%v, %v", lines(got), err)
		}
	})

	t.Run("RefusesBadDeclarationsBeforeItAsksTheServer", func(t *testing.T) {
		t.Parallel()
		docs := model.Collection[doc]{Name: "c", Indexes: []model.Index{
			{Keys: ""},
			{Keys: "a,,b"},
			{Keys: "a, -a"},
			{Keys: "a:text"},
			{Keys: "$**"},
			{Keys: "a b"},
			{Keys: "a", TTL: new(-time.Second)},
			{Keys: "a", TTL: new(time.Millisecond)},
			{Keys: "a, b", TTL: new(time.Second)},
			{Keys: "x", Sparse: true, Partial: bson.D{}},
			{Keys: "y"},
			{Keys: "y", Unique: true},
		}}.In(mongotest.DB(t))
		_, err := docs.EnsureIndexes(t.Context(), nil)
		joined, ok := errors.Unwrap(err).(interface{ Unwrap() []error })
		if !ok || len(joined.Unwrap()) != 11 {
			t.Errorf("%v", err)
		}
	})
}
