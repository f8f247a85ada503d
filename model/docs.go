package model

import (
	"context"
	"fmt"
	"iter"
	"reflect"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Docs are the documents of a [Collection] in one database. Its methods may be called from several goroutines, and with
// the context of a transaction. Errors are the driver's, [mongo.ErrNoDocuments] among them.
type Docs[T any] struct {
	decl Collection[T]
	coll *mongo.Collection
}

// Coll returns the driver's collection, for everything that is not here.
func (d *Docs[T]) Coll() *mongo.Collection { return d.coll }

// Get returns the document with the given _id.
func (d *Docs[T]) Get(ctx context.Context, id any) (T, error) {
	return d.FindOne(ctx, byID(id))
}

// FindOne returns the first document that matches.
func (d *Docs[T]) FindOne(ctx context.Context, filter any, opts ...options.Lister[options.FindOneOptions]) (T, error) {
	var doc T
	err := d.coll.FindOne(ctx, filter, opts...).Decode(&doc)
	return doc, err
}

// Find returns every document that matches, in memory; [Docs.All] lists them one by one.
func (d *Docs[T]) Find(ctx context.Context, filter any, opts ...options.Lister[options.FindOptions]) ([]T, error) {
	cursor, err := d.coll.Find(ctx, filter, opts...)
	if err != nil {
		return nil, err
	}
	var docs []T
	err = cursor.All(ctx, &docs)
	return docs, err
}

// All lists the documents that match. It ends with the first error, and closes its cursor however the loop ends.
func (d *Docs[T]) All(ctx context.Context, filter any, opts ...options.Lister[options.FindOptions]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		cursor, err := d.coll.Find(ctx, filter, opts...)
		if err != nil {
			yield(*new(T), err)
			return
		}
		// The server's cursor is to be closed after a cancellation, too.
		defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
		for cursor.Next(ctx) {
			var doc T
			if err := cursor.Decode(&doc); err != nil {
				yield(doc, err)
				return
			}
			if !yield(doc, nil) {
				return
			}
		}
		if err := cursor.Err(); err != nil {
			yield(*new(T), err)
		}
	}
}

// Count returns how many documents match.
func (d *Docs[T]) Count(ctx context.Context, filter any, opts ...options.Lister[options.CountOptions]) (int64, error) {
	return d.coll.CountDocuments(ctx, filter, opts...)
}

// Insert stores a new document. When its _id is a zero [bson.ObjectID], it gets one, which the caller finds in doc: the
// driver would store the zero.
func (d *Docs[T]) Insert(ctx context.Context, doc *T, opts ...options.Lister[options.InsertOneOptions]) error {
	fillID(doc)
	_, err := d.coll.InsertOne(ctx, doc, opts...)
	return err
}

// InsertMany stores new documents, and gives them ids as [Docs.Insert] does.
func (d *Docs[T]) InsertMany(ctx context.Context, docs []T, opts ...options.Lister[options.InsertManyOptions]) error {
	for i := range docs {
		fillID(&docs[i])
	}
	_, err := d.coll.InsertMany(ctx, docs, opts...)
	return err
}

// Replace stores doc in place of the document with the same _id. It returns [mongo.ErrNoDocuments] when there is none.
func (d *Docs[T]) Replace(ctx context.Context, doc T, opts ...options.Lister[options.ReplaceOptions]) error {
	raw, err := bson.Marshal(doc)
	if err != nil {
		return err
	}
	id, err := bson.Raw(raw).LookupErr("_id")
	if err != nil {
		return fmt.Errorf("replace in %s: the document has no _id to find it by; set it, or use Insert", d.decl.Name)
	}
	result, err := d.coll.ReplaceOne(ctx, byID(id), raw, opts...)
	if err == nil && result.MatchedCount+result.UpsertedCount == 0 {
		return mongo.ErrNoDocuments
	}
	return err
}

// UpdateByID changes the document with the given _id. It returns [mongo.ErrNoDocuments] when there is none.
func (d *Docs[T]) UpdateByID(ctx context.Context, id, update any, opts ...options.Lister[options.UpdateOneOptions]) error {
	result, err := d.UpdateOne(ctx, byID(id), update, opts...)
	if err == nil && result.MatchedCount+result.UpsertedCount == 0 {
		return mongo.ErrNoDocuments
	}
	return err
}

// UpdateOne changes the first document that matches.
func (d *Docs[T]) UpdateOne(ctx context.Context, filter, update any, opts ...options.Lister[options.UpdateOneOptions]) (*mongo.UpdateResult, error) {
	return d.coll.UpdateOne(ctx, filter, update, opts...)
}

// UpdateMany changes every document that matches.
func (d *Docs[T]) UpdateMany(ctx context.Context, filter, update any, opts ...options.Lister[options.UpdateManyOptions]) (*mongo.UpdateResult, error) {
	return d.coll.UpdateMany(ctx, filter, update, opts...)
}

// FindOneAndUpdate changes the first document that matches and returns it as it was before; the driver's
// SetReturnDocument asks for it as it is after.
func (d *Docs[T]) FindOneAndUpdate(ctx context.Context, filter, update any, opts ...options.Lister[options.FindOneAndUpdateOptions]) (T, error) {
	var doc T
	err := d.coll.FindOneAndUpdate(ctx, filter, update, opts...).Decode(&doc)
	return doc, err
}

// Delete removes the document with the given _id. It returns [mongo.ErrNoDocuments] when there is none.
func (d *Docs[T]) Delete(ctx context.Context, id any, opts ...options.Lister[options.DeleteOneOptions]) error {
	result, err := d.coll.DeleteOne(ctx, byID(id), opts...)
	if err == nil && result.DeletedCount == 0 {
		return mongo.ErrNoDocuments
	}
	return err
}

// DeleteMany removes every document that matches and returns how many.
func (d *Docs[T]) DeleteMany(ctx context.Context, filter any, opts ...options.Lister[options.DeleteManyOptions]) (int64, error) {
	result, err := d.coll.DeleteMany(ctx, filter, opts...)
	if err != nil {
		return 0, err
	}
	return result.DeletedCount, nil
}

func byID(id any) bson.D { return bson.D{{Key: "_id", Value: id}} }

// fillID gives a document whose _id is a zero ObjectID a new one.
func fillID(doc any) {
	v := reflect.ValueOf(doc).Elem()
	if v.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(v.Type()) {
		if !f.IsExported() || len(f.Index) > 1 || f.Type != reflect.TypeFor[bson.ObjectID]() {
			continue
		}
		if tag, ok := readTag(f); ok && tag.name == "_id" && v.FieldByIndex(f.Index).IsZero() {
			v.FieldByIndex(f.Index).Set(reflect.ValueOf(bson.NewObjectID()))
		}
	}
}
