//go:build linux

package faults_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// runnerPoints are the places of the runner where a process is killed.
var runnerPoints = []string{
	"queue.claimed", "script.before-write", "script.written", "checkpoint.before", "checkpoint.stored",
	"lease.before-renewal", "lease.renewed", "record.before-end", "record.ended",
}

// Case 11 for the runner: whichever step a process dies at, another one takes the run over in time, goes on at the last
// checkpoint, and the run ends once.
func TestRunIsTakenOverWhereverItsProcessDies(t *testing.T) {
	t.Parallel()
	n := rounds(t, 1)
	var slowest time.Duration
	for range n {
		slowest = max(slowest, dieEverywhere(t))
	}
	t.Logf("%d points × %d rounds; taken over at the latest %s after the death, the lease being %s", len(runnerPoints), n, slowest.Round(time.Millisecond), ttl)
	if slowest > ttl+busy {
		t.Errorf("a run waited %s for another process", slowest)
	}
}

// victim is a run whose process dies at a point, in a database of its own.
type victim struct {
	*scene
	point   string
	process *faultrig.Process
	run     string
	coll    *mongo.Collection
	died    time.Time
}

// dieEverywhere kills a process at each point, and has another one take over what it left.
func dieEverywhere(t *testing.T) (slowest time.Duration) {
	t.Helper()
	const docs = 6
	victims := make([]*victim, len(runnerPoints))
	for i, at := range runnerPoints {
		v := &victim{scene: onShared(t).shortLease(), point: at}
		v.coll = v.seed(t, "docs", docs)
		crash := faultrig.Crash{Point: at, Hit: 1, Then: faultrig.Suicide}
		if strings.HasPrefix(at, "script.") || strings.HasPrefix(at, "checkpoint.") {
			crash.Hit += rand.IntN(docs - 1)
		}
		v.process = v.start(t, faultrig.At(crash))
		// Long enough for a renewal to come.
		v.run = v.enqueue(t, "steps", &Steps{Coll: "docs", Docs: docs, Pause: ttl / 12})
		victims[i] = v
	}
	for _, v := range victims {
		if stood, ok := v.process.ReachedPoint(); !ok || stood != v.point {
			t.Fatalf("the process did not die at %s but at %q:\n%s", v.point, stood, v.process.Output())
		}
		v.died = time.Now()
		v.start(t)
	}
	for _, v := range victims {
		if v.point != "record.ended" { // its end had been written
			faultrig.Eventually(t, time.Minute, "the second attempt of the run that died at "+v.point, func(ctx context.Context) (bool, error) {
				record, err := v.app.Record(ctx, v.run)
				return record.Attempt >= 2, err
			})
			slowest = max(slowest, time.Since(v.died))
		}
	}
	for _, v := range victims {
		v.await(t, v.run, time.Minute, rikki.Succeeded)
		if err := checkSteps(t.Context(), v.coll, docs); err != nil {
			t.Errorf("%s: %v", v.point, err)
		}
		faultrig.NoDeadLeases(t, v.runs(), 0)
		if t.Failed() {
			t.Fatalf("at %s", v.point)
		}
	}
	for _, v := range victims {
		leave(t, v.scene) // or all of them were there until the last round
	}
	return slowest
}

// Negative control of the test above.
func TestAScriptThatForgetsItsCheckpointIsFoundOut(t *testing.T) {
	t.Parallel()
	s := onShared(t).shortLease()
	coll := s.seed(t, "docs", 6)
	victim := s.start(t, faultrig.At(faultrig.Crash{Point: "checkpoint.stored", Hit: 3, Then: faultrig.Suicide}))
	id := s.enqueue(t, "steps", &Steps{Coll: "docs", Docs: 6, Forgetful: true})
	if _, ok := victim.ReachedPoint(); !ok {
		t.Fatal("the process did not die")
	}
	s.start(t)
	s.await(t, id, time.Minute, rikki.Succeeded)
	if err := checkSteps(t.Context(), coll, 6); err == nil {
		t.Error("documents were done twice and nobody noticed")
	} else {
		t.Log(err)
	}
}

