package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A backfill divides its keys into partitions. Each has a document of its own, the only one of Rikki's that is written by
// everything that happens in it: the transaction of a chunk moves the cursor there before it changes anything, under a
// filter on the epoch of the run's owner and the number of the chunk. Whoever has lost the run, or comes too late, matches
// nothing.
//
//	{ _id: {r: "r_…", n: 3}, epoch, chunk: 17, cursor, lower, upper, done: false, counts: {…} }
//
// Number [PlanNumber] is the plan: what all partitions have in common. It exists with planned: true once they are complete.

// PlanNumber is the number of the document that holds the plan.
const PlanNumber = -1

// Partition is a range of keys, lower < key ≤ upper. A zero value is no bound.
type Partition struct {
	N     int   `bson:"n"`
	Epoch int64 `bson:"epoch"`
	// Chunk is how many chunks are done; it numbers the next one.
	Chunk  int64         `bson:"chunk"`
	Lower  bson.RawValue `bson:"lower,omitempty"`
	Upper  bson.RawValue `bson:"upper,omitempty"`
	Cursor bson.RawValue `bson:"cursor,omitempty"` // the last key that is done; zero means Lower
	Done   bool          `bson:"done"`
	Counts Counts        `bson:"counts"`
}

// Counts is what was done to documents.
type Counts struct {
	Matched   int64 `bson:"matched"`   // documents that the source gave
	Changed   int64 `bson:"changed"`   // of them, those that were updated or replaced
	Deleted   int64 `bson:"deleted"`   // of them, those that were deleted
	Unchanged int64 `bson:"unchanged"` // of them, those that were right already
	Failed    int64 `bson:"failed"`    // of them, those that could not be processed
	Written   int64 `bson:"written"`   // other documents that were written with them
	Conflicts int64 `bson:"conflicts"` // of an undo: what others have changed since
	Journal   int64 `bson:"journal"`   // bytes of the undo journal
}

// Add adds what another part has done.
func (c *Counts) Add(o Counts) {
	c.Matched += o.Matched
	c.Changed += o.Changed
	c.Deleted += o.Deleted
	c.Unchanged += o.Unchanged
	c.Failed += o.Failed
	c.Written += o.Written
	c.Conflicts += o.Conflicts
	c.Journal += o.Journal
}

// Plan is what the partitions of a run have in common.
type Plan struct {
	Epoch   int64     `bson:"epoch"`
	Planned bool      `bson:"planned"`
	Total   int64     `bson:"total"` // documents, about
	Value   bson.Raw  `bson:"value"` // of the feature that made it
	At      time.Time `bson:"at"`
	// Sessions are those in which owners work, by [Walk.Note].
	Sessions []WalkSession `bson:"sessions"`
	// Journal is how much the run keeps for its undo.
	Journal string `bson:"journal,omitempty"`
	// Alone says that the server has no transactions: the counts of a chunk whose answer was lost can be too small.
	Alone bool `bson:"alone,omitempty"`
	// Held says that the run has paused before its final step, as asked.
	Held bool `bson:"held,omitempty"`
	// Target is what the run is about.
	Target Target `bson:"target"`
}

// Target identifies what a backfill is about, as it was when its plan was made. A name alone doesn't: tomorrow it can be that of
// another collection.
type Target struct {
	Namespace string `bson:"ns"`
	// Collection is the UUID that the server gave the collection. It has no data where there was no collection yet.
	Collection bson.Binary `bson:"uuid"`
	// Key is the field that the walk goes by, and Index the whole specification of its index as the server lists it. Rows have none.
	Key   string   `bson:"key"`
	Index bson.Raw `bson:"index,omitempty"`
	// Source says of what kind the items are. Their keys mean nothing to another kind.
	Source string `bson:"source"`
}

// WalkSession is a session of an owner. A process that was killed leaves its transaction open at the server for a minute,
// and with it the locks that the next owner needs.
type WalkSession struct {
	Epoch int64       `bson:"epoch"`
	ID    bson.Binary `bson:"id"`
}

