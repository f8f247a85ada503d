//go:build linux

package faultrig

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The fail points that hold replication back. A frozen secondary is something else: what its socket had received
// already, it writes as soon as it wakes.
const (
	stopProducer = "stopReplProducer" // it fetches no more of the oplog
	stopApply    = "rsSyncApplyStop"  // it fetches, and applies nothing
)

// holdIndex is a fail point in the middle of the build of an index, on a collection that has documents.
const holdIndex = "hangAfterStartingIndexBuild"

// HoldIndexBuilds keeps a member from finishing indexes, until the fail point is turned off. Wait for it to be reached once a build has
// been asked for.
func (s *Set) HoldIndexBuilds(t testing.TB, i int) *FailPoint {
	t.Helper()
	p, err := set(t.Context(), s.nodes[i].admin, bson.D{{Key: "configureFailPoint", Value: holdIndex}, {Key: "mode", Value: "alwaysOn"}})
	if err != nil {
		t.Fatalf("%s on member %d: %v", holdIndex, i, err)
	}
	p.off = p.once(t)
	t.Cleanup(p.off)
	return p
}

// HoldBack keeps a secondary from fetching what the primary writes, and returns a way to let it go on. At the test's end it
// goes on by itself. What the primary is told to write from now on this member never sees, not even in a buffer.
func (s *Set) HoldBack(t testing.TB, i int) (release func()) {
	t.Helper()
	return s.hold(t, i, stopProducer)
}

// Lag keeps a secondary from applying what it fetches, so that it falls behind.
func (s *Set) Lag(t testing.TB, i int) (release func()) {
	t.Helper()
	return s.hold(t, i, stopApply)
}

func (s *Set) hold(t testing.TB, i int, point string) func() {
	t.Helper()
	p, err := set(t.Context(), s.nodes[i].admin, bson.D{{Key: "configureFailPoint", Value: point}, {Key: "mode", Value: "alwaysOn"}})
	if err != nil {
		t.Fatalf("%s on member %d: %v", point, i, err)
	}
	off := p.once(t)
	t.Cleanup(off)
	if err := p.await(t.Context(), 1, 15*time.Second); err != nil {
		t.Fatalf("%s on member %d was never reached: %v", point, i, err)
	}
	return off
}

// LagOf is how far a member is behind the primary, as the primary sees it.
func (s *Set) LagOf(ctx context.Context, i int) (time.Duration, error) {
	type optime struct {
		TS bson.Timestamp `bson:"ts"`
	}
	var status struct {
		Members []struct {
			ID     int    `bson:"_id"`
			State  int    `bson:"state"`
			Optime optime `bson:"optime"`
		} `bson:"members"`
	}
	for p := range s.nodes {
		if h, err := s.hello(ctx, p); err != nil || !h.Primary {
			continue
		}
		if err := s.nodes[p].run(ctx, bson.D{{Key: "replSetGetStatus", Value: 1}}, &status); err != nil {
			return 0, err
		}
		var mine, newest bson.Timestamp
		for _, m := range status.Members {
			if m.ID == i {
				mine = m.Optime.TS
			}
			if m.Optime.TS.After(newest) {
				newest = m.Optime.TS
			}
		}
		return time.Duration(newest.T-mine.T) * time.Second, nil
	}
	return 0, errors.New("no primary")
}
