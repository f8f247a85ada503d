package rikki

import (
	"time"

	"github.com/rikki-go/rikki/preview"
)

// Result is how a run ended.
type Result struct {
	Run      string           `json:"run"`
	Script   string           `json:"script"`
	State    State            `json:"state"`
	Value    any              `json:"result,omitempty"` // what Execute returned; masked JSON if that has a secret
	Failure  *Failure         `json:"error,omitempty"`
	Findings []Finding        `json:"findings,omitempty"`
	Counters map[string]int64 `json:"counters,omitempty"`
	Progress *ProgressState   `json:"progress,omitempty"`
	DryRun   bool             `json:"dry_run,omitempty"`
	Preview  *preview.Report  `json:"preview,omitempty"` // of a dry run
	Started  time.Time        `json:"started_at"`
	Duration time.Duration    `json:"duration"`

	// Stopped is false if the script was still going on when the run ended:
	// it ignores its context.
	Stopped bool `json:"stopped"`

	// HalfWay tells that the run has failed and can be resumed where it stopped.
	HalfWay bool `json:"half_way,omitempty"`

	// Recorded tells whether the history has this outcome.
	Recorded bool `json:"recorded"`
}
