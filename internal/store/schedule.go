package store

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A schedule is one document, and everything that is decided about it is one write of that document under a filter on its
// version: which slots have passed, which of them fire, which wait, how many have failed. So two processes never decide on
// the same slot, whoever is late, stopped or in possession of another clock.
//
//	{ _id: "shop/nightly", version: 17, revision: 2, state: "active", upto, next_at, busy: true,
//	  open: [ {kind: "slot", at, state: "firing", run: "r_…"} ], definition: {…}, … }
//
// What has been decided and isn't done yet stands in open: an occurrence that fires, with the id of its run, until that
// run has ended. Writing the occurrence's document and queueing its run follow, both of which are idempotent, so anybody
// can complete what a process that died has left.

// ScheduleState says whether a schedule fires.
type ScheduleState string

// The states of a schedule.
const (
	ScheduleActive    ScheduleState = "active"
	SchedulePaused    ScheduleState = "paused"
	ScheduleCompleted ScheduleState = "completed" // no slot will ever follow
)

// Schedule is one schedule as it is stored.
type Schedule struct {
	// ID is [ScheduleID].
	ID       string `bson:"_id"`
	Database string `bson:"database"`
	Name     string `bson:"name"`
	Script   string `bson:"script"` // as in the definition: lists and indexes need it here
	// Version grows with every write; 0 is a schedule that isn't stored yet.
	Version int64 `bson:"version"`
	// Revision grows with every change of the definition.
	Revision   int64              `bson:"revision"`
	Definition ScheduleDefinition `bson:"definition"`
	Origin     ScheduleOrigin     `bson:"origin"`

	State ScheduleState `bson:"state"`
	// Note says why it is paused or completed.
	Note *ScheduleNote `bson:"note,omitempty"`
	// Upto is the newest slot that is decided on; nothing up to it fires ever again.
	Upto time.Time `bson:"upto"`
	// NextSlot is the slot after it, and NextAt when that is due. Both exist only while the schedule is active.
	NextSlot time.Time `bson:"next_slot,omitempty"`
	NextAt   time.Time `bson:"next_at,omitempty"`
	// Fired counts the slots that fired, Failures those at the end of the row that failed.
	Fired    int64 `bson:"fired"`
	Failures int   `bson:"failures"`

	// Open is what was decided and isn't over.
	Open []OpenOccurrence `bson:"open,omitempty"`
	// Busy says that Open isn't empty.
	Busy bool `bson:"busy,omitempty"`

	CreatedAt time.Time `bson:"created_at"`
	UpdatedAt time.Time `bson:"updated_at"` // of the definition, the state or the slots
	// ReadAt is the server's clock when this value was read.
	ReadAt time.Time `bson:"read_at,omitempty"`
}

// ScheduleDefinition is what somebody wants. Durations are stored in milliseconds.
type ScheduleDefinition struct {
	Script      string `bson:"script"`
	Description string `bson:"description,omitempty"`
	// Input is the parameters as JSON: those that were given.
	Input string `bson:"input,omitempty"`

	Cron    string    `bson:"cron,omitempty"`
	Seconds bool      `bson:"seconds,omitempty"`
	Every   int64     `bson:"every_ms,omitempty"`
	Anchor  time.Time `bson:"anchor,omitempty"`
	Once    time.Time `bson:"once,omitempty"`
	Zone    string    `bson:"zone,omitempty"`
	Start   time.Time `bson:"start,omitempty"`
	End     time.Time `bson:"end,omitempty"`
	Jitter  int64     `bson:"jitter_ms,omitempty"`

	MaxRuns    int    `bson:"max_runs,omitempty"`
	Overlap    string `bson:"overlap,omitempty"`
	CatchUp    string `bson:"catch_up,omitempty"`
	Window     int64  `bson:"window_ms,omitempty"`
	Cap        int    `bson:"cap,omitempty"`
	PauseAfter int    `bson:"pause_after,omitempty"`
	Priority   int    `bson:"priority,omitempty"`
	Timeout    int64  `bson:"timeout_ms,omitempty"`
}

// ScheduleOrigin is where a definition comes from.
type ScheduleOrigin struct {
	// Kind is "code", "file" or "cli".
	Kind string `bson:"kind"`
	// Program is the one whose code or file it is, By who saved it.
	Program string `bson:"program,omitempty"`
	By      string `bson:"by,omitempty"`
	// Applied is the definition that the code or the file had when it was last taken over from there, as a hash; it
	// tells a change of the code from one of the stored definition.
	Applied string `bson:"applied,omitempty"`
}

// ScheduleNote says why a schedule is as it is.
type ScheduleNote struct {
	// Kind is "user", "failures", "params", "gone", "max_runs" or "ended".
	Kind string    `bson:"kind"`
	By   string    `bson:"by,omitempty"`
	Text string    `bson:"text,omitempty"`
	At   time.Time `bson:"at"`
}

