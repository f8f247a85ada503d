//go:build linux

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// Case 36: the clock of one member is an hour ahead. A run that changes hands on the way there and back changes each document once, and
// one whose process dies behind the way back waits no hour for its lease to run out.
func TestBackfillWhenAServersClockIsOff(t *testing.T) {
	t.Parallel()
	if rounds(t, 1) == 1 {
		t.Skip("takes two minutes, as such a set elects slowly; set " + roundsEnv)
	}
	const ahead = 50 * time.Minute // and more
	set := faultrig.SetOf(t, []faultrig.Host{{Dir: t.TempDir(), Env: faultrig.FakeTime(t, "+1h")}, {}, {}})
	s := onSet(t, set).shortLease()
	set.StepUp(t, 0)
	if by := time.Until(serverTime(t, s.client)); by < ahead {
		t.Fatalf("the clock is ahead by %s: the fault did not happen", by)
	}
	const docs = 3000
	coll := s.seed(t, "docs", docs)
	before, changes := hash(t, coll), faultrig.Record(t, s.db)
	owner := s.start(t)
	id := s.enqueue(t, "marks", marks("docs", 20, map[string]any{"rate": 100, "lag": "-1s"}))
	s.underWay(t, coll, 50)
	locks := s.db.Collection("locks")
	if mine, err := naiveLock(t.Context(), locks, "the dead"); err != nil || !mine { // the negative control begins
		t.Fatalf("%v, %v", mine, err)
	}
	owner.Freeze(t)
	set.StepUp(t, 1) // the time jumps back
	if by := s.leaseEnds(t, id).Sub(serverTime(t, s.client)); by < ahead {
		t.Fatalf("the lease ends in %s: the fault did not happen", by)
	}
	owner.Kill()
	died := time.Now()
	s.start(t)
	eventually(t, time.Minute, "another process to take over", func(ctx context.Context) (bool, error) {
		record, err := s.app.Record(ctx, id)
		return record.Attempt > 1, err
	})
	took := time.Since(died)
	faultrig.Last(t, ttl)
	if mine, err := naiveLock(t.Context(), locks, "the living"); err != nil || mine {
		t.Errorf("a lock that looks at the clock alone was had too: the test can't tell: %v", err)
	}
	set.StepUp(t, 0) // and ahead, so that every lease has run out at once
	s.start(t)
	tookOver(t, s.await(t, id, 2*time.Minute, rikki.Succeeded), 1)
	s.audit(t, coll, id, docs)
	if err := faultrig.CheckFenced(changes.Changes(t), tokens); err != nil {
		t.Error(err)
	}
	s.undo(t, coll, id, before)
	t.Logf("taken over %s after the death", took.Round(time.Millisecond))
}

// leaseEnds is when a run's lease runs out.
func (s *scene) leaseEnds(t *testing.T, id string) time.Time {
	t.Helper()
	var run struct {
		Lease struct{ Expires time.Time }
	}
	if err := s.runs().FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Decode(&run); err != nil {
		t.Fatal(err)
	}
	return run.Lease.Expires
}

func serverTime(t *testing.T, client *mongo.Client) time.Time {
	t.Helper()
	var hello struct {
		LocalTime time.Time `bson:"localTime"`
	}
	if err := client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		t.Fatal(err)
	}
	return hello.LocalTime
}

// Load puts the rows of a file into a collection.
type Load struct {
	File, Coll string

	run *rikki.Run
}

// Backfill implements backfill.Described.
func (l *Load) Backfill() backfill.Options {
	return backfill.Options{
		Collection: l.Coll, Chunk: 5, Rate: 100, Workers: 1, Source: backfill.CSV(l.File),
		Script: rikki.Options{Name: "load", Concurrency: -1, Drain: time.Second},
	}
}

// Setup implements rikki.Setupper.
func (l *Load) Setup(_ context.Context, run *rikki.Run) error {
	l.run = run
	return nil
}

// Change implements backfill.Changer.
func (l *Load) Change(_ context.Context, row bson.Raw) (backfill.Change, error) {
	id := row.Lookup("id").StringValue()
	return backfill.Update(bson.D{
		{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}},
		{Key: "$push", Value: bson.D{{Key: "seen", Value: faultrig.Mark{Run: l.run.ID(), Token: l.run.Epoch()}}}},
	}).For(id), nil
}

