package rikki

import (
	"encoding/json"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/rikki-go/rikki/internal/store"
)

// A Record is one run as the history keeps it.
type Record struct {
	ID     string `json:"id"`
	Script string `json:"script"`
	State  State  `json:"state"`

	// Who, where and what. Secret parameters are masked.
	Params   json.RawMessage `json:"params,omitempty"`
	Actor    string          `json:"actor,omitempty"`
	Trigger  string          `json:"trigger,omitempty"`
	Host     string          `json:"host,omitempty"`
	PID      int             `json:"pid,omitempty"`
	Database string          `json:"database,omitempty"`
	Source   Source          `json:"source"`
	Version  string          `json:"rikki_version,omitempty"`
	DryRun   bool            `json:"dry_run,omitempty"`
	Attempt  int             `json:"attempt"`
	Timeout  time.Duration   `json:"timeout,omitempty"`

	// Parent is the run that this one repeats or belongs to. Input is the
	// parameters from which it can be run again, without secrets.
	Parent string          `json:"parent,omitempty"`
	Step   string          `json:"step,omitempty"` // of a batch, whose run is Parent
	Input  json.RawMessage `json:"input,omitempty"`

	// Resumable runs can be paused, resumed and taken over. Queue tells that
	// the processes that serve the queue look after the run, and Due when it
	// may begin; Checkpoint is when it last said where it can go on.
	Resumable  bool      `json:"resumable,omitempty"`
	Queue      bool      `json:"queue,omitempty"`
	Priority   int       `json:"priority,omitempty"`
	Due        time.Time `json:"due_at,omitzero"`
	Checkpoint time.Time `json:"checkpoint_at,omitzero"`

	// Schedule is the name of the schedule that the run is of, and ScheduledAt
	// the slot that it is for.
	Schedule    string    `json:"schedule,omitempty"`
	ScheduledAt time.Time `json:"scheduled_at,omitzero"`

	// Control is what somebody last asked of the run from outside, and Tuning
	// what its pace shall be.
	Control *Control `json:"control,omitempty"`
	Tuning  *Tuning  `json:"tuning,omitempty"`

	// Times are the server's. EndedAt is zero while the run goes on.
	CreatedAt time.Time     `json:"created_at,omitzero"`
	StartedAt time.Time     `json:"started_at,omitzero"`
	EndedAt   time.Time     `json:"ended_at,omitzero"`
	Duration  time.Duration `json:"duration"`

	// LeaseExpires is when a run under way counts as interrupted unless its
	// process renews the lease; Epoch grows with each owner.
	LeaseExpires time.Time `json:"lease_expires,omitzero"`
	Epoch        int64     `json:"epoch"`

	Progress *ProgressState   `json:"progress,omitempty"`
	Counters map[string]int64 `json:"counters,omitempty"`
	Findings []Finding        `json:"findings,omitempty"`
	Result   json.RawMessage  `json:"result,omitempty"`
	Error    *Failure         `json:"error,omitempty"`

	// HalfWay says that the run has failed in the middle of its work and can be
	// resumed where it stopped. Once somebody has begun to undo it, it can't.
	HalfWay bool `json:"half_way,omitempty"`

	// NotStopped says that the script was still going on when the run ended.
	NotStopped bool `json:"not_stopped,omitempty"`

	// Cut says what didn't fit into the record, one sentence each.
	Cut         []string `json:"cut,omitempty"`
	LogsDropped int64    `json:"logs_dropped,omitempty"`

	// LogsPruned says that the log was deleted because of its age; see [Retention].
	LogsPruned bool `json:"logs_pruned,omitempty"`
}

// Failure is why a run ended badly, in words for people.
type Failure struct {
	Kind    string `json:"kind"` // error, panic, timeout, validation, cancelled, paused, interrupted, lease, partial
	Message string `json:"message"`
	Stack   string `json:"stack,omitempty"`
}

// LogRecord is one record of a run's log.
type LogRecord struct {
	Seq     int64           `json:"seq"`
	Time    time.Time       `json:"time"`
	Level   string          `json:"level"`
	Message string          `json:"msg"`
	Attrs   json.RawMessage `json:"attrs,omitempty"`
	Cut     string          `json:"cut,omitempty"` // what is missing, if anything
}

func recordOf(r store.Run) Record {
	record := Record{
		ID: r.ID, Script: r.Script, State: r.State,
		Params: rawJSON(r.Params), Actor: r.Actor, Trigger: r.Trigger,
		Host: r.Lease.Owner.Host, PID: r.Lease.Owner.PID, Database: r.Database,
		Source: Source{
			Module: r.Source.Module, Version: r.Source.Version,
			Revision: r.Source.Revision, Modified: r.Source.Modified,
		},
		Version: r.RikkiVersion, DryRun: r.DryRun, Attempt: r.Attempt, Timeout: r.Timeout,
		StartedAt: r.StartedAt, EndedAt: r.EndedAt, Duration: r.Duration(),
		Epoch: r.Lease.Epoch, Counters: r.Counters, Result: rawJSON(r.Result),
		HalfWay: r.State == store.Failed && r.HalfWay, NotStopped: r.Stuck && r.StoppedAt.IsZero(), LogsDropped: r.LogsDropped, LogsPruned: r.LogsPruned,
		Parent: r.Parent, Step: r.Step, Input: json.RawMessage(r.Input), Resumable: r.Resumable, Queue: r.Queue, Priority: r.Priority,
		Due: r.DueAt, CreatedAt: r.CreatedAt, Control: controlOf(r.Control), Tuning: tuningOf(r.Tuning),
		Schedule: r.Schedule, ScheduledAt: r.ScheduledAt,
	}
	if r.Checkpoint != nil {
		record.Checkpoint = r.Checkpoint.At
	}
	if r.State.Active() {
		record.LeaseExpires = r.Lease.Expires
	}
	if p := r.Progress; p != nil {
		record.Progress = &ProgressState{
			Done: p.Done, Total: p.Total, Failed: r.Counters[counterFailed], Message: p.Message, Rate: p.Rate, Elapsed: record.Duration,
		}
	}
	for _, f := range r.Findings {
		record.Findings = append(record.Findings, Finding{Level: Level(f.Level), Message: f.Message})
	}
	if e := r.Error; e != nil {
		record.Error = &Failure{Kind: e.Kind, Message: e.Message, Stack: e.Stack}
	}
	for what, cut := range map[string]*store.Cut{
		"parameters": r.ParamsCut, "counters": r.CountersCut, "result": r.ResultCut,
	} {
		if cut != nil {
			record.Cut = append(record.Cut, what+": "+cut.Why)
		}
	}
	return record
}

func logRecordOf(l store.Log) LogRecord {
	record := LogRecord{Seq: l.Seq, Time: l.Time, Level: l.Level.String(), Message: l.Message}
	if len(l.Attrs) > 0 {
		if data, err := bson.MarshalExtJSON(l.Attrs, false, false); err == nil {
			record.Attrs = data
		}
	}
	if l.Cut != nil {
		record.Cut = l.Cut.Why
	}
	return record
}

// rawJSON renders a stored value as relaxed extended JSON.
func rawJSON(v bson.RawValue) json.RawMessage {
	if v.IsZero() || v.Type == bson.TypeNull {
		return nil
	}
	// Extended JSON exists for documents only.
	data, err := bson.MarshalExtJSON(bson.D{{Key: "v", Value: v}}, false, false)
	if err != nil {
		return nil
	}
	var doc struct {
		V json.RawMessage `json:"v"`
	}
	if json.Unmarshal(data, &doc) != nil {
		return nil
	}
	return doc.V
}
