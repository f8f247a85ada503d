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

// Keep says what is kept of a script's runs. Values below zero mean without limit.
type Keep struct {
	// MaxAge is how long a run is kept after its end.
	MaxAge time.Duration `bson:"max_age_ms"`
	// LogAge is how long its log is kept.
	LogAge time.Duration `bson:"log_age_ms"`
	// MaxRuns is how many runs are kept at most, and MinRuns how many of the newest whatever their age.
	MaxRuns int `bson:"max_runs"`
	MinRuns int `bson:"min_runs"`
}

// stored is the same in milliseconds.
func (k Keep) stored() Keep {
	k.MaxAge, k.LogAge = millis(k.MaxAge), millis(k.LogAge)
	return k
}

func (k Keep) read() Keep {
	k.MaxAge, k.LogAge = fromMillis(k.MaxAge), fromMillis(k.LogAge)
	return k
}

// millis is what fromMillis reads.
func millis(d time.Duration) time.Duration {
	if d < 0 {
		return -1
	}
	return time.Duration(d.Milliseconds())
}

// Pruned is what was deleted.
type Pruned struct {
	Runs    int64
	Records int64 // documents that belonged to runs
}

const (
	pruneRuns    = 100  // runs at a time
	pruneRecords = 1000 // other documents at a time
	surplusPage  = 1000 // runs that are looked at at a time
)

// dependents are the collections whose documents belong to a run: their _id begins with r, the run. Whatever belongs to a run is
// deleted before the run itself, so that a crash in between leaves a run that is found again, and not documents that are not.
func (s *Store) dependents() []*mongo.Collection {
	return []*mongo.Collection{s.logs, s.audit, s.journal, s.failures, s.partitions}
}

// of selects the documents that belong to a run. No document sorts between {r: "x"} and {r: "x\x00"} that isn't of run x.
func of(run string) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: bson.D{{Key: "r", Value: run}}}, {Key: "$lt", Value: bson.D{{Key: "r", Value: run + "\x00"}}},
	}}}
}

// prunable selects runs to which nothing will happen any more: neither by a script that didn't stop nor by anybody who resumes them.
// Whether others need them is another question: see [Store.unneeded].
func prunable() bson.A {
	return bson.A{
		bson.D{{Key: "slot", Value: bson.D{{Key: "$exists", Value: false}}}},
		bson.D{{Key: "$or", Value: bson.A{
			bson.D{{Key: "state", Value: bson.D{{Key: "$in", Value: statesWhere(State.Final)}}}},
			bson.D{
				{Key: "state", Value: Interrupted},
				{Key: "resumable", Value: bson.D{{Key: "$ne", Value: true}}},
				{Key: "unbegun", Value: bson.D{{Key: "$ne", Value: true}}},
			},
		}}},
	}
}

// Scripts returns the names of all scripts that have runs.
func (s *Store) Scripts(ctx context.Context) ([]string, error) {
	var names []string
	err := s.runs.Distinct(ctx, "script", bson.D{}, options.Distinct().SetComment("rikki prune")).Decode(&names)
	return names, wrap("list the scripts of the history", err)
}

// KeepOf is what the newest run of a script says about how long its runs are kept, and false when it says nothing.
func (s *Store) KeepOf(ctx context.Context, script string) (Keep, bool, error) {
	var newest struct {
		Keep *Keep `bson:"keep"`
	}
	err := s.runs.FindOne(ctx, bson.D{{Key: "script", Value: script}}, options.FindOne().
		SetSort(newestFirst()).SetProjection(bson.D{{Key: "keep", Value: 1}}).SetComment("rikki prune")).Decode(&newest)
	if errors.Is(err, mongo.ErrNoDocuments) || (err == nil && newest.Keep == nil) {
		return Keep{}, false, nil
	}
	if err != nil {
		return Keep{}, false, wrap("read the newest run of "+script, err)
	}
	return newest.Keep.read(), true, nil
}

