package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func newDoctorCommand(p *program) *cobra.Command {
	c := &command{
		name: "doctor", short: "Check everything, on one page to paste into a fault report.",
		long:     "No secret is on the page. Each line that failed says how to mend it. Exit code 7 if any did.",
		examples: []string{"doctor", "doctor --json"},
	}
	c.run = func(ctx context.Context, _ []string) error { return p.doctor(ctx) }
	return p.cobra(c)
}

// check is one line of the page.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warning, failed, info
	Text   string `json:"text"`
	Fix    string `json:"fix,omitempty"`
}

// The statuses of a check.
const (
	statusOK      = "ok"
	statusWarning = "warning"
	statusFailed  = "failed"
	statusInfo    = "info"
)

func (c check) sign() string {
	switch c.Status {
	case statusOK:
		return "✓"
	case statusWarning:
		return "⚠"
	case statusFailed:
		return "✗"
	}
	return "·"
}

func (p *program) doctor(ctx context.Context) error {
	checks := p.programChecks()
	checks = append(checks, p.mongoChecks(ctx)...)
	checks = append(checks, p.embeddedChecks(ctx)...)
	checks = append(checks, p.terminalChecks()...)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	code := ExitOK
	for _, c := range checks {
		if c.Status == statusFailed {
			code = ExitUnreachable
		}
	}
	if err := p.printChecks(checks, code); err != nil {
		return err
	}
	if code != ExitOK {
		return exitError(code)
	}
	return nil
}

func (p *program) printChecks(checks []check, code int) error {
	if p.term.JSON() {
		return p.term.Result(struct {
			V      int     `json:"v"`
			Code   int     `json:"code"`
			Checks []check `json:"checks"`
		}{1, code, checks})
	}
	for _, c := range checks {
		if p.term.Plain() {
			if err := p.term.Print("%s", strings.Join([]string{c.Name, c.Status, oneLine(c.Text), oneLine(c.Fix)}, "\t")); err != nil {
				return err
			}
			continue
		}
		const column = 16 // below the text of the line
		text := strings.ReplaceAll(c.Text, "\n", "\n"+strings.Repeat(" ", column-2))
		if c.Fix != "" {
			text += "\n" + strings.Repeat(" ", column-2) + "fix: " + oneLine(c.Fix)
		}
		if err := p.term.Print("%s %-13s %s", c.sign(), c.Name, text); err != nil {
			return err
		}
	}
	return nil
}

func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }
