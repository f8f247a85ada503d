package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// rowsWork changes the documents that rows name by one of their fields.
type rowsWork struct{ functionWork }

// prepare refuses a field that doesn't find one document, or that takes a look at all of them for each chunk.
func (w *rowsWork) prepare(ctx context.Context, e *engine) error {
	source, ok := e.opts.Source.(*fileSource)
	if !ok || source.rows == nil {
		return errors.New("the parameters name no file of rows")
	}
	specs, err := e.coll.Database().ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: e.coll.Name()}})
	if err != nil {
		return fmt.Errorf("looking at %s: %w", e.ns(), err)
	}
	r := source.rows
	if len(specs) > 0 {
		_, r.collated = specs[0].Options.Lookup("collation").DocumentOK()
	} else if r.mode != changeUpsert {
		return fmt.Errorf("%w: there is no collection %s; check its name and the database", ErrCannotWalk, e.ns())
	}
	if r.by != "_id" {
		if err := r.checkIndex(ctx, e); err != nil {
			return err
		}
	}
	w.changes = r.changes
	return w.functionWork.prepare(ctx, e)
}

// checkIndex wants an index that begins with the field, and a unique one if documents are inserted: two rows with the same value, or
// somebody else at the same time, would make two documents.
func (r *rowsOf) checkIndex(ctx context.Context, e *engine) error {
	found, unique, err := r.index(ctx, e)
	switch {
	case err != nil:
		return err
	case !unique && r.mode == changeUpsert:
		return fmt.Errorf("%w: %s has no unique index on %[3]s alone, so --upsert-by=%[3]s could make a document twice; "+
			"make one: db.%[4]s.createIndex({%[3]q: 1}, {unique: true})", ErrCannotWalk, e.ns(), r.by, e.coll.Name())
	case !found:
		return fmt.Errorf("%w: %s has no index that begins with %[3]s, so each chunk would look at all documents; "+
			"make one: db.%[4]s.createIndex({%[3]q: 1})", ErrCannotWalk, e.ns(), r.by, e.coll.Name())
	case !unique:
		e.log.Warn("the index is not unique: a row fails if several documents have its value", "field", r.by)
	}
	return nil
}

// index tells whether there is one that finds documents by the field, and one that keeps two from having the same value. Those that
// leave documents out don't count.
func (r *rowsOf) index(ctx context.Context, e *engine) (found, unique bool, err error) {
	cur, err := e.coll.Indexes().List(ctx)
	if err != nil {
		return false, false, fmt.Errorf("looking at the indexes of %s: %w", e.ns(), err)
	}
	var list []bson.Raw
	if err := cur.All(ctx, &list); err != nil {
		return false, false, fmt.Errorf("looking at the indexes of %s: %w", e.ns(), err)
	}
	for _, index := range list {
		keys, _ := index.Lookup("key").DocumentOK()
		elements, _ := keys.Elements()
		if len(elements) == 0 || elements[0].Key() != r.by || !ordered(elements[0].Value()) {
			continue
		}
		if _, partial := index.Lookup("partialFilterExpression").DocumentOK(); partial {
			continue
		}
		if hidden, _ := index.Lookup("hidden").BooleanOK(); hidden {
			continue
		}
		found = true
		is, _ := index.Lookup("unique").BooleanOK()
		unique = unique || is && len(elements) == 1
	}
	return found, unique, nil
}

// ordered tells whether a key of an index is that of an ordinary one, and not text or a hash.
func ordered(direction bson.RawValue) bool {
	n, ok := direction.AsInt64OK()
	return ok && (n == 1 || n == -1)
}

// findBy looks for documents by a field. It returns the _ids of those with each value, two of them at most, under [valueKey]. What is
// equal to a value is for the server alone to say: texts under a collation, numbers of other types, items of arrays.
func findBy(ctx context.Context, coll *mongo.Collection, field string, values []bson.RawValue, collated bool) (map[string][]bson.RawValue, error) {
	found := make(map[string][]bson.RawValue, len(values))
	if len(values) == 0 {
		return found, nil
	}
	most := enough*len(values) + 1
	n, strange := 0, false
	asked := make(map[string]bool, len(values))
	for _, v := range values {
		asked[valueKey(v)] = true
		collated = collated || v.Type == bson.TypeDecimal128 || v.Type == bson.TypeEmbeddedDocument
	}
	err := eachOf(ctx, coll, bson.D{{Key: field, Value: bson.D{{Key: "$in", Value: values}}}}, field, most, func(doc bson.Raw) {
		v, err := doc.LookupErr(strings.Split(field, ".")...)
		name := valueKey(v)
		n, strange = n+1, strange || err != nil || !asked[name]
		found[name] = append(found[name], idOf(doc))
	})
	switch {
	case err != nil:
		return nil, err
	case strange || n == most:
		clear(found)
	case len(found) == len(asked) || !collated:
		return found, nil
	}
	return found, findEach(ctx, coll, field, values, found)
}

// enough is how many documents are looked for by one value: a second one is enough to refuse both.
const enough = 2

// findEach asks for each value that wasn't found, by itself.
func findEach(ctx context.Context, coll *mongo.Collection, field string, values []bson.RawValue, found map[string][]bson.RawValue) error {
	for _, v := range values {
		name := valueKey(v)
		if found[name] != nil {
			continue
		}
		err := eachOf(ctx, coll, bson.D{{Key: field, Value: bson.D{{Key: "$eq", Value: v}}}}, field, enough, func(doc bson.Raw) {
			found[name] = append(found[name], idOf(doc))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func idOf(doc bson.Raw) bson.RawValue {
	id := doc.Lookup("_id")
	return bson.RawValue{Type: id.Type, Value: slices.Clone(id.Value)}
}

// eachOf reads the _id and a field of documents.
func eachOf(ctx context.Context, coll *mongo.Collection, filter bson.D, field string, most int, do func(bson.Raw)) error {
	projection := bson.D{{Key: "_id", Value: 1}}
	if field != "_id" {
		projection = append(projection, bson.E{Key: field, Value: 1})
	}
	cur, err := coll.Find(ctx, filter, options.Find().SetProjection(projection).SetLimit(int64(most)))
	if err != nil {
		return fmt.Errorf("reading %s: %w", coll.Name(), err)
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // what it could say, Next says
	for cur.Next(ctx) {
		do(cur.Current)
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("reading %s: %w", coll.Name(), err)
	}
	return nil
}
