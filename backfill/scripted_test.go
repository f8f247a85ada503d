package backfill_test

import (
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/rikkitest"
)

// scripted is a backfill whose parts are given by the test.
type scripted struct {
	opts   backfill.Options
	change func(context.Context, bson.Raw) (backfill.Change, error)
}

func (s *scripted) Backfill() backfill.Options { return s.opts }

func (s *scripted) Change(ctx context.Context, doc bson.Raw) (backfill.Change, error) {
	return s.change(ctx, doc)
}

// function makes a script of a function and its options.
func function(opts backfill.Options, change func(context.Context, bson.Raw) (backfill.Change, error)) rikki.Script {
	return backfill.New[bson.Raw](&scripted{opts, change})
}

// piped is the same with a pipeline.
type piped struct {
	opts   backfill.Options
	stages mongo.Pipeline
}

func (p *piped) Backfill() backfill.Options { return p.opts }
func (p *piped) Pipeline() mongo.Pipeline   { return p.stages }

func pipeline(opts backfill.Options, stages ...bson.D) rikki.Script {
	return backfill.NewPipeline(&piped{opts, stages})
}

// set is a stage.
func set(field string, value any) bson.D {
	return bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}}}}
}

// increment counts a document.
func increment(context.Context, bson.Raw) (backfill.Change, error) {
	return backfill.Update(bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}), nil
}

// summary runs a script on a database and returns what it says.
func summary(t *testing.T, db *mongo.Database, script rikki.Script, params map[string]any) (*backfill.Summary, error) {
	t.Helper()
	result, err := rikkitest.Try(t, db, script, &rikki.RunOptions{Params: params})
	if result == nil {
		return &backfill.Summary{}, err
	}
	s, ok := result.Value.(*backfill.Summary)
	if !ok {
		s = &backfill.Summary{}
	}
	return s, err
}
