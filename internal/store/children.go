package store

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// maxChildren bounds [Store.Children]: far more than anybody writes into a plan, retries included.
const maxChildren = 10_000

// Children returns the runs that belong to a run, newest first, without their results and stacks.
func (s *Store) Children(ctx context.Context, parent string) ([]Run, error) {
	read := func() ([]Run, error) {
		return s.readBy(ctx, bson.A{bson.D{{Key: "parent", Value: parent}}}, maxChildren, outline, options.Aggregate().SetHint(parentIndex))
	}
	runs, err := read()
	if isCode(err, codeBadValue) {
		// The server knows no index of this name: the collection is older than it.
		if err := s.EnsureIndexes(ctx); err != nil {
			return nil, err
		}
		runs, err = read()
	}
	return runs, wrap("read the runs that belong to "+parent, err)
}
