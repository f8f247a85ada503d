//go:build linux

package faultrig

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// insist makes a client's reads and writes survive a fail-over.
func insist(o *options.ClientOptions) {
	o.SetWriteConcern(writeconcern.Majority()).SetReadConcern(readconcern.Majority()).SetRetryWrites(true)
}

// hello is what a member says of itself.
type hello struct {
	Primary   bool   `bson:"isWritablePrimary"`
	Secondary bool   `bson:"secondary"`
	Hosts     bson.A `bson:"hosts"`
}

func (s *Set) hello(ctx context.Context, i int) (h hello, err error) {
	if s.down(i) {
		return h, fmt.Errorf("member %d is down", i)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err = s.nodes[i].run(ctx, bson.D{{Key: "hello", Value: 1}}, &h)
	return h, err
}

// down says whether the rig has stopped a member.
func (s *Set) down(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead[i] || s.frozen[i]
}

// Primary waits until a member that is up takes writes, and returns its number.
func (s *Set) Primary(t testing.TB) int {
	t.Helper()
	return s.PrimaryOtherThan(t, -1)
}

// PrimaryOtherThan waits until another member than this one takes writes.
func (s *Set) PrimaryOtherThan(t testing.TB, not int) int {
	t.Helper()
	found := -1
	err := until(t.Context(), patience, "a primary", func(ctx context.Context) (bool, error) {
		for i := range s.nodes {
			if h, err := s.hello(ctx, i); i != not && err == nil && h.Primary {
				found = i
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Secondaries are the members that are up and follow, once a primary is there.
func (s *Set) Secondaries(t testing.TB) []int {
	t.Helper()
	s.Primary(t)
	var list []int
	for i := range s.nodes {
		if h, err := s.hello(t.Context(), i); err == nil && h.Secondary {
			list = append(list, i)
		}
	}
	return list
}

// NoPrimary waits until no member that is up takes writes.
func (s *Set) NoPrimary(t testing.TB) {
	t.Helper()
	err := until(t.Context(), patience, "the primary to give up", func(ctx context.Context) (bool, error) {
		for i := range s.nodes {
			if h, err := s.hello(ctx, i); err == nil && h.Primary {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// healthy waits until one member leads, all others follow, and a majority write gets through.
func (s *Set) healthy(ctx context.Context) error {
	primary := -1
	err := until(ctx, patience, "a healthy replica set", func(ctx context.Context) (bool, error) {
		up, leaders := 0, 0
		for i := range s.nodes {
			h, err := s.hello(ctx, i)
			switch {
			case err != nil:
			case h.Primary:
				primary = i
				leaders++ // one that was frozen may not know yet that it is none
				up++
			case h.Secondary:
				up++
			}
		}
		return up == len(s.nodes) && leaders == 1, nil
	})
	if err != nil {
		return err
	}
	return until(ctx, patience, "a write to all members", func(ctx context.Context) (bool, error) {
		err := s.nodes[primary].run(ctx, bson.D{
			{Key: "appendOplogNote", Value: 1},
			{Key: "data", Value: bson.D{{Key: "faultrig", Value: "all well"}}},
			{Key: "writeConcern", Value: bson.D{{Key: "w", Value: len(s.nodes)}, {Key: "wtimeout", Value: 5000}}},
		}, nil)
		return err == nil, nil
	})
}

// until asks again and again, and says in vain for what.
func until(ctx context.Context, limit time.Duration, what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w", limit, what, ctx.Err())
		case <-tick.C:
		}
	}
}

// Eventually waits until ask says yes, and fails the test when it never does.
func Eventually(t testing.TB, limit time.Duration, what string, ask func(context.Context) (bool, error)) {
	t.Helper()
	if err := until(t.Context(), limit, what, ask); err != nil {
		t.Fatal(err)
	}
}
