package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Claim says what a process takes out of the queue.
type Claim struct {
	Taker

	// Database is the one that the process works on.
	Database string
	// Scripts are those that it knows, with how many runs of each may be active at once, as NewRun.Concurrency.
	Scripts map[string]int
}

// Taker is the process that takes a run.
type Taker struct {
	Owner  Owner
	TTL    time.Duration
	Source Source
}

// candidate is a run that may be taken, if nobody is faster.
type candidate struct {
	ID     string `bson:"_id"`
	Script string `bson:"script"`
	State  State  `bson:"state"`
	Lease  struct {
		Epoch int64 `bson:"epoch"`
	} `bson:"lease"`

	slot    string // that it shall take
	limited bool   // in how many of its script may be active
}

// waiting is the filter for the run as it was found.
func (c candidate) waiting() bson.D {
	return bson.D{
		{Key: "_id", Value: c.ID},
		{Key: "lease.epoch", Value: c.Lease.Epoch},
		{Key: "state", Value: c.State},
		{Key: "ready", Value: true},
		{Key: "slot", Value: bson.D{{Key: "$exists", Value: false}}},
	}
}

// Claim takes at most n runs that are due, the greatest priority first and then the one that has been due for longest.
// A script that has as many active runs as it may have stands in nobody's way. Runs may be returned beside an error:
// they are taken.
func (s *Store) Claim(ctx context.Context, c Claim, n int) ([]Run, error) {
	var taken []Run
	open := make([]string, 0, len(c.Scripts))
	for name := range c.Scripts {
		open = append(open, name)
	}
	slices.Sort(open)
	// Every round takes a run, closes a script or loses one to somebody faster, who got further then.
	for range claimAttempts + len(open) {
		if len(taken) >= n || len(open) == 0 {
			break
		}
		found, err := s.candidates(ctx, c.Database, open, n-len(taken))
		if err != nil || len(found) == 0 {
			return taken, wrap("look into the queue", err)
		}
		runs, full, err := s.seizeAll(ctx, found, c)
		taken = append(taken, runs...)
		if err != nil {
			return taken, err
		}
		open = slices.DeleteFunc(open, func(name string) bool { return slices.Contains(full, name) })
	}
	return taken, nil
}

// seizeAll takes those of the candidates that are still there, in one command, and names the scripts that have no slot left.
// What it takes is what the server says afterwards, also where an answer was lost.
func (s *Store) seizeAll(ctx context.Context, found []candidate, c Claim) (taken []Run, full []string, err error) {
	if len(found) == 1 { // one command less
		run, err := s.seize(ctx, found[0], c)
		switch {
		case err == nil:
			return []Run{run}, nil, nil
		case errors.Is(err, errFull):
			return nil, []string{found[0].Script}, nil
		case errors.Is(err, mongo.ErrNoDocuments):
			return nil, nil, nil
		default:
			return nil, nil, wrap("take run "+found[0].ID, err)
		}
	}
	placed, full, err := s.place(ctx, found, c)
	if err != nil || len(placed) == 0 {
		return nil, full, err
	}
	var writes []mongo.WriteModel
	for _, same := range alike(placed, candidate.kind) {
		writes = append(writes, seizure(same, c.Taker))
	}
	_, err = s.runs.BulkWrite(ctx, writes, options.BulkWrite().SetOrdered(false).SetComment("rikki queue"))
	if onlyDuplicates(err) {
		err = nil // a slot that somebody else took meanwhile
	}
	taken, readErr := s.seized(ctx, placed, c.Owner)
	return taken, full, errors.Join(wrap("take runs from the queue", err), wrap("read what was taken from the queue", readErr))
}

