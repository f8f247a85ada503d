// Command purgesessions is a whole script in one file.
//
//	go run ./examples/purgesessions run purge-sessions --days=7
package main

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/cli"
)

// PurgeSessions deletes sessions that nobody has used for long.
type PurgeSessions struct {
	Days int `default:"30" min:"1" help:"Delete sessions unused for so many days."`
}

// Execute deletes them and counts how many there were.
func (s *PurgeSessions) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	unused := bson.M{"lastUsed": bson.M{"$lt": time.Now().AddDate(0, 0, -s.Days)}}
	result, err := run.DB().Collection("sessions").DeleteMany(ctx, unused)
	if err != nil {
		return nil, err
	}
	run.Count("deleted", result.DeletedCount)
	return nil, nil
}

func main() { cli.Main(&PurgeSessions{}) }
