//go:build linux

package faults_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
	"github.com/rikki-go/rikki/internal/mongotest"
)

// busy is what a takeover may take longer on a machine with much else to do. How long it takes is logged, and in docs/reliability.md: a
// takeover that waits for anything but the lease waits for the 60 s of a transaction, or for good.
const busy = 30 * time.Second

var upsert = options.UpdateOne().SetUpsert(true)

// scene is one test's database, and an app of the test's own process to look at it.
type scene struct {
	place
	client *mongo.Client
	db     *mongo.Database
	app    *rikki.App
	set    *faultrig.Set // nil on the server of all tests
	alive  []*faultrig.Process
	harmed bool // a process of it was killed, frozen or cut off
}

// onSet plays on a replica set, by a client that nothing happens to.
func onSet(t *testing.T, set *faultrig.Set) *scene {
	t.Helper()
	s := stage(t, set.URI(), set.Client(t))
	s.set = set
	return s
}

// shortLease has the leases of the scene's processes run out soon.
func (s *scene) shortLease() *scene {
	s.TTL = ttl
	return s
}

// tookOver looks that a run has changed hands so often. A server or a process that gets no time to renew a lease loses one that nobody was
// killed for; so it may be more, and is told.
func tookOver(t testing.TB, record rikki.Record, times int) {
	t.Helper()
	switch extra := record.Attempt - 1 - times; {
	case extra < 0 || extra > mostExtra:
		t.Errorf("run %s took %d attempts, and %d are right", record.ID, record.Attempt, times+1)
	case extra > 0:
		t.Logf("run %s changed hands %d times more than it had to: the machine is slow", record.ID, extra)
	}
}

// mostExtra is how many leases a run may lose for want of time.
const mostExtra = 4

// onShared plays on the one-node server of all tests.
func onShared(t *testing.T) *scene {
	t.Helper()
	return stage(t, mongotest.URI(t), mongotest.Client(t))
}

func stage(t *testing.T, uri string, client *mongo.Client) *scene {
	t.Helper()
	s := &scene{place: place{URI: uri, Database: mongotest.Name(t), AppName: "worker-" + rand.Text(), Workers: 4, Grace: 5 * time.Second}, client: client}
	s.db = client.Database(s.Database)
	observer := s.place
	observer.AppName = "observer"
	var err error
	if s.app, err = observer.app(nil, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		if err := s.app.Close(ctx); err != nil {
			t.Error("close the test's app:", err)
		}
		s.nothingLeft(ctx, t)
		for _, name := range []string{s.Database, s.history()} {
			if err := client.Database(name).Drop(ctx); err != nil {
				t.Error("drop", name+":", err)
			}
		}
	})
	return s
}

// runs is the collection of run records.
func (s *scene) runs() *mongo.Collection { return s.client.Database(s.history()).Collection("runs") }

// seed makes a target collection of its own for one run.
func (s *scene) seed(t testing.TB, name string, n int) *mongo.Collection {
	t.Helper()
	coll := s.db.Collection(name)
	faultrig.Seed(t, coll, faultrig.Ints(n)...)
	return coll
}

func (s *scene) start(t testing.TB, opts ...faultrig.Option) *faultrig.Process {
	t.Helper()
	p := faultrig.Start(t, "serve", s.place, opts...)
	s.alive = append(s.alive, p)
	t.Cleanup(func() {
		if !t.Failed() {
			leave(t, s)
		}
	})
	p.Await(t, "ready")
	return p
}

// leave has the processes that are left end by themselves, and looks that they do so well: with nothing left open (I7).
func leave(t testing.TB, scenes ...*scene) {
	t.Helper()
	for _, s := range scenes {
		for _, p := range s.alive {
			p.Thaw()
			p.Terminate()
		}
	}
	for _, s := range scenes {
		for _, p := range s.alive {
			code := p.Wait(t, s.Grace+20*time.Second)
			if code > 0 {
				t.Errorf("a process ended with code %d:\n%s", code, p.Output())
			}
			s.harmed = s.harmed || code < 0 || p.WasFrozen()
		}
		s.alive = nil
	}
}

// nothingLeft looks at the servers, once the processes and apps are gone.
func (s *scene) nothingLeft(ctx context.Context, t *testing.T) {
	t.Helper()
	if t.Failed() {
		return
	}
	var err error
	cursors := s.Database
	if s.harmed || s.set != nil {
		cursors = "" // nobody closes those of a process that was killed, or whose server did not answer in time; the server itself does after a while
	}
	if s.set != nil {
		err = s.set.CheckNothingLeft(ctx, s.AppName, cursors, i7Limit)
	} else {
		err = faultrig.CheckNothingLeft(ctx, s.client, s.AppName, cursors, i7Limit)
	}
	if err != nil {
		t.Error(err)
	}
}

// i7Limit is how long servers may take to notice that a client is gone.
const i7Limit = 30 * time.Second

func (s *scene) enqueue(t testing.TB, script string, params any) string {
	t.Helper()
	id, err := s.app.Enqueue(t.Context(), script, &rikki.RunOptions{Params: params})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// await waits until a run is in one of the states. That the database doesn't answer is no reason to give up.
func (s *scene) await(t testing.TB, id string, limit time.Duration, states ...rikki.State) rikki.Record {
	t.Helper()
	var last rikki.Record
	faultrig.Eventually(t, limit, fmt.Sprintf("run %s to be %v", id, states), func(ctx context.Context) (bool, error) {
		now, err := s.app.Record(ctx, id)
		if err != nil {
			return false, nil //nolint:nilerr // asked again
		}
		last = now
		if slices.Contains(states, last.State) {
			return true, nil
		}
		if last.State.Final() {
			return false, fmt.Errorf("it is %s: %+v", last.State, last.Error)
		}
		return false, nil
	})
	return last
}

// checkSteps is what [Steps] promises: every document is done, in order; and again only the one at which an attempt has
// taken over.
func checkSteps(ctx context.Context, coll *mongo.Collection, n int) error {
	cur, err := coll.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return err
	}
	var docs []faultrig.Doc
	if err := cur.All(ctx, &docs); err != nil {
		return err
	}
	if len(docs) != n {
		return fmt.Errorf("%d documents, want %d", len(docs), n)
	}
	newest, began := int64(0), map[int64]bool{}
	for _, d := range docs {
		if len(d.Seen) == 0 || d.N != int64(len(d.Seen)) {
			return fmt.Errorf("document %v was left out: %+v", d.ID, d)
		}
		for i, m := range d.Seen {
			if m.Token < newest || i > 0 && m.Token == newest {
				return fmt.Errorf("document %v: attempt %d wrote behind attempt %d: %+v", d.ID, m.Token, newest, d.Seen)
			}
			if i > 0 && began[m.Token] {
				return fmt.Errorf("document %v was done again by attempt %d, which had not begun there: %+v", d.ID, m.Token, d.Seen)
			}
			newest, began[m.Token] = m.Token, true
		}
	}
	return nil
}
