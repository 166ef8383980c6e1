package goresilient_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

func TestClientsShareAChannel(t *testing.T) {
	address := serve(t, &testServer{})
	ch, err := goresilient.NewChannel(goresilient.WithoutEnvironment(), insecureAt(address))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ch.Close() }()
	first := mustClient(t, goresilient.WithChannel(ch), goresilient.WithBlock())
	second := mustClient(t, goresilient.WithChannel(ch), goresilient.WithBlock())
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
		t.Fatalf("after the other client's Close: %v", err)
	}
	if _, err := first.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); !errors.Is(err, goresilient.ErrClosed) {
		t.Fatalf("closed client: %v", err)
	}
	if n := second.Snapshot().Endpoints[0].Attempts; n != 1 {
		t.Fatalf("%d connections were made, want 1 for both", n)
	}
	if err := ch.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); status.Code(err) != codes.Canceled {
		t.Fatalf("over a closed channel: %v", err)
	}
	if _, err := newTestClient(goresilient.WithChannel(ch)); !errors.Is(err, goresilient.ErrClosed) {
		t.Fatalf("a client on a closed channel: %v", err)
	}
}

func TestClientsThatDisagreeAboutTheChannel(t *testing.T) {
	leastRequest := func(choices int) goresilient.Option {
		return goresilient.WithPolicy(&policy.Service{LoadBalancing: &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{Choices: &choices}}})
	}
	channel := func(t *testing.T, opts ...goresilient.Option) *goresilient.Channel {
		ch, err := goresilient.NewChannel(append(opts, goresilient.WithoutEnvironment(), insecureAt("127.0.0.1:1"))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ch.Close() })
		return ch
	}
	t.Run("about a value", func(t *testing.T) {
		ch := channel(t)
		mustClient(t, goresilient.WithChannel(ch), leastRequest(3))
		mustClient(t, goresilient.WithChannel(ch), leastRequest(3))
		mustClient(t, goresilient.WithChannel(ch))
		_, err := newTestClient(goresilient.WithChannel(ch), leastRequest(4))
		if err == nil || !strings.Contains(err.Error(), "wants 4 (Go option, WithPolicy) and the channel has 3") {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("about the policy", func(t *testing.T) {
		ch := channel(t)
		mustClient(t, goresilient.WithChannel(ch), leastRequest(3))
		_, err := newTestClient(goresilient.WithChannel(ch), goresilient.WithPolicy(&policy.Service{LoadBalancing: &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}}))
		if err == nil || !strings.Contains(err.Error(), "wants round_robin") {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("the channel's own option decides", func(t *testing.T) {
		ch := channel(t, leastRequest(5))
		c := mustClient(t, goresilient.WithChannel(ch), leastRequest(3))
		mustClient(t, goresilient.WithChannel(ch), leastRequest(4))
		if got := *c.Snapshot().Policy.LoadBalancing.LeastRequest.Choices; got != 5 {
			t.Fatalf("choices = %d, want the channel's 5", got)
		}
	})
	t.Run("about what is fixed at start", func(t *testing.T) {
		ch := channel(t)
		mustClient(t, goresilient.WithChannel(ch))
		idle := goresilient.WithPolicy(&policy.Service{Connection: &policy.Connection{IdleTimeout: policy.Set(time.Minute)}})
		if _, err := newTestClient(goresilient.WithChannel(ch), idle); err == nil || !strings.Contains(err.Error(), "started without it") {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("options of the channel on a client", func(t *testing.T) {
		_, err := newTestClient(goresilient.WithChannel(channel(t)), goresilient.WithInsecure(), goresilient.WithTarget("x:1"))
		if err == nil || !strings.Contains(err.Error(), "WithInsecure, WithTarget cannot change the channel") {
			t.Fatalf("error = %v", err)
		}
	})
}

func TestClientsThatComeAndGoDoNotAddUp(t *testing.T) {
	ch, err := goresilient.NewChannel(goresilient.WithoutEnvironment(), insecureAt("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ch.Close() }()
	agreed := goresilient.WithPolicy(&policy.Service{LoadBalancing: &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{}}})
	for range 100 {
		first := mustClient(t, goresilient.WithChannel(ch), agreed)
		second := mustClient(t, goresilient.WithChannel(ch), agreed)
		_, _ = first.Close(), second.Close()
	}
	if n := goresilient.Contributions(ch); n != 1 {
		t.Fatalf("%d policies are kept for clients with one", n)
	}
	c := mustClient(t, goresilient.WithChannel(ch))
	if c.Snapshot().Policy.LoadBalancing.LeastRequest == nil {
		t.Fatal("what clients brought is gone with them")
	}
}

type needsTLS struct{}

func (needsTLS) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, nil
}
func (needsTLS) RequireTransportSecurity() bool { return true }

type emptyBundle struct{ credentials.Bundle }

func (emptyBundle) TransportCredentials() credentials.TransportCredentials {
	return insecure.NewCredentials()
}

var noContext context.Context // what a caller passes by mistake

func TestOptionErrors(t *testing.T) {
	target := goresilient.WithTarget("static:///127.0.0.1:1")
	other := goresilient.ServiceDesc{Name: "other.Service"}
	tests := []struct {
		name string
		opts []goresilient.Option
		want []string
	}{
		{"no credentials", []goresilient.Option{target}, []string{"no credentials were given; pass WithTLS"}},
		{"TLS and insecure", []goresilient.Option{target, goresilient.WithInsecure(), goresilient.WithTransportCredentials(insecure.NewCredentials())}, []string{"WithInsecure and WithTransportCredentials were given together"}},
		{"bundle and transport credentials", []goresilient.Option{target, goresilient.WithCredentialsBundle(emptyBundle{}), goresilient.WithTransportCredentials(insecure.NewCredentials())}, []string{"WithTransportCredentials and WithCredentialsBundle were given together"}},
		{"per-RPC credentials in the clear", []goresilient.Option{target, goresilient.WithInsecure(), goresilient.WithPerRPCCredentials(needsTLS{})}, []string{"per-RPC credentials goresilient_test.needsTLS need TLS"}},
		{"TLS files that are not there", []goresilient.Option{target, goresilient.WithTLSFiles(goresilient.TLSFiles{RootFile: "no/such.pem"})}, []string{"WithTLSFiles: open no/such.pem"}},
		{"no target", []goresilient.Option{goresilient.WithInsecure()}, []string{"no target is known"}},
		{"malformed target", []goresilient.Option{goresilient.WithInsecure(), goresilient.WithTarget("static:///127.0.0.1")}, []string{"127.0.0.1"}},
		{"unregistered scheme", []goresilient.Option{goresilient.WithInsecure(), goresilient.WithTarget("consul:///x")}, []string{`"consul"`}},
		{"several at once", []goresilient.Option{nil, goresilient.WithPolicy(nil), goresilient.WithContext(noContext), goresilient.WithServiceConfig("{")}, []string{"option 2 is nil", "WithPolicy(nil)", "WithContext(nil)", "WithServiceConfig: ", "no credentials"}},
		{"policy out of range", []goresilient.Option{target, goresilient.WithInsecure(), goresilient.WithPolicy(&policy.Service{Dial: &policy.Dial{MinReady: policy.Set(0)}})}, []string{"WithPolicy.dial.min_ready: 0 is out of range"}},
		{"limit that is missing", []goresilient.Option{target, goresilient.WithInsecure(), goresilient.WithPolicy(&policy.Service{RateLimit: &policy.RateLimit{}})}, []string{"rate_limit.calls_per_second: is missing; write how many calls a second may pass"}},
		{"unsafe retry", []goresilient.Option{target, goresilient.WithInsecure(), unaryCallPolicy(&policy.Method{Retry: &policy.Retry{}})}, []string{"UnaryCall.retry: the RPC is not safe to repeat"}},
		{"another service's options", []goresilient.Option{target, goresilient.WithInsecure(), optionsOf{&other}}, []string{"the options of service other.Service were given to a client of grpc.testing.TestService"}},
		{"min_ready above 1 with pick_first", []goresilient.Option{target, goresilient.WithInsecure(), goresilient.WithPolicy(&policy.Service{
			Dial: &policy.Dial{MinReady: policy.Set(2)}, LoadBalancing: &policy.LoadBalancing{PickFirst: &policy.PickFirst{}},
		})}, []string{"can never be ready with pick_first"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newTestClient(tt.opts...)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func unaryCallPolicy(m *policy.Method) goresilient.Option {
	var o testOptions
	o.UnaryCall.Policy = m
	return o
}

type optionsOf struct{ desc *goresilient.ServiceDesc }

func (o optionsOf) ApplyTo(s *goresilient.Settings) { s.SetMethods(o.desc) }

func TestOptionsOfTwoGivenTheLaterWins(t *testing.T) {
	var first, second testOptions
	first.EmptyCall.Policy = &policy.Method{WaitForReady: policy.Set(true), MaxRequestBytes: policy.Set(10)}
	second.EmptyCall.Policy = &policy.Method{MaxRequestBytes: policy.Set(20)}
	c := mustClient(t, goresilient.WithConn(fakeConn{}), first, second, testOptions{})
	got := c.Snapshot().Methods[0].Policy
	if !*got.WaitForReady || *got.MaxRequestBytes != 20 {
		t.Fatalf("policy = %+v", got)
	}
}

func TestServiceConfigBecomesPolicy(t *testing.T) {
	address := serve(t, &testServer{})
	r := manual.NewBuilderWithScheme("configured")
	built := make(chan resolver.ClientConn, 1)
	r.BuildCallback = func(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) { built <- cc }
	var conn resolver.ClientConn
	state := func(js string) resolver.State {
		return resolver.State{Addresses: []resolver.Address{{Addr: address}}, ServiceConfig: conn.ParseServiceConfig(js)}
	}
	var opts testOptions
	opts.UnaryCall.Policy = timeoutPolicy(7 * time.Second)
	c := mustClient(t, goresilient.WithTarget("configured:///x"), goresilient.WithInsecure(), goresilient.WithResolvers(r), opts,
		goresilient.WithServiceConfig(`{"methodConfig":[{"name":[{}],"timeout":"9s"}]}`))
	timeout := func(rpc int) time.Duration { return c.Snapshot().Methods[rpc].Timeout }
	if timeout(0) != 9*time.Second || timeout(1) != 7*time.Second {
		t.Fatalf("before the resolver's config: %v, %v", timeout(0), timeout(1))
	}

	// Waiting connects the channel, which builds the resolver.
	go func() { _ = c.WaitReady(t.Context()) }()
	conn = <-built
	r.UpdateState(state(`{"loadBalancingConfig":[{"least_request_experimental":{"choiceCount":4}}],
		"methodConfig":[{"name":[{"service":"grpc.testing.TestService"}],"timeout":"1.5s"}]}`))
	if err := c.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if timeout(0) != 1500*time.Millisecond || timeout(1) != 7*time.Second {
		t.Fatalf("timeouts = %v, %v; want the resolver's, and the Go option above it", timeout(0), timeout(1))
	}
	s := c.Snapshot()
	if lb := s.Policy.LoadBalancing; lb.LeastRequest == nil || *lb.LeastRequest.Choices != 4 {
		t.Fatalf("load balancing = %+v", lb)
	}
	if o := s.Methods[0].Origins["timeout.total"]; o.Level != policy.LevelServiceConfig {
		t.Fatalf("origin = %v", o)
	}

	r.UpdateState(state(`{"methodConfig":[{"name":[{}],"timeout":"soon"}]}`))
	if s := c.Snapshot(); s.Methods[0].Timeout != 1500*time.Millisecond || s.Discovery == nil {
		t.Fatalf("after an invalid config: timeout %v, discovery %v; want the old config, and the error", s.Methods[0].Timeout, s.Discovery)
	}
	if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
		t.Fatalf("a call after an invalid config: %v", err)
	}
	r.UpdateState(resolver.State{Addresses: []resolver.Address{{Addr: address}}})
	if timeout(0) != 9*time.Second {
		t.Fatalf("without a config of the resolver: %v, want the default's", timeout(0))
	}
}

func TestEnvironmentBeatsEverything(t *testing.T) {
	t.Setenv("GORESILIENT_TARGET_GRPC_TESTING_TESTSERVICE", "static:///127.0.0.1:7")
	t.Setenv("GORESILIENT_POLICY_FILE", "testdata/override.yaml")
	c, err := goresilient.NewClient(&testService, goresilient.WithTarget("static:///127.0.0.1:1"), goresilient.WithInsecure(),
		unaryCallPolicy(timeoutPolicy(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	s := c.Snapshot()
	if s.Target != "static:///127.0.0.1:7" || s.Methods[1].Timeout != 3*time.Second {
		t.Fatalf("target %q, timeout %v", s.Target, s.Methods[1].Timeout)
	}
	if got := s.Methods[1].Origins["timeout.total"].String(); got != "environment, testdata/override.yaml:5" {
		t.Fatalf("origin = %s", got)
	}
	if got := s.Origins["target"].Level; got != policy.LevelEnvironment {
		t.Fatalf("origin of the target = %v", got)
	}
}

func TestEnvironmentThatIsWrong(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no file", "", "name a readable policy document"},
		{"traits", "version: goresilient.v1\nservices:\n  a.B:\n    traits:\n      C: {idempotent_because: so}\n", "override.yaml:5:7: services.a.B.traits.C: an override cannot change the traits"},
		{"unsafe", "version: goresilient.v1\nservices:\n  grpc.testing.TestService:\n    methods:\n      UnaryCall: {retry: {}}\n", "UnaryCall.retry: the RPC is not safe to repeat"},
		{"unknown RPC", "version: goresilient.v1\nservices:\n  grpc.testing.TestService:\n    methods:\n      Nothing: {}\n", `has no RPC "Nothing"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "override.yaml")
			if tt.text != "" {
				if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("GORESILIENT_POLICY_FILE", file)
			_, err := goresilient.NewClient(&testService, insecureAt("127.0.0.1:1"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want it to say %q", err, tt.want)
			}
		})
	}
}
