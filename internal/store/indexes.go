package store

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Operations that need an index name it as a hint, and create what is missing when the server doesn't know it. An index that
// changes gets a new version in its name.
const (
	slotIndex  = "slot_v1"  // of [Store.Start]
	queueIndex = "queue_v1" // of [Store.Claim]
)

// Index describes one index of Rikki's own collections.
type Index struct {
	Collection string
	Name       string
	Keys       bson.D
	Unique     bool
	// Partial is the filter of a partial index; nil covers all documents.
	Partial bson.D
	// Why names what needs it.
	Why string
}

// Indexes returns every index besides _id, in the order of their creation.
func Indexes() []Index {
	newest := bson.D{{Key: "created_at", Value: -1}, {Key: "_id", Value: -1}}
	return []Index{
		{
			Collection: collRuns, Name: "created", Keys: newest,
			Why: "lists of runs, newest first",
		},
		{
			Collection: collRuns, Name: "script_created", Keys: append(bson.D{{Key: "script", Value: 1}}, newest...),
			Why: "runs of one script, and its latest",
		},
		{
			Collection: collRuns, Name: "state_created", Keys: append(bson.D{{Key: "state", Value: 1}}, newest...),
			Why: "runs in one state, and the sweep",
		},
		{
			Collection: collRuns, Name: slotIndex, Keys: bson.D{{Key: "slot", Value: 1}}, Unique: true,
			Partial: bson.D{{Key: "slot", Value: bson.D{{Key: "$exists", Value: true}}}},
			Why:     "one active run per slot. After those before it, because its existence says that they exist",
		},
		{
			Collection: collRuns, Name: queueIndex, Keys: bson.D{
				{Key: "database", Value: 1}, {Key: "script", Value: 1}, {Key: "priority", Value: -1}, {Key: "due_at", Value: 1},
			},
			Partial: bson.D{{Key: "ready", Value: true}},
			Why:     "the next runs to take. Last, because who finds it trusts that a slot is taken once",
		},
	}
}

// EnsureIndexes creates the indexes that are missing. [Store.Start] calls it when it has to.
func (s *Store) EnsureIndexes(ctx context.Context) error {
	all := Indexes()
	slot := slices.IndexFunc(all, func(ix Index) bool { return ix.Name == slotIndex })
	// A server that dies in between must not have a later group without the earlier ones.
	for _, group := range [][]Index{all[:slot], {all[slot]}, all[slot+1:]} {
		for coll, models := range byCollection(group) {
			if _, err := s.db.Collection(coll).Indexes().CreateMany(ctx, models); err != nil {
				return wrap("create indexes on "+s.db.Name()+"."+coll, err)
			}
		}
	}
	return nil
}

func byCollection(indexes []Index) map[string][]mongo.IndexModel {
	out := map[string][]mongo.IndexModel{}
	for _, ix := range indexes {
		opts := options.Index().SetName(ix.Name)
		if ix.Unique {
			opts.SetUnique(true)
		}
		if ix.Partial != nil {
			opts.SetPartialFilterExpression(ix.Partial)
		}
		out[ix.Collection] = append(out[ix.Collection], mongo.IndexModel{Keys: ix.Keys, Options: opts})
	}
	return out
}
