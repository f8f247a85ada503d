package cli

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	"github.com/rikki-go/rikki/embedded"
	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/internal/yamlfile"
	"github.com/rikki-go/rikki/params"
)

// Exit codes. They are stable: programs may rely on them.
const (
	ExitOK          = 0   // all went well
	ExitFailed      = 1   // the script failed, or an error of no other kind
	ExitUsage       = 2   // the command line or a parameter is wrong; nothing was run
	ExitPartly      = 3   // the script finished, but not for every item
	ExitInterrupted = 4   // the run was interrupted; run it again
	ExitCancelled   = 5   // the run was cancelled
	ExitRunning     = 6   // the script is running already
	ExitUnreachable = 7   // MongoDB or the configuration is out of reach
	ExitNoInput     = 8   // an answer was needed and nobody could be asked
	ExitDenied      = 9   // the account may not do this
	ExitSIGINT      = 130 // ended at once by a second Ctrl-C, or by the first where no run was under way
	ExitSIGTERM     = 143 // the same by SIGTERM
	exitBrokenPipe  = 141 // nobody reads the output any more; what a shell reports for SIGPIPE
)

// ExitCode is one line of the table in the help.
type ExitCode struct {
	Code    int    `json:"code"`
	Meaning string `json:"meaning"`
}

// ExitCodes returns every exit code with its meaning, in order.
func ExitCodes() []ExitCode {
	return []ExitCode{
		{ExitOK, "success"},
		{ExitFailed, "the script failed"},
		{ExitUsage, "wrong usage or parameters; nothing was run"},
		{ExitPartly, "finished, with errors for some items"},
		{ExitInterrupted, "stopped before its end; can be run again"},
		{ExitCancelled, "cancelled"},
		{ExitRunning, "already running"},
		{ExitUnreachable, "MongoDB or a configuration file cannot be reached"},
		{ExitNoInput, "confirmation needed, but nobody to ask"},
		{ExitDenied, "not permitted"},
		{ExitSIGINT, "ended at once by a second Ctrl-C"},
		{ExitSIGTERM, "ended at once by a second SIGTERM"},
	}
}

// exitError ends a command with a code when everything has been said already.
type exitError int

func (e exitError) Error() string { return "exit" }

// exitOf maps an error to the exit code.
func exitOf(err error) int {
	var (
		silent    exitError
		stated    *problemError
		signalled *SignalError
	)
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &silent):
		return int(silent)
	case errors.As(err, &stated):
		return stated.Code
	case errors.Is(err, syscall.EPIPE):
		return exitBrokenPipe
	case errors.As(err, &signalled):
		return signalled.exit()
	case isUsage(err):
		return ExitUsage
	case is[*rikki.AlreadyRunningError](err):
		return ExitRunning
	case errors.Is(err, term.ErrNoInput):
		return ExitNoInput
	case isDenied(err):
		return ExitDenied
	case isUnreachable(err):
		return ExitUnreachable
	case errors.Is(err, rikki.ErrInterrupted), errors.Is(err, rikki.ErrLeaseLost), errors.Is(err, rikki.ErrPaused):
		return ExitInterrupted
	case errors.Is(err, rikki.ErrCancelled), errors.Is(err, context.Canceled):
		return ExitCancelled
	default:
		return ExitFailed
	}
}

func isUsage(err error) bool {
	return is[*params.Error](err) || is[*yamlfile.Error](err) || is[*rikki.UnknownScriptError](err) || is[*rikki.AmbiguousError](err) ||
		errors.Is(err, rikki.ErrNotFound) || errors.Is(err, rikki.ErrNoHistory) || errors.Is(err, rikki.ErrState) || errors.Is(err, rikki.ErrSourceChanged)
}

func isUnreachable(err error) bool {
	return is[*conn.Error](err) || is[*embedded.Error](err) || is[*fs.PathError](err) ||
		mongo.IsNetworkError(err) || mongo.IsTimeout(err) || is[mongo.ServerError](err)
}

// isDenied recognizes the server's Unauthorized. Wrong credentials are another matter: with them nothing was reached.
func isDenied(err error) bool {
	const unauthorized = 13
	var server mongo.ServerError
	return !is[*conn.Error](err) && errors.As(err, &server) && server.HasErrorCode(unauthorized)
}

// exitOfRun is [exitOfState] for a run whose error is known: one that failed because of a missing right is denied.
func exitOfRun(state rikki.State, err error) int {
	code := exitOfState(state)
	if code == ExitFailed && isDenied(err) {
		return ExitDenied
	}
	return code
}

func is[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}

// exitOfState maps the outcome of a run to the exit code.
func exitOfState(state rikki.State) int {
	switch state {
	case rikki.Succeeded:
		return ExitOK
	case rikki.SucceededWithErrors:
		return ExitPartly
	case rikki.Interrupted, rikki.Paused:
		return ExitInterrupted
	case rikki.Cancelled:
		return ExitCancelled
	default:
		return ExitFailed
	}
}