// Walk is the partitions of one run, under the epoch of its owner. Its methods run on whatever client the store was made
// with, so that they can be part of a transaction.
type Walk struct {
	s     *Store
	run   string
	epoch int64
}

// Walk returns the partitions of a run.
func (s *Store) Walk(run string, epoch int64) *Walk { return &Walk{s: s, run: run, epoch: epoch} }

func (w *Walk) id(n int) bson.D { return bson.D{{Key: "r", Value: w.run}, {Key: "n", Value: n}} }

// all finds the partitions without the plan, by the index that every collection has.
func (w *Walk) all(from int) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: w.id(from)},
		{Key: "$lt", Value: bson.D{{Key: "r", Value: w.run}, {Key: "n", Value: bson.MaxKey{}}}},
	}}}
}

// Sessions are those in which owners of the run work, as far as they have noted them. They can be read while a transaction of an
// owner that died holds the plan.
func (w *Walk) Sessions(ctx context.Context) ([]WalkSession, error) {
	var plan Plan
	err := w.s.partitions.FindOne(ctx, bson.D{{Key: "_id", Value: w.id(PlanNumber)}}, options.FindOne().SetComment(w.run)).Decode(&plan)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	return plan.Sessions, wrap("look at the plan of run "+w.run, err)
}

// Plan is what the partitions have in common, whoever owns them. Without a plan it is [ErrNotFound].
func (w *Walk) Plan(ctx context.Context) (Plan, error) {
	var plan Plan
	filter := bson.D{{Key: "_id", Value: w.id(PlanNumber)}, {Key: "planned", Value: true}}
	err := w.s.partitions.FindOne(ctx, filter, options.FindOne().SetComment(w.run)).Decode(&plan)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return plan, fmt.Errorf("the plan of run %s: %w", w.run, ErrNotFound)
	}
	return plan, wrap("read the plan of run "+w.run, err)
}

// Aim notes which collection a run is about that had none when it was planned.
func (w *Walk) Aim(ctx context.Context, collection bson.Binary) error {
	filter := bson.D{{Key: "_id", Value: w.id(PlanNumber)}, {Key: "epoch", Value: w.epoch}}
	return w.one(ctx, filter, bson.D{{Key: "$set", Value: bson.D{{Key: "target.uuid", Value: collection}}}}, "note the collection of run ")
}

// Take makes the plan that of this epoch, and returns it. [ErrLeaseLost] means that a later owner was here already.
func (w *Walk) Take(ctx context.Context) (Plan, error) {
	filter := bson.D{{Key: "_id", Value: w.id(PlanNumber)}, {Key: "epoch", Value: bson.D{{Key: "$lte", Value: w.epoch}}}}
	var plan Plan
	err := w.s.partitions.FindOneAndUpdate(ctx, filter, setEpoch(w.epoch), after(w.run).SetUpsert(true)).Decode(&plan)
	if isCode(err, codeDuplicateKey) {
		return Plan{}, fmt.Errorf("run %s, epoch %d: %w", w.run, w.epoch, ErrLeaseLost)
	}
	return plan, own(w.s.partitions, "take the partitions of run "+w.run, err)
}

// TakePartitions makes the partitions those of this epoch. From then on an earlier owner changes nothing any more. It waits
// for transactions that are open: those of earlier owners should be ended before.
func (w *Walk) TakePartitions(ctx context.Context) error {
	older := append(w.all(0), bson.E{Key: "epoch", Value: bson.D{{Key: "$lt", Value: w.epoch}}})
	if _, err := w.s.partitions.UpdateMany(ctx, older, setEpoch(w.epoch), options.UpdateMany().SetComment(w.run)); err != nil {
		return own(w.s.partitions, "take the partitions of run "+w.run, err)
	}
	return nil
}

