package rikki_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/rikkitest"
)

// overlap counts runs whose script has begun, and keeps their ends from being recorded until it lets them.
type overlap struct {
	mu    sync.Mutex
	begun int
	open  chan struct{} // closed when ends may be recorded
	let   func()
}

func newOverlap(t *testing.T) *overlap {
	t.Helper()
	o := &overlap{open: make(chan struct{})}
	o.let = sync.OnceFunc(func() { close(o.open) })
	t.Cleanup(point.Hook(func(name string) {
		if name == "record.before-end" {
			<-o.open
		}
	}))
	return o
}

func (o *overlap) begin(context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun++
}

func (o *overlap) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.begun
}

// The next runs are taken while the ends of others are recorded, as many as there are workers and no more.
func TestServeTakesRunsWhileEndsAreRecorded(t *testing.T) { //nolint:paralleltest // it hooks the whole process
	const workers = 2
	for name, tt := range map[string]struct{ concurrency, want int }{
		"NoLimit": {-1, 2 * workers},
		// Its record holds a slot until it has its end.
		"Limit": {workers, workers},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOverlap(t)
			defer o.let()
			app := rikkitest.App(t, rikkitest.DB(t), &limited{name: "short", concurrency: tt.concurrency, body: o.begin})
			var ids []string
			for range 4 * workers {
				ids = append(ids, enqueue(t, app, "short", nil))
			}
			looks := 0 // into the queue, since as many scripts have begun as may
			serving(t, app, rikki.ServeOptions{Workers: workers, Poll: 50 * time.Millisecond, Report: func(st rikki.ServeStatus) {
				if o.count() < tt.want {
					return
				}
				if looks++; looks == 12 {
					o.let()
				}
				select {
				case <-o.open:
				default:
					if n := o.count(); n > tt.want || st.Active > 2*workers {
						t.Errorf("%d scripts have begun and %d runs are under way before one end is recorded, want %d", n, st.Active, tt.want)
						o.let()
					}
				}
			}})
			for _, id := range ids {
				await(t, app, id, inState(rikki.Succeeded))
			}
		})
	}
}

// What a process sends for the history is its own, also over the connections that it serves with.
func TestServeCountsWhatItSendsForTheHistory(t *testing.T) {
	t.Parallel()
	db := rikkitest.DB(t)
	script := rikki.Func("counts", func(_ context.Context, run *rikki.Run) (any, error) { return run.Sent(), nil })
	id := enqueue(t, rikkitest.App(t, db, script), "counts", nil)
	server := rikki.New(configOf(t, db)).MustAdd(script)
	t.Cleanup(func() { closeApp(t, server) })
	serving(t, server, rikki.ServeOptions{})
	// The queue was looked at, the run was taken, and it was begun.
	record := await(t, server, id, inState(rikki.Succeeded))
	if sent, err := strconv.Atoi(string(record.Result)); err != nil || sent < 3 {
		t.Errorf("%s commands were counted before the script began", record.Result)
	}
}
