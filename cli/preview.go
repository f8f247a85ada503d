package cli

import (
	"fmt"
	"strings"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/preview"
)

// printPreview shows what a dry run would change: counts per collection, and a sample field by field. It is the result of
// a dry run, so it goes to standard output.
func (p *program) printPreview(result *rikki.Result) error {
	report := result.Preview
	if report == nil || len(report.Collections) == 0 && len(report.Changes) == 0 {
		return nil
	}
	var b strings.Builder
	for _, c := range report.Collections {
		fmt.Fprintf(&b, "would change %s: %s\n", term.Sanitize(c.Name), countsOf(c))
	}
	for _, change := range report.Changes {
		fmt.Fprintf(&b, "\n%s %s %s\n", change.Kind, term.Sanitize(change.Collection), shortJSON(change.ID))
		for _, f := range change.Fields {
			b.WriteString(fieldLine(f))
		}
	}
	if report.More && len(report.Changes) > 0 {
		b.WriteString("\n… and more: this is a sample\n")
	}
	_, err := fmt.Fprint(p.term.Out(), b.String())
	return err
}

func countsOf(c preview.Collection) string {
	var parts []string
	for _, part := range []struct {
		n    int64
		what string
	}{{c.Inserted, "inserted"}, {c.Updated, "updated"}, {c.Deleted, "deleted"}} {
		if part.n > 0 {
			parts = append(parts, term.Count(part.n)+" "+part.what)
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func fieldLine(f preview.Field) string {
	path := term.Sanitize(f.Path)
	switch {
	case len(f.Before) == 0:
		return fmt.Sprintf("  + %s: %s\n", path, shortJSON(f.After))
	case len(f.After) == 0:
		return fmt.Sprintf("  - %s: %s\n", path, shortJSON(f.Before))
	default:
		return fmt.Sprintf("  ~ %s: %s → %s\n", path, shortJSON(f.Before), shortJSON(f.After))
	}
}

// shortJSON keeps a value on one line.
func shortJSON(data []byte) string {
	const most = 120
	runes := []rune(term.Sanitize(string(data)))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}
