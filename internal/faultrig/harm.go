//go:build linux

package faultrig

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"
)

// Kill ends a member at once, as a power cut would, and returns when it is gone.
func (s *Set) Kill(t testing.TB, i int) {
	t.Helper()
	s.mark(s.dead, i, true)
	s.mark(s.frozen, i, false)
	if err := s.nodes[i].server.Kill(); err != nil {
		t.Fatalf("kill member %d: %v", i, err)
	}
}

// Restart brings a member back on its port and data, or shuts it down gently first. It follows again some time later: see Heal.
func (s *Set) Restart(t testing.TB, i int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.restart(ctx, i); err != nil {
		t.Fatalf("restart member %d: %v", i, err)
	}
}

func (s *Set) restart(ctx context.Context, i int) error {
	if err := s.nodes[i].server.Restart(ctx); err != nil {
		return err
	}
	s.mark(s.dead, i, false)
	s.mark(s.frozen, i, false)
	return nil
}

// Freeze stops every thread of a member: its connections stay open and nothing answers.
func (s *Set) Freeze(t testing.TB, i int) {
	t.Helper()
	if err := s.nodes[i].server.Freeze(); err != nil {
		t.Fatalf("freeze member %d: %v", i, err)
	}
	s.mark(s.frozen, i, true)
}

// Thaw lets a frozen member go on.
func (s *Set) Thaw(t testing.TB, i int) {
	t.Helper()
	if err := s.nodes[i].server.Thaw(); err != nil {
		t.Fatalf("thaw member %d: %v", i, err)
	}
	s.mark(s.frozen, i, false)
}

// StepDown makes the primary hand over, and returns the numbers of the former and the new one.
func (s *Set) StepDown(t testing.TB) (from, to int) {
	t.Helper()
	from = s.Primary(t)
	err := until(t.Context(), patience, "the primary to step down", func(ctx context.Context) (bool, error) {
		err := s.nodes[from].run(ctx, bson.D{
			{Key: "replSetStepDown", Value: 5}, {Key: "secondaryCatchUpPeriodSecs", Value: 2}, {Key: "force", Value: true},
		}, nil)
		return err == nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return from, s.PrimaryOtherThan(t, from)
}

// StepUp has a member lead, unless it does already.
func (s *Set) StepUp(t testing.TB, i int) {
	t.Helper()
	err := until(t.Context(), patience, "the member to lead", func(ctx context.Context) (bool, error) {
		if h, err := s.hello(ctx, i); err == nil && h.Primary {
			return true, nil
		}
		_ = s.nodes[i].run(ctx, bson.D{{Key: "replSetStepUp", Value: 1}}, nil) // asked again
		return false, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Heal thaws and restarts all members, turns the rig's fail points off, and waits until all is well again.
func (s *Set) Heal(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := s.heal(ctx); err != nil {
		t.Fatal("heal the replica set:", err)
	}
}

func (s *Set) heal(ctx context.Context) error {
	var group errgroup.Group
	for i, m := range s.nodes {
		group.Go(func() error {
			if s.marked(s.frozen, i) {
				if err := m.server.Thaw(); err != nil && !errors.Is(err, context.Canceled) {
					return err
				}
				s.mark(s.frozen, i, false)
			}
			if s.marked(s.dead, i) || m.server.PID() == 0 {
				if err := s.restart(ctx, i); err != nil {
					return err
				}
			}
			return until(ctx, patience, "fail points to go off", func(ctx context.Context) (bool, error) {
				return s.clear(ctx, i) == nil, nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return s.healthy(ctx)
}

// clear turns off every fail point that the rig can have set.
func (s *Set) clear(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, name := range []string{failCommand, stopProducer, stopApply, holdIndex} {
		if err := s.nodes[i].run(ctx, bson.D{{Key: "configureFailPoint", Value: name}, {Key: "mode", Value: "off"}}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) mark(set map[int]bool, i int, to bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set[i] = to
}

func (s *Set) marked(set map[int]bool, i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return set[i]
}
