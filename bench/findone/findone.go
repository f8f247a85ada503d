// Package findone is the script that the benchmark runs.
package findone

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
)

// FindOne reads one user and returns its email address.
type FindOne struct{}

// Execute implements [rikki.Script].
func (*FindOne) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	var user struct {
		Email string `bson:"email"`
	}
	err := run.DB().Collection("users").FindOne(ctx, bson.D{}).Decode(&user)
	return user.Email, err
}
