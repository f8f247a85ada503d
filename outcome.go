package rikki

import "errors"

// stateOf maps how the hooks ended to the state of the run.
func stateOf(err error) State {
	switch {
	case err == nil:
		return Succeeded
	case errors.Is(err, ErrInterrupted), errors.Is(err, ErrLeaseLost):
		return Interrupted
	case errors.Is(err, ErrCancelled):
		return Cancelled
	case errors.Is(err, ErrPaused):
		return Paused
	default:
		return Failed
	}
}

func failureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	failure := &Failure{Kind: "error", Message: err.Error()}
	var panicked *PanicError
	var invalid *ValidationError
	switch {
	case errors.As(err, &panicked):
		failure.Kind, failure.Stack = "panic", panicked.Stack
	case errors.As(err, &invalid):
		failure.Kind = "validation"
	case errors.Is(err, ErrTimeout):
		failure.Kind = "timeout"
	case errors.Is(err, ErrLeaseLost):
		failure.Kind = "lease"
	case errors.Is(err, ErrInterrupted):
		failure.Kind = "interrupted"
	case errors.Is(err, ErrCancelled):
		failure.Kind = "cancelled"
	case errors.Is(err, ErrPaused):
		failure.Kind = "paused"
	}
	return failure
}