func newestFirst() bson.D { return bson.D{{Key: "created_at", Value: -1}, {Key: "_id", Value: -1}} }

// PruneRuns deletes some of a script's runs that need not be kept, the oldest first, with all that belongs to them. What a run needs
// that is not over stays; see [Store.Need]. Call it again until it deletes no run. Any number of processes may do it at once.
func (s *Store) PruneRuns(ctx context.Context, script string, k Keep) (Pruned, error) {
	fail := func(err error) (Pruned, error) { return Pruned{}, wrap("prune the runs of "+script, err) }
	clauses, err := s.surplus(ctx, script, k)
	if err != nil || clauses == nil {
		return fail(err)
	}
	for page := clauses; ; {
		runs, err := s.oldRuns(ctx, page, pruneRuns)
		if err != nil || len(runs) == 0 {
			return fail(err)
		}
		free, _, err := s.unneeded(ctx, runs)
		if err != nil {
			return fail(err)
		}
		if pruned, err := s.remove(ctx, free); err != nil || pruned.Runs > 0 {
			return pruned, wrap("prune the runs of "+script, err)
		}
		page = append(slices.Clone(clauses), behind(runs))
	}
}

// remove deletes runs with all that belongs to them, unless somebody needs them by now.
func (s *Store) remove(ctx context.Context, runs []oldRun) (Pruned, error) {
	if len(runs) == 0 {
		return Pruned{}, nil
	}
	ids, err := s.markGone(ctx, runs)
	if err != nil || len(ids) == 0 {
		return Pruned{}, err
	}
	records, err := s.purge(ctx, s.dependents(), ids)
	if err != nil {
		return Pruned{}, err
	}
	marked := bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}, {Key: "gone", Value: true}}
	res, err := s.runs.DeleteMany(ctx, marked, options.DeleteMany().SetComment("rikki prune"))
	if err != nil {
		return Pruned{}, err
	}
	return Pruned{Runs: res.DeletedCount, Records: records}, nil
}

// Surplus counts the runs that [Store.PruneRuns] would delete, and names those that it would keep because of others, up to a thousand.
func (s *Store) Surplus(ctx context.Context, script string, k Keep) (int64, []Kept, error) {
	const most = 1000
	fail := func(err error) (int64, []Kept, error) {
		return 0, nil, wrap("count what can be pruned of "+script, err)
	}
	clauses, err := s.surplus(ctx, script, k)
	if err != nil || clauses == nil {
		return fail(err)
	}
	total, kept := int64(0), []Kept(nil)
	for page := clauses; ; {
		runs, err := s.oldRuns(ctx, page, surplusPage)
		if err != nil {
			return fail(err)
		}
		free, others, err := s.unneeded(ctx, runs)
		if err != nil {
			return fail(err)
		}
		total += int64(len(free))
		kept = append(kept, others[:min(len(others), most-len(kept))]...)
		if len(runs) < surplusPage {
			return total, kept, nil
		}
		page = append(slices.Clone(clauses), behind(runs))
	}
}

// behind selects the runs that are younger than the last of a page.
func behind(runs []oldRun) bson.D {
	last := runs[len(runs)-1]
	return beyond("$gt", last.Created.Time(), last.ID)
}

// surplus selects the runs that need not be kept. It is nil when there are none.
func (s *Store) surplus(ctx context.Context, script string, k Keep) (bson.A, error) {
	var why bson.A
	if k.MaxAge >= 0 {
		at, err := s.clock(ctx)
		if err != nil {
			return nil, err
		}
		before := bson.D{{Key: "$lt", Value: at.Add(-k.MaxAge)}}
		why = append(why, bson.D{{Key: "created_at", Value: before}, {Key: "ended_at", Value: before}})
	}
	if k.MaxRuns >= 0 {
		edge, err := s.beyondNewest(ctx, script, k.MaxRuns)
		if err != nil {
			return nil, err
		}
		if edge != nil {
			why = append(why, edge)
		}
	}
	if len(why) == 0 {
		return nil, nil
	}
	clauses := append(prunable(), bson.D{{Key: "script", Value: script}}, bson.D{{Key: "$or", Value: why}})
	if k.MinRuns > 0 {
		edge, err := s.beyondNewest(ctx, script, k.MinRuns)
		if err != nil || edge == nil {
			return nil, err
		}
		clauses = append(clauses, edge)
	}
	return clauses, nil
}

