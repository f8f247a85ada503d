package store

import (
	"slices"
	"strings"
)

// State says how a run stands. Its value is the stored word; [State.String] is the word for people.
type State string

// The states of a run, the same words everywhere.
const (
	// Queued runs wait for an owner.
	Queued State = "queued"
	// Running runs have an owner that renews their lease.
	Running State = "running"
	// Pausing runs were asked to pause and have not come to rest yet.
	Pausing State = "pausing"
	// Paused runs rest: nobody owns them, and they can go on later.
	Paused State = "paused"
	// Cancelling runs were asked to stop for good and have not stopped yet.
	Cancelling State = "cancelling"
	// Cancelled runs were stopped on request. Final.
	Cancelled State = "cancelled"
	// Interrupted runs lost their owner: killed, crashed, or cut off until the lease expired. They can go on later.
	Interrupted State = "interrupted"
	// Succeeded runs did all they had to do. Final.
	Succeeded State = "succeeded"
	// SucceededWithErrors runs came to their end and left some documents undone. Final.
	SucceededWithErrors State = "succeeded_with_errors"
	// Failed runs ended with an error. One that failed half-way ([Run.HalfWay]) can go on where it stopped.
	Failed State = "failed"
)

// transitions is the whole state machine: a run may go from the key to each of the listed states, and nowhere else.
// Every update in this package takes its filter from here.
var transitions = map[State][]State{
	Queued:              {Running, Paused, Cancelled},
	Running:             {Pausing, Paused, Cancelling, Cancelled, Interrupted, Succeeded, SucceededWithErrors, Failed},
	Pausing:             {Running, Paused, Cancelling, Cancelled, Interrupted, Succeeded, SucceededWithErrors, Failed},
	Paused:              {Queued, Running, Cancelled},
	Cancelling:          {Cancelled, Interrupted, Succeeded, SucceededWithErrors, Failed},
	Interrupted:         {Queued, Running, Paused, Cancelled},
	Cancelled:           nil,
	Succeeded:           nil,
	SucceededWithErrors: nil,
	Failed:              {Queued, Running},
}

// States returns every state, in the order of a run's life.
func States() []State {
	return []State{
		Queued, Running, Pausing, Paused, Cancelling,
		Cancelled, Interrupted, Succeeded, SucceededWithErrors, Failed,
	}
}

// String returns the words for people: "succeeded with errors".
func (s State) String() string { return strings.ReplaceAll(string(s), "_", " ") }

// Valid reports whether s is one of [States].
func (s State) Valid() bool {
	_, ok := transitions[s]
	return ok
}

// Next returns the states that a run may reach from s in one step.
func (s State) Next() []State { return slices.Clone(transitions[s]) }

// CanBecome reports whether a run may go from s to next in one step.
func (s State) CanBecome(next State) bool { return slices.Contains(transitions[s], next) }

// Active reports whether somebody owns the run and must keep its lease alive: running, pausing or cancelling.
func (s State) Active() bool { return s == Running || s == Pausing || s == Cancelling }

// Final reports whether the run has come to its end. Only one that failed half-way can leave it, and only if somebody resumes it.
func (s State) Final() bool { return s.Valid() && (len(transitions[s]) == 0 || s == Failed) }

// activeStates returns the states in which a run must have a live lease.
func activeStates() []State { return statesWhere(State.Active) }

// from returns the states from which a run may go to next.
func from(next State) []State {
	return statesWhere(func(s State) bool { return s.CanBecome(next) })
}

func statesWhere(keep func(State) bool) []State {
	return slices.DeleteFunc(States(), func(s State) bool { return !keep(s) })
}