// OpenOccurrence is an occurrence that isn't over.
type OpenOccurrence struct {
	Kind  OccurrenceKind `bson:"kind"`
	At    time.Time      `bson:"at"`
	State OpenState      `bson:"state"`
	Run   string         `bson:"run,omitempty"`
	// Was is an id that turned out to be another run's.
	Was string `bson:"was,omitempty"`
	// Queued says that the run has been seen: when it is missing later on, it was deleted.
	Queued   bool  `bson:"queued,omitempty"`
	Revision int64 `bson:"revision"`
	// Actor and Input are of a manual one.
	Actor string `bson:"actor,omitempty"`
	Input string `bson:"input,omitempty"`
	// Reason, Until and Count are of what is skipped.
	Reason string    `bson:"reason,omitempty"`
	Until  time.Time `bson:"until,omitempty"`
	Count  int       `bson:"count,omitempty"`
	// Since is when it was decided.
	Since time.Time `bson:"since"`
}

// OpenState is how far an open occurrence is.
type OpenState string

// The states of an open occurrence.
const (
	Firing   OpenState = "firing"   // has a run, which may not be queued yet
	Waiting  OpenState = "waiting"  // fires when the one before it has ended
	Skipping OpenState = "skipping" // will be recorded as skipped
)

// OccurrenceKind is what made an occurrence.
type OccurrenceKind string

// The kinds of occurrences.
const (
	KindSlot     OccurrenceKind = "slot"
	KindManual   OccurrenceKind = "manual"
	KindBackfill OccurrenceKind = "backfill"
)

// OccurrenceState is what became of an occurrence. Beside the states here it is the one in which its run ended:
// succeeded, succeeded_with_errors, failed, cancelled or interrupted.
type OccurrenceState string

// The states of an occurrence.
const (
	OccurrenceWaiting OccurrenceState = "waiting"
	OccurrenceFired   OccurrenceState = "fired"
	OccurrenceSkipped OccurrenceState = "skipped"
	OccurrenceLost    OccurrenceState = "lost" // its run was deleted before it was seen to end
)

// Ended says that the state never changes again, but for a backfill of what was skipped.
func (s OccurrenceState) Ended() bool { return s != OccurrenceWaiting && s != OccurrenceFired }

// Occurrence is what became of one slot of a schedule, of a row of skipped ones, or of a trigger by hand.
type Occurrence struct {
	// ID is [OccurrenceID]: (schedule, slot) is unique.
	ID       string          `bson:"_id"`
	Database string          `bson:"database"`
	Schedule string          `bson:"schedule"` // its ID
	Script   string          `bson:"script"`
	Revision int64           `bson:"revision"`
	Kind     OccurrenceKind  `bson:"kind"`
	At       time.Time       `bson:"at"`
	State    OccurrenceState `bson:"state"`
	Run      string          `bson:"run,omitempty"`
	Actor    string          `bson:"actor,omitempty"`
	// Reason is why it was skipped, or how it failed.
	Reason string `bson:"reason,omitempty"`
	// Until and Count are of a row of skipped slots: At is the first. Count may be a lower bound, see the package occurrence.
	Until time.Time `bson:"until,omitempty"`
	Count int       `bson:"count,omitempty"`
	// Failures is how many in a row have failed, this one included. Of slots only.
	Failures int `bson:"failures,omitempty"`

	CreatedAt time.Time `bson:"created_at"`
	EndedAt   time.Time `bson:"ended_at,omitempty"`
	// ChangedAt is the server's time of the last change, for who follows what happens.
	ChangedAt time.Time `bson:"changed_at"`
}

// ScheduleID is the id of a schedule of a database.
func ScheduleID(database, name string) string { return database + "/" + name }

const slotForm = "2006-01-02T15:04:05.000Z"

// OccurrenceID is the id of the occurrence that o is to become.
func OccurrenceID(schedule string, o OpenOccurrence) string {
	switch {
	case o.Kind == KindManual:
		return schedule + "#" + o.Run
	case o.Count > 1:
		return schedule + "@" + o.At.UTC().Format(slotForm) + ".." + o.Until.UTC().Format(slotForm)
	default:
		return schedule + "@" + o.At.UTC().Format(slotForm)
	}
}

// ScheduleFilter selects schedules. Its zero value selects those of all databases.
type ScheduleFilter struct {
	Database string
	Script   string
	States   []ScheduleState
}

func (f ScheduleFilter) clauses() bson.D {
	d := bson.D{}
	if f.Database != "" {
		d = append(d, bson.E{Key: "database", Value: f.Database})
	}
	if f.Script != "" {
		d = append(d, bson.E{Key: "script", Value: f.Script})
	}
	if len(f.States) > 0 {
		d = append(d, bson.E{Key: "state", Value: bson.D{{Key: "$in", Value: f.States}}})
	}
	return d
}

// OccurrenceFilter selects occurrences. Its zero value selects all.
type OccurrenceFilter struct {
	Database string
	Schedule string // its ID
	States   []OccurrenceState
	Kinds    []OccurrenceKind
	// Since and Until bound At: Since <= at < Until.
	Since, Until time.Time
	// ChangedSince selects what has changed at this time of the server or later, in the order of the changes; without it
	// the newest come first.
	ChangedSince time.Time
	Limit        int
}
