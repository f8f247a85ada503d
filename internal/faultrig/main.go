//go:build linux

package faultrig

import (
	"context"
	"errors"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/rikki-go/rikki/internal/mongotest"
)

// lent is how many sets a test binary has for tests that borrow one: as many as two cores bear.
const lent = 2

// shared are the test binary's sets for all tests that borrow one. Nil stands for one that nobody has started yet.
var shared = func() chan *Set { //nolint:gochecknoglobals // a test binary is one program with one TestMain
	sets := make(chan *Set, lent)
	for range lent {
		sets <- nil
	}
	return sets
}()

// Main is a package's TestMain: in a worker process it runs that worker; else it runs the tests, stops the servers, and
// fails when goroutines are left. It returns the exit code.
func Main(m *testing.M, workers Workers, ignore ...goleak.Option) int {
	if name, ok := os.LookupEnv(workerEnv); ok {
		return work(name, workers)
	}
	// What mongotest looks for at the end includes what our set would leave.
	return mongotest.MainAfter(m, stopShared, ignore...)
}

func stopShared() error {
	var errs []error
	for range lent {
		if set := <-shared; set != nil {
			errs = append(errs, set.stop())
		}
	}
	return errors.Join(errs...)
}

// Borrow gives the test a three-node set for itself. Tests that borrow take turns, since starting a set costs more than
// healing one. Whatever the test does to it is put right when it is over; databases with the test's name are its own to drop.
func Borrow(t testing.TB) *Set {
	t.Helper()
	mongotest.Wanted(t)
	set := <-shared
	t.Cleanup(func() { shared <- set })
	if set == nil {
		started, err := startSet(make([]Host, 3))
		mongotest.Unavailable(t, err)
		set = started
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := set.heal(ctx); err != nil {
		t.Fatal("heal the shared replica set before the test:", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		if err := set.heal(ctx); err != nil {
			t.Error("heal the shared replica set after the test:", err)
			set.dump(t)
		}
	})
	return set
}

// dump shows what the members said last.
func (s *Set) dump(t testing.TB) {
	for i := range s.nodes {
		lines := s.Log(i)
		for _, line := range lines[max(0, len(lines)-15):] {
			t.Logf("member %d: %s", i, line)
		}
	}
}