// Case 12: SIGTERM in the middle of a script's work.
func TestTerminatedProcessGivesItsRunsBack(t *testing.T) {
	t.Parallel()

	t.Run("AtOnceWhenTheScriptKeepsCheckpoints", func(t *testing.T) {
		t.Parallel()
		s := onShared(t)
		s.Grace = time.Minute // which it need not wait for
		coll := s.seed(t, "docs", 40)
		first := s.start(t, faultrig.At(faultrig.Crash{Point: "script.written", Hit: 3, Then: faultrig.Suspend}))
		id := s.enqueue(t, "steps", &Steps{Coll: "docs", Docs: 40, Pause: 10 * time.Millisecond})
		first.AwaitPoint(t) // in the middle of a step
		first.AwaitFrozen(t)
		first.Terminate()
		first.Thaw()
		begun := time.Now()
		code := first.Wait(t, s.Grace)
		took := time.Since(begun)
		if code != 0 || took > s.Grace/2 {
			t.Errorf("it took %s to end, with exit code %d", took, code)
		}
		if record := s.await(t, id, time.Minute, rikki.Interrupted); record.Error.Kind != "interrupted" {
			t.Errorf("recorded as %+v", record.Error)
		}
		faultrig.NoDeadLeases(t, s.runs(), 0)
		s.start(t)
		begun = time.Now()
		s.await(t, id, time.Minute, rikki.Succeeded)
		t.Logf("ended after %s, taken over and done after %s", took.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
		if err := checkSteps(t.Context(), coll, 40); err != nil {
			t.Error(err)
		}
		faultrig.ExactlyOnce(t, coll, 40) // a stop at a checkpoint leaves nothing to do again
	})

	t.Run("AfterItsLeaseWhenASecondSignalKillsIt", func(t *testing.T) {
		t.Parallel()
		s := onShared(t).shortLease()
		s.Grace = time.Minute
		coll := s.seed(t, "docs", 10)
		first := s.start(t, faultrig.At(faultrig.Crash{Point: "script.written", Hit: 3}))
		id := s.enqueue(t, "steps", &Steps{Coll: "docs", Docs: 10, Pause: 10 * time.Millisecond})
		first.AwaitPoint(t) // the script goes no further, and the process would wait a minute for it
		first.Terminate()
		first.Await(t, "terminating")
		faultrig.Eventually(t, time.Minute, "the second signal to end it", func(context.Context) (bool, error) {
			first.Terminate()
			select {
			case <-first.Exited():
				return true, nil
			default:
				return false, nil
			}
		})
		s.start(t)
		s.await(t, id, time.Minute, rikki.Succeeded)
		if err := checkSteps(t.Context(), coll, 10); err != nil {
			t.Error(err)
		}
	})
}

// Cases 13 and 14: a process is stopped past its lease and goes on when its run is somebody else's.
func TestFrozenOwnerFindsItsRunLost(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"script.before-write", "checkpoint.before", "lease.before-renewal", "lease.renewed", "record.before-end"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			for range rounds(t, 1) {
				freezeOwner(t, at)
			}
		})
	}
}

// thawed lets a process go on and returns how it sees its run end. It may have lost the run once before, for want of time.
func thawed(t *testing.T, p *faultrig.Process) (seen outcome) {
	t.Helper()
	ends := func() (all []faultrig.Event) {
		for _, e := range p.Events() {
			if e.Name == "ended" {
				all = append(all, e)
			}
		}
		return all
	}
	before := len(ends())
	p.Thaw()
	faultrig.Eventually(t, time.Minute, "the stale process to see its run end", func(context.Context) (bool, error) { return len(ends()) > before, nil })
	if err := json.Unmarshal(ends()[before].Value, &seen); err != nil {
		t.Fatal(err)
	}
	return seen
}

