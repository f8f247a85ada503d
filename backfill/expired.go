package backfill

import (
	"fmt"
	"time"
)

// A server ends transactions at a limit of its own, a minute unless it is set to less, and mostly says no more of it than that there is none
// any more. The same chunk would come to the same end.

// leastLifetime is about the smallest limit that a server takes.
const leastLifetime = 900 * time.Millisecond

// expiredError says that the server has ended a transaction because of its time.
type expiredError struct {
	took  time.Duration
	trips int
	trip  time.Duration
	cause error
}

func (e *expiredError) Error() string {
	text := fmt.Sprintf("the server ended the transaction of a chunk after %s", e.took.Round(100*time.Millisecond))
	if way := time.Duration(e.trips) * e.trip; 2*way > e.took {
		text += fmt.Sprintf(", of which %d round trips took %s at least", e.trips, way.Round(100*time.Millisecond))
	}
	return fmt.Sprintf("%s; its limit is transactionLifetimeLimitSeconds: %v", text, e.cause)
}

func (e *expiredError) Unwrap() error { return e.cause }

// expired tells whether the server has ended the transaction of an attempt because of its time.
func (c *chunk) expired(err error) error {
	took := time.Since(c.began)
	if !hasAnyCode(err, codeLifetime) && (took < leastLifetime || !hasAnyCode(err, codeNoSuchTxn)) {
		return nil
	}
	trips, trip := c.trips.Counted()
	return &expiredError{took: took, trips: trips, trip: trip, cause: err}
}

// tellsExpiry is how many chunks at one place must have been ended before anybody is told.
const tellsExpiry = 2

// shrink takes half of the documents after the server has ended a chunk. One that has a single one is nobody's fault but the server's: it is
// tried again for as long as a chunk may be.
func (w *worker) shrink(c *chunk, err error, tries int) (int, error) {
	if c.expiries++; c.expiries == tellsExpiry {
		w.log.Warn("chunks take longer than the server lets them", "partition", c.part.N, "chunk", c.part.Chunk, "size", c.size, "error", clipped(err))
	}
	if c.size <= 1 {
		return 1, w.wait(c, err, tries)
	}
	c.turn.Failed(c.size, "the server ends transactions that take so long")
	return c.size / 2, nil
}
