package goresilient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// dialPolicy blocks for at most the given time.
func dialPolicy(d policy.Dial, timeout time.Duration) goresilient.Option {
	d.Block, d.Timeout = policy.Set(true), &timeout
	return goresilient.WithPolicy(&policy.Service{Dial: &d})
}

const (
	short = 300 * time.Millisecond // for waits that must run out
	long  = time.Minute            // for waits that must end by themselves
)

// as tells whether errors.As finds a T in err.
func as[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

// refusedAddress returns an address at which nothing listens.
func refusedAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// blackHole accepts connections and never says a word.
func blackHole(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

func TestDialCauses(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	serverTLS := credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{ours.issue(t, "127.0.0.1")}})
	mutualTLS := credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{ours.issue(t, "127.0.0.1")},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ours.pool,
	})
	plain := func(t *testing.T) string { return serve(t, &testServer{}) }
	secured := func(c credentials.TransportCredentials) func(*testing.T) string {
		return func(t *testing.T) string { return serve(t, &testServer{}, grpc.Creds(c)) }
	}
	refused := func(t *testing.T) string { return refusedAddress(t) }
	trusting := goresilient.WithTLS(&tls.Config{RootCAs: ours.pool})

	tests := []struct {
		name    string
		address func(*testing.T) string
		options []goresilient.Option
		dial    policy.Dial
		timeout time.Duration
		ended   error // why the wait ended
		cause   func(error) bool
		text    string // of the message
	}{{
		name:    "refused",
		address: refused,
		options: []goresilient.Option{goresilient.WithInsecure()},
		timeout: short, ended: context.DeadlineExceeded,
		cause: func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) && as[*net.OpError](err) },
		text:  "connection refused",
	}, {
		name:    "refused, declared permanent",
		address: refused,
		options: []goresilient.Option{goresilient.WithInsecure()},
		dial:    policy.Dial{RefusedIsPermanent: policy.Set(true)},
		timeout: long, ended: goresilient.ErrPermanent,
		cause: func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
	}, {
		name:    "black hole, within the first attempt",
		address: func(t *testing.T) string { return blackHole(t) },
		options: []goresilient.Option{goresilient.WithInsecure()},
		timeout: short, ended: context.DeadlineExceeded,
		cause: func(err error) bool { return errors.Is(err, goresilient.ErrNoAnswer) },
		text:  "does a firewall drop packets",
	}, {
		name:    "black hole, over several attempts",
		address: func(t *testing.T) string { return blackHole(t) },
		options: []goresilient.Option{
			goresilient.WithInsecure(), goresilient.WithMinConnectTimeout(50 * time.Millisecond),
			goresilient.WithConnectBackoff(backoff.Config{BaseDelay: 50 * time.Millisecond, MaxDelay: 50 * time.Millisecond, Multiplier: 1.1}),
		},
		timeout: time.Second, ended: context.DeadlineExceeded,
		cause: func(err error) bool { return errors.Is(err, goresilient.ErrNoAnswer) && errors.Is(err, net.ErrClosed) },
		text:  "server preface",
	}, {
		name:    "unknown host",
		address: func(*testing.T) string { return "no-such-host.invalid:443" },
		options: []goresilient.Option{goresilient.WithInsecure(), goresilient.WithDialer(unknownHost)},
		timeout: long, ended: goresilient.ErrPermanent,
		cause: func(err error) bool { return as[*net.DNSError](err) },
		text:  "no such host",
	}, {
		name:    "bad authority",
		address: secured(serverTLS),
		options: []goresilient.Option{goresilient.WithTLS(&tls.Config{RootCAs: others.pool})},
		timeout: long, ended: goresilient.ErrPermanent,
		cause: func(err error) bool {
			return as[x509.UnknownAuthorityError](err) && as[*tls.CertificateVerificationError](err)
		},
		text: "add the server's root",
	}, {
		name:    "wrong name",
		address: secured(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{ours.issue(t, "elsewhere.example")}})),
		options: []goresilient.Option{trusting},
		timeout: long, ended: goresilient.ErrPermanent,
		cause: as[x509.HostnameError],
		text:  "WithAuthority",
	}, {
		name:    "TLS to a plaintext server",
		address: plain,
		options: []goresilient.Option{trusting},
		timeout: long, ended: goresilient.ErrPermanent,
		cause: as[tls.RecordHeaderError],
		text:  "does not speak TLS",
	}, {
		name:    "plaintext to a TLS server",
		address: secured(serverTLS),
		options: []goresilient.Option{goresilient.WithInsecure()},
		timeout: short, ended: context.DeadlineExceeded,
		cause: func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) },
		text:  "does it want TLS?",
	}, {
		name:    "mutual TLS rejected",
		address: secured(mutualTLS),
		options: []goresilient.Option{trusting},
		timeout: long, ended: goresilient.ErrPermanent,
		cause: func(err error) bool {
			var op *net.OpError
			return errors.As(err, &op) && op.Op == "remote error"
		},
		text: "client certificate",
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := append([]goresilient.Option{
				goresilient.WithTarget("static:///" + tt.address(t)), goresilient.WithoutProxy(), dialPolicy(tt.dial, tt.timeout),
			}, tt.options...)
			_, err := newTestClient(opts...)
			dial := dialError(t, err)
			if !errors.Is(err, tt.ended) {
				t.Errorf("the wait ended by %v, want %v", dial.Err, tt.ended)
			}
			if !tt.cause(err) {
				t.Errorf("the cause is not reached in %v", err)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%q does not say %q", err, tt.text)
			}
			if len(dial.Endpoints) != 1 || dial.Endpoints[0].Attempts == 0 {
				t.Errorf("endpoints = %+v, want one that was tried", dial.Endpoints)
			}
		})
	}
}

