package commands

import (
	"context"
	"sync"
	"time"
)

// Trips counts the commands that are sent with a context one after another, each of which is a round trip to the server.
type Trips struct {
	mu    sync.Mutex
	n     int
	last  time.Time
	least time.Duration
}

type tripsKey struct{}

// With returns a context whose commands are counted by t.
func (t *Trips) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, tripsKey{}, t)
}

// Sent tells whoever counts the commands of ctx that one of them is sent now. Its answer is not waited for: a monitor that hears of answers gets
// a copy of each.
func Sent(ctx context.Context) {
	t, ok := ctx.Value(tripsKey{}).(*Trips)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if d := now.Sub(t.last); t.n > 0 && (t.least == 0 || d < t.least) {
		t.least = d
	}
	t.n++
	t.last = now
}

// Counted is how many commands there were, and the least time between two of them: a round trip, about.
func (t *Trips) Counted() (n int, least time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n, t.least
}
