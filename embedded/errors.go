package embedded

import (
	"errors"
	"fmt"
	"strings"
)

// Reasons a server could not be had. Every error of this package that has one
// of them as its cause is an [*Error]; test with [errors.Is].
var (
	// ErrNoBinary means that no usable mongod was found and none could be fetched.
	ErrNoBinary = errors.New("embedded: no mongod binary")
	// ErrOffline means that a mongod would have to be downloaded and Options.Offline forbids it.
	ErrOffline = errors.New("embedded: download not allowed")
	// ErrChecksum means that a file is not the one it should be. It was not executed.
	ErrChecksum = errors.New("embedded: checksum mismatch")
	// ErrTooOld means that the mongod found is older than [MinVersion].
	ErrTooOld = errors.New("embedded: mongod too old")
	// ErrMissingLibrary means that the system's loader could not start the binary.
	ErrMissingLibrary = errors.New("embedded: missing shared library")
	// ErrExited means that mongod ended before it was ready; the [*ExitError] in the chain says more.
	ErrExited = errors.New("embedded: mongod exited before it was ready")
	// ErrStartTimeout means that mongod was still not ready after Options.StartTimeout.
	ErrStartTimeout = errors.New("embedded: mongod not ready in time")
	// ErrStopped means that the Server was stopped already.
	ErrStopped = errors.New("embedded: server is stopped")
)

// Error says what failed, why, and what to do about it.
type Error struct {
	// What failed, without the package's name.
	What string
	// Why it failed.
	Why string
	// Fix is what the reader can do. It may have several lines.
	Fix string
	// Err is the cause; one of the package's sentinels is in its chain.
	Err error
}

// Error returns the three parts on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if e.Why != "" {
		b.WriteString(": " + e.Why)
	}
	if e.Fix != "" {
		b.WriteString(" (fix: " + strings.ReplaceAll(e.Fix, "\n", "; ") + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Explain returns the three parts, for a printer that gives each its line.
func (e *Error) Explain() (what, why, fix string) { return e.What, e.Why, e.Fix }

// ExitError describes a mongod that ended by itself.
type ExitError struct {
	// Code is the exit code, -1 when a signal ended the process.
	Code int
	// Signal names the signal that ended the process, if one did.
	Signal string
	// Lines are the last warnings and errors of mongod's log, at most 20, or
	// the last lines of its output when it never got as far as logging.
	Lines []string
}

// Error names the exit code or the signal.
func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "mongod was ended by signal " + e.Signal
	}
	return fmt.Sprintf("mongod exited with code %d", e.Code)
}

// Is makes errors.Is(err, ErrExited) hold.
func (e *ExitError) Is(target error) bool { return target == ErrExited }