func setEpoch(epoch int64) bson.D {
	return bson.D{{Key: "$set", Value: bson.D{{Key: "epoch", Value: epoch}}}}
}

// Note remembers a session before it is used for transactions, so that a later owner can end them.
func (w *Walk) Note(ctx context.Context, session bson.Binary) error {
	filter := bson.D{{Key: "_id", Value: w.id(PlanNumber)}, {Key: "epoch", Value: w.epoch}}
	push := bson.D{{Key: "$push", Value: bson.D{{Key: "sessions", Value: WalkSession{Epoch: w.epoch, ID: session}}}}}
	return w.one(ctx, filter, push, "note a session of run ")
}

// Forget forgets the sessions of earlier owners.
func (w *Walk) Forget(ctx context.Context) error {
	filter := bson.D{{Key: "_id", Value: w.id(PlanNumber)}, {Key: "epoch", Value: w.epoch}}
	pull := bson.D{{Key: "$pull", Value: bson.D{{Key: "sessions", Value: bson.D{{Key: "epoch", Value: bson.D{{Key: "$lt", Value: w.epoch}}}}}}}}
	return w.one(ctx, filter, pull, "forget sessions of run ")
}

// Hold notes that the run pauses before its final step.
func (w *Walk) Hold(ctx context.Context) error {
	filter := bson.D{{Key: "_id", Value: w.id(PlanNumber)}, {Key: "epoch", Value: w.epoch}}
	return w.one(ctx, filter, bson.D{{Key: "$set", Value: bson.D{{Key: "held", Value: true}}}}, "hold run ")
}

// Lay writes the partitions and then the plan that makes them count. What an earlier attempt left half-done is replaced. Call
// it in a transaction where there are any.
func (w *Walk) Lay(ctx context.Context, plan Plan, parts []Partition) error {
	filter := bson.D{
		{Key: "_id", Value: w.id(PlanNumber)}, {Key: "epoch", Value: w.epoch}, {Key: "planned", Value: bson.D{{Key: "$ne", Value: true}}},
	}
	facts := bson.D{{Key: "total", Value: plan.Total}, {Key: "target", Value: plan.Target}, {Key: "journal", Value: plan.Journal}, {Key: "alone", Value: plan.Alone}}
	if plan.Value != nil {
		facts = append(facts, bson.E{Key: "value", Value: plan.Value})
	}
	touch := bson.D{{Key: "$set", Value: facts}}
	if err := w.one(ctx, filter, touch, "plan run "); err != nil {
		return err
	}
	if _, err := w.s.partitions.DeleteMany(ctx, w.all(0), options.DeleteMany().SetComment(w.run)); err != nil {
		return own(w.s.partitions, "plan run "+w.run, err)
	}
	docs := make([]any, len(parts))
	for i, p := range parts {
		docs[i] = w.doc(p)
	}
	if len(docs) > 0 {
		if _, err := w.s.partitions.InsertMany(ctx, docs, options.InsertMany().SetComment(w.run)); err != nil {
			return own(w.s.partitions, "plan run "+w.run, err)
		}
	}
	return w.one(ctx, filter, bson.A{bson.D{{Key: "$set", Value: bson.D{{Key: "planned", Value: true}, {Key: "at", Value: now}}}}}, "plan run ")
}

func (w *Walk) doc(p Partition) bson.D {
	d := bson.D{
		{Key: "_id", Value: w.id(p.N)},
		{Key: "n", Value: p.N},
		{Key: "epoch", Value: w.epoch},
		{Key: "chunk", Value: p.Chunk},
		{Key: "done", Value: p.Done},
		{Key: "counts", Value: p.Counts},
	}
	for _, bound := range []struct {
		name  string
		value bson.RawValue
	}{{"lower", p.Lower}, {"upper", p.Upper}, {"cursor", p.Cursor}} {
		if !bound.value.IsZero() {
			d = append(d, bson.E{Key: bound.name, Value: bound.value})
		}
	}
	return d
}

