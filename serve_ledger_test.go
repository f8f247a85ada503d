//go:build unix

package rikki_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/rikkitest"
)

// tracked is a script that writes down who works on which run, and when, on
// the server's clock.
type tracked struct {
	name  string
	limit int
	pause time.Duration

	before func(ctx context.Context, run *rikki.Run) error // the first step; nil for nothing
}

func (s *tracked) Options() rikki.Options {
	return rikki.Options{Name: s.name, Concurrency: s.limit, Resumable: true}
}

func (s *tracked) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	l := ledger{run.DB()}
	err := l.enter(ctx, run.ID(), run.Attempt())
	if err == nil && s.before != nil {
		err = s.before(ctx, run)
	}
	if err == nil {
		err = s.work(ctx, run, l)
	}
	// Whoever is stopped says so too, or the next attempt takes it for one at work.
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), chaosTTL)
	defer cancel()
	return nil, errors.Join(err, l.leave(bye, run.ID(), run.Attempt()))
}

func (s *tracked) work(ctx context.Context, run *rikki.Run, l ledger) error {
	next := 0
	if _, err := run.LoadCheckpoint(&next); err != nil {
		return err
	}
	for ; next < chaosSteps; next++ {
		if err := l.step(ctx, run.ID(), run.Attempt()); err != nil {
			return l.stale(ctx, run, next, err)
		}
		select {
		case <-time.After(s.pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := run.Checkpoint(ctx, next+1); err != nil {
			return err
		}
	}
	return nil
}

// ledger is what the script writes down, and the judge of it.
type ledger struct{ db *mongo.Database }

// silence is how long nothing was sent by an owner whose lease has expired: it trusted the lease for a tenth less than the server
// did. Half of that is left to the scheduler of a busy machine.
const silence = chaosTTL / 20

// enter begins an attempt. No attempt begins twice, and none begins while the one before is at work: unless that one left, it has
// sent nothing for a while. What was sent counts, and not when the server came to do it.
func (l ledger) enter(ctx context.Context, run string, attempt int) error {
	_, err := l.db.Collection("attempts").InsertOne(ctx, bson.D{{Key: "_id", Value: fmt.Sprintf("%s/%d", run, attempt)}})
	if mongo.IsDuplicateKeyError(err) {
		return l.accuse(ctx, run, attempt, "began twice")
	}
	if err != nil {
		return err
	}
	busy := bson.D{
		{Key: "_id", Value: run},
		{Key: "left", Value: false},
		{Key: "$expr", Value: bson.D{{Key: "$gt", Value: bson.A{"$last", bson.D{{Key: "$subtract", Value: bson.A{"$$NOW", silence.Milliseconds()}}}}}}},
	}
	switch err := l.db.Collection("work").FindOne(ctx, busy).Err(); {
	case errors.Is(err, mongo.ErrNoDocuments):
		return l.write(ctx, run, attempt, false, 0)
	case err != nil:
		return err
	default:
		return l.accuse(ctx, run, attempt, "began while another attempt was at work")
	}
}

func (l ledger) step(ctx context.Context, run string, attempt int) error {
	return l.write(ctx, run, attempt, false, 1)
}

func (l ledger) leave(ctx context.Context, run string, attempt int) error {
	return l.write(ctx, run, attempt, true, 0)
}

// errStale is what a process hears that was frozen while another took its run over.
var errStale = errors.New("another attempt has begun")

// stale judges an attempt whose step was refused because another one has begun. Nothing can keep a process that was thawed from
// sending the write that it was about to send. But it trusted its lease for less long than the server did, so that its context
// must end now, and whatever it does by its run must fail.
func (l ledger) stale(ctx context.Context, run *rikki.Run, next int, err error) error {
	if !errors.Is(err, errStale) {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(chaosTTL / 10):
		if ctx.Err() == nil {
			return l.accuse(context.WithoutCancel(ctx), run.ID(), run.Attempt(), "trusts its lease though another attempt has begun")
		}
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), chaosTTL)
	defer cancel()
	if stored := run.Checkpoint(late, next); stored == nil || errors.Is(stored, rikki.ErrInterrupted) {
		return l.accuse(late, run.ID(), run.Attempt(), "stored a checkpoint though another attempt has begun")
	}
	return err
}

// write is fenced by the attempt, as an author would do it. The first write after a long silence is no sign of life: it is the
// step in which a process was frozen, which ends before it can learn that its lease is gone. A second one is.
func (l ledger) write(ctx context.Context, run string, attempt int, left bool, steps int) error {
	filter := bson.D{{Key: "_id", Value: run}, {Key: "attempt", Value: bson.D{{Key: "$lte", Value: attempt}}}}
	woken := bson.D{{Key: "$and", Value: bson.A{
		bson.D{{Key: "$eq", Value: bson.A{"$attempt", attempt}}},
		bson.D{{Key: "$lt", Value: bson.A{"$seen", bson.D{{Key: "$subtract", Value: bson.A{"$$NOW", (chaosTTL / 2).Milliseconds()}}}}}},
	}}}
	sent := time.Now() // the server has the same clock
	update := bson.A{bson.D{{Key: "$set", Value: bson.D{
		{Key: "attempt", Value: attempt},
		{Key: "last", Value: bson.D{{Key: "$cond", Value: bson.A{woken, "$last", sent}}}},
		{Key: "seen", Value: "$$NOW"},
		{Key: "left", Value: left},
		{Key: "steps", Value: bson.D{{Key: "$add", Value: bson.A{bson.D{{Key: "$ifNull", Value: bson.A{"$steps", 0}}}, steps}}}},
	}}}}
	_, err := l.db.Collection("work").UpdateOne(ctx, filter, update, options.UpdateOne().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		return errStale
	}
	return err
}

func (l ledger) accuse(ctx context.Context, run string, attempt int, what string) error {
	_, err := l.db.Collection("violations").InsertOne(ctx, bson.D{
		{Key: "run", Value: run}, {Key: "attempt", Value: attempt}, {Key: "what", Value: what}, {Key: "pid", Value: os.Getpid()},
	})
	return errors.Join(errors.New(what), err)
}

// judge demands that every run has succeeded and did all its steps, without a violation.
func judge(t *testing.T, app *rikki.App, db *mongo.Database, ids []string) (attempts int) {
	t.Helper()
	states := map[string]rikki.Record{}
	for r, err := range app.Runs(t.Context(), rikki.RunFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		states[r.ID] = r
	}
	for _, id := range ids {
		if r := states[id]; r.State != rikki.Succeeded {
			t.Errorf("run %s of %s is %q: %+v", id, r.Script, r.State, r.Error)
		}
		attempts += states[id].Attempt
	}
	for _, v := range violations(t, db) {
		t.Errorf("violation: %s", v)
	}
	done, err := db.Collection("work").CountDocuments(t.Context(), bson.D{{Key: "left", Value: true}, {Key: "steps", Value: bson.D{{Key: "$gte", Value: chaosSteps}}}})
	if err != nil || int(done) != len(ids) {
		t.Errorf("%d of %d runs did all their steps, %v", done, len(ids), err)
	}
	return attempts
}

// Negative control: the judge finds what the test of the chaos looks for.
func TestTheLedgerFindsRunsThatRunTwice(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	l := ledger{db}
	ctx := t.Context()
	if err := errors.Join(l.enter(ctx, "a", 1), l.step(ctx, "a", 1), l.enter(ctx, "b", 1), l.leave(ctx, "b", 1), l.enter(ctx, "b", 2)); err != nil {
		t.Fatal(err)
	}
	if l.enter(ctx, "a", 1) == nil {
		t.Error("an attempt began twice, and nobody noticed")
	}
	for attempt, caught := 1, false; !caught; attempt++ { // at work is who sent something a moment ago, which a busy machine may miss
		if attempt > 50 {
			t.Fatal("an attempt began beside another, and nobody noticed")
		}
		if err := l.step(ctx, "a", attempt); err != nil {
			t.Fatal(err)
		}
		caught = l.enter(ctx, "a", attempt+1) != nil
	}
	if err := l.step(ctx, "b", 1); !errors.Is(err, errStale) {
		t.Errorf("a stale step: %v", err)
	}
	// An owner that was not frozen: nothing has told it that its run is another attempt's.
	app := rikkitest.App(t, db, &tracked{name: "robbed", limit: 1, before: func(ctx context.Context, run *rikki.Run) error {
		return l.write(ctx, run.ID(), run.Attempt()+1, false, 0)
	}})
	if _, err := app.Run(ctx, "robbed", nil); err == nil {
		t.Error("a run that was robbed of its lease went on")
	}
	want := []string{"began twice", "began while another attempt was at work", "trusts its lease though another attempt has begun"}
	if got := violations(t, db); !slices.Equal(got, want) {
		t.Errorf("violations: %q, want %q", got, want)
	}
}

func violations(t *testing.T, db *mongo.Database) (what []string) {
	t.Helper()
	cur, err := db.Collection("violations").Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var found []struct {
		What string `bson:"what"`
	}
	if err := cur.All(t.Context(), &found); err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		what = append(what, v.What)
	}
	return what
}
