package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/term"
)

// printForecast tells what a backfill would do.
func (p *program) printForecast(f *backfill.Forecast) error {
	matched := "an unknown number of documents match"
	switch {
	case f.Complete:
		matched = several(f.Matched, "document matches", "documents match")
	case f.Matched > 0:
		matched = "about " + several(f.Matched, "document matches", "documents match")
	}
	size := func(n int64) string {
		if n == 0 {
			return ""
		}
		return "about " + term.Bytes(n)
	}
	took := ""
	if f.Duration > 0 || f.Sampled > 0 && f.Matched > 0 {
		took = "about " + term.Duration(max(f.Duration, time.Second))
	}
	guard := ""
	if f.MaxMatched > 0 && !f.Complete {
		guard = fmt.Sprintf("--max-matched=%d stops the run if by then a tenth more match", f.MaxMatched)
	}
	return p.term.Fields(
		term.Field{Key: "collection", Value: fmt.Sprintf("%s, about %s", f.Collection, several(f.Documents, "document", "documents"))},
		term.Field{Key: "walk", Value: fmt.Sprintf("%s, by the index on %s in %s", matched, f.Index, several(int64(f.Partitions), "partition", "partitions"))},
		term.Field{Key: "gone", Value: goneText(f.Gone)},
		term.Field{Key: "sample", Value: fmt.Sprintf("of %s: %s", term.Count(f.Sampled), sampleText(f))},
		term.Field{Key: "fields", Value: strings.Join(f.Fields, ", ")},
		term.Field{Key: "failed", Value: failedText(f.Failed)},
		term.Field{Key: "time", Value: took},
		term.Field{Key: "journal", Value: size(f.JournalBytes)},
		term.Field{Key: "oplog", Value: size(f.OplogBytes)},
		term.Field{Key: "guard", Value: guard},
	)
}

// failedText is what would fail, as far as it can be read.
func failedText(failed []string) string {
	var lines []string
	for _, text := range failed[:min(len(failed), shownGroups)] {
		lines = append(lines, term.Shorten(text, shownMessage))
	}
	if n := len(failed) - len(lines); n > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more", n))
	}
	return strings.Join(lines, "\n")
}

func sampleText(f *backfill.Forecast) string {
	text := countList(
		counted{f.Changed, "would be changed"}, counted{f.Deleted, "would be deleted"}, counted{f.Unchanged, isOrAre(f.Unchanged, "right already")},
		counted{int64(len(f.Failed)), "would fail"}, counted{f.Written, "of other collections would be written"},
	)
	return cmp.Or(text, "nothing would be changed")
}

// several is a number with its noun.
func several(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return term.Count(n) + " " + many
}

func isOrAre(n int64, what string) string {
	if n == 1 {
		return "is " + what
	}
	return "are " + what
}

// goneText is about documents that somebody asked for by their _ids.
func goneText(n int64) string {
	if n == 0 {
		return ""
	}
	return several(n, "document that was asked for is", "documents that were asked for are") + " not there, or not for the filter"
}

// counted is a number of things, and what is said of them.
type counted struct {
	n    int64
	what string
}

// countList says what there is any of.
func countList(list ...counted) string {
	var parts []string
	for _, c := range list {
		if c.n > 0 {
			parts = append(parts, term.Count(c.n)+" "+c.what)
		}
	}
	return strings.Join(parts, ", ")
}

// printSummary tells what the last line, with its counters, leaves out.
func (p *program) printSummary(s *backfill.Summary, fields ...term.Field) error {
	return p.term.Fields(append(fields, summaryFields(s)...)...)
}

// shownWait is how long a run has waited at least for it to be worth a line: each waits a moment for its first look at the server.
const shownWait = 100 * time.Millisecond

// waitsText says what a run has waited for.
func waitsText(waits []backfill.Wait) string {
	var lines strings.Builder
	for _, w := range waits {
		if w.Time >= shownWait {
			lines.WriteString("\n" + term.Duration(w.Time) + " for " + cmp.Or(w.Reason, w.For))
		}
	}
	return lines.String()
}

// mostlyWaited says what most of a run's time went into, if it was waiting, and what can be done about that.
func mostlyWaited(result *rikki.Result) (why, fix string) {
	s := summaryOf(result.Value)
	if s == nil || 2*s.Throttled < result.Duration || len(s.Waits) == 0 { //nolint:mnd // half of it
		return "", ""
	}
	most := s.Waits[0]
	why = fmt.Sprintf("most of the time (%s of %s) went into waiting for %s", term.Duration(s.Throttled), term.Duration(result.Duration), cmp.Or(most.Reason, most.For))
	return why, most.Advice()
}

// summaryOf is the summary of a backfill or of an undo, or nil.
func summaryOf(value any) *backfill.Summary {
	switch v := value.(type) {
	case *backfill.Summary:
		return v
	case *backfill.Undone:
		return v.Summary
	}
	return nil
}

func summaryFields(s *backfill.Summary) []term.Field {
	var fields []term.Field
	if s.JournalBytes > 0 {
		fields = append(fields, term.Field{Key: "journal", Value: term.Bytes(s.JournalBytes)})
	}
	if s.Throttled >= shownWait {
		fields = append(fields, term.Field{Key: "throttled", Value: term.Duration(s.Throttled) + waitsText(s.Waits)})
	}
	if s.Gentle > 0 {
		fields = append(fields, term.Field{Key: "gently", Value: "for " + term.Duration(s.Gentle) + ", to make room for others"})
	}
	if s.Limited {
		fields = append(fields, term.Field{Key: "limited", Value: "stopped after " + several(s.Matched, "document", "documents") + ", as asked"})
	}
	if s.Planned > 0 {
		fields = append(fields, term.Field{Key: "planned", Value: fmt.Sprintf("about %s, of which %s were met; the rest is gone, or doesn't match any more",
			several(s.Planned, "document", "documents"), term.Count(s.Matched))})
	}
	if s.Gone > 0 {
		fields = append(fields, term.Field{Key: "gone", Value: goneText(s.Gone)})
	}
	if v := s.Verified; v != nil {
		if v.Checked > 0 {
			fields = append(fields, term.Field{Key: "verified", Value: fmt.Sprintf("%s looked at again, %s left over", term.Count(v.Checked), term.Count(v.Left))})
		}
		if v.Arrived > 0 {
			fields = append(fields, term.Field{Key: "arrived", Value: term.Count(v.Arrived) + " came after the end of the walk was set; they were not visited"})
		}
	}
	return fields
}

// walkFields are those of a run that is a backfill: they say what its result, which may be nil, says as JSON.
func walkFields(i *backfill.Inspection, result json.RawMessage) []term.Field {
	summary := i.Summary
	_ = json.Unmarshal(result, &summary) // what it lacks is not known
	undone := make([]string, len(i.UndoneBy))
	for n, u := range i.UndoneBy {
		undone[n] = u.Run + ", " + stateText(u.State)
	}
	fields := []term.Field{
		{Key: "walk", Value: fmt.Sprintf("%s of %s done", term.Count(int64(i.PartitionsDone)), several(int64(i.Partitions), "partition", "partitions"))},
	}
	return append(append(fields, summaryFields(&summary)...), term.Field{Key: "undone by", Value: strings.Join(undone, "\n")})
}
