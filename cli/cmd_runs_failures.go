package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/backfill"
	"github.com/rikki-go/rikki/internal/term"
)

type failuresFlags struct {
	Export string `placeholder:"FILE" help:"Write every failure as a line of JSON to this new file; - is standard output."`
}

func newRunsFailuresCommand(p *program) *cobra.Command {
	flags := &failuresFlags{}
	c := &command{
		name: "failures", short: "List the documents that a backfill could not process.", args: []string{"RUN"}, flags: flags,
		long: "Failures that are alike are counted together, with some of their _ids. Of an undo, they are the changes that it left\n" +
			"because others had changed the documents since. runs retry --failed-only tries the documents again.",
		examples: []string{"runs failures last", "runs failures r_7Kq2 --json", "runs failures r_7Kq2 --export=failed.ndjson"},
		complete: p.runIDs,
	}
	c.run = func(ctx context.Context, args []string) error {
		return p.with(ctx, func(s *session) error {
			record, err := s.runs.Record(ctx, args[0])
			if err != nil {
				return s.noRun(args[0], err)
			}
			if flags.Export != "" {
				return s.exportFailures(ctx, record, flags.Export)
			}
			return s.showFailures(ctx, record)
		})
	}
	return p.cobra(c)
}

// What of the failures is shown to people: there can be hundreds of kinds, and messages and keys of kilobytes.
const (
	shownGroups  = 20
	shownMessage = 200
	shownID      = 60
)

func (s *session) showFailures(ctx context.Context, record rikki.Record) error {
	p := s.p
	groups, err := backfill.FailureGroups(ctx, s.runs, record.ID)
	if err != nil {
		return err
	}
	if p.term.JSON() {
		if groups == nil {
			groups = []backfill.FailureGroup{}
		}
		return p.term.Result(struct {
			V      int                     `json:"v"`
			Run    string                  `json:"run"`
			Script string                  `json:"script"`
			Groups []backfill.FailureGroup `json:"groups"`
		}{1, record.ID, record.Script, groups})
	}
	if len(groups) == 0 {
		p.term.Note("Run %s of %s has no failures.", record.ID, record.Script)
		return nil
	}
	table, left := failuresTable(groups, p.term.Plain())
	if err := p.term.Table(table); err != nil {
		return err
	}
	if left != "" {
		p.term.Note("%s", left)
	}
	for _, g := range groups[:min(len(groups), shownGroups)] {
		if g.Stack != "" {
			p.term.Note("Where %s:\n%s", plainText(g.Message), plainText(g.Stack))
		}
	}
	if record.Script == backfill.UndoName {
		p.term.Next(p.call("runs", "undo", record.Parent))
	} else {
		p.term.Next(p.call("runs", "retry", record.ID, "--failed-only"))
	}
	p.term.Next(p.call("runs", "failures", record.ID, "--export=FILE"))
	return nil
}

// failuresTable has the most frequent kinds of failures, and tells what is left out. Programs get all of them.
func failuresTable(groups []backfill.FailureGroup, plain bool) (table term.Table, left string) {
	table.Columns = []term.Column{{Name: "Count", Align: term.Right}, {Name: "Class"}, {Name: "Message", Flex: true}, {Name: "_ids", Flex: true}}
	var unseen int64
	for i, g := range groups {
		if i >= shownGroups && !plain {
			unseen += g.Count
			continue
		}
		table.Rows = append(table.Rows, []string{term.Count(g.Count), term.Shorten(g.Class, shownID), term.Shorten(g.Message, shownMessage), sampleIDs(g)})
	}
	if unseen > 0 {
		left = fmt.Sprintf("%s failures of %d more kinds are not shown: --json has all kinds, --export all failures.",
			term.Count(unseen), len(groups)-shownGroups)
	}
	return table, left
}

func sampleIDs(g backfill.FailureGroup) string {
	ids := make([]string, len(g.Sample))
	for i, id := range g.Sample {
		ids[i] = term.Shorten(shortID(id), shownID)
	}
	text := strings.Join(ids, ", ")
	switch {
	case len(ids) == 0:
		return "…" // they are too long
	case g.Count > int64(len(ids)):
		text += ", …"
	}
	return text
}

// shortID is an _id for people: without the types that canonical extended JSON wraps around it.
func shortID(id json.RawMessage) string {
	var wrapped map[string]json.RawMessage
	if json.Unmarshal(id, &wrapped) == nil && len(wrapped) == 1 {
		for kind, value := range wrapped {
			switch kind {
			case "$oid", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal":
				return unquoted(value)
			}
		}
	}
	return string(id)
}

// exportFailures writes all failures, one a line.
func (s *session) exportFailures(ctx context.Context, record rikki.Record, name string) error {
	to := s.p.term.Out()
	if name != "-" {
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			fix := "name a file in a directory that is there, and that you may write to"
			if errors.Is(err, fs.ErrExist) {
				fix = "name a file that isn't there yet"
			}
			return &problemError{What: "cannot write " + name, Why: reason(err), Code: ExitUsage, Fix: fix, Err: err}
		}
		n, err := s.writeFailures(ctx, record, file)
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err == nil {
			s.p.term.Done("%s failures written to %s", term.Count(n), name)
		}
		return err
	}
	_, err := s.writeFailures(ctx, record, to)
	return err
}

func (s *session) writeFailures(ctx context.Context, record rikki.Record, to io.Writer) (int64, error) {
	out := bufio.NewWriter(to)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	var n int64
	for f, err := range backfill.Failures(ctx, s.runs, record.ID) {
		if err != nil {
			return n, err
		}
		if err := encoder.Encode(f); err != nil {
			return n, err
		}
		n++
	}
	return n, out.Flush()
}