// seizure is the statement that takes candidates of one kind.
func seizure(same []candidate, t Taker) mongo.WriteModel {
	filter := same[0].waiting()
	if len(same) == 1 {
		return mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(stages(append(t.set(), slotted(literal(same[0].slot))))).SetHint(idIndex)
	}
	ids := make([]string, len(same))
	for i, next := range same {
		ids[i] = next.ID
	}
	filter[0].Value = bson.D{{Key: "$in", Value: ids}}
	own := op("$concat", "$script", "/", "$_id") // as slots says
	return mongo.NewUpdateManyModel().SetFilter(filter).SetUpdate(stages(append(t.set(), slotted(own)))).SetHint(idIndex)
}

func slotted(slot any) bson.E { return bson.E{Key: "slot", Value: slot} }

// kind is equal for candidates that one statement can take. A slot among a limited number is for one run.
func (c candidate) kind() string {
	if c.limited {
		return c.slot
	}
	return fmt.Sprint(c.State, c.Lease.Epoch)
}

// place gives each candidate the slot that it shall take, in the order of the queue. Scripts that have none left are full.
func (s *Store) place(ctx context.Context, found []candidate, c Claim) (placed []candidate, full []string, err error) {
	free := make(map[string][]string)
	for _, next := range found {
		limit := c.Scripts[next.Script]
		if limit < 0 {
			next.slot = slots(next.Script, next.ID, limit)[0]
			placed = append(placed, next)
			continue
		}
		if _, known := free[next.Script]; !known {
			if free[next.Script], err = s.free(ctx, next.Script, limit); err != nil {
				return nil, nil, wrap("look for a free slot of "+next.Script, err)
			}
		}
		left := free[next.Script]
		if len(left) == 0 {
			full = append(full, next.Script)
			continue
		}
		next.slot, free[next.Script], next.limited = left[0], left[1:], true
		placed = append(placed, next)
	}
	return placed, full, nil
}

// free are the slots of a script that nobody holds at the moment, in the order to try them. The index decides who gets one.
func (s *Store) free(ctx context.Context, script string, limit int) ([]string, error) {
	all := slots(script, "", limit)
	cur, err := s.runs.Find(ctx, bson.D{{Key: "slot", Value: bson.D{{Key: "$in", Value: all}}}}, options.Find().
		SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "slot", Value: 1}}).
		SetHint(slotIndex).SetBatchSize(int32(len(all))+1).SetComment("rikki queue")) //nolint:gosec // a script's limit
	if err != nil {
		return nil, err
	}
	var held []struct {
		Slot string `bson:"slot"`
	}
	if err := cur.All(ctx, &held); err != nil {
		return nil, err
	}
	for _, h := range held {
		all = slices.DeleteFunc(all, func(slot string) bool { return slot == h.Slot })
	}
	return all, nil
}

// seized are those of the candidates that are the owner's now, in the order of the queue.
func (s *Store) seized(ctx context.Context, placed []candidate, owner Owner) ([]Run, error) {
	ids := make([]string, len(placed))
	for i, next := range placed {
		ids[i] = next.ID
	}
	cur, err := s.runs.Find(ctx, bson.D{
		{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}, {Key: "lease.owner.instance", Value: owner.Instance},
	}, options.Find().SetBatchSize(int32(len(ids))+1).SetComment("rikki queue")) //nolint:gosec // a number of workers
	if err != nil {
		return nil, err
	}
	var runs []Run
	if err := cur.All(ctx, &runs); err != nil {
		return nil, err
	}
	var taken []Run
	for _, next := range placed {
		for _, run := range runs {
			if run.ID == next.ID && run.Lease.Epoch == next.Lease.Epoch+1 && run.State.Active() {
				taken = append(taken, run.decoded())
			}
		}
	}
	return taken, nil
}

