package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// claimAttempts bounds how often one slot is tried again after a race or after an expired holder was freed. Each repetition
// means that somebody else got further, so it is hardly ever used up.
const claimAttempts = 20

// Start records a run as running and takes its lease, in one round trip. The error is a [*BusyError] when the script's
// slots are taken, [ErrDuplicateID] when another run has this id, and [ErrNoAccess] when the account may not write.
//
// It is idempotent: called again with the same id and owner it returns the run that is there.
func (s *Store) Start(ctx context.Context, n NewRun) (Run, error) {
	if err := n.validate(); err != nil {
		return Run{}, err
	}
	doc := newRunDoc(n)
	var busy *BusyError
	for _, slot := range slots(n.Script, n.ID, n.Concurrency) {
		run, err := s.claim(ctx, slot, n, doc)
		if err != nil {
			return Run{}, wrap("record run "+n.ID, err)
		}
		if n.owns(run) {
			s.needAll(ctx, n.ID, n.Needs)
			return run, nil
		}
		if busy == nil || run.StartedAt.Before(busy.Holder.StartedAt) {
			busy = &BusyError{Holder: run, Limit: max(1, n.Concurrency)}
		}
	}
	// The holder came with no clock to compare it with; a fresh look costs only those who can't start.
	if holder, err := s.Run(ctx, busy.Holder.ID); err == nil && holder.State == busy.Holder.State {
		busy.Holder = holder
	}
	return Run{}, busy
}

// claim upserts by slot until it gets our run or a live holder.
func (s *Store) claim(ctx context.Context, slot string, n NewRun, doc bson.D) (Run, error) {
	var lastErr error
	for range claimAttempts {
		run, err := s.upsert(ctx, slot, n, doc)
		switch {
		case err == nil && run.Slot != "":
			return run, nil
		case err == nil:
			lastErr = fmt.Errorf("slot %s is fought over", slot) // an expired holder was freed: the slot is open now
		case isCode(err, codeBadValue) && lastErr == nil:
			// The server knows no index of this name.
			if err := s.EnsureIndexes(ctx); err != nil {
				return Run{}, err
			}
			lastErr = err
		case isCode(err, codeDuplicateKey) && duplicateID(err):
			return Run{}, fmt.Errorf("%w: %s", ErrDuplicateID, n.ID)
		case isCode(err, codeDuplicateKey):
			lastErr = err // somebody else inserted between the server's look and its insert
		default:
			return Run{}, err
		}
	}
	return Run{}, lastErr
}

func (s *Store) upsert(ctx context.Context, slot string, n NewRun, doc bson.D) (Run, error) {
	fresh := op("$mergeObjects", literal(doc), bson.D{
		{Key: "slot", Value: "$slot"},
		{Key: "created_at", Value: now},
		{Key: "started_at", Value: now},
		{Key: "lease", Value: bson.D{
			{Key: "owner", Value: literal(n.Owner)},
			{Key: "epoch", Value: int64(1)},
			{Key: "expires", Value: expiresIn(n.TTL.Milliseconds())},
			{Key: "ttl", Value: n.TTL.Milliseconds()},
			{Key: "renewed", Value: now},
		}},
	})
	// A document that is about to be inserted has no _id yet.
	inserting := op("$eq", op("$type", "$_id"), "missing")
	pipeline := bson.A{
		bson.D{{Key: "$replaceWith", Value: op("$cond", inserting, fresh, "$$ROOT")}},
		freeExpired(),
	}
	res := s.runs.FindOneAndUpdate(ctx, bson.D{{Key: "slot", Value: slot}}, pipeline, options.FindOneAndUpdate().
		SetUpsert(true).SetReturnDocument(options.After).SetHint(slotIndex).SetComment(n.ID))
	return decode(res)
}

