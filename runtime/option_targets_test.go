package goresilient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

func TestBackupTakesOverAndGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemoryNetwork()
		registry := discovery.NewRegistry()
		defer registry.Close()
		if _, err := registry.Put("main", "1", discovery.Endpoint{Addresses: []string{"10.0.0.1:1"}}); err != nil {
			t.Fatal(err)
		}
		die := network.serve(t, "10.0.0.1:1")
		network.serve(t, "10.0.0.2:1")
		c := mustClient(t, goresilient.WithTargets("memory:///main", "static:///10.0.0.2:1"), network.dialer(), goresilient.WithInsecure(),
			goresilient.WithResolvers(discovery.NewMemoryBuilder(registry)), goresilient.WithBlock())
		only := func(when, want string) {
			t.Helper()
			for range 20 {
				if got := answerer(t, c); got != want {
					t.Fatalf("%s %s answers, want %s", when, got, want)
				}
			}
		}
		until := func(when, want string) {
			t.Helper()
			for deadline := time.Now().Add(time.Minute); answerer(t, c) != want; time.Sleep(100 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s %s does not answer", when, want)
				}
			}
		}
		only("at first", "10.0.0.1:1")
		die()
		until("after the primary's death", "10.0.0.2:1")
		only("after the primary's death", "10.0.0.2:1")
		die = network.serve(t, "10.0.0.1:1")
		until("after its return", "10.0.0.1:1")
		time.Sleep(time.Minute)
		only("after its return", "10.0.0.1:1")

		if _, _, err := registry.Delete("main", "1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		only("while an empty registry is not believed", "10.0.0.1:1")
		die()
		until("after the server's death as well", "10.0.0.2:1")
		time.Sleep(time.Minute)
		for _, e := range c.Snapshot().Endpoints {
			if e.Target != "static:///10.0.0.2:1" || e.Priority != 128 {
				t.Fatalf("after the grace there is %+v", e)
			}
		}
	})
}

func TestBlockingDialOverTargets(t *testing.T) {
	t.Run("whose primary says nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			network := newMemoryNetwork()
			network.serve(t, "10.0.0.2:1")
			silent := manual.NewBuilderWithScheme("silent")
			c := mustClient(t, goresilient.WithTargets("silent:///main", "static:///10.0.0.2:1"), network.dialer(), goresilient.WithInsecure(),
				goresilient.WithResolvers(silent), goresilient.WithBlock())
			if got := answerer(t, c); got != "10.0.0.2:1" {
				t.Fatalf("%s answers", got)
			}
		})
	})
	t.Run("whose primary fails", func(t *testing.T) {
		c := mustClient(t, goresilient.WithTargets("failing:///x", "static:///"+serve(t, &testServer{})), goresilient.WithInsecure(),
			goresilient.WithResolvers(failingBuilder{}), dialPolicy(policy.Dial{}, long))
		if err := c.Snapshot().Discovery; !errors.Is(err, errBuild) || !strings.Contains(err.Error(), "failing:///x") {
			t.Fatalf("discovery = %v, want the primary's error", err)
		}
	})
	t.Run("whose servers are all gone", func(t *testing.T) {
		backup := "static:///" + refusedAddress(t)
		_, err := newTestClient(goresilient.WithTargets("env:///GORESILIENT_TEST_UNSET", backup), goresilient.WithInsecure(), dialPolicy(policy.Dial{}, short))
		dial := dialError(t, err)
		if !errors.Is(dial.Err, context.DeadlineExceeded) || !discoveryNames(dial.Resolver, "GORESILIENT_TEST_UNSET") {
			t.Fatalf("error = %v; one target's mistake must not end the wait for the other", err)
		}
		if len(dial.Endpoints) != 1 || dial.Endpoints[0].Target != backup || !strings.Contains(err.Error(), " of "+backup+": TRANSIENT_FAILURE") {
			t.Fatalf("error = %v, want it to say which target an endpoint is of", err)
		}
	})
	t.Run("that are all misconfigured", func(t *testing.T) {
		_, err := newTestClient(goresilient.WithTargets("env:///GORESILIENT_TEST_UNSET", "env:///GORESILIENT_TEST_UNSET_TOO"), goresilient.WithInsecure(),
			dialPolicy(policy.Dial{}, long))
		if dial := dialError(t, err); !errors.Is(err, goresilient.ErrPermanent) || !discoveryNames(dial.Resolver, "UNSET_TOO") {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("that are all unknown names", func(t *testing.T) {
		r := manual.NewBuilderWithScheme("dns")
		r.InitialState(resolver.State{})
		unknown := goresilient.WithHosts(func(_ context.Context, host string) ([]string, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		})
		_, err := newTestClient(goresilient.WithTargets("dns:///no-such-host.invalid:443", "dns:///nor-this.invalid:443"), goresilient.WithInsecure(),
			goresilient.WithoutProxy(), goresilient.WithResolvers(r), unknown, dialPolicy(policy.Dial{}, long))
		if dial := dialError(t, err); !errors.Is(err, goresilient.ErrPermanent) || !discoveryNames(dial.Resolver, "nor-this.invalid") {
			t.Fatalf("error = %v", err)
		}
	})
}

func discoveryNames(err error, what string) bool {
	var several *discovery.TargetsError
	return errors.As(err, &several) && strings.Contains(err.Error(), what)
}

func TestBackupIsVerifiedByItsOwnName(t *testing.T) {
	a := newAuthority(t)
	address := func(host string) string {
		return serve(t, &testServer{}, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{a.issue(t, host)}})))
	}
	theProxy.route("backup.example:443", address("backup.example"))
	theProxy.route("impostor.example:443", address("primary.example"))
	trusting := goresilient.WithTLS(&tls.Config{RootCAs: a.pool})
	c := mustClient(t, goresilient.WithTargets("dns:///primary.example:443", "dns:///backup.example:443"), trusting, dialPolicy(policy.Dial{}, long))
	if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
		t.Fatal(err)
	}
	_, err := newTestClient(goresilient.WithTargets("static:///127.0.0.1:1", "dns:///impostor.example:443"), trusting, goresilient.WithoutProxy(),
		goresilient.WithResolvers(staticNames{"impostor.example:443": address("primary.example")}), dialPolicy(policy.Dial{}, short))
	var name x509.HostnameError
	if !errors.As(err, &name) || name.Host != "impostor.example" {
		t.Fatalf("without a proxy: %v", err)
	}
	_, err = newTestClient(goresilient.WithTargets("dns:///primary.example:443", "dns:///impostor.example:443"), trusting, dialPolicy(policy.Dial{}, short))
	if !errors.As(err, &name) || name.Host != "impostor.example" {
		t.Fatalf("through a proxy: %v", err)
	}
}

