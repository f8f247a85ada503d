package main

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
)

// LowercaseEmails writes the e-mail address of every user in lower case. It can be run again at any time: what is in
// lower case already is left alone.
type LowercaseEmails struct {
	BatchSize int `default:"500" min:"1" max:"10000" help:"Users per batch."`
}

// Options says what the command line shows, and that a dry run changes nothing.
func (*LowercaseEmails) Options() rikki.Options {
	return rikki.Options{Description: "Write every user's e-mail address in lower case.", DryRun: true}
}

type user struct {
	ID    bson.ObjectID `bson:"_id"`
	Email string        `bson:"email"`
}

// Execute walks the collection in pages by _id: short queries instead of one long cursor, which MongoDB would close
// in the middle of a long run.
func (s *LowercaseEmails) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	users := run.DB().Collection("users")
	total, err := users.EstimatedDocumentCount(ctx)
	if err != nil {
		return nil, err
	}
	run.Progress().SetTotal(total)

	var last bson.ObjectID
	for {
		page, err := s.page(ctx, users, last)
		if err != nil || len(page) == 0 {
			return nil, err
		}
		if err := lowercase(ctx, run, users, page); err != nil {
			return nil, err
		}
		run.Progress().Add(int64(len(page)))
		last = page[len(page)-1].ID
	}
}

func (s *LowercaseEmails) page(ctx context.Context, users *mongo.Collection, after bson.ObjectID) ([]user, error) {
	cursor, err := users.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(s.BatchSize)))
	if err != nil {
		return nil, err
	}
	var page []user
	return page, cursor.All(ctx, &page)
}
