//go:build linux

package faults_test

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// Cases 7 to 10: the network between a process and the server.
func TestBackfillSurvivesItsNetwork(t *testing.T) {
	t.Parallel()
	const docs = 600
	for _, c := range []struct {
		name string
		harm func(t *testing.T, routes *faultrig.Routes)
	}{
		{"CutAgainAndAgain", func(t *testing.T, routes *faultrig.Routes) {
			t.Helper()
			for range 12 {
				routes.Cut()
				faultrig.Last(t, time.Duration(50+rand.IntN(150))*time.Millisecond)
			}
		}},
		{"HalfAnswers", func(t *testing.T, routes *faultrig.Routes) {
			t.Helper()
			for range 8 {
				routes.Set(faultrig.Toxics{LimitAnswers: 1 + rand.Int64N(2000)})
				faultrig.Last(t, 200*time.Millisecond)
				routes.Set(faultrig.Toxics{})
				faultrig.Last(t, 200*time.Millisecond)
			}
		}},
		{"ByteByByte", func(t *testing.T, routes *faultrig.Routes) {
			t.Helper()
			routes.Set(faultrig.Toxics{Slice: 1})
			faultrig.Last(t, time.Second)
			routes.Set(faultrig.Toxics{})
			routes.Cut() // so that something broke
		}},
		{"BlackHolePastTheLease", func(t *testing.T, routes *faultrig.Routes) {
			t.Helper()
			routes.Set(faultrig.Toxics{BlackHole: true})
			faultrig.Last(t, ttl+time.Second)
			routes.Set(faultrig.Toxics{})
			routes.Cut()
		}},
		{"Slow", func(t *testing.T, routes *faultrig.Routes) {
			t.Helper()
			routes.Set(faultrig.Toxics{Latency: 60 * time.Millisecond, Jitter: 40 * time.Millisecond})
			faultrig.Last(t, 3*time.Second)
			routes.Set(faultrig.Toxics{})
			routes.Cut()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := onShared(t)
			s.URI += "&heartbeatFrequencyMS=500"
			coll := s.seed(t, "docs", docs)
			before, changes := hash(t, coll), faultrig.Record(t, s.db)
			s.harmed = true
			routes := faultrig.NewRoutes(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(mongotest.Server(t).Port())))
			s.start(t, faultrig.Via(routes))
			id := s.enqueue(t, "marks", marks("docs", 10, map[string]any{"rate": 250}))
			faultrig.Eventually(t, time.Minute, "some work", func(ctx context.Context) (bool, error) {
				n, err := coll.CountDocuments(ctx, bson.D{{Key: "n", Value: 1}})
				return n > 20, err
			})
			c.harm(t, routes)
			if n := routes.Counts().Broken; n == 0 {
				t.Error("no connection was broken: the fault did not happen")
			}
			record := s.await(t, id, 2*time.Minute, rikki.Succeeded)
			s.audit(t, coll, id, docs)
			if err := faultrig.CheckFenced(changes.Changes(t), tokens); err != nil {
				t.Error(err)
			}
			s.undo(t, coll, id, before)
			t.Logf("%d connections broken, %d attempts", routes.Counts().Broken, record.Attempt)
		})
	}
}

// Case 33 and foreground writers: others write the same documents, insert and delete, while a backfill goes on. Nobody's write is
// lost, and each document that stays is done once.
func TestBackfillBesideForegroundWriters(t *testing.T) {
	t.Parallel()
	const docs = 1500
	s := onShared(t)
	coll := s.seed(t, "docs", docs)
	s.start(t)
	id := s.enqueue(t, "marks", marks("docs", 50, map[string]any{"rate": 500}))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	added, deleted := int64(0), map[int]bool{}
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
					mu.Lock()
					deleted[n] = deleted[n] || res.DeletedCount > 0
					mu.Unlock()
					continue
				}
				res, err := coll.UpdateByID(context.WithoutCancel(ctx), n, bson.D{{Key: "$inc", Value: bson.D{{Key: "w", Value: 1}}}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				added += res.ModifiedCount
				mu.Unlock()
			}
		})
	}
	s.await(t, id, 2*time.Minute, rikki.Succeeded)
	stop()
	writers.Wait()
	left := docs - len(deletedOf(deleted))
	faultrig.ExactlyOnce(t, coll, left)
	if added == 0 || left == docs {
		t.Errorf("%d foreground writes, %d documents left: the fault did not happen", added, left)
	}
	record, err := s.app.Record(t.Context(), id)
	if err != nil || record.Counters["changed"] < int64(left) || record.Counters["changed"] > docs {
		t.Errorf("the history says %+v, %v", record.Counters, err)
	}
	t.Logf("%d foreground writes, %d documents deleted meanwhile, %d retries of chunks", added, docs-left, record.Counters["chunk_retries"])
}

func deletedOf(m map[int]bool) (list []int) {
	for n, gone := range m {
		if gone {
			list = append(list, n)
		}
	}
	return list
}

// Case 29: the server ends transactions after 2 s, and the chunk at first takes 3 s.
func TestBackfillHalvesChunksThatTakeTooLong(t *testing.T) {
	t.Parallel()
	set := faultrig.Node(t, "--setParameter", "transactionLifetimeLimitSeconds=2")
	s := onSet(t, set)
	const docs = 60
	coll := s.seed(t, "docs", docs)
	app := s.own(t, nil)
	began := time.Now()
	result, err := app.Run(t.Context(), "marks", &rikki.RunOptions{Params: marks("docs", 60, map[string]any{"pause": "50ms", "workers": 1})})
	if err != nil {
		t.Fatal(err)
	}
	s.audit(t, coll, result.Run, docs)
	if result.Counters["chunk_retries"] == 0 {
		t.Error("no chunk took too long: the fault did not happen")
	}
	t.Logf("%d chunks were tried again, %s in all", result.Counters["chunk_retries"], time.Since(began).Round(time.Millisecond))
}
