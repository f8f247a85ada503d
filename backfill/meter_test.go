//go:build !race

package backfill_test

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/rikkitest"
)

const mib = 1 << 20

// faultsEnv makes tests work on as many documents as the promises speak of.
const faultsEnv = "RIKKI_FAULTS"

// twoSizes are how many documents a small and a large run have whose memory is compared.
func twoSizes(large int) (int, int) {
	const small, usual = 500, 3000
	if os.Getenv(faultsEnv) == "" {
		return small, usual
	}
	return small, large
}

// meter measures how much of the heap is in use while commands are sent. The garbage is collected each time, so what it finds is what
// somebody holds, whatever else the machine does. Tests that use it are not parallel.
type meter struct {
	mu            sync.Mutex
	before, most  int
	looks, passed int
	every         int // look at one of so many commands
}

func liveHeap() int {
	var stats runtime.MemStats
	for range 3 { // pools let go the second time
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// reset begins anew.
func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before, m.most, m.looks, m.passed = liveHeap(), 0, 0, 0
}

// peak is the most that was in use more than at the last reset.
func (m *meter) peak(t *testing.T) int {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.looks == 0 {
		t.Fatal("the heap was never looked at")
	}
	return m.most - m.before
}

func (m *meter) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		switch e.CommandName {
		case "find", "getMore", "aggregate", "update", "insert", "commitTransaction":
			m.pass()
		}
	}}
}

func (m *meter) pass() {
	m.mu.Lock()
	m.passed++
	due := m.passed%max(m.every, 1) == 0
	m.mu.Unlock()
	if due {
		m.look()
	}
}

func (m *meter) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	m.most = max(m.most, liveHeap())
}

// metered is an app whose scripts' commands a meter sees.
func metered(t *testing.T, db *mongo.Database, m *meter, scripts ...rikki.Script) *rikki.App {
	t.Helper()
	app := rikki.New(&rikki.Config{HistoryDatabase: db.Name() + "_history", Conn: conn.Config{
		URI: rikkitest.URI(t), Database: db.Name(), Monitor: m.monitor(),
	}}).MustAdd(scripts...)
	t.Cleanup(func() {
		if err := app.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return app
}

// growing tells of each step of a life whether its memory grows with the number of documents. What happens to be held at a moment
// is found once in a while; what grows is found each time.
func growing(t *testing.T, small, large int, life func(n int) map[string]int) []string {
	t.Helper()
	of, list := life(small), life(large)
	for range 2 {
		if len(grows(of, list, large-small)) == 0 {
			break
		}
		for step, most := range life(large) {
			list[step] = min(list[step], most)
		}
	}
	t.Logf("most memory in bytes: %d documents %v, %d documents %v", small, of, large, list)
	for step, most := range list {
		if most > 16*mib {
			t.Errorf("%s: %d MiB", step, most/mib)
		}
	}
	return grows(of, list, large-small)
}

// grows compares two lives: by more than so many bytes for each document more.
func grows(small, large map[string]int, docs int) []string {
	const noise, perDocument = mib / 4, 40
	var list []string
	for step, most := range large {
		if most-small[step] > noise+perDocument*docs {
			list = append(list, step)
		}
	}
	return list
}
