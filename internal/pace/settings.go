package pace

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Bounds and defaults.
const (
	MinChunk      = 1
	MaxChunk      = 10_000
	StartChunk    = 500
	MaxWorkers    = 64
	DefaultTarget = 100 * time.Millisecond
	DefaultBytes  = 8 << 20
	// MinRate is the smallest limit of the rate: about one document in thirty years.
	MinRate = 1e-9
)

// Settings say how fast a run may go. The zero value has defaults.
type Settings struct {
	// Chunk is the number of documents in a chunk; 0 lets it follow Target.
	Chunk int
	// Workers is how many work at the same time; 0 means 1. The controller hands the number on.
	Workers int
	// MostWorkers is up to how many there may be where the link to the server is the limit; fewer than Workers means no more than those.
	MostWorkers int
	// Rate limits the documents a second of all workers together; 0 is no limit.
	Rate float64
	// MaxLag limits [Lag]; 0 is no limit, whether it can be read or not.
	MaxLag time.Duration
	// MaxCommit limits the time from the sending of a commit to its acknowledgement by the majority; 0 is ten times
	// what is usual and at least a second, negative is no limit.
	MaxCommit time.Duration
	// Target is what the documents of a chunk should take, beside what it takes whatever is in it; 0 means [DefaultTarget].
	Target time.Duration
	// Bytes limits what the writes of a chunk take; 0 means [DefaultBytes].
	Bytes int
	// Gentle is when to make room for others; "" is [GentleAuto].
	Gentle Gentle
	// Window is when the run may go; zero is always.
	Window Window
}

func (s Settings) withDefaults() Settings {
	if s.Workers == 0 {
		s.Workers = 1
	}
	if s.Target == 0 {
		s.Target = DefaultTarget
	}
	if s.Bytes == 0 {
		s.Bytes = DefaultBytes
	}
	return s
}

// Validate reports everything that is wrong with the settings.
func (s Settings) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Chunk < 0 || s.Chunk > MaxChunk {
		wrong("chunk of %d documents: use %d to %d, or 0 to let it follow the time that a chunk takes", s.Chunk, MinChunk, MaxChunk)
	}
	if s.MostWorkers < 0 || s.MostWorkers > MaxWorkers {
		wrong("%d workers at most: use up to %d", s.MostWorkers, MaxWorkers)
	}
	if s.Workers < 0 || s.Workers > MaxWorkers {
		wrong("%d workers: use 1 to %d", s.Workers, MaxWorkers)
	}
	if err := CheckRate(s.Rate); err != nil {
		errs = append(errs, err)
	}
	if s.MaxLag < 0 {
		wrong("replication lag of at most %s: use a positive duration, or 0 for no limit", s.MaxLag)
	}
	if s.Target < 0 || s.Target > 30*time.Second {
		wrong("target of %s a chunk: use up to 30s, the server ends transactions after a minute", s.Target)
	}
	if err := s.Gentle.Validate(); err != nil {
		errs = append(errs, err)
	}
	if s.Bytes < 0 {
		wrong("chunk of %d bytes: use a positive number", s.Bytes)
	}
	return errors.Join(errs...)
}

// CheckRate refuses a limit that nobody can mean.
func CheckRate(rate float64) error {
	switch {
	case rate < 0, math.IsNaN(rate), math.IsInf(rate, 0):
		return fmt.Errorf("rate of %v documents a second: use a positive number, or 0 for no limit", rate)
	case rate > 0 && rate < MinRate:
		return fmt.Errorf("rate of %v documents a second: use %g or more, or 0 for no limit", rate, MinRate)
	}
	return nil
}

// Override replaces some of the settings until it expires. What is nil stays.
type Override struct {
	Chunk     *int
	Workers   *int // no more than those
	Rate      *float64
	MaxLag    *time.Duration
	MaxCommit *time.Duration
	Target    *time.Duration
	Gentle    *Gentle
	// Expires is when it ends by the controller's clock; zero is never.
	Expires time.Time
}

func (o Override) expired(now time.Time) bool { return !o.Expires.IsZero() && !now.Before(o.Expires) }

func (o Override) apply(s Settings) Settings {
	set(&s.Chunk, o.Chunk)
	set(&s.Workers, o.Workers)
	set(&s.MostWorkers, o.Workers)
	set(&s.Rate, o.Rate)
	set(&s.MaxLag, o.MaxLag)
	set(&s.MaxCommit, o.MaxCommit)
	set(&s.Target, o.Target)
	set(&s.Gentle, o.Gentle)
	return s
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