// Case 38: a backfill's process is killed half-way, and what it worked by is another when the next one looks: its file, or the program. It
// goes no further, says so with what was done, and goes on when all is as it was or a person says so.
func TestBackfillThatChangesHalfWayStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, s *scene, id, file string)
		resume func(t *testing.T, s *scene, id, file string)
	}{
		"ItsFile": {
			func(t *testing.T, _ *scene, _, file string) {
				t.Helper()
				write(t, file, rowsOf(60)+"more\n")
			},
			func(t *testing.T, s *scene, id, file string) {
				t.Helper()
				write(t, file, rowsOf(60))
				if _, err := s.app.Resume(t.Context(), id, nil); err != nil {
					t.Fatal(err)
				}
			},
		},
		"ItsProgram": {
			func(t *testing.T, s *scene, id, _ string) {
				t.Helper()
				set := bson.D{{Key: "$set", Value: bson.D{{Key: "source.revision", Value: "another"}}}}
				if res, err := s.runs().UpdateByID(t.Context(), id, set); err != nil || res.ModifiedCount != 1 {
					t.Fatalf("%+v, %v", res, err)
				}
			},
			func(t *testing.T, s *scene, id, _ string) {
				t.Helper()
				if _, err := s.app.Resume(t.Context(), id, nil); !errors.Is(err, rikki.ErrSourceChanged) {
					t.Errorf("resumed by another program: %v", err)
				}
				if _, err := s.app.Resume(t.Context(), id, &rikki.ControlOptions{Force: true}); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const docs = 60
			s := onShared(t).shortLease()
			coll, file := s.rows(t, docs)
			before := hash(t, coll)
			victim := s.start(t, faultrig.At(faultrig.Crash{Point: "chunk.read", Hit: 2 + rand.IntN(docs/5-3), Then: faultrig.Suicide}))
			id := s.enqueue(t, "load", map[string]any{"coll": "docs", "file": file})
			if _, ok := victim.ReachedPoint(); !ok {
				t.Fatalf("the process did not die:\n%s", victim.Output())
			}
			c.change(t, s, id, file)
			half, err := marked(t.Context(), coll)
			if err != nil || len(half) == 0 || len(half) == docs {
				t.Fatalf("%d documents are done, %v: not half-way", len(half), err)
			}
			s.start(t)
			var record rikki.Record
			faultrig.Eventually(t, time.Minute, "the run to stop", func(ctx context.Context) (bool, error) {
				var err error
				record, err = s.app.Record(ctx, id)
				return record.Attempt > 1 && !record.State.Active() && record.Error != nil &&
					strings.Contains(record.Error.Message, rikki.ErrSourceChanged.Error()), err
			})
			if now, err := marked(t.Context(), coll); err != nil || same(now, half) != nil {
				t.Errorf("it has gone on: %d documents are done, %d were, %v", len(now), len(half), err)
			}
			faultrig.NoDeadLeases(t, s.runs(), 0)
			c.resume(t, s, id, file)
			s.await(t, id, time.Minute, rikki.Succeeded)
			faultrig.ExactlyOnce(t, coll, docs)
			s.undo(t, coll, id, before)
			t.Logf("stopped at %d of %d as %s: %s", len(half), docs, record.State, record.Error.Message)
		})
	}
}

// rows are documents, and a file with a row for each.
func (s *scene) rows(t *testing.T, n int) (coll *mongo.Collection, file string) {
	t.Helper()
	coll, file = s.db.Collection("docs"), filepath.Join(t.TempDir(), "rows.csv")
	ids := make([]any, n)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	faultrig.Seed(t, coll, ids...)
	write(t, file, rowsOf(n))
	return coll, file
}

