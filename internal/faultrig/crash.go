//go:build linux

package faultrig

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rikki-go/rikki/internal/point"
)

// Then is what happens at a crash point.
type Then string

// What can happen there. In each case the process says first that it is there: see [Process.AwaitPoint].
const (
	Block   Then = "block"   // this goroutine goes no further; the others do, such as one that renews a lease
	Suicide Then = "suicide" // the process is killed right there
	Suspend Then = "suspend" // the whole process is stopped, and goes on when it is continued
)

// Crash is a point of the code (see package point) at which something happens to a worker process.
type Crash struct {
	// Point is its name; empty means any.
	Point string `json:"point"`
	// Hit is which time that it is reached: 1 and 0 are the first.
	Hit  int  `json:"hit"`
	Then Then `json:"then"`
}

// arm waits for the point. It is told of every point, by whatever goroutine.
func (c *Crash) arm(w *Worker) (disarm func()) {
	var hits atomic.Int64
	return point.Hook(func(name string) {
		if c.Point != "" && c.Point != name || hits.Add(1) != int64(max(1, c.Hit)) {
			return
		}
		w.Say(pointEvent, name)
		switch c.Then {
		case Suicide:
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case Suspend:
			suspend()
		default:
			select {}
		}
	})
}

// suspend stops the process before the next line of this goroutine. A signal to the process may find another thread first, and
// this one would run on for a while; so it is sent to this very thread.
func suspend() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.SIGSTOP)
}

// pointEvent is the event that tells of a crash point.
const pointEvent = "POINT"
