package notify

import (
	"fmt"
	"strings"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/redact"
	"github.com/rikki-go/rikki/internal/store"
)

// Message is the body of a webhook. Fields are only ever added while V is 1.
type Message struct {
	V        int              `json:"v"` // 1
	Event    Kind             `json:"event"`
	Database string           `json:"database,omitempty"`
	Script   string           `json:"script,omitempty"`
	Run      string           `json:"run,omitempty"`
	Schedule string           `json:"schedule,omitempty"`
	Slot     time.Time        `json:"slot,omitzero"` // for which the schedule ran it
	State    rikki.State      `json:"state,omitempty"`
	Attempt  int              `json:"attempt,omitempty"`
	Error    string           `json:"error,omitempty"` // without secrets
	Counts   map[string]int64 `json:"counts,omitempty"`
	Seconds  float64          `json:"seconds,omitempty"` // that the run took
	Text     string           `json:"text"`              // all of it in a sentence for people
	Link     string           `json:"link,omitempty"`
}

const errorLimit = 2000

// messageOf tells of a run.
func (n *Notifier) messageOf(kind Kind, r store.Run) Message {
	m := Message{
		V: 1, Event: kind, Database: r.Database, Script: r.Script, Run: r.ID, Schedule: r.Schedule, Slot: r.ScheduledAt,
		State: r.State, Attempt: r.Attempt, Counts: r.Counters, Seconds: r.Duration().Seconds(),
	}
	if r.Error != nil {
		m.Error = cut(redact.Text(r.Error.Message))
	} else if r.State == rikki.Interrupted {
		m.Error = "its process died or lost its lease"
	}
	if n.cfg.Link != "" {
		m.Link = strings.ReplaceAll(n.cfg.Link, "{run}", r.ID)
	}
	m.Text = m.sentence()
	return m
}

func cut(text string) string {
	if len(text) <= errorLimit {
		return text
	}
	return strings.ToValidUTF8(text[:errorLimit], "") + " …"
}

func (m Message) sentence() string {
	what := m.Script
	if m.Schedule != "" {
		what += " (schedule " + m.Schedule + ")"
	}
	run := ""
	if m.Run != "" {
		run = ", run " + m.Run
	}
	var text string
	switch m.Event {
	case Failure:
		text = what + " " + verb(m.State) + run
	case Recovery:
		text = what + " has recovered" + run
	case Success:
		text = what + " succeeded" + run
	case Late:
		text = what + " should have begun by now" + run
	case Stuck:
		text = what + " is stuck" + run
	case Paused:
		text = "schedule " + m.Schedule + " of " + m.Script + " has paused itself"
	default:
		text = "a test from rikki"
	}
	if m.Error != "" {
		text += ": " + m.Error
	}
	return text
}

func verb(s rikki.State) string {
	switch s {
	case rikki.SucceededWithErrors:
		return "ended with errors"
	case rikki.Interrupted:
		return "was interrupted"
	default:
		return "failed"
	}
}

// subjectOf is the occurrence that a run is of, or the run.
func subjectOf(r store.Run) string {
	if r.Schedule != "" && !r.ScheduledAt.IsZero() {
		return slotSubject(r.Schedule, r.ScheduledAt)
	}
	return r.ID
}

func slotSubject(schedule string, at time.Time) string {
	return fmt.Sprintf("%s@%s", schedule, at.UTC().Format(time.RFC3339Nano))
}

// streamOf is what fails and recovers: the schedule, or the script.
func streamOf(r store.Run) string {
	if r.Schedule != "" {
		return r.Database + "/schedule/" + r.Schedule
	}
	return r.Database + "/script/" + r.Script
}
