//go:build linux

package faults_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/faultrig"
)

// A member that is late on purpose holds nobody up; a hidden one that falls behind does, and is named; and people can say that its lag
// doesn't matter.
func TestBackfillKnowsDelayedAndHiddenMembers(t *testing.T) {
	t.Parallel()
	set := faultrig.ReplicaSet(t, 3)
	secondaries := set.Secondaries(t)
	delayed, hidden := secondaries[0], secondaries[1]
	set.Hide(t, delayed, 30*time.Second)
	s := onSet(t, set)
	const docs = 2000
	free, held, ignoring := s.seed(t, "free", docs), s.seed(t, "held", docs), s.seed(t, "ignoring", docs)
	s.start(t)
	// The delayed member has to be late by more than a run may wait for.
	faultrig.Eventually(t, time.Minute, "the delayed member to be late", func(ctx context.Context) (bool, error) {
		if err := s.client.Database("admin").RunCommand(ctx, bson.D{{Key: "appendOplogNote", Value: 1}, {Key: "data", Value: bson.D{}}}).Err(); err != nil {
			return false, err
		}
		lag, err := set.LagOf(ctx, delayed)
		return lag > 12*time.Second, err
	})
	first := s.enqueue(t, "marks", marks("free", 100, map[string]any{"rate": 1000}))
	s.await(t, first, 15*time.Second, rikki.Succeeded)
	s.audit(t, free, first, docs)

	set.Hide(t, hidden, 0)
	release := set.HoldBack(t, hidden)
	name := set.Addrs()[hidden]
	second := s.enqueue(t, "marks", marks("held", 20, map[string]any{"rate": 100, "max-lag": "2s"}))
	waits := func(ctx context.Context) (bool, error) {
		record, err := s.app.Record(ctx, second)
		return record.Progress != nil && strings.HasPrefix(record.Progress.Message, "waiting: replication lag") &&
			strings.HasSuffix(record.Progress.Message, "member "+name), err
	}
	faultrig.Eventually(t, time.Minute, "the run to wait for "+name, waits)
	third := s.enqueue(t, "marks", marks("ignoring", 100, map[string]any{"rate": 1000, "max-lag": "2s", "ignore-member": []string{name}}))
	s.await(t, third, 30*time.Second, rikki.Succeeded)
	s.audit(t, ignoring, third, docs)
	if waiting, err := waits(t.Context()); !waiting || err != nil {
		t.Errorf("the other run doesn't wait any more: %v", err)
	}
	release()
	s.await(t, second, time.Minute, rikki.Succeeded)
	s.audit(t, held, second, docs)
}
