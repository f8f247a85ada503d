package measure

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"
)

// Goal is a figure that the project wants to keep.
type Goal struct {
	What    string  `json:"what"`
	Value   Span    `json:"value"`
	AtMost  float64 `json:"at_most,omitempty"`
	AtLeast float64 `json:"at_least,omitempty"`
	Reached bool    `json:"reached"`
}

// Of returns the goal with what was measured, and false where that is nothing: a contestant is missing, and listed as such, or
// wasn't asked for.
func (g Goal) Of(value Span) (Goal, bool) {
	g.Value = value
	g.Reached = value.Median <= cmp.Or(g.AtMost, value.Median) && value.Median >= g.AtLeast
	return g, value != Span{}
}

// Bound is what is wanted, in a word.
func (g Goal) Bound() string {
	if g.AtLeast > 0 {
		return fmt.Sprintf("≥ %g", g.AtLeast)
	}
	return fmt.Sprintf("≤ %g", g.AtMost)
}

// Verdict tells whether the goal is reached.
func (g Goal) Verdict() string { return Verdict(g.Reached) }

// Verdict is how a table says whether a goal is reached.
func Verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "MISSED"
}

// Machine is where something was measured, and when.
type Machine struct {
	Time time.Time `json:"time"`
	Go   string    `json:"go"`
	OS   string    `json:"os"`
	Arch string    `json:"arch"`
	CPUs int       `json:"cpus"`
}

// Here is this machine.
func Here() Machine {
	return Machine{Time: time.Now().UTC(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU()}
}

func (m Machine) String() string {
	return fmt.Sprintf("%s/%s, %d CPUs, %s", m.OS, m.Arch, m.CPUs, m.Go)
}

// Keep writes figures to a file, as JSON. Without a name it does nothing.
func Keep(file string, figures any) error {
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o600)
}
