package store

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	pageSize = 200
	// maxCandidates is how many runs an [AmbiguousError] names.
	maxCandidates = 5
)

// Run returns the run with this id, or the only one whose id begins with it. Case, a missing "r_" and the letters that
// ids don't have (o, i, l) don't matter. The error is [ErrNotFound] or an [*AmbiguousError].
func (s *Store) Run(ctx context.Context, id string) (Run, error) {
	prefix := cleanID(id)
	if prefix == idPrefix {
		return Run{}, fmt.Errorf("%w: the id is empty", ErrNotFound)
	}
	clauses := bson.A{bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: "_id", Value: id}},
		bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: prefix}, {Key: "$lt", Value: prefix + "\uffff"}}}},
	}}}}
	runs, err := s.read(ctx, clauses, maxCandidates+1, whole)
	if err != nil {
		return Run{}, wrap("read run "+id, err)
	}
	exact := slices.IndexFunc(runs, func(r Run) bool { return r.ID == id || r.ID == prefix })
	switch {
	case exact >= 0:
		return runs[exact], nil
	case len(runs) == 0:
		return Run{}, fmt.Errorf("%w: %q", ErrNotFound, id)
	case len(runs) > 1:
		return Run{}, &AmbiguousError{Prefix: id, Candidates: runs[:min(len(runs), maxCandidates)]}
	default:
		return runs[0], nil
	}
}

// Latest returns the newest run of a script, or of all scripts when script is "". The error is [ErrNotFound] when there is
// none.
func (s *Store) Latest(ctx context.Context, script string) (Run, error) {
	runs, err := s.read(ctx, Filter{Script: script}.clauses(), 1, whole)
	if err != nil {
		return Run{}, wrap("read the latest run", err)
	}
	if len(runs) == 0 {
		return Run{}, fmt.Errorf("%w: %s has never run", ErrNotFound, cmp.Or(script, "any script"))
	}
	return runs[0], nil
}

// Runs lists runs, newest first on the server's clock, without their results and stacks. It reads
// page by page with short queries and holds no cursor, so a slow reader costs the server nothing.
func (s *Store) Runs(ctx context.Context, f Filter) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		clauses, err := s.bounds(ctx, f)
		if err != nil {
			yield(Run{}, err)
			return
		}
		left := f.Limit
		for page := clauses; ; {
			n := pageSize
			if f.Limit > 0 {
				n = min(n, left)
			}
			runs, err := s.read(ctx, page, n, outline)
			if err != nil {
				yield(Run{}, wrap("list runs", err))
				return
			}
			for _, r := range runs {
				if !yield(r, nil) {
					return
				}
			}
			left -= len(runs)
			if len(runs) < n || f.Limit > 0 && left <= 0 {
				return
			}
			last := runs[len(runs)-1]
			page = slices.Concat(clauses, bson.A{beyond("$lt", last.CreatedAt, last.ID)})
		}
	}
}

// view is which part of a run to read.
type view int

const (
	whole view = iota
	outline
)

func (v view) projection() bson.D {
	p := bson.D{{Key: "search", Value: 0}, {Key: "checkpoint.value", Value: 0}}
	if v == outline {
		p = append(p, bson.E{Key: "input", Value: 0}, bson.E{Key: "result", Value: 0}, bson.E{Key: "error.stack", Value: 0})
	}
	return p
}

// read returns at most n runs for which all clauses hold, newest first, with their honest states.
func (s *Store) read(ctx context.Context, clauses bson.A, n int, v view) ([]Run, error) {
	return s.readBy(ctx, clauses, n, v, options.Aggregate())
}

