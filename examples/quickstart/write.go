package main

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
)

// lowercase writes the users of one page that need it.
func lowercase(ctx context.Context, run *rikki.Run, users *mongo.Collection, page []user) error {
	var writes []mongo.WriteModel
	for _, u := range page {
		lower := strings.ToLower(u.Email)
		if lower == u.Email {
			run.Count("unchanged", 1)
			continue
		}
		// The old address in the filter keeps a change that somebody made in between.
		writes = append(writes, mongo.NewUpdateOneModel().
			SetFilter(bson.D{{Key: "_id", Value: u.ID}, {Key: "email", Value: u.Email}}).
			SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: "email", Value: lower}}}}))
	}
	if len(writes) == 0 {
		return nil
	}
	if run.DryRun() {
		run.Count("would change", int64(len(writes)))
		return nil
	}
	result, err := users.BulkWrite(ctx, writes)
	if err != nil {
		return err
	}
	run.Count("changed", result.ModifiedCount)
	return nil
}