// beyondNewest selects all but the newest n runs of a script, and is nil when there are no others.
func (s *Store) beyondNewest(ctx context.Context, script string, n int) (bson.D, error) {
	var edge struct {
		ID      string    `bson:"_id"`
		Created time.Time `bson:"created_at"`
	}
	err := s.runs.FindOne(ctx, bson.D{{Key: "script", Value: script}}, options.FindOne().SetSort(newestFirst()).SetSkip(int64(n)).
		SetProjection(bson.D{{Key: "created_at", Value: 1}}).SetComment("rikki prune")).Decode(&edge)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: "_id", Value: edge.ID}}, beyond("$lt", edge.Created, edge.ID),
	}}}, nil
}

// clock is the server's time.
func (s *Store) clock(ctx context.Context) (time.Time, error) {
	var hello struct {
		LocalTime time.Time `bson:"localTime"`
	}
	err := s.db.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
	return hello.LocalTime, err
}

// oldRuns returns the oldest runs for which all clauses hold.
func (s *Store) oldRuns(ctx context.Context, clauses bson.A, n int) ([]oldRun, error) {
	oldest := bson.D{{Key: "created_at", Value: 1}, {Key: "_id", Value: 1}}
	fields := bson.D{{Key: "script", Value: 1}, {Key: "parent", Value: 1}, {Key: "needed_by", Value: 1}, {Key: "created_at", Value: 1}}
	cur, err := s.runs.Find(ctx, bson.D{{Key: "$and", Value: clauses}}, options.Find().SetSort(oldest).SetLimit(int64(n)).
		SetBatchSize(int32(n)+1).SetProjection(fields).SetComment("rikki prune")) //nolint:gosec // at most a page
	if err != nil {
		return nil, err
	}
	var runs []oldRun
	return runs, cur.All(ctx, &runs)
}

// purge deletes what belongs to the runs, a thousand documents at a time.
func (s *Store) purge(ctx context.Context, from []*mongo.Collection, runs []string) (int64, error) {
	ranges := make(bson.A, len(runs))
	for i, run := range runs {
		ranges[i] = of(run)
	}
	total := int64(0)
	for _, coll := range from {
		for full := true; full; {
			n, err := purgeSome(ctx, coll, bson.D{{Key: "$or", Value: ranges}})
			if coll == s.audit && noAccess(err) {
				break // who withholds this right wants to keep the entries
			}
			if err != nil {
				return total, fmt.Errorf("%s: %w", coll.Name(), err)
			}
			total += n
			full = n == pruneRecords
		}
	}
	return total, nil
}

// purgeSome deletes up to a thousand of the documents that match.
func purgeSome(ctx context.Context, coll *mongo.Collection, match bson.D) (int64, error) {
	cur, err := coll.Find(ctx, match, options.Find().SetLimit(pruneRecords).SetBatchSize(pruneRecords+1).
		SetProjection(bson.D{{Key: "_id", Value: 1}}).SetComment("rikki prune"))
	if err != nil {
		return 0, err
	}
	var docs []struct {
		ID bson.RawValue `bson:"_id"`
	}
	if err := cur.All(ctx, &docs); err != nil || len(docs) == 0 {
		return 0, err
	}
	ids := make(bson.A, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	_, err = coll.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, options.DeleteMany().SetComment("rikki prune"))
	return int64(len(docs)), err // somebody else may have deleted some of them: gone is gone
}
