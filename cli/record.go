package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/term"
)

// stateText is a state with the sign that goes with it everywhere.
func stateText(state rikki.State) string {
	sign := ""
	switch state {
	case rikki.Queued:
		sign = "…"
	case rikki.Running:
		sign = "▶"
	case rikki.Pausing, rikki.Paused:
		sign = "‖"
	case rikki.Cancelling, rikki.Cancelled:
		sign = "⊘"
	case rikki.Interrupted:
		sign = "!"
	case rikki.Succeeded:
		sign = "✓"
	case rikki.SucceededWithErrors:
		sign = "⚠"
	case rikki.Failed:
		sign = "✗"
	}
	return strings.TrimSpace(sign + " " + state.String())
}

// ended tells whether nothing more will happen to the run by itself.
func ended(r rikki.Record) bool { return !r.State.Active() && r.State != rikki.Queued }

// recordFields is one run in full.
func recordFields(r rikki.Record, asked []rikki.Control) []term.Field {
	return []term.Field{
		{Key: "run", Value: r.ID},
		{Key: "script", Value: r.Script + dryRunText(r)},
		{Key: "state", Value: stateText(r.State) + notStopped(r)},
		{Key: "started", Value: startedText(r)},
		{Key: "took", Value: tookText(r)},
		{Key: "queue", Value: queueText(r)},
		{Key: "attempt", Value: attemptText(r)},
		{Key: "asked", Value: controlsText(asked)},
		{Key: "tuned", Value: tuningText(r)},
		{Key: "repeats", Value: repeatsText(r)},
		{Key: "undoes", Value: undoesText(r)},
		{Key: "step", Value: stepText(r)},
		{Key: "by", Value: r.Actor + via(r)},
		{Key: "on", Value: onText(r)},
		{Key: "database", Value: r.Database},
		{Key: "source", Value: sourceText(r)},
		{Key: "schedule", Value: scheduleText(r)},
		{Key: "parameters", Value: paramText(r.Params, r.Input)},
		{Key: "progress", Value: progressText(r.Progress)},
		{Key: "counters", Value: countText(r.Counters, nil)},
		{Key: "findings", Value: findingText(r.Findings)},
		{Key: "result", Value: jsonText(r.Result)},
		{Key: failureKey(r.State), Value: failureText(r.Error)},
		{Key: "lease", Value: leaseText(r)},
		{Key: "cut", Value: strings.Join(r.Cut, "\n")},
		{Key: "logs", Value: droppedText(r)},
	}
}

// repeatsText is the run that this one repeats.
func repeatsText(r rikki.Record) string {
	if r.Step != "" || r.Script == backfill.UndoName {
		return ""
	}
	return r.Parent
}

// undoesText is the run that this one undoes.
func undoesText(r rikki.Record) string {
	if r.Script != backfill.UndoName {
		return ""
	}
	return r.Parent
}

// stepText is the place of a run in a batch.
func stepText(r rikki.Record) string {
	if r.Step == "" {
		return ""
	}
	return r.Step + " of " + r.Parent
}

func dryRunText(r rikki.Record) string {
	if r.DryRun {
		return " (dry run)"
	}
	return ""
}

func notStopped(r rikki.Record) string {
	if r.NotStopped {
		return ", but the script had not stopped"
	}
	return ""
}

func startedText(r rikki.Record) string {
	if r.StartedAt.IsZero() {
		return ""
	}
	return term.Time(r.StartedAt.Local()) + " (" + term.Ago(r.StartedAt, time.Now()) + ")"
}

// queueText says when a queued run may begin, and how urgent it is.
func queueText(r rikki.Record) string {
	if r.State != rikki.Queued {
		return ""
	}
	text := "since " + term.Time(r.CreatedAt.Local()) + " (" + term.Ago(r.CreatedAt, time.Now()) + ")"
	if r.Due.After(r.CreatedAt) {
		text += ", due " + term.Time(r.Due.Local())
	}
	if r.Priority != 0 {
		text += fmt.Sprintf(", priority %d", r.Priority)
	}
	return text
}

// attemptText is empty for the first attempt, which most runs end with.
func attemptText(r rikki.Record) string {
	if r.Attempt < 2 && r.Checkpoint.IsZero() {
		return ""
	}
	text := fmt.Sprint(r.Attempt)
	if !r.Checkpoint.IsZero() {
		text += ", last checkpoint " + term.Ago(r.Checkpoint, time.Now())
	}
	return text
}

// shownControls is how many of the changes from outside are shown to people.
const shownControls = 10

