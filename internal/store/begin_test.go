package store

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// lapse is the death of the run's owner.
func (b *testBundle) lapse(t *testing.T, id string) {
	t.Helper()
	b.expire(t, id)
	if n, err := b.Sweep(t.Context()); n != 1 || err != nil {
		t.Fatalf("swept %d, %v", n, err)
	}
}

func TestARunThatNeverBeganIsTakenAgain(t *testing.T) {
	t.Parallel()

	t.Run("WhenItsOwnerDiesBeforeTheScriptBegins", func(t *testing.T) {
		t.Parallel()
		b, c := setup(t), newClaim()
		b.queue(t, nil)
		run := b.claim1(t, c)
		if !run.Unbegun || !run.Fresh() {
			t.Fatalf("claimed: %+v", run)
		}
		b.lapse(t, run.ID)
		c.Source = Source{Revision: "r2"}
		again := b.claim1(t, c)
		if again.ID != run.ID || again.Attempt != 2 || again.Lease.Epoch != 3 || !again.Unbegun || again.Source.Revision != "r2" {
			t.Errorf("taken again: %+v", again)
		}
		_, err := b.Begin(t.Context(), run.ID, run.Lease.Epoch)
		wantErr(t, err, ErrLeaseLost) // the first owner was only slow
	})

	t.Run("AndNotWhenTheScriptHadBegun", func(t *testing.T) {
		t.Parallel()
		b, c := setup(t), newClaim()
		b.queue(t, nil)
		run := b.claim1(t, c)
		for range 2 { // an answer may be lost
			if pulse, err := b.Begin(t.Context(), run.ID, run.Lease.Epoch); err != nil || pulse.State != Running {
				t.Fatal(pulse, err)
			}
		}
		b.lapse(t, run.ID)
		if got, err := b.Claim(t.Context(), c, 1); len(got) != 0 || err != nil {
			t.Errorf("claimed %v, %v", ids(got), err)
		}
		if run, err := b.Run(t.Context(), run.ID); err != nil || run.State != Interrupted || run.Ready || run.Fresh() {
			t.Errorf("the run: %+v, %v", run, err)
		}
	})

	t.Run("UntilItHasKilledEnoughProcesses", func(t *testing.T) {
		t.Parallel()
		b, c := setup(t), newClaim()
		b.queue(t, nil)
		for range maxLapses {
			b.lapse(t, b.claim1(t, c).ID)
		}
		if got, err := b.Claim(t.Context(), c, 1); len(got) != 0 || err != nil {
			t.Fatalf("claimed %v, %v", ids(got), err)
		}
		run, err := b.Latest(t.Context(), "")
		if err != nil || run.State != Interrupted {
			t.Fatal(run.State, err)
		}
		if run, err = b.Control(t.Context(), run.ID, Request{Action: Resume}); err != nil || !run.Ready {
			t.Errorf("nothing was done, so people may still resume it: %+v, %v", run, err)
		}
	})

	t.Run("WhenItsOwnerGivesItBack", func(t *testing.T) {
		t.Parallel()
		b, c := setup(t), newClaim()
		b.queue(t, nil)
		run := b.claim1(t, c)
		if _, err := b.Begin(t.Context(), run.ID, 1); err != nil { // its answer is lost, say
			t.Fatal(err)
		}
		if _, err := b.Finish(t.Context(), run.ID, 1, Finish{State: Interrupted, Back: &Back{Fresh: true}}); err != nil {
			t.Fatal(err)
		}
		if again := b.claim1(t, c); again.ID != run.ID || !again.Unbegun {
			t.Errorf("taken again: %+v", again)
		}
	})

	t.Run("AfterAWhileWhenItCouldNotBegin", func(t *testing.T) {
		t.Parallel()
		b, c := setup(t), newClaim()
		b.queue(t, nil)
		for n := range maxLapses {
			run := b.claim1(t, c)
			given, err := b.Finish(t.Context(), run.ID, run.Lease.Epoch, Finish{State: Interrupted, Back: &Back{Fresh: true, Failed: true}})
			if err != nil || given.Ready != (n+1 < maxLapses) {
				t.Fatalf("given back for the %d. time: %+v, %v", n+1, given, err)
			}
			if pause := given.DueAt.Sub(given.EndedAt); given.Ready && pause != firstPause<<n {
				t.Errorf("pause %d is %s", n+1, pause)
			}
			if got, err := b.Claim(t.Context(), c, 1); len(got) != 0 || err != nil {
				t.Fatalf("claimed at once: %v, %v", ids(got), err)
			}
			due := bson.D{{Key: "$set", Value: bson.D{{Key: "due_at", Value: time.Now().Add(-time.Hour)}}}}
			if _, err := b.runs.UpdateByID(t.Context(), run.ID, due); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWhatCanResumeNeedsNoMarkOfItsBeginning(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue(t, func(n *NewRun) { n.Resumable = true })
	if run := b.claim1(t, newClaim()); run.Unbegun {
		t.Errorf("claimed: %+v", run)
	}
}

// Claims of several runs are one command; limits and the order hold as for one.
func TestClaimSeveral(t *testing.T) {
	t.Parallel()

	t.Run("InOrderAndUpToTheLimits", func(t *testing.T) {
		t.Parallel()
		b, c := setup(t), newClaim()
		c.Scripts = map[string]int{"one": 1, "three": 3, "any": -1}
		active := b.queue(t, func(n *NewRun) { n.Script, n.Priority = "three", 9 })
		if run := b.claim1(t, c); run.ID != active.ID {
			t.Fatal(run)
		}
		var want []string
		for i, script := range []string{"three", "one", "any", "three", "one", "three", "any"} {
			run := b.queue(t, func(n *NewRun) { n.Script, n.Priority = script, 5-i })
			if i != 4 && i != 5 { // one holds its only slot then, and three its last
				want = append(want, run.ID)
			}
		}
		got, err := b.Claim(t.Context(), c, 10)
		if err != nil || !slices.Equal(ids(got), want) {
			t.Errorf("claimed %v, %v, want %v", ids(got), err, want)
		}
		for _, run := range got {
			if run.State != Running || run.Lease.Epoch != 1 || run.Lease.Owner != c.Owner || run.Slot == "" || run.Timeout != newRun().Timeout {
				t.Errorf("claimed: %+v", run)
			}
		}
	})

	t.Run("ByManyAtOnce", func(t *testing.T) {
		t.Parallel()
		b, c := setup(t), newClaim()
		c.Scripts = map[string]int{"any": -1, "few": 4}
		const each = 60
		for range each {
			b.queue(t, func(n *NewRun) { n.Script = "any" })
			b.queue(t, func(n *NewRun) { n.Script = "few" })
		}
		var mu sync.Mutex
		owner := make(map[string]string)
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				mine := c
				mine.Owner.Instance = fmt.Sprintf("instance-%d", i)
				g := b.Group(nil)
				for empty := 0; empty < 3; {
					got, err := b.Claim(t.Context(), mine, 7)
					if err != nil {
						t.Error(err)
						return
					}
					if len(got) == 0 {
						empty++
					}
					var ends sync.WaitGroup
					for _, run := range got {
						mu.Lock()
						if before := owner[run.ID]; before != "" {
							t.Errorf("run %s was taken by %s and by %s", run.ID, before, mine.Owner.Instance)
						}
						owner[run.ID] = mine.Owner.Instance
						mu.Unlock()
						ends.Go(func() {
							_, err := g.Begin(t.Context(), run.ID, run.Lease.Epoch)
							state, endErr := g.Finish(t.Context(), run.ID, run.Lease.Epoch, Finish{State: Succeeded})
							if err := errors.Join(err, endErr); err != nil || state != Succeeded {
								t.Error(state, err)
							}
						})
					}
					ends.Wait()
				}
			})
		}
		group.Wait()
		if len(owner) != 2*each {
			t.Errorf("%d runs were taken, want %d", len(owner), 2*each)
		}
	})
}

// The first of several writes waits for the others, and no longer than until they are there.
func TestGroupIsCompleteWhenAllWait(t *testing.T) {
	t.Parallel()
	g := (&Store{}).Group(func() int { return 3 })
	a, b, c, late := &groupWrite{}, &groupWrite{}, &groupWrite{}, &groupWrite{}
	complete, first := g.enter(a)
	if !first || complete == nil {
		t.Fatal("the first write waits for no others")
	}
	closed := func() bool {
		select {
		case <-complete:
			return true
		default:
			return false
		}
	}
	for i, w := range []*groupWrite{b, c, late} {
		if _, first := g.enter(w); first {
			t.Error("there are two first writes")
		}
		if got, want := closed(), i >= 1; got != want {
			t.Errorf("complete with %d writes of 3: %t", i+2, got)
		}
	}
	if got := g.gather(t.Context(), a, complete); !slices.Equal(got, []*groupWrite{a, b, c, late}) {
		t.Errorf("gathered %d writes", len(got))
	}
	lone := (&Store{}).Group(func() int { return 1 })
	if complete, first := lone.enter(a); !first || complete != nil {
		t.Error("a lone write waits for others")
	}
}

// One run of a group that is somebody else's by now, or was asked for something, takes nothing from the others.
func TestGroupTellsEachWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	b, c := setup(t), newClaim()
	c.Scripts = map[string]int{"any": -1}
	const n = 12
	for range n {
		b.queue(t, func(n *NewRun) { n.Script = "any" })
	}
	runs, err := b.Claim(t.Context(), c, n)
	if err != nil || len(runs) != n {
		t.Fatal(len(runs), err)
	}
	lost, cancelled := runs[3].ID, runs[7].ID
	b.lapse(t, lost)
	if _, err := b.Control(t.Context(), cancelled, Request{Action: Cancel}); err != nil {
		t.Fatal(err)
	}
	g := b.Group(nil)
	g.flying = true // the first ones wait for each other
	var group sync.WaitGroup
	for _, run := range runs {
		group.Go(func() {
			pulse, err := g.Begin(t.Context(), run.ID, run.Lease.Epoch)
			state, endErr := g.Finish(t.Context(), run.ID, run.Lease.Epoch, Finish{State: Failed, Result: run.ID})
			switch run.ID {
			case lost:
				wantErr(t, err, ErrLeaseLost)
				wantErr(t, endErr, ErrLeaseLost)
			case cancelled:
				if pulse.State != Cancelling || err != nil || state != Failed || endErr != nil {
					t.Errorf("cancelled: %v, %v; %v, %v", pulse, err, state, endErr)
				}
			default:
				if pulse.State != Running || state != Failed || err != nil || endErr != nil {
					t.Errorf("%v, %v; %v, %v", pulse, err, state, endErr)
				}
			}
		})
	}
	for g.waits() < n {
		runtime.Gosched()
	}
	g.mu.Lock()
	g.waiting[0].lead <- g.waiting
	g.waiting = nil
	g.mu.Unlock()
	group.Wait()
	for _, run := range runs {
		stored, err := b.Run(t.Context(), run.ID)
		if err != nil || run.ID != lost && (stored.State != Failed || stored.Result.StringValue() != run.ID || stored.Slot != "") {
			t.Errorf("stored: %+v, %v", stored, err)
		}
	}
	if g.flying || len(g.waiting) != 0 {
		t.Errorf("left behind: under way %v, %d waiting", g.flying, len(g.waiting))
	}
}

func (g *Group) waits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}
