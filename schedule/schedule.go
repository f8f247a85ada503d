package schedule

import (
	"time"
)

// A Schedule says when a script runs, and with what. Exactly one of Cron, Every and Once is set; everything else may be
// left out, but for Script.
type Schedule struct {
	// Name identifies the schedule within its database: lower-case letters, digits and single dashes. Default: the script's.
	Name string `json:"name"`

	// Script is the name of what runs, and Params are its parameters, in any form that [rikki.RunOptions] takes. They are
	// checked when the schedule is saved, and again when a slot fires. Secrets can't be among them: the process that
	// runs the script takes them from its environment.
	Script string `json:"script"`
	Params any    `json:"params,omitempty"`

	// Description is one sentence for lists.
	Description string `json:"description,omitempty"`

	// Cron is an expression of five fields or an @form such as @daily, read in Zone. With Seconds it has six fields, the
	// seconds first. What names hours follows the clock on the wall: a time that daylight saving skips runs once, at
	// the jump, and one that it repeats runs once.
	Cron    string `json:"cron,omitempty"`
	Seconds bool   `json:"seconds,omitempty"`

	// Every is an interval of a second or more, counted from Anchor and never from the end of a run. Without an anchor it
	// counts from Start or, without that, from midnight UTC, 1970: every 5 minutes is at 0, 5, 10 … past the hour.
	Every  time.Duration `json:"every,omitempty"`
	Anchor time.Time     `json:"anchor,omitzero"`

	// Once is a single time.
	Once time.Time `json:"once,omitzero"`

	// Zone is the IANA name of the time zone in which Cron is read and times are shown. Default: UTC.
	Zone string `json:"zone,omitempty"`

	// Start and End bound the slots: Start ≤ slot < End.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`

	// Jitter spreads the runs of many schedules: each slot starts somewhere within it, the same in every process.
	Jitter time.Duration `json:"jitter,omitempty"`

	// MaxRuns is how many slots fire before the schedule is completed. Zero means no limit.
	MaxRuns int `json:"max_runs,omitempty"`

	// Overlap says what a slot does whose predecessor's run hasn't ended. Default: [Skip].
	Overlap Overlap `json:"overlap,omitempty"`

	// CatchUp says which slots still run that nobody served in time. Default: [CatchUpOnce]. Window is how late they may
	// be (default 24 h, negative: however late), Cap how many run at once (default 100).
	CatchUp CatchUp       `json:"catch_up,omitempty"`
	Window  time.Duration `json:"window,omitempty"`
	Cap     int           `json:"cap,omitempty"`

	// PauseAfter pauses the schedule when so many slots in a row have failed. Zero means never.
	PauseAfter int `json:"pause_after,omitempty"`

	// Priority and Timeout are those of the runs, see [rikki.RunOptions].
	Priority int           `json:"priority,omitempty"`
	Timeout  time.Duration `json:"timeout,omitempty"`
}

// Overlap says what becomes of a slot while the run of an earlier one of its schedule hasn't ended: waits in the queue,
// runs, or is paused. Runs by hand and backfills are in no slot's way.
type Overlap string

// The overlap policies.
const (
	// Skip leaves the slot out, and records that.
	Skip Overlap = "skip"
	// Queue lets one slot wait until the run has ended, and skips those after it.
	Queue Overlap = "queue"
	// Allow fires it anyway. The script's own limit, [rikki.Options.Concurrency], still holds; what it doesn't let begin
	// waits in the queue.
	Allow Overlap = "allow"
)

// CatchUp says which slots still run that were missed because no process served the schedule.
type CatchUp string

// The catch-up policies. A slot that is at most ten seconds late isn't missed yet.
const (
	// CatchUpOnce runs the newest slot that was missed, within the window. The others are recorded as skipped.
	CatchUpOnce CatchUp = "once"
	// CatchUpNone runs none of them.
	CatchUpNone CatchUp = "none"
	// CatchUpAll runs all of them within the window, one after the other, but no more than the cap: the newest.
	CatchUpAll CatchUp = "all"
)

// Limits of a schedule.
const (
	maxText     = 500       // characters of a description or note
	maxOpen     = 1000      // occurrences of one schedule that haven't ended
	maxBackfill = 500       // slots of one backfill
	maxInput    = 256 << 10 // bytes of parameters
)
