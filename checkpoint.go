package rikki

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/point"
	"github.com/rikki-go/rikki/internal/store"
)

// place is where a run is: its last checkpoint, and who keeps it.
type place struct {
	recorder *recorder

	mu   sync.Mutex
	last bson.RawValue // zero when there is none
}

func (p *place) set(value bson.RawValue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = value
}

func (p *place) get() bson.RawValue {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Checkpoint stores where the script can go on, anything that BSON can hold of
// at most 1 MiB, together with the progress and the counters of this moment.
// Call it when everything before is done and durable:
//
//	if err := run.Checkpoint(ctx, lastID); err != nil {
//		return nil, err
//	}
//
// An error must be returned as it is: it says that the run was asked to stop
// ([ErrPaused], [ErrInterrupted], [ErrCancelled], the checkpoint is stored then),
// that it belongs to somebody else by now ([ErrLeaseLost]), or that the value could
// not be stored. Scripts that keep checkpoints declare [Options.Resumable].
//
// What is done after the last checkpoint may be done again by the next attempt.
// The history has one checkpoint of each run, the last one; without history,
// and in a dry run, it is kept in memory only.
func (r *Run) Checkpoint(ctx context.Context, value any) error {
	raw, err := store.Encode(value)
	if err != nil {
		return fmt.Errorf("the checkpoint can't be stored: %w", err)
	}
	if size := len(raw.Value); size > store.CheckpointLimit {
		return fmt.Errorf("the checkpoint can't be stored: it has %d bytes, and at most %d are allowed; "+
			"store where to go on, not what was done", size, store.CheckpointLimit)
	}
	if rec := r.place.recorder; rec.on() && !r.dryRun {
		// A transaction of the script's is of no concern to Rikki's own collections.
		ctx := mongo.NewSessionContext(ctx, nil)
		point.Reached("checkpoint.before")
		pulse, err := rec.store.Checkpoint(ctx, rec.id, rec.epoch, store.Checkpoint{
			Value: raw, Progress: storedProgress(r.progress.State()), Counters: r.countersCopy(),
		})
		point.Reached("checkpoint.stored")
		switch {
		case errors.Is(err, store.ErrLeaseLost):
			return fmt.Errorf("%w: %w", ErrLeaseLost, err)
		case err != nil:
			return err
		}
		r.steering.heed(pulse)
	}
	r.place.set(raw)
	r.kept()
	return r.steering.stop()
}

// LoadCheckpoint puts the last checkpoint into what v points to, and tells
// whether there is one. In the first attempt there is none until the script
// stores it.
func (r *Run) LoadCheckpoint(v any) (bool, error) {
	last := r.place.get()
	if last.IsZero() {
		return false, nil
	}
	if err := last.Unmarshal(v); err != nil {
		return false, fmt.Errorf("the checkpoint of run %s doesn't fit a %T: %w", r.id, v, err)
	}
	return true, nil
}

// restore puts a run that goes on where its last checkpoint was: what was
// counted after it will be counted again.
func (x *execution) restore() {
	if x.ro.hold == nil {
		return
	}
	past := x.ro.hold.run
	x.buffer.startAt(past.Attempt)
	c := past.Checkpoint
	if c == nil {
		return
	}
	x.run.place.set(c.Value)
	for name, n := range c.Counters {
		x.run.Count(name, n)
	}
	if p := c.Progress; p != nil {
		x.run.progress.restore(p.Done, p.Total, p.Message)
	}
}
