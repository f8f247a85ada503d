package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/rikki-go/rikki/internal/plain"
)

// Errors that callers branch on.
var (
	// ErrLeaseLost says that the run has another owner by now, or none: nothing was written.
	ErrLeaseLost = errors.New("the run's lease is lost: another process took the run over, or it has ended")
	// ErrNotFound says that no run has this id or prefix.
	ErrNotFound = errors.New("no such run")
	// ErrDuplicateID says that a run with this id exists; take a new one.
	ErrDuplicateID = errors.New("a run with this id exists already")
	// ErrTransition says that a run can't go from its state to the one that was asked for.
	ErrTransition = errors.New("no such change of state")
	// ErrNoAccess says that the account may not do this in Rikki's database.
	ErrNoAccess = errors.New("the account has no access to Rikki's database")
)

// BusyError says that the script has as many active runs as it may have.
type BusyError struct {
	// Holder is the active run that started first.
	Holder Run
	// Limit is how many may be active at once.
	Limit int
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%s is running already: run %s, by %s on %s (pid %d), since %s",
		e.Holder.Script, e.Holder.ID, e.Holder.Actor, e.Holder.Lease.Owner.Host, e.Holder.Lease.Owner.PID,
		e.Holder.StartedAt.UTC().Format("2006-01-02 15:04:05 MST"))
}

// AmbiguousError says that a prefix fits more than one run.
type AmbiguousError struct {
	Prefix string
	// Candidates are some of the runs that fit, newest first.
	Candidates []Run
}

func (e *AmbiguousError) Error() string {
	ids := make([]string, len(e.Candidates))
	for i, r := range e.Candidates {
		ids[i] = r.ID
	}
	return fmt.Sprintf("%q fits more than one run: %s; give more of the id", e.Prefix, strings.Join(ids, ", "))
}

// Server error codes that mean something here.
const (
	codeBadValue         = 2
	codeUnauthorized     = 13
	codeIllegalOperation = 20  // a document of a capped collection can't be deleted
	codeNoView           = 166 // CommandNotSupportedOnView
	codeNotInTransaction = 263 // OperationNotSupportedInTransaction: a capped collection
	codeAtlas            = 8000
	codeDuplicateKey     = 11000
)

// wrap names the operation and makes a refusal of rights recognisable.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if noAccess(err) && !errors.Is(err, ErrNoAccess) {
		return &refusal{fmt.Errorf("%s: %w: %w", op, ErrNoAccess, err)}
	}
	return fmt.Errorf("%s: %w", op, err)
}

// refusal is an error of an account without the right, in fewer words than the server's: those repeat the whole command.
type refusal struct{ error }

func (e *refusal) Error() string { return plain.Refusal(e.error.Error()) }
func (e *refusal) Unwrap() error { return e.error }

// OwnError is an error of a collection of Rikki's own beside whose writes those of a script stand: it is no fault of theirs.
type OwnError struct{ error }

func (e *OwnError) Unwrap() error { return e.error }

// own is like wrap. Where the server refuses for good, it says what such a collection has to be.
func own(coll *mongo.Collection, op string, err error) error {
	server, refused := errors.AsType[mongo.ServerError](err)
	if !refused || server.HasErrorLabel("TransientTransactionError") {
		return wrap(op, err)
	}
	name, need := coll.Database().Name()+"."+coll.Name(), "is Rikki's own, and no document is to blame"
	switch {
	case noAccess(err):
		need = "has to be writable: grant the account what docs/features/permissions.md lists for it"
	case isCode(err, codeNoView, codeNotInTransaction, codeIllegalOperation):
		need = "has to be a plain collection, neither a view nor capped: rename or drop it, and run again; it is made anew"
	}
	return &OwnError{fmt.Errorf("%w; %s %s", wrap(op, err), name, need)}
}

func noAccess(err error) bool {
	var se mongo.ServerError
	if !errors.As(err, &se) {
		return false
	}
	// Atlas answers with a code of its own for many things; only its text tells.
	return se.HasErrorCode(codeUnauthorized) ||
		se.HasErrorCode(codeAtlas) && strings.Contains(err.Error(), "not allowed to do action")
}

// roleChanges are the codes of a server that leads no more, or not yet, or shuts down.
var roleChanges = []int{91, 189, 10058, 10107, 11600, 11602, 13435, 13436} //nolint:gochecknoglobals // a constant

// IsRoleChange finds what a server answers that can't serve a command for now. It labels only those commands that the driver tries again
// by itself, and an update of many documents is none, nor is the build of an index.
func IsRoleChange(err error) bool {
	command, ok := errors.AsType[mongo.CommandError](err)
	return ok && slices.Contains(roleChanges, int(command.Code))
}
