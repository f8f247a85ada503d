//go:build linux

package faults_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// A run that can't resume goes to another process as long as its script has not begun; from then on it never does, even if
// the process dies before the script's first effect.
func TestRunWhoseProcessDiesBeforeItsScriptBegins(t *testing.T) {
	t.Parallel()
	for at, again := range map[string]bool{"queue.claimed": true, "queue.before-begin": true, "queue.begun": false} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			s := onShared(t).shortLease()
			first := s.start(t, faultrig.At(faultrig.Crash{Point: at, Then: faultrig.Suicide}))
			id := s.enqueue(t, "once", &Once{Coll: "docs"})
			if stood, ok := first.ReachedPoint(); !ok || stood != at {
				t.Fatalf("the process did not die at %s but at %q:\n%s", at, stood, first.Output())
			}
			died := time.Now()
			s.start(t)
			after := s.enqueue(t, "once", &Once{Coll: "docs"})
			s.await(t, after, time.Minute, rikki.Succeeded) // what comes behind it isn't held up
			if !again {
				faultrig.Eventually(t, time.Minute, "the run to be swept", func(ctx context.Context) (bool, error) {
					n, err := s.runs().CountDocuments(ctx, bson.D{{Key: "_id", Value: id}, {Key: "state", Value: "interrupted"}})
					return n == 1, err
				})
				last := s.enqueue(t, "once", &Once{Coll: "docs"})
				s.await(t, last, time.Minute, rikki.Succeeded)
				if record := s.await(t, id, time.Minute, rikki.Interrupted); record.Attempt != 1 {
					t.Errorf("attempt %d", record.Attempt)
				}
				if n := effects(t, s.db, id); n != 0 {
					t.Errorf("%d effects", n)
				}
				return
			}
			tookOver(t, s.await(t, id, time.Minute, rikki.Succeeded), 1)
			t.Logf("run again %s after the death", time.Since(died).Round(time.Millisecond))
			if n := effects(t, s.db, id); n != 1 {
				t.Errorf("%d effects", n)
			}
		})
	}
}

// effects is how often a run of the script once did its work.
func effects(t *testing.T, db *mongo.Database, id string) int {
	t.Helper()
	var doc struct{ N int }
	if err := db.Collection("docs").FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Decode(&doc); err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		t.Fatal(err)
	}
	return doc.N
}
