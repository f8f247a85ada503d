package conn

import "errors"

// Errors to compare with errors.Is. Each covers several kinds of [*Error].
var (
	// ErrUnreachable is a deployment that could not be talked to, or that has no
	// primary.
	ErrUnreachable = errors.New("conn: MongoDB is unreachable")
	// ErrAuth is a deployment that did not accept the credentials.
	ErrAuth = errors.New("conn: MongoDB refused the credentials")
	// ErrBadURI is a configuration with which nothing can be reached.
	ErrBadURI = errors.New("conn: bad MongoDB URI")
	// ErrStandalone is a server without transactions and change streams.
	ErrStandalone = errors.New("conn: MongoDB is a standalone server")
	// ErrClosed is an Acquire that was overtaken by Close.
	ErrClosed = errors.New("conn: the source was closed meanwhile")
)

// Kind says what a failure is about.
type Kind string

// The kinds of failures.
const (
	BadURI         Kind = "bad URI"
	NoDatabase     Kind = "no database"
	DNS            Kind = "DNS"
	Refused        Kind = "refused"
	Dropped        Kind = "dropped" // the connection was cut
	TLS            Kind = "TLS"
	Auth           Kind = "auth"
	ReplicaSetName Kind = "replica set name"
	Uninitiated    Kind = "uninitiated replica set"
	NotPrimary     Kind = "no primary"
	Standalone     Kind = "standalone"
	Timeout        Kind = "timeout"
	Other          Kind = "other"
)

// permanent reports whether trying again soon cannot help.
func (k Kind) permanent() bool {
	switch k {
	case BadURI, NoDatabase, DNS, TLS, Auth, ReplicaSetName, Standalone:
		return true
	default:
		return false
	}
}

// An Error is a failure to connect, told in three parts for people. It holds no
// secret.
type Error struct {
	Kind   Kind
	URI    string // safe to show
	Origin string // where the URI came from
	What   string // what went wrong, one line
	Why    string // the cause, as far as it is known
	Fix    string // what to do about it
	// Err is the driver's error, whose text is redacted. What errors.As finds behind
	// it is not.
	Err error
}

// Error returns What and Why in one line.
func (e *Error) Error() string { return e.What + ": " + e.Why }

// Explain returns the three parts, as every error for people in this module does.
func (e *Error) Explain() (what, why, fix string) { return e.What, e.Why, e.Fix }

// Unwrap returns the driver's error.
func (e *Error) Unwrap() error { return e.Err }

// Is makes an Error equal to the sentinel that covers its kind.
func (e *Error) Is(target error) bool {
	switch e.Kind {
	case BadURI, NoDatabase:
		return target == ErrBadURI
	case Auth:
		return target == ErrAuth
	case Standalone:
		return target == ErrStandalone
	default:
		return target == ErrUnreachable
	}
}

// KindOf returns the kind of an [*Error] in err's chain, and "" without one.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}