func rowsOf(n int) string {
	var b strings.Builder
	b.WriteString("id\n")
	for i := range n {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Case 41: a dry run of a backfill, of a pipeline and of an undo, each also killed at any moment, writes nothing to any database of the
// user's: neither the documents nor the oplog have a change.
func TestDryRunsOfBackfillsWriteNothing(t *testing.T) {
	t.Parallel()
	s := onShared(t)
	const docs = 300
	coll := s.seed(t, "docs", docs)
	app := s.own(t, nil)
	done, err := app.Run(t.Context(), "marks", &rikki.RunOptions{Params: marks("docs", 50, nil)})
	if err != nil {
		t.Fatal(err)
	}
	before, oplog := hash(t, coll), faultrig.Record(t, s.db)
	for range rounds(t, 1) {
		for _, kind := range []string{"marks", "pipes", backfill.UndoName} {
			params := marks("docs", 10, nil)
			if kind == backfill.UndoName {
				params = map[string]any{"run": done.Run}
			}
			result, err := app.Run(t.Context(), kind, &rikki.RunOptions{Params: params, DryRun: true})
			if err != nil || result.Preview.Total() == 0 {
				t.Errorf("the dry run of %s: %+v, %v", kind, result, err)
			}
			for range 5 {
				_, late, _ := cancelAtRandom(t, 100*time.Millisecond, func(ctx context.Context) (*rikki.Result, error) {
					return app.Run(ctx, kind, &rikki.RunOptions{Params: params, DryRun: true})
				})
				if late > 10*time.Second {
					t.Errorf("a dry run of %s returned %s after it was cancelled", kind, late)
				}
			}
		}
	}
	if changes := oplog.Changes(t); len(changes) != 0 {
		t.Errorf("the oplog has %d changes, the first %+v", len(changes), changes[0])
	}
	if hash(t, coll) != before {
		t.Error("documents have changed")
	}
	// Negative control: the same judge sees the run itself.
	if _, err := app.Run(t.Context(), "marks", &rikki.RunOptions{Params: marks("docs", 50, nil)}); err != nil {
		t.Fatal(err)
	}
	if len(oplog.Changes(t)) == 0 || hash(t, coll) == before {
		t.Error("a run has changed every document and nobody noticed")
	}
}

// Case 25: 200 documents at a time want one of five connections when the server restarts. All of them get theirs, and the server
// is not overrun.
func TestManyWaitersForFewConnectionsOutliveARestart(t *testing.T) {
	t.Parallel()
	set := faultrig.Node(t)
	s := onSet(t, set)
	s.Workers, s.Pool = 8, 5
	const docs, runs = 400, 8
	routes := set.Routes(t)
	colls := map[string]*mongo.Collection{}
	p := s.start(t, faultrig.Via(routes))
	for i := range runs {
		name := fmt.Sprint("docs", i)
		coll := s.seed(t, name, docs)
		id := s.enqueue(t, "marks", marks(name, 5, map[string]any{"workers": 25, "lookup": true}))
		colls[id] = coll
	}
	for _, coll := range colls {
		s.underWay(t, coll, 5)
		break
	}
	before := routes.Counts().Accepted
	set.Kill(t, 0)
	set.Restart(t, 0)
	for id, coll := range colls {
		s.await(t, id, 3*time.Minute, rikki.Succeeded)
		s.audit(t, coll, id, docs)
	}
	opened := routes.Counts().Accepted - before
	if opened == 0 {
		t.Error("no connection was opened again: the fault did not happen")
	}
	// Each run has a pool of its own for its 25 workers; the rest share one of five.
	const most = 3 * runs * (25 + 5)
	if opened > most {
		t.Errorf("%d connections were opened behind the restart, and %d would be many", opened, most)
	}
	// Negative control: as many documents by a script that connects for each of them.
	before = routes.Counts().Accepted
	for range docs {
		connectOnce(t, s, routes)
	}
	if naive := routes.Counts().Accepted - before; naive <= most {
		t.Errorf("%d connections for %d documents of a script that connects for each: who counts them would not notice a storm", naive, docs)
	}
	t.Logf("%d connections were opened again by process %d", opened, p.PID())
}

// connectOnce does what scripts do that have no client in common.
func connectOnce(t *testing.T, s *scene, routes *faultrig.Routes) {
	t.Helper()
	o := options.Client().ApplyURI(s.URI)
	routes.Options(o)
	client, err := mongo.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := client.Disconnect(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// Case 32: the sessions of a run that waits for long expire at the server. It goes on where it was, since it holds no cursor.
func TestBackfillOutlivesItsSessions(t *testing.T) {
	t.Parallel()
	if rounds(t, 1) == 1 {
		t.Skip("takes two minutes; set " + roundsEnv)
	}
	set := faultrig.Node(t, "--setParameter", "localLogicalSessionTimeoutMinutes=1", "--setParameter", "logicalSessionRefreshMillis=5000",
		"--setParameter", "ttlMonitorSleepSecs=5")
	s := onSet(t, set)
	const docs = 1000
	coll := s.seed(t, "docs", docs)
	s.start(t)
	id := s.enqueue(t, "marks", marks("docs", 20, map[string]any{"gate": "gate", "rate": 200}))
	s.underWay(t, coll, 40)
	// Negative control: a cursor of a session that nobody uses.
	session, err := s.client.StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(t.Context())
	naive, err := coll.Find(mongo.NewSessionContext(t.Context(), session), bson.D{}, options.Find().SetBatchSize(2).SetNoCursorTimeout(true))
	if err != nil {
		t.Fatal(err)
	}
	gate := s.db.Collection("gate")
	if _, err := gate.InsertOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	faultrig.Last(t, 100*time.Second)
	for naive.Next(t.Context()) { // what it has fetched, and then
	}
	if err := naive.Err(); err == nil {
		t.Error("a cursor outlived its session: the fault did not happen")
	} else {
		t.Log("a cursor:", err)
	}
	if _, err := gate.DeleteMany(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	record := s.await(t, id, time.Minute, rikki.Succeeded)
	if record.Attempt != 1 {
		t.Errorf("attempt %d", record.Attempt)
	}
	s.audit(t, coll, id, docs)
}
