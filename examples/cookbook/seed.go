package main

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// sampleSize is how many documents each collection gets.
const sampleSize = 1000

// seed gives each recipe something to do, in collections that are empty. It only ever runs on the embedded MongoDB.
func seed(ctx context.Context, db *mongo.Database) error {
	for name, sample := range samples() {
		coll := db.Collection(name)
		n, err := coll.EstimatedDocumentCount(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		docs := make([]bson.D, sampleSize)
		for i := range docs {
			docs[i] = sample(i)
		}
		if _, err := coll.InsertMany(ctx, docs); err != nil {
			return fmt.Errorf("sample data for %s: %w", name, err)
		}
	}
	return nil
}

// samples make the documents of each collection.
func samples() map[string]func(i int) bson.D {
	one := func(of []string, i int) string { return of[i%len(of)] }
	field := func(name string, value func(i int) any) func(i int) bson.D {
		return func(i int) bson.D { return bson.D{{Key: "_id", Value: i}, {Key: name, Value: value(i)}} }
	}
	return map[string]func(i int) bson.D{
		"users": field("mail", func(i int) any { return fmt.Sprintf("user%d@example.com", i) }),
		"people": field("name", func(i int) any {
			return one([]string{"Ada Lovelace", "Grace Hopper", "Alan Turing", "Barbara Liskov"}, i)
		}),
		"accounts":  field("plan", func(int) any { return nil }),
		"events":    field("at", func(i int) any { return time.Unix(int64(i)*3600, 0).UTC().Format(time.RFC3339) }),
		"tickets":   field("state", func(i int) any { return one([]string{"NEW", "open", "Done", "wontfix", " reopened "}, i) }),
		"items":     field("sku", func(i int) any { return i }),
		"products":  field("price", func(i int) any { return int64(100 + i) }),
		"customers": field("phone", func(i int) any { return fmt.Sprintf("555-%04d", i) }),
		"sessions":  field("lastUsed", func(i int) any { return time.Now().AddDate(0, 0, -i/5) }),
		"orders": func(i int) bson.D {
			line := func(sku int) bson.D {
				return bson.D{{Key: "sku", Value: fmt.Sprint("sku", sku)}, {Key: "n", Value: 1 + sku%3}}
			}
			return bson.D{{Key: "_id", Value: i}, {Key: "lines", Value: bson.A{line(i), line(i + 1)}}}
		},
		"contacts": func(i int) bson.D {
			return bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "email", Value: fmt.Sprintf("contact%d@example.com", i%900)}}
		},
		"places": field("address", func(i int) any { return fmt.Sprintf("%d Main Street", i) }),
	}
}
