package backfill

import (
	"strings"
	"testing"
	"time"

	"github.com/rikki-go/rikki/internal/pace"
)

// fakeSet is what a primary says of its set as time goes on.
type fakeSet struct {
	now, newest time.Time
	members     *members
}

func newFakeSet() *fakeSet {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &fakeSet{now: at, newest: at, members: &members{delays: map[string]time.Duration{}}}
}

// look lets some time pass, in which the primary writes all along, and looks at members that are so late.
func (f *fakeSet) look(after time.Duration, late map[string]time.Duration) (pace.Signal, bool) {
	f.now, f.newest = f.now.Add(after), f.newest.Add(after)
	return f.still(late)
}

func (f *fakeSet) still(late map[string]time.Duration) (pace.Signal, bool) {
	all := []member{{Name: "p:1", Health: 1, State: statePrimary, Optime: f.newest}, {Name: "arbiter:1", Health: 1, State: stateArbiter}}
	for name, d := range late {
		m := member{Name: name, Health: 1, State: stateSecondary, Optime: f.newest.Add(-d)}
		if d < 0 {
			m = member{Name: name, State: 8}
		}
		all = append(all, m)
	}
	return f.members.lag(all, 10*time.Second, f.now)
}

func TestTheMemberThatIsWaitedForIsNamed(t *testing.T) {
	t.Parallel()
	f := newFakeSet()
	lag, sure := f.look(time.Minute, map[string]time.Duration{"a:1": 2 * time.Second, "b:1": time.Second})
	if !sure || lag.Value != 2 || lag.Who != "member a:1" {
		t.Errorf("%+v, %t", lag, sure)
	}
	lag, _ = f.look(time.Second, map[string]time.Duration{"a:1": time.Second, "down:1": -1})
	if !lag.Unknown || !strings.Contains(lag.Reason, "member down:1") || !strings.Contains(lag.Reason, "--ignore-member=down:1") {
		t.Errorf("%+v", lag)
	}
	f.members.ignored = []string{"DOWN"}
	if lag, _ = f.look(time.Second, map[string]time.Duration{"a:1": time.Second, "down:1": -1}); lag.Unknown || lag.Value != 1 {
		t.Errorf("with the member ignored: %+v", lag)
	}
}

// What a member is late on purpose doesn't count, and what it is late beyond that does.
func TestADelayedMemberCountsFromItsDelay(t *testing.T) {
	t.Parallel()
	f := newFakeSet()
	f.members.delays = map[string]time.Duration{"delayed:1": 30 * time.Second}
	for range 60 {
		if lag, sure := f.look(time.Second, map[string]time.Duration{"delayed:1": 31 * time.Second}); !sure || lag.Value > 10 {
			t.Fatalf("a member that is late on purpose: %+v, %t", lag, sure)
		}
	}
	late := 31 * time.Second
	for range 20 { // it stands still
		late += time.Second
		f.look(time.Second, map[string]time.Duration{"delayed:1": late})
	}
	if lag, _ := f.still(map[string]time.Duration{"delayed:1": late}); lag.Value < 15 || lag.Value > 22 {
		t.Errorf("a delayed member that has stood still for 20 s: %+v", lag)
	}
}

// After a silence, a delayed member is behind the first write by the whole of the silence.
func TestADelayedMemberAfterASilence(t *testing.T) {
	t.Parallel()
	f := newFakeSet()
	f.members.delays = map[string]time.Duration{"delayed:1": 30 * time.Second}
	late := 3 * time.Hour
	for range 25 {
		late += time.Second
		if lag, sure := f.look(time.Second, map[string]time.Duration{"delayed:1": late}); !sure || lag.Value > 10 {
			t.Fatalf("%+v, %t", lag, sure)
		}
	}
}

// Without the right to see the set's configuration, a hidden member that is late by the same time all along is taken for a delayed one, and
// one that falls behind is not.
func TestAHiddenMemberOfUnknownDelay(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"steady:1": true, "falling:1": false, "visible:1": false} {
		f := newFakeSet()
		f.members.visible = []string{"p:1", "visible:1"}
		late, free := 40*time.Second, false
		for i := range 60 {
			if name == "falling:1" {
				late += time.Second
			}
			lag, _ := f.look(time.Second, map[string]time.Duration{name: late + time.Duration(i%3)*time.Second})
			free = lag.Value <= 10
		}
		if free != want {
			t.Errorf("%s: known for what it is: %t, want %t", name, free, want)
		}
	}
}

// The primary's news of a member are as old as its last heartbeat, and the first write after a silence is newer.
func TestAQuietSetHasNoLag(t *testing.T) {
	t.Parallel()
	f := newFakeSet()
	if lag, sure := f.still(map[string]time.Duration{"s:1": time.Minute}); sure {
		t.Errorf("known at the first look: %+v", lag)
	}
	if lag, sure := f.look(time.Second, map[string]time.Duration{"s:1": time.Second}); !sure || lag.Value > 1 {
		t.Errorf("after the heartbeat: %+v, %t", lag, sure)
	}
	f = newFakeSet() // and one that is behind
	for i, want := range []bool{false, false, false, true} {
		if lag, sure := f.look(time.Second, map[string]time.Duration{"s:1": time.Minute + time.Duration(i)*time.Second}); sure != want {
			t.Errorf("look %d: %+v, %t", i, lag, sure)
		}
	}
	f = newFakeSet() // and one that moves, and is behind all the same
	f.look(0, map[string]time.Duration{"s:1": time.Minute})
	if lag, sure := f.look(time.Second, map[string]time.Duration{"s:1": time.Minute}); !sure || lag.Value < 50 {
		t.Errorf("a member that can't keep up: %+v, %t", lag, sure)
	}
}
