package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/store"
)

const (
	// perPartition is about how many documents a partition has. A chunk never looks beyond its partition, so this also bounds
	// how long it searches for documents that the filter leaves.
	perPartition  = 10_000
	maxPartitions = 1000
	// perSplit is how many keys are drawn for each partition. The more, the more even they are.
	perSplit = 20
	// drawTime bounds the drawing of keys, and stepTime all steps that are gone instead where it takes longer: the storage engine's
	// random cursor crawls where a large part of a collection was deleted lately. maxSteps bounds their number.
	drawTime = 3 * time.Second
	stepTime = 20 * time.Second
	maxSteps = 16
	// countTime bounds the counting of what a filter matches. The count is a hint.
	countTime = 3 * time.Second
	// guardTime is the same where a run depends on it.
	guardTime = time.Minute
)

// lay makes the partitions.
func (e *engine) lay(ctx context.Context) (store.Plan, error) {
	if err := e.pin(ctx); err != nil {
		return store.Plan{}, unplanned(err)
	}
	parts, total, err := e.source.plan(ctx)
	if err == nil {
		err = e.still(ctx) // what was planned for must not have gone meanwhile: without documents there would be nothing to do
	}
	if err != nil {
		return store.Plan{}, unplanned(e.changedMeanwhile(ctx, err))
	}
	if err := e.announced(ctx, total); err != nil {
		return store.Plan{}, err
	}
	if e.knobs.Limit > 0 {
		total = min(total, e.knobs.Limit)
	}
	plan := store.Plan{Total: total, Planned: true, Epoch: e.run.Epoch(), Target: e.target, Journal: string(e.opts.Journal), Alone: e.alone}
	if known, ok := e.source.(factual); ok {
		if plan.Value, err = known.facts(); err != nil {
			return store.Plan{}, err
		}
	}
	lay := func(ctx context.Context) error { return e.walk.Lay(ctx, plan, parts) }
	if !e.alone {
		inner := lay
		lay = func(ctx context.Context) error {
			session, err := e.client.StartSession()
			if err != nil {
				return err
			}
			defer session.EndSession(context.WithoutCancel(ctx))
			if err := e.note(ctx, session); err != nil {
				return err
			}
			_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
				err := inner(ctx)
				point.Reached("plan.laying")
				return nil, err
			}, transaction())
			return err
		}
	}
	if err := lay(ctx); err != nil {
		// Whether the plan is there decides, not the answer.
		if now, lookErr := e.walk.Take(ctx); lookErr == nil && now.Planned {
			return now, nil
		}
		return store.Plan{}, fmt.Errorf("writing the plan: %w", err)
	}
	e.log.Info("planned", "partitions", len(parts), "documents", total)
	return plan, nil
}

// rangesOf cuts the keys of a collection into partitions, up to the greatest key of this moment.
func (e *engine) rangesOf(ctx context.Context) ([]store.Partition, int64, error) {
	upper, err := e.greatest(ctx)
	if err != nil || upper.IsZero() {
		return nil, 0, err
	}
	size, err := e.coll.EstimatedDocumentCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("counting %s: %w", e.ns(), err)
	}
	total := e.count(ctx, size)
	n := min(max(int(size/perPartition), 1), maxPartitions)
	if spread := 4 * e.opts.Workers; n < spread {
		n = min(spread, int(size/100)+1)
	}
	splits, err := e.splits(ctx, n)
	if errors.Is(err, errSlowSample) {
		splits, err = e.steps(ctx, min(n, maxSteps), size, upper)
	}
	if err != nil {
		return nil, 0, err
	}
	var parts []store.Partition
	var lower bson.RawValue
	for _, split := range append(splits, upper) {
		parts = append(parts, store.Partition{N: len(parts), Lower: lower, Upper: split})
		lower = split
	}
	return parts, total, nil
}

// greatest is the greatest key, which freezes the end of the walk.
func (e *engine) greatest(ctx context.Context) (bson.RawValue, error) {
	key, err := e.keyAt(ctx, bson.D{}, -1, 0)
	if err != nil {
		return key, fmt.Errorf("looking for the greatest %s of %s: %w", e.opts.Key, e.ns(), err)
	}
	return key, nil
}

// count is how many documents the walk will find, about.
func (e *engine) count(ctx context.Context, size int64) int64 {
	if f, ok := e.opts.Filter.(bson.D); ok && len(f) == 0 {
		return size
	}
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	n, err := e.matching(ctx, e.opts.Filter, 0)
	if err != nil {
		return 0 // not known; nothing depends on it
	}
	return n
}

