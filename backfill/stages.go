package backfill

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/store"
)

// Options.Stages make the items of a chunk of its documents, each of one document. In which order they come doesn't matter: the
// cursor of the walk is the last document of the chunk, not the last item.

// perDocument are the stages that look at each document by itself. What others give depends on how many documents make a chunk.
func perDocument() []string {
	return []string{
		"$match", "$set", "$addFields", "$unset", "$project", "$replaceRoot", "$replaceWith", "$redact", "$lookup", "$graphLookup", "$unwind", "$sort",
		"$group",
	}
}

// checkStageKinds refuses stages that make one item of several documents, or choose among them.
func checkStageKinds(stages []bson.D) error {
	for _, stage := range stages {
		for _, e := range stage {
			switch {
			case e.Key == "$out" || e.Key == "$merge":
				return fmt.Errorf("%s writes by itself, with no journal and not exactly once: return a change instead, with Also for other collections", e.Key)
			case e.Key == "$group" && !groupsByID(e.Value):
				return fmt.Errorf("$group makes one item of several documents, as many as happen to be in a chunk; " +
					"group by {_id: \"$_id\"}, or take the documents that there are to be changed from a Source")
			case !slices.Contains(perDocument(), e.Key):
				return fmt.Errorf("%s doesn't look at each document by itself, so what it gives would depend on how many make a chunk; the stages can be %v", e.Key, perDocument())
			}
		}
	}
	return nil
}

// groupsByID tells whether a $group puts together only what was one document before.
func groupsByID(group any) bool {
	data, err := bson.Marshal(bson.D{{Key: "g", Value: group}})
	if err != nil {
		return false // the server would refuse it
	}
	id, ok := bson.Raw(data).Lookup("g", "_id").StringValueOK()
	return ok && id == "$_id"
}

// checkStages asks the server whether it understands them.
func (e *engine) checkStages(ctx context.Context) error {
	aggregate := e.aggregation(e.stages(e.rest(store.Partition{})), 0)
	err := e.coll.Database().RunCommand(ctx, bson.D{{Key: "explain", Value: aggregate}, {Key: "verbosity", Value: "queryPlanner"}}).Err()
	if err != nil {
		return refused("the filter or Options.Stages", err)
	}
	return nil
}

// stages are the script's, behind those that select its documents.
func (e *engine) stages(filter bson.D) mongo.Pipeline {
	pipeline := mongo.Pipeline{{{Key: "$match", Value: filter}}, {{Key: "$sort", Value: e.order()}}}
	for _, stage := range e.opts.Stages {
		pipeline = append(pipeline, stage)
	}
	return pipeline
}

// staged applies the stages to the documents of one chunk. What they make of these can't be cut where it is too large, since it comes
// in whatever order: then there are fewer documents.
func (e *engine) staged(ctx context.Context, p store.Partition, n, bytes int) (batch, error) {
	found, err := e.selected(ctx, p, n, bytes)
	for err == nil && len(found.ids) > 0 {
		var b batch
		var fits bool
		if b, fits, err = e.stagedOf(ctx, found, bytes); fits || err != nil {
			return b, err
		}
		found = found.half()
	}
	return batch{last: found.last, end: found.end}, err
}

// half is the first half of a selection.
func (s selection) half() selection {
	n := len(s.ids) / 2
	return selection{ids: s.ids[:n], keys: s.keys[:n], last: s.keys[n-1]}
}

// stagedOf makes the items of some documents. If they are too large, and there is more than one document, it stops.
func (e *engine) stagedOf(ctx context.Context, found selection, bytes int) (b batch, fits bool, err error) {
	ids := bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: found.ids}}}}
	command := bson.D{
		{Key: "aggregate", Value: e.coll.Name()},
		{Key: "pipeline", Value: e.stages(ids)},
		{Key: "cursor", Value: bson.D{{Key: "batchSize", Value: len(found.ids) + 1}}},
	}
	cur, err := e.query(ctx, command)
	if err != nil {
		return b, false, err
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // what it could say, Next says
	of := make(map[string]bson.RawValue, len(found.ids))         // the keys of documents without an item
	for i, id := range found.ids {
		of[valueKey(id)] = found.keys[i]
	}
	b = batch{last: found.last, end: found.end}
	read := 0
	for cur.Next(ctx) {
		key, ok := of[idKey(cur.Current)]
		if !ok {
			return b, false, e.strayItem(cur.Current, found)
		}
		delete(of, idKey(cur.Current))
		if read += len(cur.Current); read > bytes && len(found.ids) > 1 {
			e.sizes.learn(read / (len(b.items) + 1))
			return b, false, nil
		}
		b.items, b.keys = append(b.items, cur.Current), append(b.keys, key)
	}
	if err := cur.Err(); err != nil {
		return b, false, fmt.Errorf("reading %s: %w", e.ns(), err)
	}
	if len(b.items) > 0 {
		e.sizes.learn(read / len(b.items))
	}
	return b, true, nil
}

// strayItem says what is wrong with an item that isn't the only one of a document of its chunk.
func (e *engine) strayItem(item bson.Raw, found selection) error {
	id := item.Lookup("_id")
	for _, known := range found.ids {
		if valueKey(known) == valueKey(id) {
			return fmt.Errorf("Options.Stages make more than one item of the document with _id %s, and it would be changed by each of them: "+
				"put them together with {$group: {_id: \"$_id\", …}}", relaxed(id))
		}
	}
	if id.IsZero() {
		return fmt.Errorf("Options.Stages make an item without _id, and nobody knows which document that is about: keep it")
	}
	return fmt.Errorf("Options.Stages make an item with _id %s, which is that of no document of its chunk: keep the _id", relaxed(id))
}
