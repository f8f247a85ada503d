package rikki

import (
	"fmt"
	"strings"
	"sync"
)

// A Level says how grave a [Finding] is.
type Level string

// The levels of a finding.
const (
	LevelWarning Level = "warning"
	LevelError   Level = "error"
)

// A Finding is one thing that [Validator.Validate] has to say.
type Finding struct {
	Level   Level  `json:"level"`
	Message string `json:"message"`
}

// Findings collects what a [Validator] finds, so that all of it can be
// reported at once. Its methods may be called from several goroutines.
type Findings struct {
	mu   sync.Mutex
	list []Finding
}

// Warnf records a warning: the run goes on, and the warning is logged and kept
// in the history.
func (f *Findings) Warnf(format string, args ...any) {
	f.add(LevelWarning, fmt.Sprintf(format, args...))
}

// Errorf records an error: the run ends with a [*ValidationError] once
// Validate has returned.
func (f *Findings) Errorf(format string, args ...any) {
	f.add(LevelError, fmt.Sprintf(format, args...))
}

// All returns a copy of what was found so far, in order.
func (f *Findings) All() []Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Finding(nil), f.list...)
}

func (f *Findings) add(level Level, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, Finding{Level: level, Message: message})
}

// errors returns the findings that stop the run.
func (f *Findings) errors() []Finding {
	var found []Finding
	for _, finding := range f.All() {
		if finding.Level == LevelError {
			found = append(found, finding)
		}
	}
	return found
}

// ValidationError is returned when [Validator.Validate] found errors. Nothing
// was executed.
type ValidationError struct {
	Findings []Finding // the errors among the findings, at least one
}

func (e *ValidationError) Error() string {
	messages := make([]string, len(e.Findings))
	for i, finding := range e.Findings {
		messages[i] = finding.Message
	}
	return "validation failed: " + strings.Join(messages, "; ")
}
