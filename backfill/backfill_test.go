package backfill_test

import (
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

type user struct {
	ID    any    `bson:"_id"`
	Email string `bson:"email"`
}

// lower is a backfill that is a function.
type lower struct {
	Mode string `default:"changed"`
}

func (l *lower) Backfill() backfill.Options {
	return backfill.Options{Collection: "users", Journal: backfill.Journal(l.Mode), Chunk: 50}
}

func (*lower) Change(_ context.Context, u user) (backfill.Change, error) {
	return backfill.Set("email", strings.ToLower(u.Email)), nil
}

// mark is a backfill that is a pipeline.
type mark struct{ Mode string }

func (m *mark) Backfill() backfill.Options {
	return backfill.Options{Collection: "users", Journal: backfill.Journal(m.Mode), Chunk: 50}
}

func (*mark) Pipeline() mongo.Pipeline {
	return mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "n", Value: bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$n", 0}}}, 1}}}}}}}}
}

func seed(t *testing.T, coll *mongo.Collection, n int) {
	t.Helper()
	var docs []any
	for i := range n {
		docs = append(docs, bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "email", Value: "A@B.example"}, {Key: "i", Value: i}})
	}
	if _, err := coll.InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
}

func TestFunctionChangesEveryDocument(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"changed", "full", "ids", "off"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			seed(t, db.Collection("users"), 1234)
			result, err := rikkitest.Try(t, db, backfill.New[user](&lower{}), &rikki.RunOptions{Params: map[string]any{"mode": mode}})
			if err != nil {
				t.Fatal(err)
			}
			if s := result.Value.(*backfill.Summary); s.Changed != 1234 || s.Matched != 1234 {
				t.Errorf("summary %+v", s)
			}
			if n, err := db.Collection("users").CountDocuments(t.Context(), bson.D{{Key: "email", Value: "a@b.example"}}); err != nil || n != 1234 {
				t.Errorf("%d changed (%v)", n, err)
			}
		})
	}
}

func TestPipelineChangesEveryDocumentOnce(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"changed", "full", "ids", "off"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			seed(t, db.Collection("users"), 1234)
			result, err := rikkitest.Try(t, db, backfill.NewPipeline(&mark{}), &rikki.RunOptions{Params: map[string]any{"mode": mode}})
			if err != nil {
				t.Fatal(err)
			}
			if s := result.Value.(*backfill.Summary); s.Changed != 1234 || s.Matched != 1234 {
				t.Errorf("summary %+v", s)
			}
			if n, err := db.Collection("users").CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}}); err != nil || n != 1234 {
				t.Errorf("%d changed (%v)", n, err)
			}
		})
	}
}

func TestDryRunForecastsAndChangesNothing(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]rikki.Script{"function": backfill.New[user](&lower{}), "pipeline": backfill.NewPipeline(&mark{Mode: "changed"})} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := rikkitest.DB(t)
			seed(t, db.Collection("users"), 1234)
			result, err := rikkitest.Try(t, db, script, &rikki.RunOptions{DryRun: true})
			if err != nil {
				t.Fatal(err)
			}
			f, ok := result.Value.(*backfill.Forecast)
			if !ok || f.Sampled != 100 || f.Changed != 100 || f.Matched != 1234 || f.MaxMatched != 1357 || f.JournalBytes == 0 || len(f.Fields) != 1 {
				t.Errorf("forecast %+v", result.Value)
			}
			if p := result.Preview; p == nil || len(p.Changes) != 20 || len(p.Changes[0].Fields) != 1 {
				t.Errorf("preview %+v", p)
			}
			if n, err := db.Collection("users").CountDocuments(t.Context(), bson.D{{Key: "email", Value: "A@B.example"}, {Key: "n", Value: nil}}); err != nil || n != 1234 {
				t.Errorf("%d are as they were (%v)", n, err)
			}
		})
	}
}
