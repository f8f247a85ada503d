package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"syscall"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/conn"
	textof "github.com/rikki-go/rikki/internal/plain"
	"github.com/rikki-go/rikki/internal/redact"
	"github.com/rikki-go/rikki/internal/term"
	"github.com/rikki-go/rikki/params"
)

// problemError is an error of the command line itself, in the three parts that people get to see.
type problemError struct {
	What, Why, Fix string
	Code           int
	Err            error
}

func (e *problemError) Error() string {
	if e.Why == "" {
		return e.What
	}
	return e.What + ": " + e.Why
}

func (e *problemError) Unwrap() error { return e.Err }

func problemf(code int, format string, args ...any) *problemError {
	return &problemError{What: fmt.Sprintf(format, args...), Code: code}
}

// explained is an error that tells its three parts by itself.
type explained interface {
	error
	Explain() (what, why, fix string)
}

// problem turns an error into what people get to see. It is false for errors about which nothing is left to say.
func (p *program) problem(err error, code int) (term.Problem, bool) {
	if err == nil || is[exitError](err) || errors.Is(err, syscall.EPIPE) {
		return term.Problem{}, false
	}
	problem := p.words(err, code)
	problem.Code = code
	if p.flags.Debug {
		problem.Stack = stackOf(err)
	}
	return problem, true
}

func (p *program) words(err error, code int) term.Problem {
	var (
		own       *problemError
		connect   *conn.Error
		teller    explained
		invalid   *params.Error
		running   *rikki.AlreadyRunningError
		ambiguous *rikki.AmbiguousError
		unknown   *rikki.UnknownScriptError
	)
	switch {
	case errors.As(err, &own):
		return term.Problem{What: own.What, Why: own.Why, Fix: own.Fix}
	case errors.As(err, &connect):
		return term.Problem{What: connect.What, Why: connect.Why, Fix: p.connectFix(connect)}
	case errors.As(err, &teller):
		what, why, fix := teller.Explain()
		return term.Problem{What: what, Why: why, Fix: fix}
	case errors.As(err, &invalid):
		return term.Problem{What: invalid.Error()}
	case errors.As(err, &running):
		return p.runningWords(running)
	case errors.As(err, &ambiguous):
		return term.Problem{What: ambiguous.Error(), Fix: "give more of the ID"}
	case errors.As(err, &unknown):
		return p.unknownScriptWords(unknown)
	case errors.Is(err, rikki.ErrNotFound):
		return term.Problem{What: plain(err), Fix: "see " + p.call("runs", "list") + " for what there is"}
	case errors.Is(err, rikki.ErrNoHistory):
		return term.Problem{What: plain(err), Fix: "leave out --no-history, and NoHistory in the program's Config"}
	case errors.Is(err, term.ErrNoInput):
		return term.Problem{What: plain(err), Fix: "answer on a terminal, or say --yes"}
	}
	return p.otherWords(err, code)
}

// deniedFix is what to do about a missing right.
const deniedFix = "grant the account the right, or use another account; docs/features/permissions.md has the roles that Rikki needs"

// otherWords explains errors that come from outside: the server, the file system, a signal, or who knows where.
func (p *program) otherWords(err error, code int) term.Problem {
	switch {
	case code == ExitDenied:
		return term.Problem{
			What: "MongoDB did not permit this", Why: plain(err),
			Fix: deniedFix,
		}
	case code == ExitInterrupted, code == ExitCancelled, code == ExitSIGINT, code == ExitSIGTERM:
		return term.Problem{What: plain(err)}
	case is[*fs.PathError](err):
		return term.Problem{What: plain(err), Fix: "check the file's name and your rights"}
	case mongo.IsTimeout(err), mongo.IsNetworkError(err):
		return term.Problem{
			What: "the connection to MongoDB failed", Why: plain(err), Fix: "try " + p.call("doctor"),
		}
	case is[mongo.ServerError](err):
		return term.Problem{What: "MongoDB refused a command", Why: plain(err), Fix: "try " + p.call("doctor")}
	}
	return term.Problem{
		What: plain(err),
		Fix: "if this looks like a fault of rikki, report it with this text and the output of " + p.call("version") +
			" at https://github.com/rikki-go/rikki/issues",
	}
}

func (p *program) connectFix(err *conn.Error) string {
	if err.Kind == conn.BadURI || err.Kind == conn.NoDatabase || p.alone {
		return err.Fix
	}
	return strings.TrimRight(err.Fix, ".;") + "; " + p.call("doctor") + " tells more"
}

func (p *program) runningWords(err *rikki.AlreadyRunningError) term.Problem {
	return term.Problem{
		What: err.Error(),
		Fix: "watch it: " + p.call("runs", "watch", err.Holder) +
			"\nallow parallel runs: set Concurrency in the script's Options",
	}
}

func (p *program) unknownScriptWords(err *rikki.UnknownScriptError) term.Problem {
	problem := term.Problem{What: err.Error()}
	if len(p.app.Scripts) == 0 {
		problem.Why = "this program has no scripts"
		problem.Fix = "make one: " + p.call("new", "script", "NAME")
		return problem
	}
	problem.Fix = "see " + p.call("list") + " for what there is"
	return problem
}

// plain is an error's text without the prefixes by which Go programs know where it is from.
func plain(err error) string { return plainText(err.Error()) }

// plainText is the same for the text of an error.
func plainText(text string) string {
	text = strings.ReplaceAll(textof.Refusal(redact.Text(text)), "rikki: ", "")
	return strings.ReplaceAll(strings.TrimPrefix(text, "backfill: "), ": backfill: ", ": ")
}

// reason is the innermost part of a file error: the file's name is said already.
func reason(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err.Error()
	}
	return err.Error()
}

func stackOf(err error) string {
	if panicked, ok := errors.AsType[*rikki.PanicError](err); ok {
		return panicked.Stack
	}
	return string(debug.Stack())
}
