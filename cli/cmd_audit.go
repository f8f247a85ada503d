package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rikki-go/rikki/internal/audit"
	"github.com/rikki-go/rikki/internal/term"
)

type auditFlags struct {
	Fail bool `help:"End with exit code 1 if anything connects by hand, as a check in CI."`
}

func newAuditCommand(p *program) *cobra.Command {
	flags := &auditFlags{}
	c := &command{
		name: "audit", short: "List scripts that still connect to MongoDB by hand.", args: []string{"[DIR]"}, flags: flags,
		long: "It reads Go, JavaScript, TypeScript and shell scripts below a directory (default: here), or one file, and runs\n" +
			"none of them. Tests and dependencies are left out.",
		examples: []string{"audit scripts", "audit --json", "audit scripts --fail"},
	}
	c.run = func(ctx context.Context, args []string) error {
		dir := cmp.Or(first(args), ".")
		report, err := audit.Scan(ctx, dir)
		if err != nil {
			return causeOf(ctx, err)
		}
		if err := p.tellAudit(dir, report); err != nil {
			return err
		}
		if flags.Fail && report.Findings() > 0 {
			return exitError(ExitFailed)
		}
		return nil
	}
	return p.cobra(c)
}

// auditJSON is a report with its sums.
type auditJSON struct {
	V   int    `json:"v"`
	Dir string `json:"dir"`
	audit.Report
	Findings        int `json:"findings"`
	CodeLines       int `json:"code_lines"`
	ConnectionLines int `json:"connection_lines"`
}

func (p *program) tellAudit(dir string, report audit.Report) error {
	code, connection := report.Lines()
	if p.term.JSON() {
		return p.term.Result(auditJSON{1, dir, report, report.Findings(), code, connection})
	}
	fixes := map[audit.Language]bool{}
	for _, file := range report.Files {
		fixes[file.Language] = true
		for _, found := range file.Findings {
			if err := p.term.Print("%s", fmt.Sprintf("%s:%d:%d: %s", file.Path, found.Line, found.Column, found.Call)); err != nil {
				return err
			}
		}
	}
	for _, problem := range report.Problems {
		p.term.Warn("%s was not read: %s", problem.Path, problem.Message)
	}
	if len(report.Files) == 0 {
		p.term.Done("nothing connects by hand, of %s scripts", term.Count(int64(report.Scanned)))
		return nil
	}
	p.term.Note("%d of %s scripts connect by hand, in %d places. %s of their %s lines of code are about the connection.",
		len(report.Files), term.Count(int64(report.Scanned)), report.Findings(), term.Count(int64(connection)), term.Count(int64(code)))
	p.term.Note("What to change:")
	for _, language := range []audit.Language{audit.Go, audit.JavaScript, audit.Shell} {
		if fixes[language] {
			p.term.Note("  %s: %s", language, language.Fix())
		}
	}
	p.term.Note("  How, step by step: %s", docsLink+"/blob/main/docs/features/exec.md#migrate")
	return nil
}
