package schedule

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rikki-go/rikki/internal/store"
)

// State says whether a schedule fires.
type State = store.ScheduleState

// The states of a schedule.
const (
	Active    = store.ScheduleActive
	Paused    = store.SchedulePaused
	Completed = store.ScheduleCompleted // nothing will follow; it stays to be seen
	// Undeployed is a schedule of this program that isn't stored yet. [Scheduler.Run] stores it.
	Undeployed State = "undeployed"
)

// Info is a schedule as it stands.
type Info struct {
	Schedule // its definition; Params is a [json.RawMessage]

	Database string `json:"database"`
	State    State  `json:"state"`
	Note     *Note  `json:"note,omitempty"` // why it is paused or completed

	// When says when it runs, in words.
	When string `json:"when"`

	// Next is the slot that comes next, and Due when it starts: later by the slot's share of the jitter. Both are zero
	// for a schedule that isn't active. Late is how long it has been due: nobody serves it.
	Next time.Time     `json:"next,omitzero"`
	Due  time.Time     `json:"due_at,omitzero"`
	Late time.Duration `json:"late,omitempty"`

	// Fired counts the slots that fired since the times were last changed, Failures those that failed in a row.
	Fired    int64 `json:"fired"`
	Failures int   `json:"failures"`

	// Open is what hasn't ended.
	Open []Occurrence `json:"open,omitempty"`

	// Origin is where the definition comes from: "code", "file" or "cli", with the program and who saved it.
	Origin  string `json:"origin"`
	Program string `json:"program,omitempty"`
	By      string `json:"by,omitempty"`

	// Drift says how the stored definition differs from that of this program's code or file, a sentence each.
	Drift []string `json:"drift,omitempty"`

	// Revision counts the changes of the definition. The times are the server's.
	Revision  int64     `json:"revision"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	ReadAt    time.Time `json:"read_at,omitzero"`
}

// Note says why a schedule is paused or completed.
type Note struct {
	// Kind is "user", "failures" (too many in a row), "params" (they don't fit the script any more), "gone" (its program
	// doesn't define it any more), "definition" (this version can't read it), "max_runs" or "ended".
	Kind string    `json:"kind"`
	By   string    `json:"by,omitempty"`
	Text string    `json:"text,omitempty"`
	At   time.Time `json:"at"`
}

// Kind is what made an occurrence.
type Kind = store.OccurrenceKind

// The kinds of occurrences.
const (
	Slot     = store.KindSlot     // the schedule itself
	Manual   = store.KindManual   // [Scheduler.Trigger]
	Backfill = store.KindBackfill // [Scheduler.Backfill]
)

// Outcome is what became of an occurrence.
type Outcome = store.OccurrenceState

// The outcomes of an occurrence; those after Lost are the states in which its run ended. However often a script was
// tried again within its run, it is one outcome.
const (
	Waiting = store.OccurrenceWaiting // for the run before it, see [Queue]
	Fired   = store.OccurrenceFired   // its run is queued, or under way
	Skipped = store.OccurrenceSkipped // see Reason
	Lost    = store.OccurrenceLost    // its run was deleted before it was seen to end

	Succeeded           Outcome = "succeeded"
	SucceededWithErrors Outcome = "succeeded_with_errors"
	Failed              Outcome = "failed"
	Cancelled           Outcome = "cancelled"
	Interrupted         Outcome = "interrupted"
)

// Occurrence is one slot of a schedule and what became of it, a row of slots that were skipped, or a run by hand.
type Occurrence struct {
	// ID is unique for (schedule, slot). A backfill of a slot that was skipped keeps its ID.
	ID       string  `json:"id"`
	Database string  `json:"database"`
	Schedule string  `json:"schedule"`
	Script   string  `json:"script"`
	Revision int64   `json:"revision"`
	Kind     Kind    `json:"kind"`
	State    Outcome `json:"state"`

	// At is the slot, or the time of a run by hand.
	At time.Time `json:"at"`

	// Run is its run, Actor who asked for it, Reason why it was skipped or how it failed.
	Run    string `json:"run,omitempty"`
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`

	// Count is how many slots this stands for, the first at At and the last at Until: more than one only if they were
	// skipped together. Above 10,000 they aren't counted on.
	Count int       `json:"count,omitempty"`
	Until time.Time `json:"until,omitzero"`

	// Failures is how many slots in a row have failed, with this one.
	Failures int `json:"failures,omitempty"`

	// The times are the server's. ChangedAt is that of the last change.
	CreatedAt time.Time `json:"created_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	ChangedAt time.Time `json:"changed_at,omitzero"`
}

func occurrenceOf(o store.Occurrence) Occurrence {
	database, name := splitID(o.Schedule)
	return Occurrence{
		ID: o.ID, Database: database, Schedule: name, Script: o.Script, Revision: o.Revision, Kind: o.Kind, State: o.State, At: o.At,
		Run: o.Run, Actor: o.Actor, Reason: o.Reason, Count: max(o.Count, 1), Until: o.Until, Failures: o.Failures,
		CreatedAt: o.CreatedAt, EndedAt: o.EndedAt, ChangedAt: o.ChangedAt,
	}
}

// openOf is an occurrence that isn't over, as far as its schedule knows.
func openOf(sch store.Schedule, o store.OpenOccurrence) Occurrence {
	state := Fired
	switch o.State {
	case store.Waiting:
		state = Waiting
	case store.Skipping:
		state = Skipped
	case store.Firing:
	}
	return Occurrence{
		ID: store.OccurrenceID(sch.ID, o), Database: sch.Database, Schedule: sch.Name, Script: sch.Script, Revision: o.Revision,
		Kind: o.Kind, State: state, At: o.At, Run: o.Run, Actor: o.Actor, Reason: o.Reason, Count: max(o.Count, 1), Until: o.Until,
		CreatedAt: o.Since, ChangedAt: o.Since,
	}
}

func endOf(sch store.Schedule, e ended, at time.Time) Occurrence {
	o := openOf(sch, e.OpenOccurrence)
	o.State, o.Reason, o.Failures, o.EndedAt, o.ChangedAt = e.state, e.reason, e.failures, at, at
	return o
}

func splitID(id string) (database, name string) {
	for i := range id {
		if id[i] == '/' {
			return id[:i], id[i+1:]
		}
	}
	return "", id
}

// infoOf is a schedule for the public.
func (s *Scheduler) infoOf(sch store.Schedule) Info {
	info := Info{
		Schedule: public(sch.Name, sch.Definition), Database: sch.Database, State: sch.State,
		Next: sch.NextSlot, Due: sch.NextAt, Fired: sch.Fired, Failures: sch.Failures,
		Origin: sch.Origin.Kind, Program: sch.Origin.Program, By: sch.Origin.By,
		Revision: sch.Revision, CreatedAt: sch.CreatedAt, UpdatedAt: sch.UpdatedAt, ReadAt: sch.ReadAt,
	}
	const onTime = 10 * time.Second
	if late := sch.ReadAt.Sub(sch.NextAt); !sch.NextAt.IsZero() && late > onTime {
		info.Late = late
	}
	if plan, err := s.compiled(sch); err == nil {
		info.When = plan.plan.String()
	}
	if n := sch.Note; n != nil {
		info.Note = &Note{Kind: n.Kind, By: n.By, Text: n.Text, At: n.At}
	}
	for _, o := range sch.Open {
		info.Open = append(info.Open, openOf(sch, o))
	}
	return info
}

// paramsOf is stored input in the form that the root package takes.
func paramsOf(input string) any {
	if input == "" {
		return nil
	}
	return json.RawMessage(input)
}

// String is the schedule on one line.
func (i Info) String() string { return fmt.Sprintf("%s: %s, %s", i.Name, i.Script, i.When) }