func (n NewRun) validate() error {
	var errs []error
	if n.ID == "" {
		errs = append(errs, errors.New("store: NewRun.ID is missing"))
	}
	if n.Script == "" {
		errs = append(errs, errors.New("store: NewRun.Script is missing"))
	}
	if n.TTL < time.Millisecond {
		errs = append(errs, fmt.Errorf("store: NewRun.TTL is %s; it must be at least 1ms", n.TTL))
	}
	if n.Owner == (Owner{}) {
		errs = append(errs, errors.New("store: NewRun.Owner is missing"))
	}
	return errors.Join(errs...)
}

// slots are the places that a run may take, in the order to try them. Starting anywhere spreads the runs that begin at
// once; in order they would all fight for the first one.
func slots(script, id string, concurrency int) []string {
	if concurrency < 0 {
		return []string{script + "/" + id}
	}
	limit := max(1, concurrency)
	first := rand.IntN(limit) //nolint:gosec // spreads load, protects nothing
	slots := make([]string, limit)
	for i := range slots {
		slots[i] = script + "/" + strconv.Itoa((first+i)%limit)
	}
	return slots
}

func (n NewRun) owns(r Run) bool { return r.ID == n.ID && r.Lease.Owner == n.Owner }

// newRunDoc is what the caller says about a run. The server adds the slot, the times and the lease.
func newRunDoc(n NewRun) bson.D {
	d := bson.D{
		{Key: "_id", Value: n.ID},
		{Key: "script", Value: n.Script},
		{Key: "state", Value: Running},
		{Key: "actor", Value: clip(n.Actor, wordLimit)},
		{Key: "trigger", Value: clip(n.Trigger, wordLimit)},
		{Key: "source", Value: n.Source},
		{Key: "rikki_version", Value: clip(n.RikkiVersion, wordLimit)},
		{Key: "database", Value: n.Database},
		{Key: "dry_run", Value: n.DryRun},
		{Key: "attempt", Value: max(1, n.Attempt)},
		{Key: "timeout_ms", Value: n.Timeout.Milliseconds()},
	}
	if n.Parent != "" {
		d = append(d, bson.E{Key: "parent", Value: n.Parent})
	}
	if n.Step != "" {
		d = append(d, bson.E{Key: "step", Value: clip(n.Step, wordLimit)})
	}
	if n.Keep != nil {
		d = append(d, bson.E{Key: "keep", Value: n.Keep.stored()})
	}
	if n.Input != "" && len(n.Input) <= valueLimit {
		d = append(d, bson.E{Key: "input", Value: n.Input})
	}
	if n.Resumable {
		d = append(d, bson.E{Key: "resumable", Value: true})
	}
	if n.Schedule != "" {
		d = append(d, bson.E{Key: "schedule", Value: n.Schedule}, bson.E{Key: "scheduled_at", Value: n.ScheduledAt})
	}
	d = appendFitted(d, "params", n.Params)
	d = appendFindings(d, n.Findings)
	return append(d, bson.E{Key: "search", Value: searchText(n, d)})
}

// decode reads the answer of a findAndModify.
func decode(res *mongo.SingleResult) (Run, error) {
	var r Run
	if err := res.Decode(&r); err != nil {
		return Run{}, err
	}
	return r.decoded(), nil
}

// decoded is the run with what its BSON has in another form.
func (r Run) decoded() Run {
	r.Timeout = fromMillis(r.Timeout)
	if r.ReadAt.IsZero() {
		r.ReadAt = r.Lease.Renewed // the owner's own writes set it to the server's clock
	}
	return r
}

// fromMillis reads a duration that was decoded from a number of milliseconds.
func fromMillis(stored time.Duration) time.Duration {
	return time.Duration(int64(stored) * int64(time.Millisecond))
}

func isCode(err error, codes ...int) bool {
	var se mongo.ServerError
	return errors.As(err, &se) && slices.ContainsFunc(codes, se.HasErrorCode)
}

// duplicateID tells a taken id from a taken slot.
func duplicateID(err error) bool {
	var ce mongo.CommandError
	if !errors.As(err, &ce) {
		return false
	}
	_, lookupErr := ce.Raw.LookupErr("keyPattern", "_id")
	return lookupErr == nil
}
