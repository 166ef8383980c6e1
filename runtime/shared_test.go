package goresilient_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/ringhash"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

func mustChannel(t *testing.T, opts ...goresilient.Option) *goresilient.Channel {
	t.Helper()
	ch, err := goresilient.NewChannel(append(opts, goresilient.WithoutEnvironment())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ch.Close() })
	return ch
}

func balancing(lb policy.LoadBalancing) goresilient.Option {
	return goresilient.WithPolicy(&policy.Service{LoadBalancing: &lb})
}

func TestNewChannelChecksItsPolicy(t *testing.T) {
	tests := []struct {
		name   string
		policy policy.Service
		want   string
	}{
		{"keepalive without a time", policy.Service{Connection: &policy.Connection{Keepalive: &policy.Keepalive{Timeout: policy.Set(5 * time.Second)}}}, "connection.keepalive.time: is missing"},
		{"min_ready with pick_first", policy.Service{Dial: &policy.Dial{MinReady: policy.Set(2)}, LoadBalancing: &policy.LoadBalancing{PickFirst: &policy.PickFirst{}}}, "can never be ready with pick_first"},
		{"a policy that is not registered", policy.Service{LoadBalancing: &policy.LoadBalancing{Custom: &policy.Custom{Name: policy.Set("nobody")}}}, "nobody"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := goresilient.NewChannel(insecureAt("127.0.0.1:1"), goresilient.WithPolicy(&tt.policy))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want it to say %q", err, tt.want)
			}
		})
	}
}

func TestFailedConstructorLeavesNothingOnTheChannel(t *testing.T) {
	ch := mustChannel(t, insecureAt(refusedAddress(t)))
	_, err := newTestClient(goresilient.WithChannel(ch), balancing(policy.LoadBalancing{PickFirst: &policy.PickFirst{}}), dialPolicy(policy.Dial{}, short))
	dialError(t, err)
	mustClient(t, goresilient.WithChannel(ch), balancing(policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}))
}

func TestCloseEndsTheWaitOfAClientOnASharedChannel(t *testing.T) {
	ch := mustChannel(t, insecureAt(refusedAddress(t)))
	c := mustClient(t, goresilient.WithChannel(ch))
	time.AfterFunc(50*time.Millisecond, func() { _ = c.Close() })
	if err := c.WaitReady(context.Background()); !errors.Is(err, goresilient.ErrClosed) {
		t.Fatalf("error = %v", err)
	}
}

func TestEnvironmentTargetOnASharedChannel(t *testing.T) {
	t.Setenv("GORESILIENT_TARGET_GRPC_TESTING_TESTSERVICE", "static:///127.0.0.1:7")
	for _, started := range []bool{false, true} {
		ch := mustChannel(t, insecureAt("127.0.0.1:1"))
		if started {
			mustClient(t, goresilient.WithChannel(ch))
		}
		_, err := goresilient.NewClient(&testService, goresilient.WithChannel(ch))
		if err == nil || !strings.Contains(err.Error(), "GORESILIENT_TARGET_GRPC_TESTING_TESTSERVICE") {
			t.Fatalf("started = %v: error = %v", started, err)
		}
		if ch.Target() != "static:///127.0.0.1:1" {
			t.Fatalf("target = %s", ch.Target())
		}
	}
}

func TestWaitReadyWithPoliciesOfOthers(t *testing.T) {
	address := serve(t, &testServer{})
	c := mustClient(t, insecureAt(address), balancing(policy.LoadBalancing{Custom: &policy.Custom{
		Name: policy.Set("ring_hash_experimental"), ConfigJSON: policy.Set(`{"minRingSize":1,"maxRingSize":8,"requestHashHeader":"x-key"}`),
	}}), dialPolicy(policy.Dial{}, long))
	if s := c.Snapshot(); s.Endpoints[0].Endpoint != address {
		t.Fatalf("snapshot = %+v", s)
	}
}

func TestRawCredentialsDoNotReplaceTheCheckedOnes(t *testing.T) {
	_, err := newTestClient(goresilient.WithTarget("static:///"+serve(t, &testServer{})), goresilient.WithoutProxy(),
		goresilient.WithTLSFiles(goresilient.TLSFiles{RootFile: rootFile(t)}),
		goresilient.WithDialOptions(grpc.WithTransportCredentials(insecure.NewCredentials())), dialPolicy(policy.Dial{}, long))
	if !errors.Is(err, goresilient.ErrPermanent) {
		t.Fatalf("error = %v; the connection must have tried TLS", err)
	}
}

func rootFile(t *testing.T) string {
	name := t.TempDir() + "/root.pem"
	newAuthority(t).writeRoot(t, name)
	return name
}

