//go:build linux

package faults_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// Case 23: the disk of the server is full, which ends mongod. On a set another member leads and the run goes on; alone, the run waits
// until the disk has space again.
func TestBackfillOutlivesAFullDisk(t *testing.T) {
	t.Parallel()
	for name, hosts := range map[string]int{"OfTheOnlyServer": 1, "OfThePrimary": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := faultrig.SmallDisk(t, 330)
			set := faultrig.SetOf(t, append([]faultrig.Host{{Dir: dir}}, make([]faultrig.Host, hosts-1)...), "--syncdelay", "1")
			set.StepUp(t, 0)
			s := onSet(t, set).shortLease()
			const docs = 2000
			coll := s.seed(t, "docs", docs)
			before, naive := hash(t, coll), newLoop(t, s)
			s.start(t)
			id := s.enqueue(t, "marks", marks("docs", 20, map[string]any{"rate": 150, "lag": "-1s"}))
			s.underWay(t, coll, 50)
			naive.start(t)
			free := faultrig.FillDisk(t, dir)
			fill(t, s.db.Collection("filler"), set)
			if said := strings.Join(set.Log(0), "\n"); !strings.Contains(said, "No space left on device") {
				t.Error("the server did not end for want of space: the fault did not happen")
			}
			if hosts > 1 {
				set.PrimaryOtherThan(t, 0)
				done, err := coll.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
				if err != nil {
					t.Fatal(err)
				}
				s.underWay(t, coll, min(docs, done+20))
			}
			free()
			set.Heal(t)
			naive.foundOut(t)
			s.await(t, id, 2*time.Minute, rikki.Succeeded)
			s.audit(t, coll, id, docs)
			s.undo(t, coll, id, before)
			faultrig.NoDeadLeases(t, s.runs(), 0)
		})
	}
}

// fill writes until the server is gone.
func fill(t *testing.T, coll *mongo.Collection, set *faultrig.Set) {
	t.Helper()
	faultrig.Eventually(t, time.Minute, "the server to die", func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, _ = coll.InsertOne(ctx, bson.D{{Key: "filler", Value: make([]byte, 1<<19)}}) // it fails in the end
		return set.PID(0) == 0, nil
	})
}

// Case 30: a chunk is too much for the server's cache. It is halved until it fits, and does not try for ever.
func TestBackfillFitsIntoASmallCache(t *testing.T) {
	t.Parallel()
	if rounds(t, 1) == 1 {
		t.Skip("keeps the machine busy for half a minute; set " + roundsEnv)
	}
	set := faultrig.Node(t) // its cache has 256 MiB
	s := onSet(t, set)
	const docs = 300
	coll := s.db.Collection("docs")
	payload := strings.Repeat("x", 1<<20)
	for i := range docs {
		if _, err := coll.InsertOne(t.Context(), bson.D{
			{Key: "_id", Value: i}, {Key: "n", Value: 0}, {Key: "seen", Value: bson.A{}}, {Key: "payload", Value: payload},
		}); err != nil {
			t.Fatal(err)
		}
	}
	before := hash(t, coll)
	if err := updateAll(t.Context(), s.client, coll); err == nil {
		t.Error("one transaction has changed 300 MiB in a cache of 256: the fault did not happen") // the negative control, too
	} else {
		t.Log("one transaction for all:", err)
	}
	app := s.own(t, nil)
	began := time.Now()
	result, err := app.Run(t.Context(), "pipes", &rikki.RunOptions{Params: marks("docs", docs, map[string]any{"workers": 1})})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("it took %s (I10)", took)
	}
	s.audit(t, coll, result.Run, docs)
	if result.Counters["chunk_retries"] == 0 {
		t.Error("no chunk was too large: the fault did not happen to the run")
	}
	s.undo(t, coll, result.Run, before)
	t.Logf("%d chunks were tried again, %s in all", result.Counters["chunk_retries"], time.Since(began).Round(time.Millisecond))
}

// updateAll is what a script without chunks does.
func updateAll(ctx context.Context, client *mongo.Client, coll *mongo.Collection) error {
	session, err := client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(ctx)
	if err := session.StartTransaction(); err != nil {
		return err
	}
	within := mongo.NewSessionContext(ctx, session)
	if _, err := coll.UpdateMany(within, bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$set", Value: bson.D{{Key: "payload", Value: strings.Repeat("y", 1<<20)}}}}); err != nil {
		_ = session.AbortTransaction(ctx) // the server has
		return err
	}
	return session.AbortTransaction(ctx)
}