// matching counts what a filter matches, up to a limit; 0 is none. The driver would count by an aggregation, which knows fewer
// filters.
func (e *engine) matching(ctx context.Context, filter any, limit int64) (int64, error) {
	var answer struct{ N int64 }
	command := bson.D{
		{Key: "count", Value: e.coll.Name()}, {Key: "query", Value: filter}, {Key: "limit", Value: limit}, {Key: "comment", Value: e.run.ID()},
	}
	err := e.coll.Database().RunCommand(ctx, command).Decode(&answer)
	if hasAnyCode(err, codeNoPlan) && e.target.Index != nil { // the server scans no collection (notablescan)
		err = e.coll.Database().RunCommand(ctx, append(command, bson.E{Key: "hint", Value: e.hint()})).Decode(&answer)
	}
	return answer.N, err
}

// splits draws keys and returns n-1 of them that lie evenly among those drawn.
func (e *engine) splits(ctx context.Context, n int) ([]bson.RawValue, error) {
	if n <= 1 {
		return nil, nil
	}
	bounded, cancel := context.WithTimeout(ctx, drawTime)
	defer cancel()
	cur, err := e.coll.Aggregate(bounded, mongo.Pipeline{
		{{Key: "$sample", Value: bson.D{{Key: "size", Value: n * perSplit}}}},
		{{Key: "$project", Value: bson.D{{Key: e.opts.Key, Value: 1}}}},
		{{Key: "$sort", Value: bson.D{{Key: e.opts.Key, Value: 1}}}},
	}, options.Aggregate().SetComment(e.run.ID()))
	var drawn []bson.Raw
	if err == nil {
		err = cur.All(bounded, &drawn)
	}
	switch {
	case err != nil && (bounded.Err() != nil || mongo.IsTimeout(err)) && ctx.Err() == nil:
		return nil, errSlowSample
	case err != nil:
		return nil, fmt.Errorf("sampling %s: %w", e.ns(), err)
	}
	var splits []bson.RawValue
	for i := 1; i < n && len(drawn) > 0; i++ {
		key := e.keyOf(drawn[min(i*len(drawn)/n, len(drawn)-1)])
		// The same key twice would make a partition without documents, which does no harm but is no use.
		if !slices.ContainsFunc(splits, key.Equal) && !key.IsZero() {
			splits = append(splits, key)
		}
	}
	return splits, nil
}

// errSlowSample says that drawing keys takes too long.
var errSlowSample = errors.New("drawing keys takes too long")

// steps goes through the index in n equal steps, as far as there is time, and returns the keys between them.
func (e *engine) steps(ctx context.Context, n int, size int64, upper bson.RawValue) ([]bson.RawValue, error) {
	e.log.Info("keys can't be drawn in time, as after many deletions: the collection is gone through instead", "at_most", stepTime.String())
	bounded, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	var splits []bson.RawValue
	var last bson.RawValue
	for len(splits) < n-1 {
		key, err := e.keyAt(bounded, between(e.opts.Key, last, upper), 1, max(int(size)/n-1, 0))
		switch {
		case err != nil && (bounded.Err() != nil || mongo.IsTimeout(err)) && ctx.Err() == nil:
			return splits, nil // the last partition has the rest
		case err != nil:
			return nil, err
		case key.IsZero():
			return splits, nil
		}
		splits, last = append(splits, key), key
	}
	return splits, nil
}

// keyOf is the key of a document. A document without the field has null, as in the index.
func (e *engine) keyOf(doc bson.Raw) bson.RawValue {
	v, err := doc.LookupErr(e.opts.Key)
	if err != nil {
		return bson.RawValue{Type: bson.TypeNull}
	}
	return bson.RawValue{Type: v.Type, Value: slices.Clone(v.Value)}
}

// order is that of the walk.
func (e *engine) order() bson.D { return bson.D{{Key: e.opts.Key, Value: 1}} }

func (e *engine) ns() string { return e.coll.Database().Name() + "." + e.coll.Name() }

// walkable refuses collections and keys that can't be walked, before anything is written.
func (e *engine) walkable(ctx context.Context) error {
	there, err := e.writable(ctx)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%w: there is no collection %s; check its name and the database", ErrCannotWalk, e.ns())
	}
	if e.target.Index, err = e.keyIndex(ctx); err != nil {
		return err
	}
	return e.explain(ctx)
}

// writable refuses what is no ordinary collection, and tells whether there is one.
func (e *engine) writable(ctx context.Context) (there bool, err error) {
	if err := e.checkTarget(); err != nil {
		return false, err
	}
	spec, err := e.specification(ctx)
	if err != nil || spec == nil {
		return false, err
	}
	switch kind := spec.Type; kind {
	case "collection":
	case "view":
		return false, fmt.Errorf("%w: %s is a view, which has no documents of its own; take the collection that it shows", ErrCannotWalk, e.ns())
	case "timeseries":
		return false, fmt.Errorf("%w: %s is a time-series collection, which transactions can't write to; use updateMany or deleteMany", ErrCannotWalk, e.ns())
	default:
		return false, fmt.Errorf("%w: %s is a %s, no ordinary collection", ErrCannotWalk, e.ns(), kind)
	}
	if capped, ok := spec.Options.Lookup("capped").BooleanOK(); ok && capped {
		return false, fmt.Errorf("%w: %s is capped: its documents can't be deleted or grow, and transactions can't write to it; "+
			"copy it into an ordinary collection, or use updateMany", ErrCannotWalk, e.ns())
	}
	e.target.Collection, e.collation = *spec.UUID, spec.Options.Lookup("collation")
	return true, nil
}

