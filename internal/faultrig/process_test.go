//go:build linux

package faultrig_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rikki-go/rikki/internal/faultrig"
)

func count(p *faultrig.Process) (n int) {
	for _, e := range p.Events() {
		if e.Name == "count" {
			n++
		}
	}
	return n
}

func TestProcess(t *testing.T) {
	t.Parallel()

	t.Run("RunsToItsEnd", func(t *testing.T) {
		t.Parallel()
		p := faultrig.Start(t, "counter", 3)
		p.Await(t, "done")
		if code := p.Wait(t, time.Minute); code != 0 || count(p) != 3 {
			t.Errorf("exit code %d after %d", code, count(p))
		}
		if name, ok := p.ReachedPoint(); ok {
			t.Errorf("it stood at %s", name)
		}
	})

	t.Run("SaysWhatItLeaves", func(t *testing.T) {
		t.Parallel()
		for what, want := range map[string]int{"nothing": 0, "goroutine": 3, "file": 3} {
			p := faultrig.Start(t, "leaky", what)
			if code := p.Wait(t, time.Minute); code != want {
				t.Errorf("it left a %s with code %d:\n%s", what, code, p.Output())
			}
		}
	})

	t.Run("EndsOnSIGTERM", func(t *testing.T) {
		t.Parallel()
		p := faultrig.Start(t, "counter", 0)
		p.Await(t, "ready")
		p.Terminate()
		if code := p.Wait(t, time.Minute); code != 1 || !strings.Contains(p.Output(), "told to end") {
			t.Errorf("exit code %d: %s", code, p.Output())
		}
	})

	t.Run("BlocksAtThePointAndIsKilledThere", func(t *testing.T) {
		t.Parallel()
		p := faultrig.Start(t, "counter", 1000, faultrig.At(faultrig.Crash{Point: "count.after", Hit: 3}))
		if at := p.AwaitPoint(t); at != "count.after" || count(p) != 3 {
			t.Errorf("at %s after %d", at, count(p))
		}
		p.Kill()
		if code := p.Wait(t, time.Minute); code != -1 || count(p) != 3 {
			t.Errorf("exit code %d after %d", code, count(p))
		}
	})

	t.Run("KillsItself", func(t *testing.T) {
		t.Parallel()
		p := faultrig.Start(t, "counter", 1000, faultrig.At(faultrig.Crash{Hit: 8, Then: faultrig.Suicide}))
		if code := p.Wait(t, time.Minute); code != -1 || count(p) != 4 {
			t.Errorf("exit code %d after %d", code, count(p))
		}
		if at, ok := p.ReachedPoint(); !ok || at != "count.after" {
			t.Errorf("it was at %q", at)
		}
	})

	t.Run("MissesThePointAndIsNotWaitedForForEver", func(t *testing.T) {
		t.Parallel()
		p := faultrig.Start(t, "counter", 0, faultrig.At(faultrig.Crash{Point: "count.after", Then: faultrig.Suicide}))
		p.Await(t, "ready")
		if name, ok := p.ReachedWithin(50 * time.Millisecond); ok {
			t.Errorf("it stood at %s", name)
		}
	})

	t.Run("SuspendsItselfAndGoesOn", func(t *testing.T) {
		t.Parallel()
		p := faultrig.Start(t, "counter", 5, faultrig.At(faultrig.Crash{Point: "count.before", Hit: 2, Then: faultrig.Suspend}))
		p.AwaitPoint(t)
		p.AwaitFrozen(t)
		if count(p) != 1 {
			t.Errorf("stopped after %d", count(p))
		}
		p.Thaw()
		if code := p.Wait(t, time.Minute); code != 0 || count(p) != 5 {
			t.Errorf("exit code %d after %d", code, count(p))
		}
	})

	t.Run("IsGoneAfterTheTest", func(t *testing.T) {
		t.Parallel()
		var pid int
		t.Run("Inner", func(t *testing.T) {
			p := faultrig.Start(t, "counter", 0)
			p.Await(t, "ready")
			p.Freeze(t)
			pid = p.PID()
		})
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
			t.Errorf("process %d is still there", pid)
		}
	})
}
