package goresilient

import (
	"crypto/tls"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// WithInsecure makes connections without TLS. Without it, and without credentials, making a client is an error: a forgotten
// option must not send calls in the clear.
func WithInsecure() Option {
	return channelOption("WithInsecure", func(s *Settings) { s.insecure = true })
}

// WithTLS secures connections with config, which is cloned. An empty config verifies the server by the system's roots.
func WithTLS(config *tls.Config) Option {
	return channelOption("WithTLS", func(s *Settings) {
		if config == nil {
			s.credsOption = "WithTLS" // given, if badly
			s.fail("WithTLS(nil) has no configuration; pass &tls.Config{} for the system's roots")
			return
		}
		s.setCredentials("WithTLS", newTLS(config))
	})
}

// WithTransportCredentials secures connections with any transport credentials of grpc.
func WithTransportCredentials(c credentials.TransportCredentials) Option {
	return channelOption("WithTransportCredentials", func(s *Settings) {
		if c == nil {
			s.credsOption = "WithTransportCredentials"
			s.fail("WithTransportCredentials(nil) gives no credentials; remove it")
			return
		}
		s.setCredentials("WithTransportCredentials", c)
	})
}

// WithCredentialsBundle secures connections, and authenticates calls, with a bundle of grpc.
func WithCredentialsBundle(b credentials.Bundle) Option {
	return channelOption("WithCredentialsBundle", func(s *Settings) {
		if b == nil || b.TransportCredentials() == nil {
			s.fail("WithCredentialsBundle: the bundle has no transport credentials; pass one that has")
			return
		}
		s.bundle = b
	})
}

// WithPerRPCCredentials authenticates each attempt of each call. Several add up.
func WithPerRPCCredentials(c credentials.PerRPCCredentials) Option {
	return channelOption("WithPerRPCCredentials", func(s *Settings) {
		if c == nil {
			s.fail("WithPerRPCCredentials(nil) gives no credentials; remove it")
			return
		}
		s.perRPC = append(s.perRPC, c)
	})
}

// setCredentials notes transport credentials; those of a second option are an error, since one would be dropped.
func (s *Settings) setCredentials(option string, c credentials.TransportCredentials) {
	if s.credsOption != "" && s.credsOption != option {
		s.fail("%s and %s were both given, and a connection has one kind of credentials; remove one", s.credsOption, option)
		return
	}
	s.creds, s.credsOption = c, option
}

// checkCredentials reports credentials that are missing or contradict each other.
func (s *Settings) checkCredentials() {
	var given []string
	if s.insecure {
		given = append(given, "WithInsecure")
	}
	if s.credsOption != "" {
		given = append(given, s.credsOption)
	}
	if s.bundle != nil {
		given = append(given, "WithCredentialsBundle")
	}
	switch {
	case len(given) == 0:
		s.fail("no credentials were given; pass WithTLS or other credentials, or WithInsecure() to go without on purpose")
	case len(given) > 1:
		s.fail("%s were given together, and a connection has one kind of credentials; keep one", strings.Join(given, " and "))
	}
	if !s.insecure && (s.creds == nil || s.creds.Info().SecurityProtocol != "insecure") {
		return
	}
	for _, c := range s.perRPC {
		if c.RequireTransportSecurity() {
			s.fail("the per-RPC credentials %T need TLS and the channel has none; pass WithTLS, or credentials that may go in the clear", c)
		}
	}
}

// credentialOptions returns the checked credentials as grpc takes them.
func (s *Settings) credentialOptions() []grpc.DialOption {
	var opts []grpc.DialOption
	switch {
	case s.bundle != nil:
		opts = append(opts, grpc.WithCredentialsBundle(s.bundle))
	case s.insecure:
		opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))
	default:
		opts = append(opts, grpc.WithTransportCredentials(s.creds))
	}
	for _, c := range s.perRPC {
		opts = append(opts, grpc.WithPerRPCCredentials(c))
	}
	return opts
}
