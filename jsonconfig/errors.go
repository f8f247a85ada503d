package jsonconfig

import (
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// What errors of this package are, to be asked with [errors.Is].
var (
	// ErrNotFound means that there is no config of this key, or no such
	// version. The error is a [*NotFoundError].
	ErrNotFound = errors.New("jsonconfig: not found")

	// ErrConflict means that somebody else was first: the config has a newer
	// version, or the slug or alias is taken. The error is a [*ConflictError].
	ErrConflict = errors.New("jsonconfig: conflict")

	// ErrInvalid means that a config can't be stored as it is. The error is an
	// [*InvalidError].
	ErrInvalid = errors.New("jsonconfig: invalid config")
)

// NotFoundError says what is missing. It is [ErrNotFound].
type NotFoundError struct {
	// Key is the slug or alias asked for.
	Key string

	// Version is the version asked for, or 0 for the newest.
	Version int64

	// DeletedIn is the version that deleted the config, or 0.
	DeletedIn int64
}

// Error implements error.
func (e *NotFoundError) Error() string {
	switch {
	case e.DeletedIn > 0:
		return fmt.Sprintf("config %q was deleted in version %d: revert it to version %d, or create it again",
			e.Key, e.DeletedIn, e.DeletedIn-1)
	case e.Version != 0:
		return fmt.Sprintf("config %q has no version %d: see its history", e.Key, e.Version)
	default:
		return fmt.Sprintf("no config has the slug or alias %q: list the configs, or create it", e.Key)
	}
}

// Is makes the error an [ErrNotFound].
func (*NotFoundError) Is(target error) bool { return target == ErrNotFound }

// ConflictError says who was in the way. It is [ErrConflict].
type ConflictError struct {
	// Slug is the config that was to be written.
	Slug string

	// Key is the slug or alias that is taken, by the config named Owner. It is
	// empty when the version is what conflicts.
	Key   string
	Owner string // empty when it could not be found out

	// Expected is the version that the change was based on, and Actual the one
	// that the config has.
	Expected int64
	Actual   int64
}

// Error implements error.
func (e *ConflictError) Error() string {
	switch {
	case e.Key == "":
		return fmt.Sprintf("config %q is at version %d, not %d, because somebody else changed it: read it again and repeat your change",
			e.Slug, e.Actual, e.Expected)
	case e.Key == e.Slug && e.Owner == e.Slug:
		return fmt.Sprintf("config %q exists already: change it, or choose another slug", e.Slug)
	case e.Owner == "":
		return fmt.Sprintf("config %q: %q is taken: choose another name", e.Slug, e.Key)
	default:
		return fmt.Sprintf("config %q: %q is a name of config %q: choose another one", e.Slug, e.Key, e.Owner)
	}
}

// Is makes the error an [ErrConflict].
func (*ConflictError) Is(target error) bool { return target == ErrConflict }

// InvalidError lists everything that is wrong with a config. It is [ErrInvalid].
type InvalidError struct {
	// Slug is the config, where it is known.
	Slug     string
	Problems []string
}

// Error implements error.
func (e *InvalidError) Error() string {
	what := "config value"
	if e.Slug != "" {
		what = fmt.Sprintf("config %q", e.Slug)
	}
	return what + ": " + strings.Join(e.Problems, "; ")
}

// Is makes the error an [ErrInvalid].
func (*InvalidError) Is(target error) bool { return target == ErrInvalid }

// takenKey returns the key that the unique index refused.
func takenKey(err error) (string, bool) {
	if !mongo.IsDuplicateKeyError(err) {
		return "", false
	}
	var command mongo.CommandError
	if !errors.As(err, &command) {
		return "", true
	}
	values, ok := command.Raw.Lookup("keyValue").DocumentOK()
	if !ok {
		return "", true
	}
	elements, decodeErr := values.Elements()
	if decodeErr != nil || len(elements) == 0 {
		return "", true
	}
	key, _ := elements[0].Value().StringValueOK()
	return key, true
}
