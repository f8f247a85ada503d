//go:build linux

package faults_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// backfillPoints are the steps of a backfill.
var backfillPoints = []string{
	"plan.laying", "plan.done", "chunk.claimed", "chunk.read", "chunk.fenced", "chunk.changed", "chunk.journaled",
	"chunk.before-commit", "chunk.after-commit", "run.before-end", "lease.renewed", "record.before-end",
}

// few are the points that a run of two partitions reaches a few times only.
var few = map[string]int{
	"plan.laying": 1, "plan.done": 1, "chunk.claimed": 2, "run.before-end": 1, "lease.renewed": 1, "record.before-end": 1,
}

// Case 11: whichever step a backfill's process dies at, another one goes on within the lease and 2 s, nothing is done twice or
// left out, and an undo restores every byte.
func TestBackfillGoesOnWhereverItsProcessDies(t *testing.T) {
	t.Parallel()
	var slowest time.Duration
	n, deaths := rounds(t, 1), 0
	for range n {
		for half := range 2 { // so many processes at a time
			slowest = max(slowest, dieBackfilling(t, backfillPoints[half*6:half*6+6]))
			deaths += 6
		}
	}
	t.Logf("%d deaths at %d points; working again at the latest %s after the death, the lease being %s",
		deaths, len(backfillPoints), slowest.Round(time.Millisecond), ttl)
	if slowest > ttl+busy {
		t.Errorf("a run waited %s", slowest)
	}
}

func dieBackfilling(t *testing.T, points []string) (slowest time.Duration) {
	t.Helper()
	const docs, chunk = 200, 10
	type dying struct {
		*victim
		before   string
		changes  *faultrig.History
		progress *faultrig.History
	}
	var all []*dying
	for _, at := range points {
		v := &dying{victim: &victim{scene: onShared(t).shortLease(), point: at}}
		v.coll = v.seed(t, "docs", docs)
		v.before = hash(t, v.coll)
		v.changes, v.progress = faultrig.Record(t, v.db), faultrig.Record(t, v.client.Database(v.history()))
		hit := few[at]
		if hit == 0 {
			hit = 1 + rand.IntN(docs/chunk-2)
		}
		v.process = v.start(t, faultrig.At(faultrig.Crash{Point: at, Hit: 1 + rand.IntN(hit), Then: faultrig.Suicide}))
		script, params := "marks", marks("docs", chunk, nil)
		if at == "lease.renewed" { // long enough for a renewal to come
			params["pause"] = "20ms"
		}
		v.run = v.enqueue(t, script, params)
		all = append(all, v)
	}
	for _, v := range all {
		if stood, ok := v.process.ReachedPoint(); !ok || stood != v.point {
			t.Fatalf("the process did not die at %s but at %q:\n%s", v.point, stood, v.process.Output())
		}
		v.died = time.Now()
		v.start(t)
	}
	for _, v := range all {
		slowest = max(slowest, v.again(t))
	}
	for _, v := range all {
		record := v.await(t, v.run, 2*time.Minute, rikki.Succeeded)
		tookOver(t, record, 1)
		v.audit(t, v.coll, v.run, docs)
		if err := faultrig.CheckFenced(v.changes.Changes(t), tokens); err != nil {
			t.Errorf("%s: %v", v.point, err)
		}
		if err := checkChunks(v.progress.Changes(t)); err != nil {
			t.Errorf("%s: %v", v.point, err)
		}
		faultrig.NoDeadLeases(t, v.runs(), 0)
		v.undo(t, v.coll, v.run, v.before)
		if t.Failed() {
			t.Fatalf("at %s", v.point)
		}
	}
	for _, v := range all {
		leave(t, v.scene) // or all of them were there until the last round
	}
	return slowest
}

