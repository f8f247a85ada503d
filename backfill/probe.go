package backfill

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/store"
)

// none selects nothing.
func none() bson.D { return bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{}}}}} }

// probe implements [prober].
func (w *functionWork) probe(ctx context.Context, e *engine) error {
	if e.opts.Source == nil {
		pipeline := mongo.Pipeline{{{Key: "$match", Value: and(none(), e.rest(store.Partition{}))}}}
		for _, stage := range e.opts.Stages {
			pipeline = append(pipeline, stage)
		}
		if err := e.probeRead(ctx, pipeline); err != nil {
			return err
		}
	}
	return e.probeWrite(ctx, bson.D{{Key: "$unset", Value: bson.D{{Key: "rikki", Value: ""}}}})
}

// probe implements [prober].
func (w *pipelineWork) probe(ctx context.Context, e *engine) error {
	pipeline := mongo.Pipeline{{{Key: "$match", Value: none()}}}
	if w.looks && w.images != imagesOfNothing {
		pipeline = append(pipeline, w.foresight(e, store.Partition{}, 1)...)
	}
	if err := e.probeRead(ctx, pipeline); err != nil {
		return err
	}
	return e.probeWrite(ctx, w.change())
}

// probeRead reads by both commands that a chunk may read by, in the same way.
func (e *engine) probeRead(ctx context.Context, pipeline mongo.Pipeline) error {
	for _, command := range []bson.D{
		{
			{Key: "find", Value: e.coll.Name()},
			{Key: "filter", Value: and(none(), e.rest(store.Partition{}))},
			{Key: "sort", Value: e.order()},
			{Key: "hint", Value: e.hint()},
		},
		e.aggregation(pipeline, 1),
	} {
		cur, err := e.query(ctx, command)
		if err != nil {
			return err
		}
		if err := cur.Close(ctx); err != nil {
			return fmt.Errorf("reading %s: %w", e.ns(), err)
		}
	}
	return nil
}

func (e *engine) probeWrite(ctx context.Context, change any) error {
	err := e.coll.Database().RunCommand(ctx, bson.D{
		{Key: "update", Value: e.coll.Name()},
		{Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: none()}, {Key: "u", Value: change}, {Key: "multi", Value: true}}}},
		{Key: "comment", Value: e.run.ID()},
	}).Err()
	if err != nil {
		return fmt.Errorf("changing %s: %w", e.ns(), err)
	}
	return nil
}
