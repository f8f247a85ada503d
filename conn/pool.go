package conn

import (
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/event"
)

// Pool counts the connections that operations use, over all servers. The
// driver's two monitoring connections per server are not among them.
type Pool struct {
	Max     uint64 // of one server; zero means no limit
	Open    int64
	InUse   int64
	Waiting int64 // operations that wait for a connection

	// Since the client was made.
	Created          int64
	Closed           int64
	CheckoutFailures int64
	Clears           int64 // times that a pool was emptied, for a server that failed
}

type poolCounters struct {
	max                                               atomic.Uint64
	created, closed, inUse, waiting, failures, clears atomic.Int64
}

func (c *poolCounters) monitor() *event.PoolMonitor { return &event.PoolMonitor{Event: c.count} }

func (c *poolCounters) count(e *event.PoolEvent) {
	switch e.Type {
	case event.ConnectionPoolCreated:
		if e.PoolOptions != nil {
			c.max.Store(e.PoolOptions.MaxPoolSize)
		}
	case event.ConnectionPoolCleared:
		c.clears.Add(1)
	case event.ConnectionCreated:
		c.created.Add(1)
	case event.ConnectionClosed:
		c.closed.Add(1)
	case event.ConnectionCheckOutStarted:
		c.waiting.Add(1)
	case event.ConnectionCheckOutFailed:
		c.waiting.Add(-1)
		c.failures.Add(1)
	case event.ConnectionCheckedOut:
		c.waiting.Add(-1)
		c.inUse.Add(1)
	case event.ConnectionCheckedIn:
		c.inUse.Add(-1)
	}
}

func (c *poolCounters) snapshot() Pool {
	p := Pool{
		Max:              c.max.Load(),
		Closed:           c.closed.Load(),
		InUse:            c.inUse.Load(),
		Waiting:          c.waiting.Load(),
		CheckoutFailures: c.failures.Load(),
		Clears:           c.clears.Load(),
	}
	p.Created = c.created.Load() // behind Closed, or Open could be negative
	p.Open = p.Created - p.Closed
	return p
}
