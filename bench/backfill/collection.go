package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	collection = "users"
	pristine   = "pristine"
	history    = "rikki"
	changelog  = "changelog" // of migrate-mongo
)

// user is a document as real ones are: a dozen fields of several types, one of which will change.
func user(i, size int) bson.D {
	doc := bson.D{
		{Key: "_id", Value: bson.NewObjectID()},
		{Key: "email", Value: fmt.Sprintf("First.Last-%07d@Example.COM", i)},
		{Key: "name", Value: fmt.Sprintf("First Last %d", i)},
		{Key: "created", Value: time.Unix(1_600_000_000+int64(i), 0)},
		{Key: "age", Value: int32(18 + i%80)},
		{Key: "score", Value: float64(i) / 3},
		{Key: "active", Value: i%3 == 0},
		{Key: "tags", Value: bson.A{"a", "b"}},
		{Key: "address", Value: bson.D{{Key: "city", Value: "Berlin"}, {Key: "zip", Value: "10115"}}},
		{Key: "n", Value: int32(0)},
	}
	data, err := bson.Marshal(doc)
	if err != nil {
		panic(err) // nothing in it depends on input
	}
	const overhead = 11 // of the field
	if fill := size - len(data) - overhead; fill > 0 {
		doc = append(doc, bson.E{Key: "note", Value: strings.Repeat("lorem ipsum ", fill/12+1)[:fill]})
	}
	return doc
}

// seed makes the documents from which the collection is copied before each turn.
func (b *bench) seed(ctx context.Context) error {
	coll := b.server.DB.Collection(pristine)
	if err := coll.Drop(ctx); err != nil {
		return err
	}
	const page = 2_000
	for at := 0; at < b.docs; at += page {
		var list []any
		for i := at; i < min(at+page, b.docs); i++ {
			list = append(list, user(i, b.size))
		}
		if _, err := coll.InsertMany(ctx, list); err != nil {
			return fmt.Errorf("seed: %w", err)
		}
	}
	return nil
}

// reset makes the state from which everybody starts: the documents as they were, nothing of Rikki's or migrate-mongo's, and
// all of it on disk.
func (b *bench) reset(ctx context.Context) error {
	if err := b.server.Client.Database(history).Drop(ctx); err != nil {
		return err
	}
	for _, name := range []string{collection, changelog} {
		if err := b.server.DB.Collection(name).Drop(ctx); err != nil {
			return err
		}
	}
	cur, err := b.server.DB.Collection(pristine).Aggregate(ctx, bson.A{bson.D{{Key: "$out", Value: collection}}})
	if err != nil {
		return fmt.Errorf("copy the documents: %w", err)
	}
	if err := cur.Close(ctx); err != nil {
		return err
	}
	return b.server.Settle(ctx)
}

// check tells whether a contestant did what it should: changed its documents, and kept a journal if it is one that does.
func (b *bench) check(ctx context.Context, c contestant) error {
	left, err := b.server.DB.Collection(collection).CountDocuments(ctx,
		bson.D{{Key: "email", Value: bson.Regex{Pattern: "[A-Z]"}}}, options.Count())
	if err != nil {
		return err
	}
	if want := int64(b.docs - c.docs); left != want {
		return fmt.Errorf("%d documents are not changed, want %d", left, want)
	}
	journaled, err := b.server.Client.Database(history).Collection("journal").EstimatedDocumentCount(ctx)
	if err == nil && (journaled > 0) != c.journal {
		err = fmt.Errorf("%d documents in the journal", journaled)
	}
	return err
}
