package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki"
	"github.com/rikki-go/rikki/internal/journal"
	"github.com/rikki-go/rikki/internal/store"
)

// Errors that callers branch on.
var (
	// ErrKey says that a script would change the key that its walk goes by, or the
	// _id of a document.
	ErrKey = errors.New("backfill: the script changes the key")

	// ErrCannotWalk says that a collection can't be walked: a view, a capped or a
	// time-series collection, a key without a suitable index.
	ErrCannotWalk = errors.New("backfill: the collection can't be walked")

	// ErrCollectionChanged says that a run can't go on, since its collection was
	// renamed, dropped or replaced, or since the index of its key is another one. The
	// run has paused, and goes on where it was once both are back.
	ErrCollectionChanged = errors.New("backfill: the collection, or the index of its key, is not the one that the run was planned with")

	// ErrGuard says that a run was stopped because it would have done more than
	// was announced.
	ErrGuard = errors.New("backfill: stopped by its guard")

	// ErrNoUndo says that a run can't be undone.
	ErrNoUndo = errors.New("backfill: the run can't be undone")
)

// verdict is what a failed attempt at a chunk means.
type verdict int

const (
	again    verdict = iota // nothing was done; the same may succeed
	smaller                 // too large or too slow: less at a time
	unknown                 // the commit may have happened: look
	expired                 // the server has ended the transaction at its limit of time: less at a time
	slow                    // the author's function takes longer than a transaction may: less at a time
	lost                    // somebody else owns the run, or has done the chunk
	document                // one of its documents can't be done
	fatal
)

// Codes of the server that decide.
const (
	codeMaxTime           = 50
	codeWriteConflict     = 112
	codeNoSuchTxn         = 251
	codeLifetime          = 290 // TransactionExceededLifetimeLimitSeconds
	codeCacheTooSmall     = 388 // TransactionTooLargeForCache
	codeTxnTooLarge       = 257
	codeObjectTooLarge    = 10334
	codeMemory            = 146 // ExceededMemoryLimit
	codeUnauthorized      = 13
	codeKeyTooBig         = 17280
	codeValidation        = 121
	codeImmutable         = 66
	codeTransactionsOff   = 20 // IllegalOperation: a standalone server
	codeOutOfDiskSpace    = 14031
	codeNotInTransaction  = 263 // OperationNotSupportedInTransaction
	codeOtherCollection   = 361 // CollectionUUIDMismatch
	codeView              = 166 // CommandNotSupportedOnView
	codeBadValue          = 2
	codeNamespaceNotFound = 26
	codeIndexNotFound     = 27
	codeNoPlan            = 291 // NoQueryExecutionPlans
)

// passing are the codes of what the server says of a command that it ended, or of a snapshot that it has no more: nobody is to blame.
var passing = []int{ //nolint:gochecknoglobals // a constant
	6, 7, 89, 202, 9001, // the way to another server
	24, 46, 262, // locks, and time
	43, 175, 237, // cursors and plans that were ended
	225, 239, 246, // snapshots
	11601, // killOp
}

// lasting are the codes of what stays as it is until somebody has seen to it, in collections of Rikki's own: rights, the kind of the
// collection, validators and indexes that others have made there.
var lasting = []int{codeUnauthorized, codeTransactionsOff, codeNotInTransaction, codeView, codeValidation, 73, 11000, codeOutOfDiskSpace} //nolint:gochecknoglobals // a constant

// commitError is an error of a commit that doesn't say that nothing happened.
type commitError struct{ error }

func (e commitError) Unwrap() error { return e.error }

// documentError is what a write says about one of the documents of a chunk.
type documentError struct {
	index int // of the item in the chunk
	class string
	err   error
}

func (e *documentError) Error() string { return e.err.Error() }
func (e *documentError) Unwrap() error { return e.err }

// judge decides what to do about the error of an attempt.
func judge(err error) verdict {
	var commit commitError
	var doc *documentError
	var own *store.OwnError
	switch {
	case errors.Is(err, store.ErrLeaseLost):
		return lost
	case errors.As(err, &commit):
		return unknown
	case errors.Is(err, ErrGuard), errors.Is(err, ErrKey), errors.Is(err, ErrCollectionChanged):
		return fatal
	case errors.As(err, &own) && hasAnyCode(err, codeMaxTime):
		return again
	case errors.Is(err, errUnseen), errors.Is(err, errSelection):
		return again
	case errors.As(err, &doc):
		return document
	case errors.As(err, new(*rikki.PanicError)):
		return fatal
	case errors.Is(err, journal.ErrTooLarge):
		return smaller
	case hasAnyCode(err, codeLifetime, codeCacheTooSmall, codeTxnTooLarge, codeMemory, codeMaxTime, codeObjectTooLarge),
		saysTooLarge(err):
		return smaller
	case hasAnyCode(err, codeUnauthorized, codeTransactionsOff, codeOutOfDiskSpace, codeNotInTransaction):
		return fatal
	case errors.Is(err, errWhole), errors.Is(err, errInOrder), rikki.IsTransient(err), errors.Is(err, context.DeadlineExceeded), mongo.IsTimeout(err), hasAnyCode(err, codeNoSuchTxn, codeWriteConflict),
		hasAnyCode(err, passing...):
		return again
	case errors.As(err, &own) && hasAnyCode(err, lasting...):
		return fatal
	case errors.As(err, &own):
		return again
	case isServerError(err):
		return document // what the server refuses here may be one document's fault
	default:
		return fatal
	}
}

// saysTooLarge knows errors by their words that have no code of their own.
func saysTooLarge(err error) bool {
	text := fmt.Sprint(err)
	return strings.Contains(text, "BSONObj size") || strings.Contains(text, "too large and will not fit in the storage engine cache")
}

func isServerError(err error) bool {
	_, ok := errors.AsType[mongo.ServerError](err)
	return ok
}

func hasAnyCode(err error, codes ...int) bool {
	server, ok := errors.AsType[mongo.ServerError](err)
	if !ok {
		return false
	}
	return slices.ContainsFunc(codes, server.HasErrorCode)
}

func hasLabel(err error, label string) bool {
	labelled, ok := errors.AsType[mongo.LabeledError](err)
	return ok && labelled.HasErrorLabel(label)
}

// failedError is the error of a document without all that may hang on it: it is held until the whole chunk is done.
type failedError struct{ class, message, stack string }

func (e *failedError) Error() string { return e.message }

func failed(err error) error {
	if err == nil {
		return nil
	}
	return &failedError{class: classOf(err), message: clipped(err), stack: stackOf(err)}
}

// classOf groups errors that are alike, whatever document they are about.
func classOf(err error) string {
	if f, ok := errors.AsType[*failedError](err); ok {
		return f.class
	}
	if errors.As(err, new(*rikki.PanicError)) {
		return "panic"
	}
	if we, ok := errors.AsType[mongo.WriteException](err); ok && len(we.WriteErrors) > 0 {
		return fmt.Sprintf("server error %d", we.WriteErrors[0].Code)
	}
	if ce, ok := errors.AsType[mongo.CommandError](err); ok {
		return cmp.Or(ce.Name, fmt.Sprintf("server error %d", ce.Code))
	}
	switch kind := fmt.Sprintf("%T", root(err)); kind {
	case "*errors.errorString", "*fmt.wrapError", "*fmt.wrapErrors", "*errors.joinError":
		return "error" // of no type of its own
	default:
		return kind
	}
}

// root is the innermost error of a chain.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
