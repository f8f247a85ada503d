//go:build linux

package faults_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// slack is what an end may take longer on a machine with much else to do. One that waits for a server waits for 30 s or more.
const slack = 10 * time.Second

// scriptGrace is the time that a script has from when it is cancelled: the default.
const scriptGrace = 10 * time.Second

// Case 12 without a majority, which is when commits have no answer: a process that is asked to end does so in its time, and leaves a run
// that another one goes on with.
func TestTerminatedWithoutAMajorityEndsInItsGrace(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testing.T, *faultrig.Set){
		"CommitsHang": func(t *testing.T, set *faultrig.Set) {
			t.Helper()
			for _, i := range set.Secondaries(t) {
				set.HoldBack(t, i)
			}
		},
		"NoPrimary": func(t *testing.T, set *faultrig.Set) {
			t.Helper()
			for _, i := range set.Secondaries(t) {
				set.Kill(t, i)
			}
			set.NoPrimary(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "NoPrimary" && rounds(t, 1) == 1 {
				t.Skip("the other one hangs for longer; set " + roundsEnv)
			}
			set := faultrig.Borrow(t)
			s := onSet(t, set)
			s.Grace = time.Second
			const docs = 1500
			coll := s.seed(t, "docs", docs)
			before := hash(t, coll)
			p := s.start(t)
			id := s.enqueue(t, "marks", marks("docs", 20, map[string]any{"rate": 200, "lag": "-1s"}))
			s.underWay(t, coll, 50)
			lose(t, set)
			if err := majorityWrite(t, s); err == nil {
				t.Fatal("a majority write was acknowledged: the fault did not happen")
			}
			p.Terminate()
			asked := time.Now()
			code := p.Wait(t, time.Minute)
			took := time.Since(asked)
			if limit := s.Grace + scriptGrace + slack; code != 0 || took > limit {
				t.Errorf("the process ended with code %d after %s, and has %s:\n%s", code, took, limit, p.Output())
			}
			var seen outcome
			if err := json.Unmarshal(p.Await(t, "ended").Value, &seen); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(p.Output(), "may still be writing") || seen.State != string(rikki.Interrupted) {
				t.Errorf("the run did not stop: %+v\n%s", seen, p.Output())
			}
			set.Heal(t)
			s.start(t)
			s.await(t, id, time.Minute, rikki.Succeeded)
			s.audit(t, coll, id, docs)
			s.undo(t, coll, id, before)
			t.Logf("ended %s after SIGTERM, having %s; the run: %s", took.Round(time.Millisecond), s.Grace+scriptGrace, seen.Kind)
		})
	}
}

// underWay waits until so many documents are done.
func (s *scene) underWay(t testing.TB, coll *mongo.Collection, n int64) {
	t.Helper()
	eventually(t, time.Minute, "some work", func(ctx context.Context) (bool, error) {
		done, err := coll.CountDocuments(ctx, bson.D{{Key: "n", Value: 1}})
		return done >= n, err
	})
}

func majorityWrite(t testing.TB, s *scene) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := s.db.Collection("naive").InsertOne(ctx, bson.D{})
	return err
}

// Negative control: a script that doesn't heed its context keeps its process from ending well.
func TestAScriptThatNeverStopsIsFoundOut(t *testing.T) {
	t.Parallel()
	s := onShared(t)
	s.Grace = 100 * time.Millisecond
	p := faultrig.Start(t, "serve", s.place)
	p.Await(t, "ready")
	s.enqueue(t, "stubborn", nil)
	faultrig.Eventually(t, time.Minute, "the script to begin", func(ctx context.Context) (bool, error) {
		n, err := s.db.Collection("did").CountDocuments(ctx, bson.D{})
		return n > 0, err
	})
	p.Terminate()
	if code := p.Wait(t, time.Minute); code == 0 || !strings.Contains(p.Output(), "may still be writing") {
		t.Errorf("it ended with code %d:\n%s", code, p.Output())
	}
}

// Stubborn goes on whatever it is told.
type Stubborn struct{}

// Options implements rikki.Configured.
func (Stubborn) Options() rikki.Options {
	return rikki.Options{Concurrency: -1, Grace: 200 * time.Millisecond}
}

// Execute implements rikki.Script.
func (Stubborn) Execute(ctx context.Context, run *rikki.Run) (any, error) {
	if err := mark(ctx, run.DB().Collection("did"), run.ID()); err != nil {
		return nil, err
	}
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	<-timer.C
	return nil, nil
}