func freezeOwner(t *testing.T, at string) {
	t.Helper()
	s := onShared(t).shortLease()
	coll := s.seed(t, "docs", 12)
	history := faultrig.Record(t, s.db)
	crash := faultrig.Crash{Point: at, Hit: 1, Then: faultrig.Suspend}
	if strings.HasPrefix(at, "script.") || strings.HasPrefix(at, "checkpoint.") {
		crash.Hit += rand.IntN(10)
	}
	stale := s.start(t, faultrig.At(crash))
	id := s.enqueue(t, "steps", &Steps{Coll: "docs", Docs: 12, Pause: ttl / 10, Fenced: true})
	stale.AwaitPoint(t)
	stale.AwaitFrozen(t)
	s.start(t)
	record := s.await(t, id, time.Minute, rikki.Succeeded)
	tookOver(t, record, 1)
	seen := thawed(t, stale)
	// Whichever wakes up first notices: the lease's keeper, or the script that looks for later attempts. When all is done but the
	// recording, the time for that may be over.
	noticed := seen.Kind == "lease" || seen.Kind == "error" || seen.Kind == "" && at == "record.before-end"
	if seen.Run != id || seen.Recorded || !noticed {
		t.Errorf("the stale process says %+v", seen)
	}
	after, err := s.app.Record(t.Context(), id)
	if err != nil || after.State != record.State || after.Attempt != record.Attempt || !after.EndedAt.Equal(record.EndedAt) {
		t.Errorf("the stale process changed the record: %+v, before %+v, %v", after, record, err)
	}
	if err := faultrig.CheckFenced(history.Changes(t), tokens); err != nil {
		t.Error(err)
	}
	if err := checkSteps(t.Context(), coll, 12); err != nil {
		t.Error(err)
	}
	leave(t, s)
}

func tokens(c faultrig.Change) (string, int64, bool) {
	m, ok := faultrig.MarkOf(c)
	return m.Run, m.Token, ok
}

// Negative control: a script that neither fences its writes nor heeds its context writes behind its successor.
func TestAFrozenOwnerWithoutFenceIsFoundOut(t *testing.T) {
	t.Parallel()
	s := onShared(t).shortLease()
	s.seed(t, "docs", 12)
	history := faultrig.Record(t, s.db)
	stale := s.start(t, faultrig.At(faultrig.Crash{Point: "script.before-write", Hit: 2, Then: faultrig.Suspend}))
	id := s.enqueue(t, "steps", &Steps{Coll: "docs", Docs: 12, Detached: true})
	stale.AwaitPoint(t)
	stale.AwaitFrozen(t)
	s.start(t)
	s.await(t, id, time.Minute, rikki.Succeeded)
	stale.Thaw()
	stale.Await(t, "ended")
	if err := faultrig.CheckFenced(history.Changes(t), tokens); err == nil {
		t.Error("a stale write became visible and nobody noticed")
	} else {
		t.Log(err)
	}
}

// Case 34: many workers in several processes, and each run is taken once.
func TestManyWorkersTakeEachRunOnce(t *testing.T) {
	t.Parallel()
	s := onShared(t)
	s.Workers, s.Pool = 10, 12
	n := rounds(t, 200)
	var ids []string
	for range n {
		ids = append(ids, s.enqueue(t, "once", &Once{Coll: "did"}))
	}
	var fleet []*faultrig.Process
	for range 5 {
		p := faultrig.Start(t, "serve", s.place)
		fleet, s.alive = append(fleet, p), append(s.alive, p)
	}
	for _, id := range ids {
		s.await(t, id, 2*time.Minute, rikki.Succeeded)
	}
	if err := eachOnce(t.Context(), s, ids); err != nil {
		t.Error(err)
	}
	busy := 0
	for _, p := range fleet {
		if slices.ContainsFunc(p.Events(), func(e faultrig.Event) bool { return e.Name == "ended" }) {
			busy++
		}
	}
	if busy < 2 {
		t.Errorf("%d of the processes had anything to do: they did not compete", busy)
	}
	t.Logf("%d runs by 50 workers in %d processes", n, busy)
	leave(t, s)
}
