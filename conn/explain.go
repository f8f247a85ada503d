package conn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// authCodes are the server's codes for credentials that it does not accept:
// AuthenticationFailed, Unauthorized, AuthMechanismUnavailable… and Atlas's own.
var authCodes = [...]int{18, 334, 8000}

// explain turns the driver's error into one for people. The driver says "server
// selection timeout" for most of them; what the hosts answered is in the facts.
func (s *Source) explain(err error, f *facts, took time.Duration) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	kind, why := Other, s.redactor.Text(err.Error())
	switch k, w := f.diagnose(); {
	case refusedCredentials(err):
		kind, why = Auth, lastSentence(why)
	case k != "":
		kind, why = k, w
	default:
		if k := kindOfNetwork(err); k != "" {
			kind, why = k, plainCause(err)
		} else if mongo.IsTimeout(err) {
			kind = Timeout
		}
	}
	return s.newError(kind, s.redactor.Error(err), took, s.redactor.Text(why))
}

// explainWrite does the same for an operation that takes a primary.
func (s *Source) explainWrite(err error, f *facts) error {
	kind, why := f.diagnose()
	if kind != NotPrimary {
		return err
	}
	// The redactor knows the URI's password, which the driver may repeat.
	e := &Error{
		Kind: kind, URI: s.URI(), Origin: s.Origin(), What: "MongoDB takes no writes at " + s.URI(), Why: s.redactor.Text(why),
		Fix: s.fix(kind), Err: s.redactor.Error(err),
	}
	if set := f.direct(); set != "" {
		e.Why += ", and the URI leads to it alone"
		e.Fix = "take directConnection out of the URI, and name the set: replicaSet=" + set
	}
	return e
}

// direct is the name of the replica set to one of whose members the client keeps, or nothing.
func (f *facts) direct() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.topology.Kind != topologySingle {
		return ""
	}
	for _, m := range f.members {
		return m.SetName
	}
	return ""
}

func refusedCredentials(err error) bool {
	var server mongo.ServerError
	if errors.As(err, &server) && slices.ContainsFunc(authCodes[:], server.HasErrorCode) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "auth error") || strings.Contains(text, "unable to authenticate")
}

// lastSentence cuts the driver's nested prefixes off: the server's own words are
// last.
func lastSentence(s string) string {
	if i := strings.LastIndex(s, ": "); i >= 0 {
		return s[i+2:]
	}
	return s
}

// diagnose tells from the monitors' notes why no server takes writes. It returns
// no kind when one does.
func (f *facts) diagnose() (Kind, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == Connected {
		return "", ""
	}
	var kinds []Kind
	var lines []string
	for _, host := range f.hosts() {
		kind, line := f.diagnoseHost(host)
		kinds = append(kinds, kind)
		lines = append(lines, line)
	}
	// The first of these that some host shows is what to look at.
	for _, kind := range []Kind{ReplicaSetName, Standalone, TLS, NotPrimary, Uninitiated, Dropped, Refused, DNS, Timeout, Other} {
		if slices.Contains(kinds, kind) {
			return kind, strings.Join(lines, "; ")
		}
	}
	return Timeout, "no host has answered"
}

func (f *facts) diagnoseHost(host string) (Kind, string) {
	if m, ok := f.members[host]; ok {
		switch {
		case f.foreign(host) && m.SetName == "":
			return Standalone, fmt.Sprintf("%s is not a member of replica set %q but a standalone server", host, f.wantSet)
		case f.foreign(host):
			return ReplicaSetName, fmt.Sprintf("%s belongs to replica set %q, not %q", host, m.SetName, f.wantSet)
		case m.Kind == kindGhost:
			return Uninitiated, host + " waits for its replica set to be initiated"
		case m.Kind == kindSecondary:
			return NotPrimary, host + " is a secondary"
		default:
			return NotPrimary, host + " answers and is not a primary"
		}
	}
	err, ok := f.failures[host]
	if !ok {
		return Timeout, host + " has not answered"
	}
	kind := kindOfNetwork(err)
	switch {
	case kind == "":
		kind = Other
	case kind == Dropped && f.wantTLS:
		return TLS, host + " cut the connection during the TLS handshake; it may not speak TLS"
	case kind == Dropped:
		return kind, host + " cut the connection at once; it may require TLS, or be no MongoDB"
	}
	return kind, host + ": " + plainCause(err)
}

// kindOfNetwork tells the kind of an error of a socket, and "" for another.
func kindOfNetwork(err error) Kind {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return DNS
	case isTLS(err):
		return TLS
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "refused"):
		return Refused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return Dropped
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return Timeout
	default:
		return ""
	}
}

func isTLS(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &record) || errors.As(err, &authority) ||
		errors.As(err, &hostname) || errors.As(err, &invalid) ||
		strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: ")
}

// hopeless reports whether a host that failed like this will fail again: its name
// does not exist, or its certificate is not trusted.
func hopeless(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsNotFound
	}
	return isTLS(err)
}

// plainCause says what happened without the driver's and the net package's
// prefixes.
func plainCause(err error) string {
	var (
		dns          *net.DNSError
		errno        syscall.Errno
		verification *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &dns):
		return "the name cannot be looked up: " + dns.Err
	case errors.As(err, &verification):
		return verification.Err.Error()
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF):
		return "the connection was cut"
	case mongo.IsTimeout(err):
		return "no answer in time"
	default:
		return err.Error()
	}
}
