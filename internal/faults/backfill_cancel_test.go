//go:build linux

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// Case 27: backfills and their undos are cancelled, interrupted and timed out at random moments. They return in time (I10), the record says
// how they ended (I5), what is changed is what the journal and the partitions say (I2), and an undo restores every byte (I8).
func TestBackfillCancelledAtAnyMomentIsWhereItSays(t *testing.T) {
	t.Parallel()
	const docs, side = 200, 4
	each := rounds(t, 12)
	for i := range side {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			s := onShared(t)
			coll := s.seed(t, "docs", docs)
			before, app := hash(t, coll), s.own(t, nil)
			half, ended := 0, map[rikki.State]int{}
			var slowest time.Duration
			within := 600 * time.Millisecond // a busy machine is not half-way by then
			for n := 0; n < each || half == 0 && n < 4*each; n++ {
				result, late, err := cancelAtRandom(t, within, func(ctx context.Context) (*rikki.Result, error) {
					return app.Run(ctx, "marks", &rikki.RunOptions{Params: marks("docs", 10, map[string]any{"rate": 500})})
				})
				slowest = max(slowest, late)
				if result == nil {
					if hash(t, coll) != before {
						t.Fatalf("a run that never began has changed something: %v", err)
					}
					continue
				}
				ended[result.State]++
				done := s.checkPart(t, coll, result)
				s.giveUp(t, result)
				switch done {
				case 0:
					within += within / 4
					continue
				case docs:
					within -= within / 5
				default:
					half++
				}
				undo, late, _ := cancelAtRandom(t, 300*time.Millisecond, func(ctx context.Context) (*rikki.Result, error) {
					return backfill.Undo(ctx, app, result.Run, nil)
				})
				slowest = max(slowest, late)
				s.giveUp(t, undo)
				if hash(t, coll) != before { // it was cancelled before its end
					s.undo(t, coll, result.Run, before)
				}
				if t.Failed() {
					t.Fatalf("run %s ended as %s: %v", result.Run, result.State, err)
				}
			}
			if half == 0 {
				t.Error("no run was cancelled half-way: the fault did not happen")
			}
			if slowest > scriptGrace+slack {
				t.Errorf("a run returned %s after it was cancelled (I10)", slowest)
			}
			t.Logf("%d runs, %d of them stopped half-way: %v; returned at the latest %s after the cancel", each, half, ended, slowest.Round(time.Millisecond))
		})
	}
}

// giveUp cancels a run that could go on later.
func (s *scene) giveUp(t *testing.T, result *rikki.Result) {
	t.Helper()
	if result == nil || result.State.Final() {
		return
	}
	if _, err := s.app.Cancel(t.Context(), result.Run, nil); err != nil {
		t.Error(err)
	}
}

// cancelAtRandom ends the context of a run within so long, for one of several reasons, and tells how long it took to return then.
func cancelAtRandom(t *testing.T, within time.Duration, run func(context.Context) (*rikki.Result, error)) (*rikki.Result, time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	causes := []error{rikki.ErrInterrupted, rikki.ErrCancelled, context.DeadlineExceeded, context.Canceled, errOwnReason}
	at := time.Now().Add(rand.N(within))
	timer := time.AfterFunc(time.Until(at), func() { cancel(causes[rand.IntN(len(causes))]) })
	defer timer.Stop()
	result, err := run(ctx)
	if result != nil && !slices.Contains(ends[context.Cause(ctx)], result.State) {
		t.Errorf("a run that was stopped by %v ended as %s: %v", context.Cause(ctx), result.State, err)
	}
	return result, max(0, time.Since(at)), err
}

// ends are the states in which a run may be that was stopped by such a context, unless it was done before (I5).
var ends = map[error][]rikki.State{
	nil:                      {rikki.Succeeded, rikki.SucceededWithErrors},
	rikki.ErrInterrupted:     {rikki.Succeeded, rikki.Interrupted},
	rikki.ErrCancelled:       {rikki.Succeeded, rikki.Cancelled},
	context.Canceled:         {rikki.Succeeded, rikki.Cancelled},
	context.DeadlineExceeded: {rikki.Succeeded, rikki.Failed},
	errOwnReason:             {rikki.Succeeded, rikki.Cancelled},
}

