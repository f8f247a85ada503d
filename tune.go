package rikki

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rikki-go/rikki/internal/pace"
	"github.com/rikki-go/rikki/internal/store"
)

// Tuning changes the pace of a run that is under way, of a script that heeds
// it, such as a backfill. Zero fields keep what there is.
type Tuning struct {
	Chunk   int           `json:"chunk,omitempty"`   // documents in a chunk
	Workers int           `json:"workers,omitempty"` // chunks at a time
	Rate    float64       `json:"rate,omitempty"`    // documents a second; negative is no limit
	MaxLag  time.Duration `json:"max_lag,omitempty"` // of the secondaries; negative is no limit
	Gentle  string        `json:"gentle,omitempty"`  // when to make room for others: auto, always, never

	// Reset goes back to what the script says, but for the fields that are set.
	Reset bool `json:"-"`

	// Lasts is how long it counts, on the server's clock; default 12 hours.
	Lasts time.Duration `json:"-"`

	// Until, Actor and At are set in what [Record] and [Run.Tuning] return.
	Until time.Time `json:"until,omitzero"`
	Actor string    `json:"actor,omitempty"`
	At    time.Time `json:"at,omitzero"`
}

const (
	defaultTuningLasts = 12 * time.Hour
	maxTuningLasts     = 365 * 24 * time.Hour // what is meant for good belongs into the script
)

// Tune changes the pace of a run, wherever it runs. Its process learns of it
// within a second or so, and the change counts from its next chunk on until it
// expires. Every change is in the audit log. The error is [ErrState] when the run
// has ended.
func (a *App) Tune(ctx context.Context, id string, t Tuning, opts *ControlOptions) (Record, error) {
	if opts == nil {
		opts = &ControlOptions{}
	}
	if err := t.validate(); err != nil {
		return Record{}, err
	}
	if t.MaxLag > 0 {
		t.MaxLag = max(t.MaxLag, time.Millisecond) // less is not kept
	}
	if t.MaxLag < 0 {
		t.MaxLag = min(t.MaxLag, -time.Millisecond)
	}
	var record Record
	err := a.withHistory(ctx, func(ctx context.Context, s *store.Store) error {
		found, err := findRun(ctx, s, id)
		if err != nil {
			return err
		}
		run, err := s.Tune(ctx, found.ID, store.Tuning{
			Chunk: t.Chunk, Workers: t.Workers, Rate: t.Rate, MaxLag: t.MaxLag.Milliseconds(), Gentle: t.Gentle,
			Actor: cmp.Or(opts.Actor, a.cfg.Actor),
		}, cmp.Or(t.Lasts, defaultTuningLasts), t.Reset, a.redactor.Text(opts.Reason))
		record = recordOf(run)
		return err
	})
	return record, err
}

// validate refuses what no run could heed.
func (t Tuning) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("tuning: "+format, args...)) }
	if t.Chunk < 0 || t.Chunk > pace.MaxChunk {
		wrong("a chunk of %d documents: say 1 to %d, or 0 to leave it as it is", t.Chunk, pace.MaxChunk)
	}
	if t.Workers < 0 || t.Workers > pace.MaxWorkers {
		wrong("%d workers: say 1 to %d, or 0 to leave it as it is", t.Workers, pace.MaxWorkers)
	}
	if math.IsNaN(t.Rate) || math.IsInf(t.Rate, 0) || t.Rate > 0 && t.Rate < pace.MinRate {
		wrong("a rate of %v: say documents a second (%g or more), or a negative number for no limit", t.Rate, pace.MinRate)
	}
	if err := pace.Gentle(t.Gentle).Validate(); err != nil {
		wrong("%w", err)
	}
	if t.Lasts < 0 || t.Lasts > maxTuningLasts {
		wrong("it can't last for %s: say up to %s", t.Lasts, maxTuningLasts)
	}
	return errors.Join(errs...)
}

// Tuning is what somebody outside wants of the run's pace now, or zero.
func (r *Run) Tuning() Tuning {
	r.steering.mu.Lock()
	defer r.steering.mu.Unlock()
	return r.steering.tuning
}

func tuningOf(t *store.Tuning) *Tuning {
	if t == nil {
		return nil
	}
	return &Tuning{
		Chunk: t.Chunk, Workers: t.Workers, Rate: t.Rate, MaxLag: time.Duration(t.MaxLag) * time.Millisecond, Gentle: t.Gentle,
		Until: t.Until, Actor: t.Actor, At: t.At,
	}
}