func (s *Store) readBy(ctx context.Context, clauses bson.A, n int, v view, opts *options.AggregateOptionsBuilder) ([]Run, error) {
	match := bson.D{}
	if len(clauses) > 0 {
		match = bson.D{{Key: "$and", Value: clauses}}
	}
	pipeline := bson.A{
		bson.D{{Key: "$match", Value: match}},
		bson.D{{Key: "$sort", Value: bson.D{{Key: "created_at", Value: -1}, {Key: "_id", Value: -1}}}},
		bson.D{{Key: "$limit", Value: n}},
		bson.D{{Key: "$project", Value: v.projection()}},
		bson.D{{Key: "$set", Value: bson.D{
			{Key: "state", Value: cond(lapsed(), lapsedState(), "state")},
			{Key: "ended_at", Value: cond(lapsed(), lastSeen(), "ended_at")},
			{Key: "read_at", Value: now},
		}}},
	}
	// One more than asked for lets the server close its cursor with the first answer.
	cur, err := s.runs.Aggregate(ctx, pipeline, opts.SetBatchSize(int32(n)+1).SetComment("rikki read")) //nolint:gosec // n is at most a page
	if err != nil {
		return nil, err
	}
	var runs []Run
	if err := cur.All(ctx, &runs); err != nil {
		return nil, err
	}
	for i := range runs {
		runs[i].Timeout = fromMillis(runs[i].Timeout)
	}
	return runs, nil
}

// bounds is the filter's clauses, with the places of Before and After looked up.
func (s *Store) bounds(ctx context.Context, f Filter) (bson.A, error) {
	clauses := f.clauses()
	for _, b := range []struct{ op, id string }{{"$lt", f.Before}, {"$gt", f.After}} {
		if b.id == "" {
			continue
		}
		r, err := s.Run(ctx, b.id)
		if err != nil {
			return nil, err
		}
		clauses = append(clauses, beyond(b.op, r.CreatedAt, r.ID))
	}
	return clauses, nil
}

// beyond selects what lies strictly on one side of a run in the order of lists.
func beyond(op string, created time.Time, id string) bson.D {
	return bson.D{
		{Key: "created_at", Value: bson.D{{Key: op + "e", Value: created}}}, // what an index can use
		{Key: "$or", Value: bson.A{
			bson.D{{Key: "created_at", Value: bson.D{{Key: op, Value: created}}}},
			bson.D{{Key: "_id", Value: bson.D{{Key: op, Value: id}}}},
		}},
	}
}

func (f Filter) clauses() bson.A {
	var all bson.A
	where := func(field string, v any) { all = append(all, bson.D{{Key: field, Value: v}}) }
	if f.Script != "" {
		where("script", f.Script)
	}
	if f.Actor != "" {
		where("actor", f.Actor)
	}
	if !f.Since.IsZero() {
		where("created_at", bson.D{{Key: "$gte", Value: f.Since}})
	}
	if !f.Until.IsZero() {
		where("created_at", bson.D{{Key: "$lt", Value: f.Until}})
	}
	if len(f.States) > 0 {
		where("$or", stateClauses(f.States))
	}
	if f.Text != "" {
		where("search", containing(strings.ToLower(f.Text), ""))
	}
	return all
}

// stateClauses select by the state as readers see it: an active run whose lease has expired is at rest.
func stateClauses(states []State) bson.A {
	active := slices.DeleteFunc(slices.Clone(states), func(s State) bool { return !s.Active() })
	rest := slices.DeleteFunc(slices.Clone(states), State.Active)
	or := bson.A{
		bson.D{{Key: "state", Value: bson.D{{Key: "$in", Value: rest}}}},
		bson.D{
			{Key: "state", Value: bson.D{{Key: "$in", Value: active}}},
			{Key: "$expr", Value: op("$not", expired())},
		},
	}
	var lapsing []State
	for from, to := range map[State]State{Running: Interrupted, Pausing: Paused, Cancelling: Cancelled} {
		if slices.Contains(states, to) {
			lapsing = append(lapsing, from)
		}
	}
	if len(lapsing) > 0 {
		or = append(or, bson.D{
			{Key: "state", Value: bson.D{{Key: "$in", Value: lapsing}}},
			{Key: "$expr", Value: expired()},
		})
	}
	return or
}

// containing matches strings that have text in them, whatever characters text is made of.
func containing(text, flags string) bson.Regex {
	pattern := regexp.QuoteMeta(strings.ToValidUTF8(text, "\uFFFD"))
	pattern = strings.ReplaceAll(pattern, "\x00", `\x00`) // a pattern ends at a zero byte
	return bson.Regex{Pattern: pattern, Options: flags}
}