var errOwnReason = errors.New("for a reason of its own")

// checkPart is what holds for a run wherever it was stopped: a document is done once or not at all, the journal has those that are, and
// the partitions count them. The counters of the record may miss chunks whose commit had no answer. It returns how many are done.
func (s *scene) checkPart(t *testing.T, coll *mongo.Collection, result *rikki.Result) int {
	t.Helper()
	ctx := t.Context()
	done, err := marked(ctx, coll)
	if err != nil {
		t.Error(err)
	}
	journaled, err := s.journaled(ctx, result.Run)
	if err == nil {
		err = same(done, journaled)
	}
	if err != nil {
		t.Errorf("the journal: %v", err)
	}
	cur, err := s.client.Database(s.history()).Collection("partitions").Find(ctx, bson.D{{Key: "_id.r", Value: result.Run}})
	var parts []struct {
		Counts struct{ Changed int }
	}
	if err == nil {
		err = cur.All(ctx, &parts)
	}
	counted := 0
	for _, p := range parts {
		counted += p.Counts.Changed
	}
	if err != nil || counted != len(done) {
		t.Errorf("the partitions count %d documents, and %d are done, %v", counted, len(done), err)
	}
	record, err := s.app.Record(ctx, result.Run)
	if err != nil || record.State != result.State || record.State.Active() || record.Counters["changed"] > int64(len(done)) {
		t.Errorf("the history says %s and %v, the run said %s and %d are done, %v", record.State, record.Counters, result.State, len(done), err)
	}
	return len(done)
}

// marked are the documents that are done, each of them once.
func marked(ctx context.Context, coll *mongo.Collection) (map[string]int, error) {
	cur, err := coll.Find(ctx, bson.D{{Key: "n", Value: bson.D{{Key: "$ne", Value: 0}}}})
	if err != nil {
		return nil, err
	}
	defer cur.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	done := map[string]int{}
	for cur.Next(ctx) {
		var d faultrig.Doc
		if err := cur.Decode(&d); err != nil {
			return nil, err
		}
		if d.N != 1 || len(d.Seen) != 1 {
			return nil, fmt.Errorf("document %v: n is %d, seen is %+v", d.ID, d.N, d.Seen)
		}
		done[cur.Current.Lookup("_id").String()] = 1
	}
	return done, cur.Err()
}

// same tells whether what was done and what was written down about it are the same documents.
func same(done, journaled map[string]int) error {
	if maps.Equal(done, journaled) {
		return nil
	}
	return fmt.Errorf("%d documents are done, and %d are written down", len(done), len(journaled))
}

// Negative control: a loop that writes a document and then writes it down is cancelled in between.
func TestALoopThatIsCancelledIsFoundOut(t *testing.T) {
	t.Parallel()
	s := onShared(t)
	const docs = 200
	for try := range 200 {
		coll := s.seed(t, fmt.Sprint("docs", try), docs)
		log := s.db.Collection(fmt.Sprint("log", try))
		_, _, _ = cancelAtRandom(t, 100*time.Millisecond, func(ctx context.Context) (*rikki.Result, error) {
			for i := range docs {
				if _, err := coll.UpdateByID(ctx, i, bson.D{
					{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}, {Key: "$push", Value: bson.D{{Key: "seen", Value: faultrig.Mark{Token: 1}}}},
				}); err != nil {
					return nil, err
				}
				if _, err := log.InsertOne(ctx, bson.D{{Key: "_id", Value: i}}); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		done, err := marked(t.Context(), coll)
		if err != nil {
			t.Fatal(err)
		}
		written := map[string]int{}
		cur, err := log.Find(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		for cur.Next(t.Context()) {
			written[cur.Current.Lookup("_id").String()] = 1
		}
		if err := same(done, written); err != nil {
			t.Log("after", try+1, "tries:", err)
			return
		}
	}
	t.Error("a loop was cancelled 200 times and nobody noticed")
}