// again waits until the second attempt works: it has changed a document, or had none to change. It returns how long after the
// death that was.
func (v *victim) again(t *testing.T) time.Duration {
	t.Helper()
	faultrig.Eventually(t, 2*time.Minute, "the run that died at "+v.point+" to go on", func(ctx context.Context) (bool, error) {
		n, err := v.coll.CountDocuments(ctx, bson.D{{Key: "seen.token", Value: bson.D{{Key: "$gt", Value: 1}}}}, options.Count().SetLimit(1))
		if err != nil || n > 0 {
			return n > 0, err
		}
		record, err := v.app.Record(ctx, v.run)
		return record.State == rikki.Succeeded, err
	})
	return time.Since(v.died)
}

// Cases 13 and 14: a backfill's process is stopped past its lease in the middle of a chunk, before its commit, and goes on when
// another one has finished the run.
func TestFrozenBackfillChangesNothingAnyMore(t *testing.T) {
	t.Parallel()
	const docs, chunk = 120, 10
	for range rounds(t, 1) {
		var all []*victim
		var changes []*faultrig.History
		for _, at := range []string{"chunk.claimed", "chunk.read", "chunk.fenced", "chunk.changed", "chunk.before-commit", "chunk.after-commit", "run.before-end"} {
			v := &victim{scene: onShared(t).shortLease(), point: at}
			v.coll = v.seed(t, "docs", docs)
			changes = append(changes, faultrig.Record(t, v.db))
			hit := few[at]
			if hit == 0 {
				hit = 1 + rand.IntN(docs/chunk-2)
			}
			v.process = v.start(t, faultrig.At(faultrig.Crash{Point: at, Hit: 1 + rand.IntN(hit), Then: faultrig.Suspend}))
			v.run = v.enqueue(t, "marks", marks("docs", chunk, nil))
			all = append(all, v)
		}
		for _, v := range all {
			v.process.AwaitPoint(t)
			v.process.AwaitFrozen(t)
			v.died = time.Now()
			v.start(t)
		}
		for i, v := range all {
			record := v.await(t, v.run, 2*time.Minute, rikki.Succeeded)
			tookOver(t, record, 1)
			before := hash(t, v.coll)
			seen := thawed(t, v.process)
			if seen.Run != v.run || seen.Recorded || seen.Kind != "lease" {
				t.Errorf("%s: the stale process says %+v", v.point, seen)
			}
			if hash(t, v.coll) != before {
				t.Errorf("%s: the stale process has changed documents", v.point)
			}
			faultrig.NoOpenTransactions(t, v.client, v.AppName+"-marks")
			v.audit(t, v.coll, v.run, docs)
			if err := faultrig.CheckFenced(changes[i].Changes(t), tokens); err != nil {
				t.Errorf("%s: %v", v.point, err)
			}
			if after, err := v.app.Record(t.Context(), v.run); err != nil || after.State != record.State || !after.EndedAt.Equal(record.EndedAt) {
				t.Errorf("%s: the stale process has changed the record: %+v, %v", v.point, after, err)
			}
			if t.Failed() {
				t.Fatalf("at %s", v.point)
			}
		}
		for _, v := range all {
			leave(t, v.scene)
		}
	}
}

// Two processes fight for the same runs: each in turn is stopped for longer than its lease, at any moment, and woken.
func TestTwoProcessesFightForABackfill(t *testing.T) {
	t.Parallel()
	s := onShared(t).shortLease()
	const pause = 60 * time.Millisecond
	docs := rounds(t, 400)
	coll := s.seed(t, "docs", docs)
	before, changes := hash(t, coll), faultrig.Record(t, s.db)
	fighters := []*faultrig.Process{s.start(t), s.start(t)}
	id := s.enqueue(t, "marks", marks("docs", 5, map[string]any{"pause": pause.String()}))
	freezes := 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		record, err := s.app.Record(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if record.State == rikki.Succeeded {
			break
		}
		if freezes >= rounds(t, 3) {
			s.await(t, id, 2*time.Minute+time.Duration(docs)*pause, rikki.Succeeded)
			continue
		}
		// The one that has the run.
		var owner *faultrig.Process
		for _, p := range fighters {
			if record.State == rikki.Running && record.PID == p.PID() {
				owner = p
			}
		}
		if owner == nil {
			<-tick.C
			continue
		}
		faultrig.Last(t, time.Duration(rand.Int64N(int64(2*time.Second)))) // at any moment
		owner.Freeze(t)
		freezes++
		attempt := record.Attempt
		faultrig.Eventually(t, time.Minute, "the other one to take over", func(ctx context.Context) (bool, error) {
			record, err := s.app.Record(ctx, id)
			return record.Attempt > attempt || record.State == rikki.Succeeded, err
		})
		owner.Thaw()
	}
	record := s.await(t, id, time.Minute, rikki.Succeeded)
	if record.Attempt < 3 {
		t.Errorf("%d attempts: they did not fight", record.Attempt)
	}
	s.audit(t, coll, id, docs)
	if err := faultrig.CheckFenced(changes.Changes(t), tokens); err != nil {
		t.Error(err)
	}
	s.undo(t, coll, id, before)
	t.Logf("%d freezes, %d attempts", freezes, record.Attempt)
}