// staticNames is DNS: what a name stands for.
type staticNames map[string]string

func (staticNames) Scheme() string { return "dns" }

func (s staticNames) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	return nopResolver{}, cc.UpdateState(resolver.State{Addresses: []resolver.Address{{Addr: s[target.Endpoint()]}}})
}

type nopResolver struct{}

func (nopResolver) ResolveNow(resolver.ResolveNowOptions) {}
func (nopResolver) Close()                                {}

func TestTargetAndTargets(t *testing.T) {
	one, several := goresilient.WithTarget("static:///10.0.0.1:1"), goresilient.WithTargets("static:///10.0.0.2:1", "static:///10.0.0.3:1")
	network := newMemoryNetwork()
	tests := []struct {
		name string
		opts []goresilient.Option
		want string
	}{
		{"the later wins: several", []goresilient.Option{one, several}, "10.0.0.2:1 10.0.0.3:1"},
		{"the later wins: one", []goresilient.Option{several, one}, "10.0.0.1:1"},
		{"the later wins: of several", []goresilient.Option{goresilient.WithTargets("static:///10.0.0.4:1", "static:///10.0.0.5:1"), several}, "10.0.0.2:1 10.0.0.3:1"},
		{"no backup", []goresilient.Option{goresilient.WithTargets("static:///10.0.0.2:1")}, "10.0.0.2:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustClient(t, append(tt.opts, network.dialer(), goresilient.WithInsecure())...)
			ctx, cancel := context.WithTimeout(t.Context(), short)
			defer cancel()
			if err := c.WaitReady(ctx); !errors.Is(err, errNobodyListens) {
				t.Fatal(err)
			}
			var got []string
			for _, e := range c.Snapshot().Endpoints {
				got = append(got, e.Endpoint)
			}
			if strings.Join(got, " ") != tt.want {
				t.Fatalf("endpoints = %s, want %s", got, tt.want)
			}
		})
	}
	t.Run("the environment replaces all", func(t *testing.T) {
		t.Setenv("GORESILIENT_TARGET_GRPC_TESTING_TESTSERVICE", "static:///10.0.0.9:1")
		_, err := goresilient.NewClient(&testService, several, network.dialer(), goresilient.WithInsecure(), dialPolicy(policy.Dial{}, short))
		if dial := dialError(t, err); dial.Target != "static:///10.0.0.9:1" || len(dial.Endpoints) != 1 || dial.Endpoints[0].Target != "" {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("all mistakes are reported", func(t *testing.T) {
		_, err := newTestClient(goresilient.WithTargets("", "static:///10.0.0.1", "consul:///x"), goresilient.WithInsecure())
		for _, want := range []string{"target 1 of 3: the target is empty", `"10.0.0.1"`, `"consul"`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error = %v, want it to say %q", err, want)
			}
		}
	})
	t.Run("on a shared channel", func(t *testing.T) {
		ch := mustChannel(t, several, network.dialer(), goresilient.WithInsecure())
		mustClient(t, goresilient.WithChannel(ch))
		if ch.Target() != "static:///10.0.0.2:1" {
			t.Fatalf("target = %s", ch.Target())
		}
		_, err := newTestClient(goresilient.WithChannel(ch), several)
		if err == nil || !strings.Contains(err.Error(), "WithTargets cannot change the channel") {
			t.Fatalf("error = %v", err)
		}
	})
}