// one changes one document, or finds that the run is lost.
func (w *Walk) one(ctx context.Context, filter, change any, what string) error {
	res, err := w.s.partitions.UpdateOne(ctx, filter, change, options.UpdateOne().SetComment(w.run))
	if err != nil {
		return own(w.s.partitions, what+w.run, err)
	}
	if res.MatchedCount == 0 {
		return fmt.Errorf("run %s, epoch %d: %w", w.run, w.epoch, ErrLeaseLost)
	}
	return nil
}

// Partitions returns all of them, in order, whoever owns them.
func (w *Walk) Partitions(ctx context.Context) ([]Partition, error) {
	// At most some thousands, of some hundred bytes each.
	cur, err := w.s.partitions.Find(ctx, w.all(0), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetComment(w.run))
	if err != nil {
		return nil, wrap("read the partitions of run "+w.run, err)
	}
	var parts []Partition
	if err := cur.All(ctx, &parts); err != nil {
		return nil, wrap("read the partitions of run "+w.run, err)
	}
	return parts, nil
}

// Partition returns one of them as a majority has it.
func (w *Walk) Partition(ctx context.Context, n int) (Partition, error) {
	var p Partition
	err := w.s.partitions.FindOne(ctx, bson.D{{Key: "_id", Value: w.id(n)}}, options.FindOne().SetComment(w.run)).Decode(&p)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return p, fmt.Errorf("partition %d of run %s: %w", n, w.run, ErrNotFound)
	}
	return p, wrap(fmt.Sprintf("read partition %d of run %s", n, w.run), err)
}

// Step is what one chunk does to its partition.
type Step struct {
	N     int
	Chunk int64 // the number that the partition has before
	// Cursor is where the partition is afterwards. Zero leaves it: the chunk found nothing.
	Cursor bson.RawValue
	Done   bool
	// Counts is what is known already; the rest comes with [Walk.Count].
	Counts Counts
}

// Advance moves the cursor. It must be the first write of a chunk's transaction: [ErrLeaseLost] means that somebody else owns
// the run or has done the chunk, and nothing else may be written.
func (w *Walk) Advance(ctx context.Context, s Step) error {
	filter := bson.D{{Key: "_id", Value: w.id(s.N)}, {Key: "epoch", Value: w.epoch}, {Key: "chunk", Value: s.Chunk}}
	set := bson.D{{Key: "done", Value: s.Done}}
	if !s.Cursor.IsZero() {
		set = append(set, bson.E{Key: "cursor", Value: s.Cursor})
	}
	inc := append(bson.D{{Key: "chunk", Value: int64(1)}}, s.Counts.inc()...)
	return w.one(ctx, filter, bson.D{{Key: "$set", Value: set}, {Key: "$inc", Value: inc}}, "move the cursor of run ")
}

// Count adds to a partition's counters, in the transaction of the chunk that [Walk.Advance] has begun.
func (w *Walk) Count(ctx context.Context, n int, c Counts) error {
	inc := c.inc()
	if len(inc) == 0 {
		return nil
	}
	filter := bson.D{{Key: "_id", Value: w.id(n)}, {Key: "epoch", Value: w.epoch}}
	return w.one(ctx, filter, bson.D{{Key: "$inc", Value: inc}}, "count for run ")
}

func (c Counts) inc() bson.D {
	var inc bson.D
	for _, f := range []struct {
		name string
		n    int64
	}{
		{"matched", c.Matched},
		{"changed", c.Changed},
		{"deleted", c.Deleted},
		{"unchanged", c.Unchanged},
		{"failed", c.Failed},
		{"written", c.Written},
		{"conflicts", c.Conflicts},
		{"journal", c.Journal},
	} {
		if f.n != 0 {
			inc = append(inc, bson.E{Key: "counts." + f.name, Value: f.n})
		}
	}
	return inc
}
