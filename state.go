package rikki

import "github.com/rikki-go/rikki/internal/store"

// State says how a run stands. Its value is the word in the history and in
// JSON; [State.String] is the wording for people.
type State = store.State

// The states of a run, the same words everywhere.
const (
	Queued              = store.Queued
	Running             = store.Running
	Pausing             = store.Pausing
	Paused              = store.Paused
	Cancelling          = store.Cancelling
	Cancelled           = store.Cancelled
	Interrupted         = store.Interrupted
	Succeeded           = store.Succeeded
	SucceededWithErrors = store.SucceededWithErrors
	Failed              = store.Failed
)

// States returns every state in the order of a run's life.
func States() []State { return store.States() }
