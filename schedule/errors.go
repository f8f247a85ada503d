package schedule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rikki-go/rikki/internal/occurrence"
	"github.com/rikki-go/rikki/params"
)

// Errors that callers branch on. What is wrong with a definition is an [*Error], an unknown script a
// [*rikki.UnknownScriptError].
var (
	// ErrNotFound is returned when no schedule has the name.
	ErrNotFound = errors.New("schedule: there is no such schedule")

	// ErrExists is returned by [Scheduler.Save] when the name is taken and it isn't told to replace.
	ErrExists = errors.New("schedule: a schedule of this name exists")

	// ErrNeverRuns is returned when a schedule has no time ahead of it.
	ErrNeverRuns = occurrence.ErrNoSlot

	// ErrState is returned when the schedule's state doesn't allow what was asked.
	ErrState = errors.New("schedule: not in this state")

	// ErrConflict is returned when others change the schedule again and again at the same time.
	ErrConflict = errors.New("schedule: changed by others meanwhile")
)

// Problem is one thing that is wrong with a definition.
type Problem struct {
	Field string `json:"field"`
	What  string `json:"what"`          // what is wrong, and why
	Fix   string `json:"fix,omitempty"` // what to do about it

	// Text is what was written; Width bytes of it, from Column on, are at fault. Without a Width no place is known.
	Text   string `json:"text,omitempty"`
	Column int    `json:"column,omitempty"`
	Width  int    `json:"width,omitempty"`

	// Line is where Text stands in a file, from 1 on.
	Line int `json:"line,omitempty"`
}

func (p Problem) String() string {
	return occurrence.Problem{Field: p.Field, What: p.What, Fix: p.Fix, Text: p.Text, Column: p.Column, Width: p.Width}.String()
}

// Error is everything that is wrong with a definition, at once.
type Error struct {
	Name     string    `json:"name,omitempty"` // of the schedule
	File     string    `json:"file,omitempty"`
	Problems []Problem `json:"problems"`
}

func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		if p.Line > 0 {
			fmt.Fprintf(&b, "%s:%d: ", e.File, p.Line)
		} else if e.Name != "" {
			fmt.Fprintf(&b, "schedule %s: ", e.Name)
		}
		b.WriteString(p.String())
	}
	return b.String()
}

type problems []Problem

func (ps *problems) add(field, what, fix string) {
	*ps = append(*ps, Problem{Field: field, What: what, Fix: fix})
}

// take adds what other packages have found.
func (ps *problems) take(err error) {
	if err == nil {
		return
	}
	if timing, ok := errors.AsType[*occurrence.Error](err); ok {
		for _, p := range timing.Problems {
			*ps = append(*ps, Problem{Field: p.Field, What: p.What, Fix: p.Fix, Text: p.Text, Column: p.Column, Width: p.Width})
		}
		return
	}
	if invalid, ok := errors.AsType[*params.Error](err); ok {
		for _, p := range invalid.Problems {
			ps.add("params", p.String(), "")
		}
		return
	}
	ps.add("script", err.Error(), "")
}

func (ps problems) err(name string) error {
	if len(ps) == 0 {
		return nil
	}
	return &Error{Name: name, Problems: ps}
}
