package rikki

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rikki-go/rikki/internal/store"
)

// steering is what others want of a run while it goes on: the caller, and
// whoever controls it from another process.
type steering struct {
	mu     sync.Mutex
	asked  error // ErrPaused, ErrInterrupted or ErrCancelled, with its reason; nil while the run shall go on
	cancel context.CancelCauseFunc
	state  State       // that others asked the run into, if any
	told   func(State) // is told of it once
	tuning Tuning
}

// context returns a caller's context that ends also when somebody else cancels
// the run.
func (s *steering) context(caller context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(caller)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	if errors.Is(s.asked, ErrCancelled) {
		cancel(s.asked) // the wish came before the run had begun
	}
	return ctx, func() { cancel(nil) }
}

// heed learns from the history what was asked for.
func (s *steering) heed(pulse store.Pulse) {
	s.mu.Lock()
	s.tuning = Tuning{}
	if t := tuningOf(pulse.Tuning); t != nil {
		s.tuning = *t
	}
	s.mu.Unlock()
	s.enter(pulse.State)
	switch pulse.State {
	case store.Pausing:
		s.ask(because(ErrPaused, pulse.Control))
	case store.Cancelling:
		s.ask(because(ErrCancelled, pulse.Control))
	default:
	}
}

// enter tells that the run was asked into another state.
func (s *steering) enter(state State) {
	if state != Pausing && state != Cancelling {
		return
	}
	s.mu.Lock()
	news := s.state != state
	s.state = state
	s.mu.Unlock()
	if news {
		s.told(state)
	}
}

// ask makes the next checkpoint return the reason. A cancellation ends the
// script's context too; a pause waits for the checkpoint. What is more urgent
// replaces what is less.
func (s *steering) ask(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if urgency(reason) <= urgency(s.asked) {
		return
	}
	s.asked = reason
	if errors.Is(reason, ErrCancelled) && s.cancel != nil {
		s.cancel(reason)
	}
}

func urgency(reason error) int {
	switch {
	case reason == nil:
		return 0
	case errors.Is(reason, ErrPaused):
		return 1
	case errors.Is(reason, ErrCancelled):
		return 3
	default:
		return 2
	}
}

// stop is why the run shall stop, or nil.
func (s *steering) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// because adds who asked, and why.
func because(reason error, control *store.Control) error {
	switch {
	case control == nil || control.Actor == "":
		return reason
	case control.Reason == "":
		return fmt.Errorf("%w by %s", reason, control.Actor)
	default:
		return fmt.Errorf("%w by %s: %s", reason, control.Actor, control.Reason)
	}
}

// drainTime is how long the script may go on when it was asked to stop. The
// grace of a process that ends is not for a run that somebody cancels.
func (x *execution) drainTime(reason error) time.Duration {
	if h := x.ro.hold; h != nil && errors.Is(reason, ErrInterrupted) {
		return max(x.opts.Drain, h.drain)
	}
	if errors.Is(reason, ErrInterrupted) {
		return max(x.opts.Drain, x.ro.part.grace())
	}
	return x.opts.Drain
}

// ignoresStopping tells whether a script that returned without an error while
// it was asked to stop has come to its end: it never looks at [Run.Stopping], or
// says by the error of its checkpoint that it stopped early.
func (x *execution) ignoresStopping() bool { return x.opts.Drain == 0 || x.opts.Resumable }

// judgePause refuses the pause of a script that could not go on from it.
func (x *execution) judgePause(err error) error {
	if errors.Is(err, ErrPaused) && stateOf(err) == Paused && !x.opts.Resumable {
		return errors.New("the script returned ErrPaused but can't be resumed: set Options.Resumable")
	}
	return err
}

// lastWord is the run's error once the history has decided its state.
func (x *execution) lastWord(result *Result, err error) error {
	if result.State == stateOf(err) {
		return err
	}
	switch result.State {
	case Cancelled:
		err = ErrCancelled
	case Paused:
		err = ErrPaused
	default:
		return err
	}
	result.Failure = failureOf(err)
	return err
}
