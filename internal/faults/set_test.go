//go:build linux

package faults_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// Case 18, a replica set without a primary for 30 s: nothing is lost, nothing is doubled, and all goes on by itself.
func TestThirtySecondsWithoutAPrimary(t *testing.T) {
	t.Parallel()
	set := faultrig.Borrow(t)
	s := onSet(t, set).shortLease()
	const docs = 30
	colls := map[string]*mongo.Collection{}
	add := func(ctx context.Context, name string) error {
		id, err := s.app.Enqueue(ctx, "steps", &rikki.RunOptions{Params: &Steps{Coll: name, Docs: docs, Pause: 20 * time.Millisecond}})
		if err == nil {
			colls[id] = s.db.Collection(name)
		}
		return err
	}
	for i := range 12 {
		name := "docs_" + strconv.Itoa(i)
		s.seed(t, name, docs)
		if i < 8 {
			if err := add(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	fleet := []*faultrig.Process{s.start(t), s.start(t)}
	faultrig.Eventually(t, time.Minute, "some work", func(ctx context.Context) (bool, error) {
		n, err := s.db.Collection("docs_0").CountDocuments(ctx, bson.D{{Key: "n", Value: bson.D{{Key: "$gt", Value: 0}}}})
		return n > 2, err
	})
	for _, i := range set.Secondaries(t) {
		set.Kill(t, i)
	}
	set.NoPrimary(t)
	began := time.Now()
	naive := make(chan time.Duration, 1)
	go func() { naive <- insertByDefault(t, set.URI(), s.Database) }() // the negative control
	refused := 0
	for i := 8; i < 12; i++ { // what isn't acknowledged may be there or not, and is done once or not at all
		called := time.Now()
		if err := add(t.Context(), "docs_"+strconv.Itoa(i)); err != nil {
			refused++
		}
		if took := time.Since(called); took > refusal {
			t.Errorf("queueing without a primary took %s to fail", took)
		}
	}
	if refused == 0 {
		t.Error("runs were queued without a primary: the fault did not happen")
	}
	if took := <-naive; took <= refusal {
		t.Errorf("a client with the driver's defaults waited %s for an answer: the test can't tell", took)
	}
	faultrig.Eventually(t, time.Minute, "the outage to be as long as it is", func(context.Context) (bool, error) {
		return time.Since(began) >= 30*time.Second, nil
	})
	set.Heal(t)
	healed := time.Now()
	for id, coll := range colls {
		s.await(t, id, 2*time.Minute, rikki.Succeeded)
		if err := checkSteps(t.Context(), coll, docs); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d runs, %d refused meanwhile; all done %s after healing", len(colls), refused, time.Since(healed).Round(time.Millisecond))
	for i := 8; i < 12; i++ {
		coll := s.db.Collection("docs_" + strconv.Itoa(i))
		if n, err := coll.CountDocuments(t.Context(), bson.D{{Key: "n", Value: bson.D{{Key: "$gt", Value: 0}}}}); err != nil || n != 0 && n != docs {
			t.Errorf("%d of %d documents of a run that was refused are done, %v", n, docs, err)
		}
	}
	for _, p := range fleet {
		select {
		case <-p.Exited():
			t.Errorf("a process gave up:\n%s", p.Output())
		default:
		}
	}
	faultrig.NoDeadLeases(t, s.runs(), 0)
}

// refusal is how long it may take to say that there is no primary: the history's 10 s, and some.
const refusal = 20 * time.Second

// insertByDefault writes as a script does that sets nothing, and returns how long that took, in vain or not.
func insertByDefault(t *testing.T, uri, database string) time.Duration {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Error(err)
		return 0
	}
	defer client.Disconnect(context.WithoutCancel(t.Context())) //nolint:errcheck // it has nothing left to do
	called := time.Now()
	_, _ = client.Database(database).Collection("naive").InsertOne(t.Context(), bson.D{}) // how long it takes is what counts
	return time.Since(called)
}

// Cases 19 and 20: what was acknowledged outlives a rollback, though the URI asks for w=1 and local reads.
func TestAcknowledgedRunsOutliveARollback(t *testing.T) {
	t.Parallel()
	set := faultrig.Borrow(t)
	careful := onSet(t, set)
	s := *careful
	weak := s.place
	weak.URI += "&w=1&readConcernLevel=local"
	app, err := weak.app(nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close(context.WithoutCancel(t.Context())) })
	s.app = app
	var acked []any
	for range 5 {
		acked = append(acked, s.enqueue(t, "once", &Once{Coll: "did"}))
	}
	primary := set.Primary(t)
	for _, i := range set.Secondaries(t) {
		set.HoldBack(t, i)
	}
	// Negative control: a client that does as the URI says is told that all is well.
	naive := faultrig.Connect(t, weak.URI, func(o *options.ClientOptions) {
		o.SetWriteConcern(writeconcern.W1()).SetReadConcern(readconcern.Local())
	})
	if _, err := naive.Database(s.Database).Collection("naive").InsertOne(t.Context(), bson.D{{Key: "_id", Value: "lost"}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if id, err := app.Enqueue(t.Context(), "once", &rikki.RunOptions{Params: &Once{Coll: "did"}}); err == nil {
			t.Error("a run was acknowledged that only one member had")
			acked = append(acked, id)
		}
	}
	if result, err := app.Run(t.Context(), "once", &rikki.RunOptions{Params: &Once{Coll: "did"}}); err == nil {
		t.Errorf("a run was acknowledged that only one member had: %+v", result)
	}
	set.Kill(t, primary)
	set.PrimaryOtherThan(t, primary)
	set.Heal(t)
	if err := faultrig.CheckMajority(t.Context(), s.db.Collection("naive"), []any{"lost"}); err == nil {
		t.Error("nothing was rolled back: the fault did not happen")
	}
	faultrig.Majority(t, s.runs(), acked)
	careful.start(t)
	var ids []string
	for _, id := range acked {
		careful.await(t, id.(string), time.Minute, rikki.Succeeded) //nolint:forcetypeassert // see above
		ids = append(ids, id.(string))                              //nolint:forcetypeassert // see above
	}
	if err := eachOnce(t.Context(), &s, ids); err != nil {
		t.Error(err)
	}
}

// reached waits until the test's own clients have found the new primary, too.
func (s *scene) reached(t *testing.T) {
	t.Helper()
	faultrig.Eventually(t, time.Minute, "the test's clients to find the primary", func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if _, err := s.db.Collection("reached").InsertOne(ctx, bson.D{}); err != nil {
			return false, nil
		}
		return s.app.CheckHistory(ctx) == nil, nil
	})
}

// Cases 15 to 17 for the runner: the primary is killed, frozen or stepped down while processes serve the queue.
func TestServeGoesOnWhateverBecomesOfThePrimary(t *testing.T) {
	t.Parallel()
	set := faultrig.Borrow(t)
	s := onSet(t, set).shortLease()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s.start(t)
	s.start(t)
	const docs = 20
	runs := map[string]*mongo.Collection{}
	feed := func() {
		name := "docs_" + strconv.Itoa(len(runs))
		coll := s.seed(t, name, docs)
		runs[s.enqueue(t, "steps", &Steps{Coll: name, Docs: docs, Pause: 50 * time.Millisecond})] = coll
	}
	faults := []string{"kill", "step down", "freeze"}
	rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	for round := range rounds(t, 1) * len(faults) {
		for range 4 {
			feed()
		}
		primary := set.Primary(t)
		switch faults[round%len(faults)] {
		case "kill":
			set.Kill(t, primary)
		case "step down":
			set.StepDown(t)
		case "freeze":
			set.Freeze(t, primary)
		}
		set.PrimaryOtherThan(t, primary)
		s.reached(t)
		feed()
		set.Heal(t)
	}
	for id, coll := range runs {
		s.await(t, id, 2*time.Minute, rikki.Succeeded)
		if err := checkSteps(t.Context(), coll, docs); err != nil {
			t.Error(err)
		}
	}
	faultrig.NoDeadLeases(t, s.runs(), 0)
	t.Logf("%d runs", len(runs))
}
