package rikki

import (
	"context"
	"errors"
	"fmt"

	"github.com/rikki-go/rikki/conn"
)

// What a feature needs that does its own work in a run, such as backfills.

// Epoch is the number of this run's present owner; it grows with each one. A
// feature that writes a filter on it next to its effects can't be overtaken by
// a process that has lost the run. It is 0 without history.
func (r *Run) Epoch() int64 { return r.place.recorder.epoch }

// HistoryDatabase is the name of the database of Rikki's own collections, or ""
// for a run without history.
func (r *Run) HistoryDatabase() string {
	if !r.place.recorder.on() {
		return ""
	}
	return r.app.cfg.HistoryDatabase
}

// HasPlace says that the run has a place from which it can go on, kept by the
// feature itself. If it fails, it can be resumed there; see [Record.HalfWay].
func (r *Run) HasPlace() { r.placed.Store(true) }

// Encoding turns values into BSON and back as the run's client does.
func (r *Run) Encoding() conn.Encoding { return r.ref.Encoding() }

// Open opens a client of the run's own with so many connections to each server,
// for work in parallel that the shared client's small pool would hold up. It
// must be released. What is sent with it is counted ([Run.Sent]), but no more: a
// timeout cancels its contexts, and ends nothing at the server.
func (r *Run) Open(ctx context.Context, connections int) (*conn.Ref, error) {
	cfg := r.app.cfg.Conn
	cfg.Monitor = r.app.monitor.counting(r.id)
	cfg.PoolSize = uint64(max(connections, 1))
	cfg.AppName += "-" + r.script
	ref, err := conn.New(cfg).Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening %d connections for run %s: %w", connections, r.id, err)
	}
	return ref, nil
}

// Restart begins the transaction of a dry run anew, without what was written in it:
// the server has ended it with the first operation that failed. It is refused when
// Setup has written something there, since that would be missing from then on.
func (r *Run) Restart(ctx context.Context) error {
	if r.preview == nil {
		return errors.New("there is no dry run whose transaction could begin anew")
	}
	return r.dry.restart(ctx)
}

// Sent is how many commands that read or write documents this run has sent, and
// its process for the history: find, update and the like, as the server counts
// them in metrics.commands of serverStatus.
func (r *Run) Sent() int64 { return r.app.monitor.sent(r.id) }

// Asked tells why the run shall stop at the next place where it can go on
// later ([ErrPaused], [ErrInterrupted], [ErrCancelled]), or nil. [Run.Checkpoint]
// returns it too.
func (r *Run) Asked() error { return r.steering.stop() }
