//go:build linux

package faults_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// Cases 15 to 17: the primary is killed, stepped down or frozen while a backfill goes on in two processes, one of which is killed
// too.
func TestBackfillGoesOnWhateverBecomesOfThePrimary(t *testing.T) {
	t.Parallel()
	set := faultrig.Borrow(t)
	s := onSet(t, set).shortLease()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const docs = 6000
	coll := s.seed(t, "docs", docs)
	before, naive := hash(t, coll), newLoop(t, s)
	changes := faultrig.Record(t, s.db)
	fleet := []*faultrig.Process{s.start(t), s.start(t)}
	id := s.enqueue(t, "marks", marks("docs", 50, map[string]any{"rate": 250 / rounds(t, 1), "lag": "-1s"})) // or it waits for the member that is down
	moving := func() int64 {
		n, err := coll.CountDocuments(t.Context(), bson.D{{Key: "n", Value: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// An index build that has begun waits for all voting members, so the history's are built before one is taken away.
	faultrig.Eventually(t, time.Minute, "some work", func(context.Context) (bool, error) { return moving() > 0, nil })
	naive.start(t)
	faults := []string{"kill", "step down", "freeze"}
	rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	var slowest time.Duration
	happened := 0
	for i := range rounds(t, 1) * len(faults) {
		done := moving()
		if done == docs {
			break
		}
		primary := set.Primary(t)
		switch faults[i%len(faults)] {
		case "kill":
			set.Kill(t, primary)
		case "step down":
			set.StepDown(t)
		case "freeze":
			set.Freeze(t, primary)
		}
		happened++
		set.PrimaryOtherThan(t, primary)
		elected := time.Now()
		eventually(t, time.Minute, "progress after "+faults[i%len(faults)], func(ctx context.Context) (bool, error) {
			n, err := coll.CountDocuments(ctx, bson.D{{Key: "n", Value: 1}})
			return n > done, err
		})
		slowest = max(slowest, time.Since(elected))
		if i%3 == 1 {
			victim := rng.IntN(len(fleet))
			fleet[victim].Kill()
			fleet[victim] = s.start(t)
		}
		set.Heal(t)
	}
	naive.foundOut(t)
	if happened < len(faults) {
		t.Errorf("only %d faults happened before the end", happened)
	}
	record := s.await(t, id, 3*time.Minute, rikki.Succeeded)
	s.audit(t, coll, id, docs)
	if err := faultrig.CheckFenced(changes.Changes(t), tokens); err != nil {
		t.Error(err)
	}
	faultrig.NoDeadLeases(t, s.runs(), 0)
	s.undo(t, coll, id, before)
	t.Logf("%d faults, %d attempts; working again at the latest %s after the election", happened, record.Attempt, slowest.Round(time.Millisecond))
}

// eventually is [faultrig.Eventually] for questions to servers that may be away or stand still: each has three seconds for its answer, and is
// asked again.
func eventually(t testing.TB, limit time.Duration, what string, ask func(context.Context) (bool, error)) {
	t.Helper()
	faultrig.Eventually(t, limit, what, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		yes, err := ask(ctx)
		return yes && err == nil, nil
	})
}

// Case 21: a secondary falls behind; the backfill waits, says why, writes nothing meanwhile, and goes on.
func TestBackfillWaitsForASecondary(t *testing.T) {
	t.Parallel()
	set := faultrig.Borrow(t)
	s := onSet(t, set)
	const docs = 4000
	coll, naive := s.seed(t, "docs", docs), newLoop(t, s)
	s.start(t)
	id := s.enqueue(t, "marks", marks("docs", 20, map[string]any{"rate": 400, "max-lag": "2s"}))
	count := func(ctx context.Context, coll *mongo.Collection) int64 {
		n, err := coll.CountDocuments(ctx, bson.D{{Key: "n", Value: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	faultrig.Eventually(t, time.Minute, "some work", func(ctx context.Context) (bool, error) { return count(ctx, coll) > 100, nil })
	laggard := set.Secondaries(t)[0]
	release := set.Lag(t, laggard)
	var record rikki.Record
	faultrig.Eventually(t, time.Minute, "the run to wait", func(ctx context.Context) (bool, error) {
		var err error
		record, err = s.app.Record(ctx, id)
		return record.Progress != nil && strings.HasPrefix(record.Progress.Message, "waiting: replication lag"), err
	})
	lag, err := set.LagOf(t.Context(), laggard)
	if err != nil || lag < time.Second {
		t.Errorf("the lag is %s, %v: the fault did not happen", lag, err)
	}
	reason := record.Progress.Message
	naive.start(t) // the negative control
	var held int64
	faultrig.Eventually(t, time.Minute, "what was under way to end", func(ctx context.Context) (bool, error) {
		before, loops := count(ctx, coll), count(ctx, naive.coll)
		faultrig.Last(t, 3*time.Second) // nothing happens, which no event tells
		if held = count(ctx, coll); count(ctx, naive.coll) == loops {
			t.Error("a loop has written nothing either: the test can't tell")
		}
		return held == before, nil
	})
	if err := naive.stop(); !errors.Is(err, context.Canceled) {
		t.Error("a loop ended with:", err)
	}
	if record, err = s.app.Record(t.Context(), id); err != nil || held == docs || !strings.HasPrefix(record.Progress.Message, "waiting: replication lag") {
		t.Errorf("%d of %d documents are done, it says %+v, %v", held, docs, record.Progress, err)
	}
	release()
	faultrig.Eventually(t, time.Minute, "the run to go on", func(ctx context.Context) (bool, error) { return count(ctx, coll) > held, nil })
	s.await(t, id, time.Minute, rikki.Succeeded)
	s.audit(t, coll, id, docs)
	t.Logf("held at %d of %d documents: %s", held, docs, reason)
}

// A member that is down may be any time behind when it comes back: whether that is waited for is the run's policy.
func TestBackfillWaitsForAMemberThatIsDownUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	set := faultrig.Borrow(t)
	s := onSet(t, set)
	const docs = 2000
	waits, goesOn := s.seed(t, "waits", docs), s.seed(t, "goes-on", docs)
	s.start(t)
	first := s.enqueue(t, "marks", marks("waits", 50, map[string]any{"rate": 200}))
	faultrig.Eventually(t, time.Minute, "some work", func(ctx context.Context) (bool, error) {
		n, err := waits.CountDocuments(ctx, bson.D{{Key: "n", Value: 1}})
		return n > 0, err
	})
	set.Kill(t, set.Secondaries(t)[0])
	faultrig.Eventually(t, time.Minute, "the run to wait", func(ctx context.Context) (bool, error) {
		record, err := s.app.Record(ctx, first)
		return record.Progress != nil && strings.HasPrefix(record.Progress.Message, "waiting: replication lag can't be read: member"), err
	})
	second := s.enqueue(t, "marks", marks("goes-on", 50, map[string]any{"blind": true}))
	s.await(t, second, time.Minute, rikki.Succeeded)
	s.audit(t, goesOn, second, docs)
	if record, err := s.app.Record(t.Context(), first); err != nil || record.State.Final() {
		t.Errorf("the one that waits is %s, %v", record.State, err)
	}
	set.Heal(t)
	s.await(t, first, time.Minute, rikki.Succeeded)
	s.audit(t, waits, first, docs)
}
