package conn

import (
	"fmt"
	"strings"
	"time"
)

// newError words a failure for people.
func (s *Source) newError(kind Kind, err error, took time.Duration, why string) error {
	return &Error{
		Kind: kind, URI: s.URI(), Origin: s.Origin(),
		What: s.what(kind, took), Why: strings.TrimSuffix(why, "."), Fix: s.fix(kind),
		Err: err,
	}
}

func (s *Source) standaloneError() error {
	return s.newError(Standalone, nil, 0, "a standalone server has neither transactions nor change streams")
}

func (s *Source) what(kind Kind, took time.Duration) string {
	switch kind {
	case BadURI:
		return fmt.Sprintf("bad MongoDB URI %s (%s)", s.URI(), s.from())
	case NoDatabase:
		return fmt.Sprintf("no database named in MongoDB URI %s (%s)", s.URI(), s.from())
	case Auth:
		return "MongoDB refused the credentials at " + s.URI()
	case Standalone:
		return "MongoDB is a standalone server at " + s.URI()
	default:
		return fmt.Sprintf("cannot reach MongoDB at %s (%s)", s.URI(), rounded(took))
	}
}

func rounded(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// from says where the URI came from.
func (s *Source) from() string {
	switch origin := s.Origin(); origin {
	case OriginConfig:
		return "from the program's configuration"
	case OriginDefault:
		return "the default"
	default:
		return "from " + origin
	}
}

func (s *Source) fix(kind Kind) string {
	if s.Origin() == OriginDefault {
		switch kind { //nolint:exhaustive // something that answered wrongly there needs the fixes below
		case Refused, DNS, Timeout, Dropped, Other:
			return "set MONGODB_URI to your deployment, or start a local one with --embedded"
		}
	}
	switch kind {
	case BadURI:
		return "write it as mongodb://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS, and percent-encode : / ? # [ ] @ % in user and password"
	case NoDatabase:
		return "add the database to the URI's path: mongodb://HOST:PORT/DATABASE"
	case DNS:
		return "check the spelling of the host, the VPN and the DNS server"
	case Refused:
		return "check host and port, and that mongod is running and listens on that address"
	case Dropped:
		return "check that the port is MongoDB's; if the server requires TLS, add tls=true to the URI"
	case TLS:
		return "name the authority that signed the server's certificate with tlsCAFile, use the host name that the certificate is for, or leave tls out for a server without TLS"
	case Auth:
		return "check user and password, and that authSource names the database that the user was created in (often admin)"
	case ReplicaSetName:
		return "correct replicaSet in the URI"
	case Uninitiated:
		return "run rs.initiate() on one member"
	case NotPrimary:
		return "wait for the election, and check that a majority of the members is up: rs.status()"
	case Standalone:
		return "start mongod with --replSet NAME and run rs.initiate() once; a single member is enough"
	case Timeout:
		return "check address, firewall and VPN, and whether the server is overloaded"
	default:
		return "check the URI (" + s.from() + ") and the server's log"
	}
}
