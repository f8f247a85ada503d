package occurrence

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoSlot is returned by [Plan.Check]: the schedule has no slot ahead of it, so saving it would be a mistake.
var ErrNoSlot = errors.New("the schedule would never run")

// Problem is one thing wrong with a [Definition].
type Problem struct {
	// Field is the field of the definition: cron, every, once, zone, start, end, jitter, kind.
	Field string
	// What says what is wrong and why, Fix what to do about it.
	What, Fix string
	// Text is what the user wrote; Width bytes of it, from Column on (from 0), are at fault. Width 0: no place is known.
	Text          string
	Column, Width int
}

// String is the problem on one line, with the offending part under a caret where it is known.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", p.Field, p.What)
	if p.Width > 0 {
		fmt.Fprintf(&b, "\n  %s\n  %s%s", p.Text, strings.Repeat(" ", p.Column), strings.Repeat("^", p.Width))
	}
	if p.Fix != "" {
		b.WriteString("\n  " + p.Fix)
	}
	return b.String()
}

// Error is everything wrong with a [Definition], at once.
type Error struct{ Problems []Problem }

// Error lists the problems, one after the other.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects what is wrong.
type problems []Problem

func (ps *problems) add(field, what, fix string) {
	*ps = append(*ps, Problem{Field: field, What: what, Fix: fix})
}

func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return &Error{Problems: ps}
}