// A backfill that gets on is taken over however many of its owners die: five deaths in a row stop a run only if none of them got a
// chunk done.
func TestBackfillThatGetsOnOutlivesAnyNumberOfOwners(t *testing.T) {
	t.Parallel()
	const docs, deaths = 200, 7
	s := onShared(t).shortLease()
	coll := s.seed(t, "docs", docs)
	before := hash(t, coll)
	id := s.enqueue(t, "marks", marks("docs", 5, map[string]any{"workers": 1}))
	for range deaths {
		victim := s.start(t, faultrig.At(faultrig.Crash{Point: "chunk.read", Hit: 3, Then: faultrig.Suicide}))
		if _, ok := victim.ReachedPoint(); !ok {
			t.Fatalf("the process did not die:\n%s", victim.Output())
		}
	}
	s.start(t)
	tookOver(t, s.await(t, id, time.Minute, rikki.Succeeded), deaths)
	s.audit(t, coll, id, docs)
	s.undo(t, coll, id, before)
}

// Case 40: an undo is killed at its chunks, another process goes on with it, and every byte is as before.
func TestKilledUndoRestoresEveryByte(t *testing.T) {
	t.Parallel()
	const docs = 200
	for range rounds(t, 2) {
		s := onShared(t).shortLease()
		coll := s.seed(t, "docs", docs)
		before := hash(t, coll)
		first := s.start(t)
		id := s.enqueue(t, "marks", marks("docs", 10, nil))
		s.await(t, id, time.Minute, rikki.Succeeded)
		first.Kill()
		victim := s.start(t, faultrig.At(faultrig.Crash{Point: "undo.chunk", Hit: 1 + rand.IntN(10), Then: faultrig.Suicide}))
		undo := s.enqueue(t, backfill.UndoName, map[string]any{"run": id, "chunk": 10})
		if _, ok := victim.ReachedPoint(); !ok {
			t.Fatalf("the undo was not killed:\n%s", victim.Output())
		}
		s.start(t)
		tookOver(t, s.await(t, undo, time.Minute, rikki.Succeeded), 1)
		if hash(t, coll) != before {
			t.Fatal("the undo has not restored every byte (I8)")
		}
		leave(t, s)
	}
}

// Negative control: a backfill that keeps a checkpoint beside its writes, in two steps, does a document twice.
func TestACheckpointBesideTheWritesIsFoundOut(t *testing.T) {
	t.Parallel()
	s := onShared(t).shortLease()
	coll := s.seed(t, "docs", 10)
	victim := s.start(t, faultrig.At(faultrig.Crash{Point: "checkpoint.before", Hit: 4, Then: faultrig.Suicide}))
	id := s.enqueue(t, "steps", &Steps{Coll: "docs", Docs: 10})
	if _, ok := victim.ReachedPoint(); !ok {
		t.Fatal("the process did not die")
	}
	s.start(t)
	s.await(t, id, time.Minute, rikki.Succeeded)
	if err := faultrig.CheckExactlyOnce(t.Context(), coll, 10); err == nil {
		t.Error("a document was done twice and nobody noticed")
	} else {
		t.Log(err)
	}
}
