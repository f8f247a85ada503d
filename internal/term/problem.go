package term

import "strings"

// Problem is an error as a person needs it: what happened, why, and what to do about it.
type Problem struct {
	// What is one line: "cannot reach MongoDB at mongodb://***@db1:27017 (5s)".
	What string
	// Why is the cause in one line. Empty when What already says it.
	Why string
	// Fix is what to do. Empty when nothing can be done.
	Fix string
	// Stack is printed as it is, below; callers set it only for --debug.
	Stack string
	// Code is the exit code, for the JSON twin.
	Code int
}

type problemJSON struct {
	V     int    `json:"v"`
	Type  string `json:"type"`
	Code  int    `json:"code"`
	Error string `json:"error"`
	Why   string `json:"why,omitempty"`
	Fix   string `json:"fix,omitempty"`
	Stack string `json:"stack,omitempty"`
}

// Problem prints an error in three lines on stderr; under --json it is an object on stdout, like every other answer.
func (t *Term) Problem(p Problem) {
	if t.opts.JSON {
		// A failed write to stdout cannot be reported anywhere better than the exit code that follows.
		_ = t.Event(problemJSON{
			V: 1, Type: "error", Code: p.Code,
			Error: t.redact(p.What), Why: t.redact(p.Why), Fix: t.redact(p.Fix), Stack: t.redact(p.Stack),
		})
		return
	}
	var b strings.Builder
	b.WriteString(paint(t.errColor, red, "error:") + " " + t.lines(p.What) + "\n")
	if p.Why != "" {
		b.WriteString("  " + paint(t.errColor, bold, "why:") + " " + t.indented(p.Why) + "\n")
	}
	if p.Fix != "" {
		b.WriteString("  " + paint(t.errColor, bold, "fix:") + " " + t.indented(p.Fix) + "\n")
	}
	if p.Stack != "" {
		b.WriteString(paint(t.errColor, dim, t.lines(strings.TrimRight(p.Stack, "\n"))) + "\n")
	}
	t.line(strings.TrimSuffix(b.String(), "\n"))
}

// indented aligns further lines with the text after "why: ".
func (t *Term) indented(s string) string {
	return strings.ReplaceAll(Block(t.redact(strings.TrimRight(s, "\n"))), "\n", "\n       ")
}
