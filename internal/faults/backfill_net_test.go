//go:build linux

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// networks are cases 7 to 10: what becomes of the network between a process and the server. Each ends healed.
var networks = []struct {
	name  string
	cuts  bool // connections break; else what is sent is held up
	loses bool // the lease runs out
	harm  func(t *testing.T, routes *faultrig.Routes)
}{
	{"CutAgainAndAgain", true, false, func(t *testing.T, routes *faultrig.Routes) {
		t.Helper()
		for range 12 {
			routes.Cut()
			faultrig.Last(t, time.Duration(50+rand.IntN(150))*time.Millisecond)
		}
	}},
	{"HalfAnswers", true, false, func(t *testing.T, routes *faultrig.Routes) {
		t.Helper()
		for range 8 {
			routes.Set(faultrig.Toxics{LimitAnswers: 1 + rand.Int64N(2000)})
			faultrig.Last(t, 200*time.Millisecond)
			routes.Set(faultrig.Toxics{})
			faultrig.Last(t, 200*time.Millisecond)
		}
	}},
	{"ByteByByte", false, false, func(t *testing.T, routes *faultrig.Routes) {
		t.Helper()
		routes.Set(faultrig.Toxics{Slice: 1})
		faultrig.Last(t, time.Second)
		routes.Set(faultrig.Toxics{})
	}},
	{"BlackHolePastTheLease", false, true, func(t *testing.T, routes *faultrig.Routes) {
		t.Helper()
		routes.Set(faultrig.Toxics{BlackHole: true})
		faultrig.Last(t, ttl+time.Second)
		routes.Set(faultrig.Toxics{})
		routes.Cut()
	}},
	{"Slow", false, false, func(t *testing.T, routes *faultrig.Routes) {
		t.Helper()
		routes.Set(faultrig.Toxics{Latency: 60 * time.Millisecond, Jitter: 40 * time.Millisecond})
		faultrig.Last(t, 3*time.Second)
		routes.Set(faultrig.Toxics{})
	}},
}

func TestBackfillSurvivesItsNetwork(t *testing.T) {
	t.Parallel()
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			var all faultrig.Counts
			attempts := 0
			for range rounds(t, 1) {
				counts, attempt := backfillThrough(t, n.harm)
				if n.cuts && counts.Broken == 0 || !n.cuts && counts.Harmed == 0 {
					t.Errorf("%+v: the fault did not happen", counts)
				}
				if n.loses && attempt == 1 {
					t.Error("the lease did not run out: the fault did not happen")
				}
				all.Broken, all.Harmed, attempts = all.Broken+counts.Broken, all.Harmed+counts.Harmed, attempts+attempt
			}
			t.Logf("%d rounds: %d connections broken, %d pieces cut off or held up, %d attempts", rounds(t, 1), all.Broken, all.Harmed, attempts)
		})
	}
}

// backfillThrough is one run that the network is harmed of, and what came of it.
func backfillThrough(t *testing.T, harm func(*testing.T, *faultrig.Routes)) (faultrig.Counts, int) {
	t.Helper()
	const docs = 600
	s := onShared(t).shortLease()
	s.URI += "&heartbeatFrequencyMS=500"
	coll := s.seed(t, "docs", docs)
	before, changes := hash(t, coll), faultrig.Record(t, s.db)
	s.harmed = true
	routes := faultrig.NewRoutes(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(mongotest.Server(t).Port())))
	s.start(t, faultrig.Via(routes))
	id := s.enqueue(t, "marks", marks("docs", 10, map[string]any{"rate": 250}))
	s.underWay(t, coll, 20)
	harm(t, routes)
	record := s.await(t, id, 2*time.Minute, rikki.Succeeded)
	s.audit(t, coll, id, docs)
	if err := faultrig.CheckFenced(changes.Changes(t), tokens); err != nil {
		t.Error(err)
	}
	s.undo(t, coll, id, before)
	leave(t, s)
	return routes.Counts(), record.Attempt
}

// Case 33 and foreground writers: others write the same documents, and delete some, while a backfill goes on. Nobody's write is
// lost, and each document that stays is done once.
func TestBackfillBesideForegroundWriters(t *testing.T) {
	t.Parallel()
	const docs = 1500
	s := onShared(t)
	coll := s.seed(t, "docs", docs)
	s.start(t)
	id := s.enqueue(t, "marks", marks("docs", 50, map[string]any{"rate": 500}))
	others := foreground(t, coll, docs)
	s.await(t, id, 2*time.Minute, rikki.Succeeded)
	others.stop()
	writes, left, err := others.check(t.Context(), coll, docs)
	if err != nil {
		t.Error(err)
	}
	if writes == 0 || left == docs {
		t.Errorf("%d foreground writes, %d documents left: the fault did not happen", writes, left)
	}
	faultrig.ExactlyOnce(t, coll, left)
	record, err := s.app.Record(t.Context(), id)
	if err != nil || record.Counters["changed"] < int64(left) || record.Counters["changed"] > docs {
		t.Errorf("the history says %+v, %v", record.Counters, err)
	}
	t.Logf("%d foreground writes, %d documents deleted meanwhile, %d retries of chunks", writes, docs-left, record.Counters["chunk_retries"])
}

// foreground has others write until they are stopped.
func foreground(t *testing.T, coll *mongo.Collection, docs int) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{added: map[int]int64{}, deleted: map[int]bool{}}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				n := rand.IntN(docs)
				if w == 0 && i%20 == 0 {
					res, err := coll.DeleteOne(context.WithoutCancel(ctx), bson.D{{Key: "_id", Value: n}})
					if err != nil {
						t.Error(err)
						return
					}
					c.mu.Lock()
					c.deleted[n] = c.deleted[n] || res.DeletedCount > 0
					c.mu.Unlock()
					continue
				}
				res, err := coll.UpdateByID(context.WithoutCancel(ctx), n, bson.D{{Key: "$inc", Value: bson.D{{Key: "w", Value: 1}}}})
				if err != nil {
					t.Error(err)
					return
				}
				c.mu.Lock()
				c.added[n] += res.ModifiedCount
				c.mu.Unlock()
			}
		})
	}
	c.stop = func() { cancel(); writers.Wait() }
	t.Cleanup(c.stop)
	return c
}

// Negative control: a script that reads documents and writes them back as a whole, beside the same writers.
func TestAScriptThatWritesDocumentsBackIsFoundOut(t *testing.T) {
	t.Parallel()
	const docs = 500
	s := onShared(t)
	for try := range 20 {
		coll := s.seed(t, fmt.Sprint("docs", try), docs)
		others := foreground(t, coll, docs)
		cur, err := coll.Find(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		for cur.Next(t.Context()) {
			if _, err := coll.ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: cur.Current.Lookup("_id")}}, cur.Current); err != nil {
				t.Fatal(err)
			}
		}
		others.stop()
		if _, _, err := others.check(t.Context(), coll, docs); errors.Is(err, errLost) {
			return
		}
	}
	t.Error("documents were written back beside others 20 times and nobody noticed")
}

// Case 29: the server ends transactions after 2 s, and the chunk at first takes 3 s.
func TestBackfillHalvesChunksThatTakeTooLong(t *testing.T) {
	t.Parallel()
	set := faultrig.Node(t, "--setParameter", "transactionLifetimeLimitSeconds=2")
	s := onSet(t, set)
	const docs = 60
	if err := oneByOne(t.Context(), s.client, s.seed(t, "naive", docs), docs, 250*time.Millisecond); err == nil { // the server looks each second
		t.Error("one transaction has lasted 15 s: the fault did not happen") // the negative control, too
	} else {
		t.Log("one transaction for all:", err)
	}
	coll := s.seed(t, "docs", docs)
	app := s.own(t, nil)
	began := time.Now()
	result, err := app.Run(t.Context(), "marks", &rikki.RunOptions{Params: marks("docs", 60, map[string]any{"pause": "50ms", "workers": 1})})
	if err != nil {
		t.Fatal(err)
	}
	s.audit(t, coll, result.Run, docs)
	if n := result.Counters["chunk_retries"]; n == 0 || n > 20 {
		t.Errorf("%d chunks were tried again: the fault did not happen, or the chunk was not halved", n)
	}
	t.Logf("%d chunks were tried again, %s in all", result.Counters["chunk_retries"], time.Since(began).Round(time.Millisecond))
}

// oneByOne changes all documents in one transaction, at its own pace.
func oneByOne(ctx context.Context, client *mongo.Client, coll *mongo.Collection, docs int, pace time.Duration) error {
	session, err := client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(ctx)
	if err := session.StartTransaction(); err != nil {
		return err
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	if err := each(mongo.NewSessionContext(ctx, session), coll, docs, tick.C); err != nil {
		_ = session.AbortTransaction(ctx) // the server has
		return err
	}
	return session.CommitTransaction(ctx)
}
