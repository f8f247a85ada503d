package store

import (
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Owner is the process that holds a run.
type Owner struct {
	Host string `bson:"host"`
	PID  int    `bson:"pid"`
	// Instance is random for each process; it tells two processes with the same host and PID apart (containers).
	Instance string `bson:"instance"`
}

// Lease says who owns a run, since which epoch, and until when. Both times are the server's.
type Lease struct {
	Owner   Owner     `bson:"owner"`
	Epoch   int64     `bson:"epoch"`
	Expires time.Time `bson:"expires"`
	// Renewed is when the server last heard of the owner.
	Renewed time.Time `bson:"renewed"`
}

// Source identifies the code that ran.
type Source struct {
	Module   string `bson:"module,omitempty"`
	Version  string `bson:"version,omitempty"`
	Revision string `bson:"revision,omitempty"`
	// Modified says that the working tree differed from Revision.
	Modified bool   `bson:"modified,omitempty"`
	Hash     string `bson:"hash,omitempty"`
}

// Progress is how far a run has come.
type Progress struct {
	Done int64 `bson:"done"`
	// Total is 0 while nobody knows it.
	Total   int64  `bson:"total,omitempty"`
	Message string `bson:"message,omitempty"`
	// Rate is in units of Done per second.
	Rate float64 `bson:"rate,omitempty"`
}

// Finding is one warning or error of a run's validation.
type Finding struct {
	// Level is "warning" or "error".
	Level   string `bson:"level"`
	Field   string `bson:"field,omitempty"`
	Message string `bson:"message"`
}

// RunError is why a run ended badly: what, why, and how to fix it.
type RunError struct {
	// Kind is a short word to branch on: "panic", "timeout", "validation", …
	Kind    string `bson:"kind"`
	Message string `bson:"message"`
	Why     string `bson:"why,omitempty"`
	Fix     string `bson:"fix,omitempty"`
	Stack   string `bson:"stack,omitempty"`
}

// Cut says that a value did not fit, or could not be stored at all, and what is left of it.
type Cut struct {
	// Bytes is the size of the whole value as BSON; 0 when it has none.
	Bytes int64 `bson:"bytes"`
	// Why is a sentence for people.
	Why string `bson:"why"`
}

// NewRun is what [Store.Start] writes. ID, Script, TTL and Owner are required.
type NewRun struct {
	// ID comes from [NewID].
	ID     string
	Script string
	// Concurrency is how many runs of the script may be active at once: 0 means 1, below 0 any number.
	Concurrency int
	// TTL is how long the lease lives without a [Store.Beat].
	TTL   time.Duration
	Owner Owner

	// Params is anything that BSON can hold as a document, secrets already masked. Above 1 MiB it is cut.
	Params  any
	Actor   string
	Trigger string
	// Parent is the run that this one retries, undoes or belongs to.
	Parent string
	// Step is the name of this run in its parent's plan.
	Step         string
	Source       Source
	RikkiVersion string
	// Database is the one that the script works on.
	Database string
	DryRun   bool
	// Attempt counts from 1; 0 means 1.
	Attempt  int
	Timeout  time.Duration
	Findings []Finding

	// Input is the parameters as JSON from which the run can be done again, without secrets; "" when they can't be kept.
	Input string
	// Resumable says that the script goes on from its last checkpoint.
	Resumable bool
	// Priority and NotBefore are for [Store.Enqueue]: the greatest first, and not before this time on the server's clock.
	Priority  int
	NotBefore time.Time
	// Held makes [Store.Enqueue] put the run aside, paused: it is taken by its id ([Store.Take]), and never from the queue.
	Held bool

	// Schedule is the name of the schedule that the run is of, and ScheduledAt its slot.
	Schedule    string
	ScheduledAt time.Time

	// Keep is how long the script's runs are kept, where it has a wish of its own; for processes that don't know the script.
	Keep *Keep

	// Needs are other runs that this one reads what the history has of: they are not pruned before it is over.
	Needs []string
}

// Run is one execution as it is stored.
type Run struct {
	ID     string `bson:"_id"`
	Script string `bson:"script"`
	// State is honest at ReadAt: a run whose lease has expired reads as interrupted before any sweep.
	State State `bson:"state"`
	// Slot is what the run occupies while somebody owns it, such as "lowercase-emails/0".
	Slot  string `bson:"slot"`
	Lease Lease  `bson:"lease"`

	CreatedAt time.Time `bson:"created_at"`
	StartedAt time.Time `bson:"started_at"`
	// EndedAt is zero while the run is active; for an interrupted run it is the last sign of life.
	EndedAt time.Time `bson:"ended_at"`
	// ReadAt is the server's clock when this value was read. Compare the other times with it, not with a host's clock.
	ReadAt time.Time `bson:"read_at"`

	// Params is a document, or a string when ParamsCut is set.
	Params       bson.RawValue `bson:"params"`
	ParamsCut    *Cut          `bson:"params_cut"`
	Actor        string        `bson:"actor"`
	Trigger      string        `bson:"trigger"`
	Parent       string        `bson:"parent"`
	Step         string        `bson:"step"`
	Source       Source        `bson:"source"`
	RikkiVersion string        `bson:"rikki_version"`
	Database     string        `bson:"database"`
	DryRun       bool          `bson:"dry_run"`
	Attempt      int           `bson:"attempt"`
	// Timeout is stored in milliseconds.
	Timeout time.Duration `bson:"timeout_ms"`

	Progress    *Progress        `bson:"progress"`
	Counters    map[string]int64 `bson:"counters"`
	CountersCut *Cut             `bson:"counters_cut"`
	Findings    []Finding        `bson:"findings"`
	// FindingsCut is how many findings were left out.
	FindingsCut int `bson:"findings_cut"`
	// Result is what the script returned; its start as extended JSON, a string, when ResultCut is set.
	Result    bson.RawValue `bson:"result"`
	ResultCut *Cut          `bson:"result_cut"`
	Error     *RunError     `bson:"error"`
	// Stuck says that the record was closed while the script had not stopped yet.
	Stuck bool `bson:"stuck"`
	// StoppedAt is when a stuck script was seen to have stopped after all, or its process to be gone.
	StoppedAt   time.Time `bson:"stopped_at"`
	LogsDropped int64     `bson:"logs_dropped"`
	// LogsPruned says that the log was deleted because of its age.
	LogsPruned bool `bson:"logs_pruned"`

	// Input is the parameters as JSON, without secrets; "" when the run can't be done again.
	Input     string `bson:"input"`
	Resumable bool   `bson:"resumable"`
	// Unbegun says that the run was taken from the queue, but that its script has not begun: nothing was done.
	Unbegun bool `bson:"unbegun"`
	// Queue says that the run is in the care of the processes that serve the queue.
	Queue bool `bson:"queue"`
	// Ready says that the next of them may take it, once DueAt has come.
	Ready    bool      `bson:"ready"`
	Priority int       `bson:"priority"`
	DueAt    time.Time `bson:"due_at"`
	// Schedule is the name of the schedule that the run is of, and ScheduledAt its slot.
	Schedule    string    `bson:"schedule"`
	ScheduledAt time.Time `bson:"scheduled_at"`
	// Control is the last thing that somebody asked for.
	Control *Control `bson:"control"`
	// NewsAt is when the run came to rest, until a notifier has seen it.
	NewsAt time.Time `bson:"news_at"`
	// Checkpoint has no value in listings.
	Checkpoint *Checkpoint `bson:"checkpoint"`
	// Tuning is what somebody wants of the run's pace.
	Tuning *Tuning `bson:"tuning"`
	// HalfWay says that the run has failed in the middle of what it can go on with, and that nobody has begun to undo it.
	HalfWay bool `bson:"half_way"`
}

// Control is a change that somebody asked for from outside.
type Control struct {
	Action Action    `bson:"action"`
	Actor  string    `bson:"actor"`
	Reason string    `bson:"reason,omitempty"`
	Forced bool      `bson:"forced,omitempty"`
	At     time.Time `bson:"at"`
}

// Checkpoint is where a run can go on.
type Checkpoint struct {
	Value    bson.RawValue    `bson:"value"`
	Progress *Progress        `bson:"progress"`
	Counters map[string]int64 `bson:"counters"`
	At       time.Time        `bson:"at"`
	Attempt  int              `bson:"attempt"`
}

// Fresh reports whether the run's script has never begun.
func (r Run) Fresh() bool { return r.Attempt == 0 || r.Unbegun }

// Duration is how long the run took, or has taken when it was read, on the server's clock.
func (r Run) Duration() time.Duration {
	switch {
	case r.StartedAt.IsZero():
		return 0
	case !r.EndedAt.IsZero():
		return r.EndedAt.Sub(r.StartedAt)
	default:
		return max(0, r.ReadAt.Sub(r.StartedAt))
	}
}

// Beat is what an owner reports while its run goes on. Nil fields leave what is stored.
type Beat struct {
	// TTL is how long the lease lives from now on, on the server's clock.
	TTL      time.Duration
	Progress *Progress
	Counters map[string]int64
}

// Pulse is the answer to a [Beat].
type Pulse struct {
	// State may have been changed by others: pausing, cancelling.
	State   State
	Expires time.Time
	// Control says who changed it.
	Control *Control
	// Tuning is what others want of the run's pace, while it counts by the server's clock.
	Tuning *Tuning
}

// Finish is how a run ended.
type Finish struct {
	// State is any that is not active: final, paused, or interrupted.
	State State
	// Result is anything that BSON can hold. Above 1 MiB it is cut; what BSON can't hold is left out; both are noted.
	Result   any
	Error    *RunError
	Findings []Finding
	Progress *Progress
	Counters map[string]int64
	// Stuck says that the script ignores its cancellation and still runs. The record is closed, but the slot stays taken
	// as long as the owner beats: until [Store.Release], or until the process ends and its lease expires.
	Stuck       bool
	LogsDropped int64
	// Hold keeps an interrupted run from being taken over by itself.
	Hold bool
	// Back gives an interrupted run back whose script did not begin in this attempt.
	Back *Back
	// HalfWay says of a run that has failed that it can go on where it stopped.
	HalfWay bool
}

// Back is how a run is given back that was taken in vain.
type Back struct {
	// Fresh says that its script has never begun, whether [Store.Begin] was heard or not.
	Fresh bool
	// Failed says that it could not begin: the next owner waits a while, and after maxLapses of them it isn't tried again by itself.
	Failed bool
}

// Filter selects runs. Its zero value selects all of them.
type Filter struct {
	Script string
	States []State
	Actor  string
	// Since and Until bound the time of creation on the server's clock: Since <= created < Until.
	Since, Until time.Time
	// Text is searched, whatever its case, in id, script, actor, host and parameters.
	Text string
	// Before continues a listing: only runs that come after this id in it, that is older ones. After is its opposite.
	Before, After string
	// Limit is how many runs to return at most; 0 means all.
	Limit int
}

// Log is one record of a run's log.
type Log struct {
	// Seq numbers the records of a run; the caller counts.
	Seq     int64
	Time    time.Time
	Level   slog.Level
	Message string
	// Attrs is in the order of the record; groups are nested documents.
	Attrs bson.D
	// Cut is set when the record was too large: the message's end or all attributes are missing.
	Cut *Cut
}

// LogFilter selects log records. Its zero value selects all of them.
type LogFilter struct {
	// AfterSeq skips the records up to and including this one. Sequence numbers start at 1.
	AfterSeq int64
	// MinLevel leaves out what is below it; nil leaves out nothing.
	MinLevel slog.Leveler
	// Text is searched in the message, whatever its case.
	Text string
	// Limit is how many records to return at most; 0 means all.
	Limit int
	// Tail returns only the last so many records, oldest first; 0 means all.
	Tail int
}