func dialError(t *testing.T, err error) *goresilient.DialError {
	t.Helper()
	var dial *goresilient.DialError
	if !errors.As(err, &dial) {
		t.Fatalf("error is %T %v, want a *DialError", err, err)
	}
	return dial
}

func unknownHost(context.Context, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "no-such-host.invalid", IsNotFound: true}}
}

var errBuild = errors.New("the registry's address is missing")

type failingBuilder struct{}

func (failingBuilder) Scheme() string { return "failing" }
func (failingBuilder) Build(resolver.Target, resolver.ClientConn, resolver.BuildOptions) (resolver.Resolver, error) {
	return nil, errBuild
}

func TestDialOverDiscoveryThatFails(t *testing.T) {
	t.Run("build error", func(t *testing.T) {
		_, err := newTestClient(goresilient.WithTarget("failing:///x"), goresilient.WithInsecure(),
			goresilient.WithResolvers(failingBuilder{}), dialPolicy(policy.Dial{}, short))
		if dial := dialError(t, err); !errors.Is(err, errBuild) || !errors.Is(dial.Resolver, errBuild) {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("yields nothing", func(t *testing.T) {
		r := manual.NewBuilderWithScheme("empty")
		r.InitialState(resolver.State{})
		_, err := newTestClient(goresilient.WithTarget("empty:///x"), goresilient.WithInsecure(), goresilient.WithResolvers(r),
			dialPolicy(policy.Dial{}, short))
		if dial := dialError(t, err); !errors.Is(dial.Err, context.DeadlineExceeded) || len(dial.Endpoints) != 0 {
			t.Fatalf("error = %v; an empty set must wait for endpoints", err)
		}
		if !strings.Contains(err.Error(), "no endpoint is known") {
			t.Fatalf("%q does not tell that discovery is empty", err)
		}
	})
	t.Run("unknown DNS name", func(t *testing.T) {
		r := manual.NewBuilderWithScheme("dns") // as grpc's: a name that does not exist is an empty list
		r.InitialState(resolver.State{})
		unknown := goresilient.WithHosts(func(_ context.Context, host string) ([]string, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		})
		_, err := newTestClient(goresilient.WithTarget("dns:///no-such-host.invalid:443"), goresilient.WithInsecure(), goresilient.WithoutProxy(),
			goresilient.WithResolvers(r), unknown, dialPolicy(policy.Dial{}, long))
		var dns *net.DNSError
		if !errors.Is(err, goresilient.ErrPermanent) || !errors.As(err, &dns) || dns.Name != "no-such-host.invalid" {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("never answers", func(t *testing.T) {
		r := manual.NewBuilderWithScheme("silent")
		_, err := newTestClient(goresilient.WithTarget("silent:///x"), goresilient.WithInsecure(), goresilient.WithResolvers(r),
			dialPolicy(policy.Dial{}, short))
		if dial := dialError(t, err); !errors.Is(dial.Err, context.DeadlineExceeded) {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("invalid service config", func(t *testing.T) {
		r := manual.NewBuilderWithScheme("confused")
		r.BuildCallback = func(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) {
			r.InitialState(resolver.State{
				Addresses:     []resolver.Address{{Addr: refusedAddress(t)}},
				ServiceConfig: cc.ParseServiceConfig(`{"methodConfig":[{"name":[{}],"timeout":"soon"}]}`),
			})
		}
		_, err := newTestClient(goresilient.WithTarget("confused:///x"), goresilient.WithInsecure(), goresilient.WithResolvers(r),
			dialPolicy(policy.Dial{}, short))
		if dial := dialError(t, err); dial.Resolver == nil || !strings.Contains(dial.Resolver.Error(), `"soon" is not a duration`) {
			t.Fatalf("resolver's error = %v", dial.Resolver)
		}
	})
	t.Run("unset variable", func(t *testing.T) {
		_, err := newTestClient(goresilient.WithTarget("env:///GORESILIENT_TEST_UNSET"), goresilient.WithInsecure(),
			dialPolicy(policy.Dial{}, long))
		if !errors.Is(err, goresilient.ErrPermanent) || !strings.Contains(err.Error(), "GORESILIENT_TEST_UNSET") {
			t.Fatalf("error = %v", err)
		}
	})
}

func TestDialEndedFromOutside(t *testing.T) {
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err := newTestClient(insecureAt(refusedAddress(t)), goresilient.WithContext(ctx), dialPolicy(policy.Dial{}, long))
		if dialError(t, err); !errors.Is(err, context.Canceled) {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("closed while waiting", func(t *testing.T) {
		c := mustClient(t, insecureAt(refusedAddress(t)))
		time.AfterFunc(50*time.Millisecond, func() { _ = c.Close() })
		if err := c.WaitReady(t.Context()); !errors.Is(err, goresilient.ErrClosed) {
			t.Fatalf("error = %v", err)
		}
		if err := c.WaitReady(t.Context()); !errors.Is(err, goresilient.ErrClosed) {
			t.Fatalf("error of a closed client = %v", err)
		}
	})
}

func TestDialWaitsForEnoughEndpoints(t *testing.T) {
	first, second := serve(t, &testServer{}), serve(t, &testServer{})
	r := manual.NewBuilderWithScheme("growing")
	state := func(addresses ...string) (s resolver.State) {
		for _, a := range addresses {
			s.Addresses = append(s.Addresses, resolver.Address{Addr: a})
		}
		return s
	}
	r.InitialState(state(first))
	opts := all{goresilient.WithTarget("growing:///x"), goresilient.WithInsecure(), goresilient.WithResolvers(r)}

	_, err := newTestClient(opts, dialPolicy(policy.Dial{MinReady: policy.Set(2)}, short))
	if dial := dialError(t, err); dial.Ready != 1 || dial.Wanted != 2 {
		t.Fatalf("ready = %d of %d, want 1 of 2", dial.Ready, dial.Wanted)
	}

	time.AfterFunc(100*time.Millisecond, func() { r.UpdateState(state(first, second)) })
	c := mustClient(t, opts, dialPolicy(policy.Dial{MinReady: policy.Set(2)}, long))
	if n := len(c.Snapshot().Endpoints); n != 2 {
		t.Fatalf("%d endpoints, want 2", n)
	}
}

func TestDialOutlastsTheIdleTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	slow := func(ctx context.Context, address string) (net.Conn, error) {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	serveOn(t, l, &testServer{})
	// One connection attempt lasts many idle timeouts; were the channel to go idle, it would be broken off.
	time.AfterFunc(500*time.Millisecond, func() { close(ready) })
	c := mustClient(t, insecureAt(l.Addr().String()), goresilient.WithDialer(slow), goresilient.WithIdleTimeout(50*time.Millisecond),
		dialPolicy(policy.Dial{}, long))
	if n := c.Snapshot().Endpoints[0].Attempts; n != 1 {
		t.Fatalf("%d attempts to connect, want 1: the channel went idle in between", n)
	}
}

func TestDialWaitsForHealth(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	h := health.NewServer()
	h.SetServingStatus("inventory", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	grpc_health_v1.RegisterHealthServer(g, h)
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	t.Cleanup(func() { g.Stop(); <-done })
	checked := goresilient.WithPolicy(&policy.Service{HealthCheck: &policy.HealthCheck{ServiceName: policy.Set("inventory")}})

	_, err = newTestClient(insecureAt(l.Addr().String()), checked, dialPolicy(policy.Dial{}, short))
	if dial := dialError(t, err); dial.Ready != 0 || dial.Endpoints[0].Err == nil {
		t.Fatalf("error = %v; the transport is up, the service is not", err)
	}
	time.AfterFunc(100*time.Millisecond, func() {
		h.SetServingStatus("inventory", grpc_health_v1.HealthCheckResponse_SERVING)
	})
	mustClient(t, insecureAt(l.Addr().String()), checked, dialPolicy(policy.Dial{}, long))
}
