package goresilient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/balancer"
	"github.com/goresilient/goresilient/runtime/discovery"
)

// DialError is why a constructor that blocks, or WaitReady, gave up. [errors.As] and [errors.Is] reach what happened to each
// endpoint (an x509 error, a *net.OpError, syscall.ECONNREFUSED), what discovery reported, and why the wait ended
// (context.DeadlineExceeded, context.Canceled, [ErrClosed], [ErrPermanent]).
type DialError struct {
	// Target is the target, of several the first.
	Target string
	// Ready is how many endpoints were READY, Wanted how many there should have been.
	Ready, Wanted int
	// Endpoints is what became of each endpoint, in the order of discovery.
	Endpoints []EndpointError
	// Resolver is what discovery reported last; nil if nothing was wrong.
	Resolver error
	// Err is why the wait ended.
	Err error
}

// EndpointError is the state of one endpoint in a [DialError].
type EndpointError struct {
	// Endpoint is the address, or the addresses joined by "+".
	Endpoint string
	// Target is the target that it is of, with [WithTargets]; "" otherwise.
	Target string
	// State is the state of its connection.
	State connectivity.State
	// Attempts is how often a connection was tried.
	Attempts int
	// Err is why the last attempt failed, or why the endpoint is not healthy; nil if none has failed.
	Err error
}

// ErrPermanent is why a wait ended before its time: every endpoint had failed in a way that waiting does not mend.
var ErrPermanent = errors.New("waiting longer would not help")

// ErrNoAnswer is the cause of an endpoint that did not answer in time: a black hole, or a server that takes a connection
// and says nothing.
var ErrNoAnswer = errors.New("no answer")

// maxListed bounds the endpoints in the text of a DialError, maxText what it says of each, in bytes.
const (
	maxListed = 10
	maxText   = 1000
)

// short cuts a text that would drown the others.
func short(err error) string {
	if s := err.Error(); len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return err.Error()
}

// Error has a first line that says how far the dial came and why it ended, then a line per endpoint, ten at most.
func (e *DialError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "goresilient: %s: %d of %d wanted endpoints ready: %v", e.Target, e.Ready, e.Wanted, e.Err)
	if e.Resolver != nil {
		fmt.Fprintf(&b, "\n  discovery: %s", short(e.Resolver))
	} else if len(e.Endpoints) == 0 {
		b.WriteString("\n  discovery: no endpoint is known; is the target right, and is a server registered?")
	}
	for i, ep := range e.Endpoints {
		if i == maxListed {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Endpoints)-maxListed)
			break
		}
		attempts := "attempts"
		if ep.Attempts == 1 {
			attempts = "attempt"
		}
		of := ""
		if ep.Target != "" {
			of = " of " + ep.Target
		}
		fmt.Fprintf(&b, "\n  %s%s: %v after %d %s", ep.Endpoint, of, ep.State, ep.Attempts, attempts)
		if ep.Err != nil {
			fmt.Fprintf(&b, ": %s%s", short(ep.Err), remedy(ep.Err))
		}
	}
	return b.String()
}

// Unwrap returns every cause.
func (e *DialError) Unwrap() []error {
	errs := []error{e.Err}
	if e.Resolver != nil {
		errs = append(errs, e.Resolver)
	}
	for _, ep := range e.Endpoints {
		if ep.Err != nil {
			errs = append(errs, ep.Err)
		}
	}
	return errs
}

func endpointErrors(list []balancer.EndpointStatus) []EndpointError {
	var out []EndpointError
	for _, s := range list {
		if !s.Selected { // nobody tried
			continue
		}
		err := s.LastError
		var at *balancer.EndpointError
		if errors.As(err, &at) && at.Address == s.Endpoint.ID() {
			err = at.Err // the address is said already
		}
		e := EndpointError{Endpoint: s.Endpoint.ID(), Target: s.Endpoint.Target(), State: s.State, Attempts: s.Attempts, Err: err}
		switch {
		case err == nil && s.State == connectivity.Connecting:
			e.Err = ErrNoAnswer
		case errors.Is(err, net.ErrClosed): // grpc closes a connection whose server does not speak in time
			e.Err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
		}
		out = append(out, e)
	}
	return out
}

// isPermanent tells whether another attempt at the same endpoint must fail in the same way.
func isPermanent(err error, refusedIsPermanent bool) bool {
	var dns *net.DNSError
	var several *discovery.TargetsError
	switch {
	case err == nil:
		return false
	case errors.As(err, &several):
		return several.All(func(err error) bool { return isPermanent(err, refusedIsPermanent) })
	case discovery.IsPermanent(err), isCertificate(err), isRemoteAlert(err), isNotTLS(err), isNotHTTP2(err):
		return true
	case errors.As(err, &dns):
		return dns.IsNotFound
	default:
		return refusedIsPermanent && errors.Is(err, syscall.ECONNREFUSED)
	}
}

func isCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid)
}

// isRemoteAlert tells whether the server broke off the TLS handshake: it wants a certificate, or does not like ours.
func isRemoteAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// isNotTLS tells whether TLS was spoken to a server without it.
func isNotTLS(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header)
}

// isNotHTTP2 tells whether the server's first bytes were no HTTP/2, as those of a TLS server are not. The error type is
// not exported by grpc's HTTP/2 library under a name that stays, its text is.
func isNotHTTP2(err error) bool {
	return strings.Contains(err.Error(), "frame too large") || strings.Contains(err.Error(), "http2: frame")
}

// remedy is what to do about the common mistakes, with a leading semicolon.
func remedy(err error) string {
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &name):
		return "; set the name to verify with WithAuthority, or in the TLS configuration"
	case errors.As(err, &unknown):
		return "; add the server's root to the TLS configuration"
	case isNotTLS(err):
		return "; the server does not speak TLS: give it a certificate, or pass WithInsecure"
	case isNotHTTP2(err):
		return "; the server seems to want TLS: pass WithTLS instead of WithInsecure"
	case isRemoteAlert(err):
		return "; the server refused the TLS handshake: does it ask for a client certificate?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "; nothing listens there: is the server up, and the port right?"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET): // the latter where it left some of what we said unread
		return "; the server closed the connection before it spoke HTTP/2: does it want TLS?"
	case errors.Is(err, ErrNoAnswer), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "; nothing answers at this address: is it right, and does a firewall drop packets?"
	}
	return ""
}
