package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/term"
)

// printForecast tells what a backfill would do.
func (p *program) printForecast(f *backfill.Forecast) error {
	matched := "an unknown number of documents match"
	if f.Matched > 0 {
		matched = "about " + term.Count(f.Matched) + " documents match"
	}
	size := func(n int64) string {
		if n == 0 {
			return ""
		}
		return "about " + term.Bytes(n)
	}
	took := ""
	if f.Matched > 0 {
		took = "about " + term.Duration(max(f.Duration, time.Second))
	}
	return p.term.Fields(
		term.Field{Key: "collection", Value: fmt.Sprintf("%s, about %s documents", f.Collection, term.Count(f.Documents))},
		term.Field{Key: "walk", Value: fmt.Sprintf("%s, by the index on %s in %d partitions", matched, f.Index, f.Partitions)},
		term.Field{Key: "sample", Value: fmt.Sprintf("of %s: %s", term.Count(f.Sampled), sampleText(f))},
		term.Field{Key: "fields", Value: strings.Join(f.Fields, ", ")},
		term.Field{Key: "failed", Value: failedText(f.Failed)},
		term.Field{Key: "time", Value: took},
		term.Field{Key: "journal", Value: size(f.JournalBytes)},
		term.Field{Key: "oplog", Value: size(f.OplogBytes)},
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
		counted{f.Changed, "would be changed"}, counted{f.Deleted, "would be deleted"}, counted{f.Unchanged, "are right already"},
		counted{int64(len(f.Failed)), "would fail"}, counted{f.Written, "of other collections would be written"},
	)
	return cmp.Or(text, "nothing would be changed")
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
	if s.JournalBytes > 0 {
		fields = append(fields, term.Field{Key: "journal", Value: term.Bytes(s.JournalBytes)})
	}
	if s.Throttled > 0 {
		fields = append(fields, term.Field{Key: "throttled", Value: term.Duration(s.Throttled)})
	}
	if s.Gentle > 0 {
		fields = append(fields, term.Field{Key: "gently", Value: "for " + term.Duration(s.Gentle) + ", to make room for others"})
	}
	if s.Limited {
		fields = append(fields, term.Field{Key: "limited", Value: "stopped after " + term.Count(s.Matched) + " documents, as asked"})
	}
	if s.Gone > 0 {
		fields = append(fields, term.Field{Key: "gone", Value: term.Count(s.Gone) + " that the run was limited to are not there any more, or don't match its filter"})
	}
	if v := s.Verified; v != nil {
		if v.Checked > 0 {
			fields = append(fields, term.Field{Key: "verified", Value: fmt.Sprintf("%s looked at again, %s left over", term.Count(v.Checked), term.Count(v.Left))})
		}
		if v.Arrived > 0 {
			fields = append(fields, term.Field{Key: "arrived", Value: term.Count(v.Arrived) + " came after the end of the walk was set; they were not visited"})
		}
	}
	return p.term.Fields(fields...)
}

// walkFields are those of a run that is a backfill.
func walkFields(i *backfill.Inspection) []term.Field {
	if i == nil {
		return nil
	}
	undone := make([]string, len(i.UndoneBy))
	for n, u := range i.UndoneBy {
		undone[n] = u.Run + ", " + stateText(u.State)
	}
	journal := ""
	if i.JournalBytes > 0 {
		journal = term.Bytes(i.JournalBytes)
	}
	return []term.Field{
		{Key: "walk", Value: fmt.Sprintf("%s of %s partitions done", term.Count(int64(i.PartitionsDone)), term.Count(int64(i.Partitions)))},
		{Key: "journal", Value: journal},
		{Key: "undone by", Value: strings.Join(undone, "\n")},
	}
}