func TestNilArguments(t *testing.T) {
	var none *grpc.ClientConn
	_, err := newTestClient(insecureAt("127.0.0.1:1"), goresilient.WithDialOptions(nil), goresilient.WithResolvers(nil), goresilient.WithConn(none),
		goresilient.WithUnaryInterceptor(nil), goresilient.WithStreamInterceptor(nil), goresilient.WithStatsHandler(nil))
	for _, want := range []string{"WithDialOptions: argument 1", "WithResolvers: argument 1", "WithConn(nil)", "WithUnaryInterceptor: argument 1", "WithStreamInterceptor: argument 1", "WithStatsHandler(nil)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestGoOptionsBeatTheServiceConfigForStreams(t *testing.T) {
	var opts testOptions
	opts.FullDuplexCall.Policy = &policy.Method{StreamTimeout: &policy.StreamTimeout{Total: policy.Set(time.Hour)}}
	c := mustClient(t, insecureAt(serve(t, &testServer{})), goresilient.WithBlock(), opts,
		goresilient.WithServiceConfig(`{"methodConfig":[{"name":[{}],"timeout":"0.01s"}]}`))
	s, err := c.stub.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := s.Context().Deadline(); !ok || time.Until(d) < time.Minute {
		t.Fatalf("the stream ends at %v", d)
	}
}

func TestDiscoveryErrorEndsWithAGoodConfig(t *testing.T) {
	r := manual.NewBuilderWithScheme("mended")
	var conn resolver.ClientConn
	r.BuildCallback = func(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) { conn = cc }
	r.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: serve(t, &testServer{})}}})
	c := mustClient(t, goresilient.WithTarget("mended:///x"), goresilient.WithInsecure(), goresilient.WithResolvers(r), goresilient.WithBlock())
	for _, js := range []string{`{"methodConfig":[{"timeout":"soon"}]}`, `{}`} {
		r.UpdateState(resolver.State{Addresses: []resolver.Address{{Addr: "127.0.0.1:1"}}, ServiceConfig: conn.ParseServiceConfig(js)})
		if wrong := js != `{}`; (c.Snapshot().Discovery != nil) != wrong {
			t.Fatalf("after %s: discovery = %v", js, c.Snapshot().Discovery)
		}
	}
}

func TestStreamInterceptorsThatRetryOrPanic(t *testing.T) {
	address := serve(t, &testServer{})
	long := &policy.Method{StreamTimeout: &policy.StreamTimeout{Total: policy.Set(time.Hour)}}
	var opts testOptions
	opts.FullDuplexCall.Policy = long
	t.Run("retry", func(t *testing.T) {
		twice := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if _, err := next(ctx, desc, cc, method, append(opts, grpc.CallContentSubtype("no-such-codec"))...); err == nil {
				t.Error("the first try must fail")
			}
			return next(ctx, desc, cc, method, opts...)
		}
		c := mustClient(t, insecureAt(address), goresilient.WithBlock(), goresilient.WithStreamAttemptInterceptor(twice), opts)
		s, err := c.stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil || c.Snapshot().Running != 1 {
			t.Fatalf("error = %v, running = %d", err, c.Snapshot().Running)
		}
	})
	t.Run("panic", func(t *testing.T) {
		bad := func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, grpc.Streamer, ...grpc.CallOption) (grpc.ClientStream, error) {
			panic("bad")
		}
		c := mustClient(t, insecureAt(address), goresilient.WithStreamAttemptInterceptor(bad), opts)
		func() {
			defer func() { _ = recover() }()
			_, _ = c.stub.FullDuplexCall(t.Context())
		}()
		if n := c.Snapshot().Running; n != 0 {
			t.Fatalf("%d streams running", n)
		}
	})
}

func TestShutdownWaitsForAFallback(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var opts testOptions
	opts.UnaryCall.Fallback = func(context.Context, *grpc_testing.SimpleRequest, error) (*grpc_testing.SimpleResponse, error) {
		close(entered)
		<-leave
		return &grpc_testing.SimpleResponse{}, nil
	}
	failing := fakeConn{invoke: func(context.Context, string, []grpc.CallOption) error { return status.Error(codes.Unavailable, "no") }}
	c := mustClient(t, goresilient.WithConn(failing), opts)
	call := make(chan error, 1)
	go func() {
		_, err := c.unaryCall.Call(context.Background(), &grpc_testing.SimpleRequest{})
		call <- err
	}()
	<-entered
	if n := c.Snapshot().Running; n != 1 {
		t.Fatalf("%d calls running, want the one in its fallback", n)
	}
	close(leave)
	if err := errors.Join(<-call, c.Shutdown(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{}); !errors.Is(err, goresilient.ErrClosed) {
		t.Fatalf("error of a closed client = %v", err)
	}
}
