//go:build linux

package faultrig_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

func TestSet(t *testing.T) { //nolint:paralleltest // it has the set for itself
	begun := time.Now()
	set := faultrig.Borrow(t)
	t.Logf("a set is up after %s", time.Since(begun).Round(time.Millisecond))
	coll := set.Client(t).Database(mongotest.Name(t)).Collection("c")
	var written []any
	insert := func(t *testing.T) {
		t.Helper()
		// The client may not have noticed yet who the primary is, and wait for one that is frozen.
		faultrig.Eventually(t, time.Minute, "an acknowledged write", func(ctx context.Context) (bool, error) {
			id := bson.NewObjectID()
			_, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: id}})
			if err == nil {
				written = append(written, id)
			}
			return err == nil, nil
		})
	}

	t.Run("SurvivesTheDeathOfItsPrimary", func(t *testing.T) { //nolint:paralleltest // in order
		p := set.Primary(t)
		set.Kill(t, p)
		if pid := set.PID(p); pid != 0 {
			t.Errorf("process %d still lives", pid)
		}
		set.PrimaryOtherThan(t, p)
		insert(t)
		set.Heal(t)
		if n := len(set.Secondaries(t)); n != set.Len()-1 {
			t.Errorf("%d secondaries after healing", n)
		}
	})

	t.Run("ElectsAnotherWhenItsPrimaryFreezes", func(t *testing.T) { //nolint:paralleltest // in order
		p := set.Primary(t)
		set.Freeze(t, p)
		set.PrimaryOtherThan(t, p)
		insert(t)
		set.Thaw(t, p)
		set.Heal(t)
	})

	t.Run("StepsDown", func(t *testing.T) { //nolint:paralleltest // in order
		if from, to := set.StepDown(t); from == to {
			t.Error("nobody else took over")
		}
		insert(t)
	})

	t.Run("HasNoPrimaryWithoutAMajority", func(t *testing.T) { //nolint:paralleltest // in order
		for _, i := range set.Secondaries(t) {
			set.Kill(t, i)
		}
		set.NoPrimary(t)
		set.Heal(t)
	})
	faultrig.Majority(t, coll, written)

	// Negative control of I11, and the reason for majority: V10 of the fault catalogue.
	t.Run("RollsBackWhatOnlyThePrimaryHad", func(t *testing.T) { //nolint:paralleltest // in order
		p := set.Primary(t)
		for _, i := range set.Secondaries(t) {
			set.HoldBack(t, i)
		}
		careless := coll.Database().Collection("c", options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: 1}))
		if _, err := careless.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "lost"}}); err != nil {
			t.Fatal(err)
		}
		set.Kill(t, p)
		set.PrimaryOtherThan(t, p)
		set.Heal(t)
		if err := faultrig.CheckMajority(t.Context(), coll, []any{"lost"}); err == nil {
			t.Error("a write that one member had was not rolled back: the fault did not happen")
		}
	})
	faultrig.Majority(t, coll, written)
	if err := coll.Database().Drop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFailCommand(t *testing.T) {
	t.Parallel()
	client := faultrig.Connect(t, mongotest.URI(t), func(o *options.ClientOptions) { o.SetAppName("victim").SetRetryWrites(false) })
	coll := client.Database(mongotest.DB(t).Name()).Collection("c")
	insert := func() error {
		_, err := coll.InsertOne(t.Context(), bson.D{})
		return err
	}
	if err := insert(); err != nil {
		t.Fatal(err)
	}

	t.Run("FailsSoManyTimesAndTells", func(t *testing.T) { //nolint:paralleltest // in order
		fault := faultrig.FailCommand(t, mongotest.Client(t), faultrig.Fault{Commands: []string{"insert"}, AppName: "victim", Times: 2, Code: 112})
		for i := range 3 {
			var se mongo.ServerError
			if err := insert(); (i < 2) != (errors.As(err, &se) && se.HasErrorCode(112)) {
				t.Errorf("insert %d: %v", i, err)
			}
		}
		if _, err := mongotest.DB(t).Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
			t.Error("it struck a bystander:", err)
		}
		if n := fault.Off(); n != 2 {
			t.Errorf("it says that it fired %d times", n)
		}
	})

	t.Run("AppliesAndDoesNotSaySo", func(t *testing.T) { //nolint:paralleltest // in order
		before, err := coll.CountDocuments(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		fault := faultrig.FailCommand(t, mongotest.Client(t), faultrig.Fault{Commands: []string{"insert"}, AppName: "victim", Skip: 1, WriteConcern: 64})
		if err := insert(); err != nil {
			t.Error(err)
		}
		if err := insert(); err == nil {
			t.Error("no error")
		}
		fault.Await(t, 1)
		if n := fault.Off(); n != 1 {
			t.Errorf("it says that it fired %d times", n)
		}
		// The answer came without the wait for a majority, which is what is read.
		faultrig.Eventually(t, time.Minute, "both documents are there", func(ctx context.Context) (bool, error) {
			after, err := coll.CountDocuments(ctx, bson.D{})
			return after == before+2, err
		})
	})

	t.Run("RefusesToStrikeEverybody", func(t *testing.T) {
		t.Parallel()
		for _, f := range []faultrig.Fault{{Commands: []string{"find"}}, {AppName: "victim"}, {Commands: []string{"find"}, AppName: faultrig.AdminApp}} {
			if faultrig.CheckFault(f) == nil {
				t.Errorf("%+v was accepted", f)
			}
		}
	})
}

func TestLagIsMadeAndEnds(t *testing.T) { //nolint:paralleltest // it has the set for itself
	set := faultrig.Borrow(t)
	coll := set.Client(t).Database(mongotest.Name(t)).Collection("c")
	all := coll.Database().Collection("c", options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: 3}))
	if _, err := all.InsertOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	laggard := set.Secondaries(t)[0]
	release := set.Lag(t, laggard)
	if _, err := coll.InsertOne(t.Context(), bson.D{}); err != nil {
		t.Error("a majority is there without the laggard:", err)
	}
	faultrig.Eventually(t, time.Minute, "the lag to show", func(ctx context.Context) (bool, error) {
		lag, err := set.LagOf(ctx, laggard)
		return lag > time.Second, err
	})
	release()
	if _, err := all.InsertOne(t.Context(), bson.D{}); err != nil {
		t.Error("the laggard does not catch up:", err)
	}
	if err := coll.Database().Drop(t.Context()); err != nil {
		t.Error(err)
	}
}
