package rikki

import "errors"

// stateOf maps how the hooks ended to the state of the run.
func stateOf(err error) State {
	var partial *PartialError
	switch {
	case err == nil:
		return Succeeded
	case errors.Is(err, ErrInterrupted), errors.Is(err, ErrLeaseLost):
		return Interrupted
	case errors.Is(err, ErrCancelled):
		return Cancelled
	case errors.Is(err, ErrPaused):
		return Paused
	case errors.As(err, &partial):
		return SucceededWithErrors
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
	var partial *PartialError
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
	case errors.As(err, &partial):
		failure.Kind = "partial"
	}
	return failure
}