// explain makes sure that the server walks the key's index, and that it understands the filter.
func (e *engine) explain(ctx context.Context) error {
	if name := operatorIn(e.opts.Filter, "$text", "$near", "$nearSphere"); name != "" {
		return fmt.Errorf("%w: %s in the filter needs an index and an order of its own, and the walk goes by %s; use $regex or $geoWithin, "+
			"or look the _ids up first and give them to --only or to a source", ErrCannotWalk, name, e.opts.Key)
	}
	find := bson.D{
		{Key: "find", Value: e.coll.Name()},
		{Key: "filter", Value: e.opts.Filter},
		{Key: "sort", Value: e.order()},
		{Key: "hint", Value: e.hint()},
		{Key: "limit", Value: 1},
	}
	var plan struct {
		QueryPlanner struct {
			WinningPlan bson.Raw `bson:"winningPlan"`
		} `bson:"queryPlanner"`
	}
	err := e.coll.Database().RunCommand(ctx, bson.D{{Key: "explain", Value: find}, {Key: "verbosity", Value: "queryPlanner"}}).Decode(&plan)
	if hasAnyCode(err, codeBadValue) && strings.Contains(err.Error(), "hint provided does not correspond") {
		return fmt.Errorf("%w: the server doesn't use the index %s yet; is it still being built?", ErrCannotWalk, e.hint())
	}
	if err != nil {
		return refused("the filter of "+e.ns(), err)
	}
	if has(plan.QueryPlanner.WinningPlan, "stage", "SORT") {
		return fmt.Errorf("%w: the index %s doesn't have the order of the collection; walk by _id", ErrCannotWalk, e.hint())
	}
	if has(plan.QueryPlanner.WinningPlan, "isMultiKey", true) {
		return fmt.Errorf("%w: the index on %s has arrays, so a document would be visited more than once; "+
			"when no document has one there any more, make the index again", ErrCannotWalk, e.opts.Key)
	}
	return nil
}

// refused blames what the server was asked to explain, unless it is the account that may not ask.
func refused(what string, err error) error {
	if hasAnyCode(err, codeUnauthorized) {
		return fmt.Errorf("the account lacks a right that the run takes: %w", err)
	}
	return fmt.Errorf("the server refuses %s: %w", what, err)
}

// operatorIn is the first of some operators that a filter has, or "".
func operatorIn(filter any, names ...string) string {
	data, err := bson.Marshal(filter)
	if err != nil {
		return "" // the server will say what is wrong with it
	}
	return nameIn(data, names)
}

func nameIn(doc bson.Raw, names []string) string {
	elements, _ := doc.Elements()
	for _, e := range elements {
		if slices.Contains(names, e.Key()) {
			return e.Key()
		}
		nested, ok := e.Value().DocumentOK()
		if array, isArray := e.Value().ArrayOK(); isArray {
			nested, ok = bson.Raw(array), true
		}
		if !ok {
			continue
		}
		if name := nameIn(nested, names); name != "" {
			return name
		}
	}
	return ""
}

// has looks for a field with a value anywhere in a plan.
func has(doc bson.Raw, name string, value any) bool {
	elements, err := doc.Elements()
	if err != nil {
		return false
	}
	kind, data, err := bson.MarshalValue(value)
	if err != nil {
		return false
	}
	for _, e := range elements {
		if e.Key() == name && e.Value().Equal(bson.RawValue{Type: kind, Value: data}) {
			return true
		}
		if nested, ok := e.Value().DocumentOK(); ok && has(nested, name, value) {
			return true
		}
	}
	return false
}

// announced refuses more documents than --max-matched says. A number that isn't known has to be found out for it.
func (e *engine) announced(ctx context.Context, total int64) error {
	limit := e.knobs.MaxMatched
	if limit <= 0 {
		return nil
	}
	if total == 0 && e.opts.Source == nil {
		ctx, cancel := context.WithTimeout(ctx, guardTime)
		defer cancel()
		var err error
		if total, err = e.matching(ctx, e.opts.Filter, limit+1); err != nil {
			return fmt.Errorf("%w: the documents that match can't be counted, as --max-matched demands; run it without: %w", ErrGuard, err)
		}
	}
	if total > limit {
		return fmt.Errorf("%w: about %d documents match, and at most %d were announced (--max-matched)", ErrGuard, total, limit)
	}
	return nil
}
