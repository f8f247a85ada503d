package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

const sampleUsers = 20_000

// seed fills the collection users with sample data if it is empty. It only ever runs on the embedded MongoDB.
func seed(ctx context.Context, db *mongo.Database) error {
	users := db.Collection("users")
	n, err := users.EstimatedDocumentCount(ctx)
	if err != nil || n > 0 {
		return err
	}
	docs := make([]any, sampleUsers)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // sample data, the same for everybody
	for i := range docs {
		docs[i] = sampleUser(random, i)
	}
	_, err = users.InsertMany(ctx, docs)
	return err
}

func sampleUser(random *rand.Rand, i int) bson.D {
	first := []string{"Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Alan", "Margaret"}
	last := []string{"Lovelace", "Hopper", "Dijkstra", "Liskov", "Knuth", "Allen", "Turing", "Hamilton"}
	name, surname := first[random.IntN(len(first))], last[random.IntN(len(last))]
	return bson.D{
		{Key: "_id", Value: bson.NewObjectID()},
		{Key: "name", Value: name + " " + surname},
		{Key: "email", Value: fmt.Sprintf("%s.%s%d@Example.com", name, surname, i)},
	}
}