// candidates are the next runs in the queue. The work is bounded by the number of scripts and priorities, however many runs
// wait or are not due yet.
func (s *Store) candidates(ctx context.Context, database string, scripts []string, n int) ([]candidate, error) {
	filter := bson.D{
		{Key: "ready", Value: true},
		{Key: "database", Value: database},
		{Key: "script", Value: bson.D{{Key: "$in", Value: scripts}}},
		{Key: "$expr", Value: op("$lte", "$due_at", now)},
	}
	opts := options.Find().SetSort(bson.D{{Key: "priority", Value: -1}, {Key: "due_at", Value: 1}}).
		SetLimit(int64(n)).SetBatchSize(int32(n) + 1). //nolint:gosec // n is a number of workers
		SetProjection(bson.D{{Key: "script", Value: 1}, {Key: "state", Value: 1}, {Key: "lease.epoch", Value: 1}}).
		SetHint(queueIndex).SetComment("rikki queue")
	var found []candidate
	var err error
	for attempt := range claimAttempts {
		var cur *mongo.Cursor
		if cur, err = s.runs.Find(ctx, filter, opts); err == nil {
			err = cur.All(ctx, &found)
		}
		if !isCode(err, codeBadValue) {
			return found, err
		}
		// The server knows no index of this name, or a majority doesn't yet.
		if attempt == 0 {
			if err := s.EnsureIndexes(ctx); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(indexPause):
		}
	}
	return nil, err
}

// indexPause is how long to wait for an index that was made just now.
const indexPause = 20 * time.Millisecond

// errFull says that a script has as many active runs as it may have.
var errFull = errors.New("no slot is free")

// seize takes one run from the queue, if it is still there.
func (s *Store) seize(ctx context.Context, next candidate, c Claim) (Run, error) {
	return s.occupy(ctx, next.waiting(), slots(next.Script, next.ID, c.Scripts[next.Script]), c.Taker.set(), next.ID)
}

// occupy makes the run that the filter finds the taker's, in the first slot that is free.
func (s *Store) occupy(ctx context.Context, filter bson.D, slots []string, set bson.D, id string) (Run, error) {
	for _, slot := range slots {
		pipeline := stages(append(slices.Clone(set), bson.E{Key: "slot", Value: literal(slot)}))
		run, err := decode(s.runs.FindOneAndUpdate(ctx, filter, pipeline, after(id)))
		if !isCode(err, codeDuplicateKey) {
			return run, err
		}
	}
	return Run{}, errFull
}

// set is what becomes of a run that is taken: it runs, with the next epoch and attempt, and what its last attempt left is
// gone but for the checkpoint. The source stays that of the attempt in which the script began, unless somebody forced it.
func (t Taker) set() bson.D {
	first := op("$or", op("$eq", op("$ifNull", "$attempt", 0), 0), op("$eq", "$unbegun", true))
	set := bson.D{
		{Key: "state", Value: Running},
		{Key: "lease", Value: bson.D{
			{Key: "owner", Value: literal(t.Owner)},
			{Key: "epoch", Value: op("$add", op("$ifNull", "$lease.epoch", int64(0)), int64(1))},
			{Key: "expires", Value: expiresIn(t.TTL.Milliseconds())},
			{Key: "ttl", Value: t.TTL.Milliseconds()},
			{Key: "renewed", Value: now},
		}},
		{Key: "attempt", Value: op("$add", op("$ifNull", "$attempt", 0), 1)},
		{Key: "started_at", Value: op("$cond", first, now, op("$ifNull", "$started_at", now))},
		{Key: "progress_at", Value: now},
		// What can resume needs no such mark, and so no further write when it begins.
		{Key: "unbegun", Value: op("$cond", op("$and", first, op("$ne", "$resumable", true)), true, "$$REMOVE")},
		{Key: "source", Value: cond(op("$or", first, op("$eq", "$forced", true)), literal(t.Source), "source")},
	}
	for _, field := range []string{
		"ready", "forced", "half_way", "ended_at", "stopped_at", "stuck", "error", "result", "result_cut", "findings", "findings_cut",
	} {
		set = append(set, bson.E{Key: field, Value: "$$REMOVE"})
	}
	return set
}