// controlsText is what was wanted of the run from outside, the oldest first, as the audit log has it.
func controlsText(all []rikki.Control) string {
	var lines []string
	if more := len(all) - shownControls; more > 0 {
		lines, all = append(lines, "… "+several(int64(more), "earlier change", "earlier changes")+", with --json"), all[more:]
	}
	for _, c := range all {
		lines = append(lines, controlText(c))
	}
	return strings.Join(lines, "\n")
}

// controlText is one change: "cancel by mira: wrong tenant".
func controlText(c rikki.Control) string {
	text := c.Action + " by " + c.Actor + " " + term.Ago(c.At, time.Now())
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

func tookText(r rikki.Record) string {
	if r.StartedAt.IsZero() {
		return ""
	}
	text := term.Duration(r.Duration)
	if r.Timeout > 0 {
		text += " of at most " + term.Duration(r.Timeout)
	}
	return text
}

func via(r rikki.Record) string {
	if r.Trigger == "" {
		return ""
	}
	return " (" + r.Trigger + ")"
}

func onText(r rikki.Record) string {
	if r.Host == "" {
		return ""
	}
	return fmt.Sprintf("%s, pid %d", r.Host, r.PID)
}

func sourceText(r rikki.Record) string {
	text := r.Source.Module
	if r.Source.Version != "" {
		text += " " + r.Source.Version
	}
	if revision := r.Source.Revision; revision != "" {
		text += " revision " + revision[:min(len(revision), 12)]
		if r.Source.Modified {
			text += " with changes"
		}
	}
	return strings.TrimSpace(text)
}

// scheduleText is whose run it is, and which slot it is for.
func scheduleText(r rikki.Record) string {
	if r.Schedule == "" {
		return ""
	}
	return r.Schedule + ", for " + r.ScheduledAt.UTC().Format("2006-01-02 15:04:05 MST")
}

// paramText shows parameters one a line, as they would be given; those that are empty only if they were given.
func paramText(raw, given json.RawMessage) string {
	var values map[string]json.RawMessage
	if json.Unmarshal(raw, &values) != nil {
		return jsonText(raw)
	}
	var input map[string]json.RawMessage
	_ = json.Unmarshal(given, &input) // nothing was given then
	names := make([]string, 0, len(values))
	for name, value := range values {
		_, asked := input[name]
		if text := string(value); asked || text != `""` && text != "false" && text != "null" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	lines := make([]string, len(names))
	for i, name := range names {
		lines[i] = name + "=" + unquoted(values[name])
	}
	return strings.Join(lines, "\n")
}

func unquoted(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var number float64
	if text := string(raw); strings.HasSuffix(text, ".0") && json.Unmarshal(raw, &number) == nil {
		return strings.TrimSuffix(text, ".0") // which is how a double that is whole is kept
	}
	return string(raw)
}

func progressText(p *rikki.ProgressState) string {
	if p == nil || p.Done == 0 && p.Total == 0 && p.Message == "" {
		return ""
	}
	text := term.Count(p.Done)
	if p.Total > 0 {
		text += " of " + term.Count(p.Total)
	}
	if p.Rate > 0 {
		text += ", " + term.Rate(p.Rate) + "/s"
	}
	if p.Message != "" {
		text += ", " + p.Message
	}
	return text
}

func findingText(findings []rikki.Finding) string {
	lines := make([]string, len(findings))
	for i, f := range findings {
		lines[i] = string(f.Level) + ": " + f.Message
	}
	return strings.Join(lines, "\n")
}

func jsonText(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// failureKey is what the text of [failureText] is: being paused is no error.
func failureKey(s rikki.State) string {
	switch s {
	case rikki.Paused, rikki.Cancelled, rikki.Interrupted:
		return "because"
	default:
		return "error"
	}
}

func failureText(f *rikki.Failure) string {
	if f == nil {
		return ""
	}
	text := plainText(f.Message)
	if f.Kind != "" && f.Kind != "error" && !strings.HasPrefix(text, f.Kind) {
		text = f.Kind + ": " + text
	}
	if f.Stack != "" {
		text += "\n" + strings.TrimRight(f.Stack, "\n")
	}
	return text
}

func leaseText(r rikki.Record) string {
	if r.LeaseExpires.IsZero() {
		return ""
	}
	return fmt.Sprintf("expires %s unless renewed, epoch %d", term.Ago(r.LeaseExpires, time.Now()), r.Epoch)
}

func droppedText(r rikki.Record) string {
	if r.LogsPruned {
		return "deleted because of their age"
	}
	if r.LogsDropped == 0 {
		return ""
	}
	return term.Count(r.LogsDropped) + " log records were not kept"
}
