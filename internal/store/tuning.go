package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Tuning is what somebody wants of the pace of a run that is under way. Zero fields leave what the script says.
type Tuning struct {
	Chunk   int     `bson:"chunk,omitempty"`   // documents in a chunk
	Workers int     `bson:"workers,omitempty"` // chunks at a time
	Rate    float64 `bson:"rate,omitempty"`    // documents a second; negative is no limit
	// MaxLag is stored in milliseconds; negative is no limit.
	MaxLag int64     `bson:"max_lag_ms,omitempty"`
	Gentle string    `bson:"gentle,omitempty"` // when to make room for others: auto, always, never
	Until  time.Time `bson:"until"`            // on the server's clock
	Actor  string    `bson:"actor"`
	At     time.Time `bson:"at"`
}

// String lists what is set.
func (t Tuning) String() string {
	var parts []string
	add := func(set bool, format string, v any) {
		if set {
			parts = append(parts, fmt.Sprintf(format, v))
		}
	}
	add(t.Chunk != 0, "chunk %d", t.Chunk)
	add(t.Workers != 0, "workers %d", t.Workers)
	add(t.Rate > 0, "rate %g/s", t.Rate)
	add(t.Rate < 0, "rate %s", "unlimited")
	add(t.MaxLag > 0, "max lag %s", time.Duration(t.MaxLag)*time.Millisecond)
	add(t.MaxLag < 0, "max lag %s", "unlimited")
	add(t.Gentle != "", "gentle %s", t.Gentle)
	if len(parts) == 0 {
		return "as the script says"
	}
	return strings.Join(parts, ", ")
}

// Tune changes the pace of a run that is not at its end. Fields of t that are zero keep what an earlier call has set; with
// reset they go back to what the script says. It counts for so long on the server's clock.
func (s *Store) Tune(ctx context.Context, id string, t Tuning, lasts time.Duration, reset bool, reason string) (Run, error) {
	run, err := s.Run(ctx, id)
	if err != nil {
		return Run{}, err
	}
	field := func(name string, set bool, v any) bson.E {
		switch {
		case set:
			return bson.E{Key: name, Value: literal(v)}
		case reset:
			return bson.E{Key: name, Value: "$$REMOVE"}
		default:
			return bson.E{Key: name, Value: "$tuning." + name}
		}
	}
	tuning := bson.D{
		field("chunk", t.Chunk != 0, t.Chunk), field("workers", t.Workers != 0, t.Workers),
		field("rate", t.Rate != 0, t.Rate), field("max_lag_ms", t.MaxLag != 0, t.MaxLag),
		field("gentle", t.Gentle != "", t.Gentle),
		{Key: "until", Value: expiresIn(lasts.Milliseconds())},
		{Key: "actor", Value: literal(clip(t.Actor, wordLimit))},
		{Key: "at", Value: now},
	}
	open := statesWhere(func(s State) bool { return !s.Final() })
	filter := bson.D{{Key: "_id", Value: run.ID}, {Key: "state", Value: bson.D{{Key: "$in", Value: open}}}}
	// Two stages, because $set merges documents. The first keeps what the second reads.
	pipeline := bson.A{
		bson.D{{Key: "$set", Value: bson.D{{Key: "tuning", Value: op("$mergeObjects", tuning)}}}},
	}
	changed, err := decode(s.runs.FindOneAndUpdate(ctx, filter, pipeline, after(run.ID)))
	if errors.Is(err, mongo.ErrNoDocuments) {
		return run, fmt.Errorf("run %s: %w: it is %s, so there is nothing to tune", run.ID, ErrTransition, run.State)
	}
	if err != nil {
		return Run{}, wrap("tune run "+run.ID, err)
	}
	what := strings.TrimSpace(changed.Tuning.String() + " for " + lasts.String() + ". " + reason)
	return changed, s.Audit(ctx, Entry{
		Run: run.ID, Script: run.Script, Action: Tune, Actor: t.Actor, Reason: what, From: run.State, To: changed.State,
	})
}

// EnsureBackfill makes the collections that transactions of backfills write to: made within one, they would be in each
// other's way.
func (s *Store) EnsureBackfill(ctx context.Context) error {
	const codeNamespaceExists = 48
	for _, name := range []string{collPartitions, collJournal, collFailures} {
		if err := s.db.CreateCollection(ctx, name); err != nil && !isCode(err, codeNamespaceExists) {
			return wrap("create "+s.db.Name()+"."+name, err)
		}
	}
	return nil
}
