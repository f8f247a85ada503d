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

	parentIndex = "parent_v1" // of [Store.Children]

	idIndex = "_id_" // always there; naming it spares the server a look for a better one
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
	return slices.Concat(scheduleIndexes(), notifyIndexes(), runIndexes())
}

// scheduleIndexes are made by [Store.EnsureScheduleIndexes].
func scheduleIndexes() []Index {
	return []Index{
		{
			Collection: collSchedules, Name: "due", Keys: bson.D{{Key: "database", Value: 1}, {Key: "next_at", Value: 1}, {Key: "script", Value: 1}},
			Why: "the schedules that are due, and the time of the next",
		},
		{
			Collection: collSchedules, Name: "busy", Keys: bson.D{{Key: "database", Value: 1}, {Key: "_id", Value: 1}, {Key: "script", Value: 1}},
			Partial: bson.D{{Key: "busy", Value: true}},
			Why:     "the schedules whose runs haven't ended",
		},
		{
			Collection: collOccurrences, Name: "schedule_at", Keys: bson.D{{Key: "schedule", Value: 1}, {Key: "at", Value: -1}, {Key: "_id", Value: -1}},
			Why: "what became of the slots of one schedule, newest first",
		},
		{
			Collection: collOccurrences, Name: "at", Keys: bson.D{{Key: "database", Value: 1}, {Key: "at", Value: -1}, {Key: "_id", Value: -1}},
			Why: "what became of the slots of all schedules of a database, newest first",
		},
		{
			Collection: collOccurrences, Name: "changed", Keys: bson.D{{Key: "database", Value: 1}, {Key: "changed_at", Value: 1}, {Key: "_id", Value: 1}},
			Why: "who follows what happens to occurrences",
		},
	}
}

func runIndexes() []Index {
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
			Collection: collRuns, Name: parentIndex, Keys: append(bson.D{{Key: "parent", Value: 1}}, newest...),
			Partial: bson.D{{Key: "parent", Value: bson.D{{Key: "$exists", Value: true}}}},
			Why:     "the runs that belong to a run",
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

// EnsureIndexes creates the indexes of runs that are missing. [Store.Start] calls it when it has to.
func (s *Store) EnsureIndexes(ctx context.Context) error {
	all := runIndexes()
	slot := slices.IndexFunc(all, func(ix Index) bool { return ix.Name == slotIndex })
	// A server that dies in between must not have a later group without the earlier ones.
	for _, group := range [][]Index{all[:slot], {all[slot]}, all[slot+1:]} {
		if err := s.createIndexes(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) createIndexes(ctx context.Context, group []Index) error {
	for coll, models := range byCollection(group) {
		if err := createMany(ctx, s.db.Collection(coll), models); err != nil {
			return wrap("create indexes on "+s.db.Name()+"."+coll, err)
		}
	}
	return nil
}

// createMany makes indexes as soon as a majority of the voting members has them. The server's own default waits for all of them, so that
// one that is down would keep every process from starting. A fail-over ends the command though not the build, and the driver doesn't send
// such a command again; whoever does waits for the build.
func createMany(ctx context.Context, coll *mongo.Collection, models []mongo.IndexModel) error {
	const tries = 5
	opts := options.CreateIndexes().SetCommitQuorumMajority()
	var err error
	for range tries {
		_, err = coll.Indexes().CreateMany(ctx, models, opts)
		if isCode(err, codeBadValue) { // a standalone server knows no quorum
			_, err = coll.Indexes().CreateMany(ctx, models)
		}
		if !IsRoleChange(err) && !mongo.IsNetworkError(err) || ctx.Err() != nil {
			break
		}
	}
	return err
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
