package goresilient_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// fakeConn is a connection of somebody else's.
type fakeConn struct {
	invoke func(ctx context.Context, method string, opts []grpc.CallOption) error
	stream func(ctx context.Context, opts []grpc.CallOption) (grpc.ClientStream, error)
}

func (f fakeConn) Invoke(ctx context.Context, method string, _, _ any, opts ...grpc.CallOption) error {
	return f.invoke(ctx, method, opts)
}

func (f fakeConn) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return f.stream(ctx, opts)
}

// hang answers when its context ends, as grpc does.
func hang(ctx context.Context, _ string, _ []grpc.CallOption) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

func timeoutPolicy(d time.Duration) *policy.Method {
	return &policy.Method{Timeout: &policy.Timeout{Total: &d}}
}

func TestTotalDeadline(t *testing.T) {
	tests := []struct {
		name   string
		policy time.Duration // 0 for none
		caller time.Duration // 0 for none
		option []grpc.CallOption
		after  time.Duration
		field  string // of the *DeadlineError; "" if the caller's own deadline struck
	}{
		{name: "policy's", policy: time.Second, after: time.Second, field: "timeout.total"},
		{name: "caller's is earlier", policy: 2 * time.Second, caller: time.Second, after: time.Second},
		{name: "policy's is earlier", policy: time.Second, caller: time.Minute, after: time.Second, field: "timeout.total"},
		{name: "the call's own", policy: time.Minute, option: []grpc.CallOption{goresilient.CallTimeout(time.Second)}, after: time.Second, field: "CallTimeout"},
		{name: "taken away", policy: time.Second, caller: time.Minute, option: []grpc.CallOption{goresilient.CallTimeout(0)}, after: time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opts testOptions
				opts.EmptyCall.Policy = timeoutPolicy(tt.policy)
				c := mustClient(t, goresilient.WithConn(fakeConn{invoke: hang}), opts)
				ctx := t.Context()
				if tt.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.caller)
					defer cancel()
				}
				start := time.Now()
				_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{}, tt.option...)
				if got := time.Since(start); got != tt.after {
					t.Errorf("the call ended after %v, want %v", got, tt.after)
				}
				if status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("code = %v, want DeadlineExceeded", status.Code(err))
				}
				var deadline *goresilient.DeadlineError
				if ours := errors.As(err, &deadline); ours != (tt.field != "") || ours && deadline.Field != tt.field {
					t.Errorf("error = %v, want the deadline of %q", err, tt.field)
				}
			})
		})
	}
}

func TestTotalDeadlineEndsABlackHole(t *testing.T) {
	var opts testOptions
	opts.EmptyCall.Policy = timeoutPolicy(100 * time.Millisecond)
	c := mustClient(t, insecureAt(blackHole(t)), opts)
	_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, grpc.WaitForReady(true))
	var deadline *goresilient.DeadlineError
	if !errors.As(err, &deadline) || status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("error = %v", err)
	}
}

func TestCallerCancels(t *testing.T) {
	var opts testOptions
	opts.EmptyCall.Policy = timeoutPolicy(time.Hour)
	c := mustClient(t, goresilient.WithConn(fakeConn{invoke: hang}), opts)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{}); status.Code(err) != codes.Canceled {
		t.Fatalf("error = %v, want Canceled", err)
	}
}

func TestFallbackAnswersAFailedCall(t *testing.T) {
	failure := status.Error(codes.Unavailable, "no")
	var opts testOptions
	opts.UnaryCall.Fallback = func(_ context.Context, in *grpc_testing.SimpleRequest, err error) (*grpc_testing.SimpleResponse, error) {
		if err != failure {
			t.Errorf("fallback got %v", err)
		}
		return &grpc_testing.SimpleResponse{Username: in.GetResponseStatus().GetMessage()}, nil
	}
	c := mustClient(t, opts, goresilient.WithConn(fakeConn{invoke: func(context.Context, string, []grpc.CallOption) error { return failure }}))
	in := &grpc_testing.SimpleRequest{ResponseStatus: &grpc_testing.EchoStatus{Message: "stale"}}
	out, err := c.unaryCall.Call(t.Context(), in)
	if err != nil || out.GetUsername() != "stale" {
		t.Fatalf("got %v, %v", out, err)
	}
}

func TestInterceptorsRunOncePerCallAndPerAttempt(t *testing.T) {
	var order []string
	note := func(name string) grpc.UnaryClientInterceptor {
		return func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			order = append(order, name)
			if _, bounded := ctx.Deadline(); bounded != strings.HasPrefix(name, "attempt") {
				t.Errorf("%s: under a deadline = %v", name, bounded)
			}
			return next(ctx, method, in, out, cc, opts...)
		}
	}
	var opts testOptions
	opts.EmptyCall.Policy = timeoutPolicy(time.Hour)
	c := mustClient(t, opts,
		goresilient.WithAttemptInterceptor(note("attempt 1"), note("attempt 2")),
		goresilient.WithUnaryInterceptor(note("call 1")), goresilient.WithUnaryInterceptor(note("call 2")),
		goresilient.WithConn(fakeConn{invoke: func(context.Context, string, []grpc.CallOption) error { return nil }}))
	if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"call 1", "call 2", "attempt 1", "attempt 2"}; !slices.Equal(order, want) {
		t.Fatalf("order = %v, want %v", order, want)
	}
}

func TestCallersOptionsBeatPolicy(t *testing.T) {
	var seen []grpc.CallOption
	conn := fakeConn{invoke: func(_ context.Context, _ string, opts []grpc.CallOption) error { seen = opts; return nil }}
	var opts testOptions
	opts.EmptyCall.Policy = &policy.Method{
		WaitForReady: policy.Set(true), Compressor: policy.Set("gzip"),
		MaxRequestBytes: policy.Set(10), MaxResponseBytes: policy.Set(20),
	}
	c := mustClient(t, opts, goresilient.WithConn(conn))
	mine := grpc.WaitForReady(false)
	if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, mine); err != nil {
		t.Fatal(err)
	}
	want := []grpc.CallOption{
		grpc.StaticMethod(), grpc.WaitForReady(true), grpc.UseCompressor("gzip"), grpc.MaxCallSendMsgSize(10),
		grpc.MaxCallRecvMsgSize(20), mine,
	}
	if !slices.Equal(seen, want) {
		t.Fatalf("options = %v, want %v: of two, grpc takes the last", seen, want)
	}
}

func TestHeaderTrailerAndOnFinishReachTheCaller(t *testing.T) {
	address := serve(t, &testServer{empty: func(ctx context.Context) error {
		_ = grpc.SetHeader(ctx, metadata.Pairs("k", "header"))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("k", "trailer"))
		return nil
	}})
	var opts testOptions
	opts.EmptyCall.Policy = timeoutPolicy(time.Minute)
	c := mustClient(t, insecureAt(address), opts)
	var header, trailer metadata.MD
	finished := 0
	_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, grpc.Header(&header), grpc.Trailer(&trailer),
		grpc.OnFinish(func(error) { finished++ }), grpc.WaitForReady(true))
	if err != nil || header.Get("k")[0] != "header" || trailer.Get("k")[0] != "trailer" || finished != 1 {
		t.Fatalf("err = %v, header = %v, trailer = %v, OnFinish ran %d times", err, header, trailer, finished)
	}
}

func TestStreams(t *testing.T) {
	address := serve(t, &testServer{})
	t.Run("ends and is no longer running", func(t *testing.T) {
		c := mustClient(t, insecureAt(address), goresilient.WithBlock())
		s, err := c.stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		if n := c.Snapshot().Running; n != 1 {
			t.Fatalf("%d streams running, want 1", n)
		}
		_ = s.CloseSend()
		if _, err := s.Recv(); err != io.EOF {
			t.Fatalf("error = %v, want EOF", err)
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Fatalf("Shutdown after the last stream: %v", err)
		}
	})
	t.Run("has its own deadline", func(t *testing.T) {
		var opts testOptions
		opts.FullDuplexCall.Policy = &policy.Method{StreamTimeout: &policy.StreamTimeout{Total: policy.Set(50 * time.Millisecond)}}
		c := mustClient(t, insecureAt(address), goresilient.WithBlock(), opts)
		s, err := c.stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Recv()
		var deadline *goresilient.DeadlineError
		if !errors.As(err, &deadline) || deadline.Field != "stream_timeout.total" {
			t.Fatalf("error = %v", err)
		}
	})
	t.Run("is not bounded by the deadline of unary calls", func(t *testing.T) {
		c := mustClient(t, insecureAt(address), goresilient.WithBlock(),
			goresilient.WithPolicy(&policy.Service{MethodDefaults: timeoutPolicy(time.Nanosecond)}))
		s, err := c.stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, bounded := s.Context().Deadline(); bounded {
			t.Fatal("the stream has a deadline")
		}
	})
	t.Run("interceptors and a cancelled caller", func(t *testing.T) {
		var order []string
		note := func(name string) grpc.StreamClientInterceptor {
			return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				order = append(order, name)
				return next(ctx, desc, cc, method, opts...)
			}
		}
		c := mustClient(t, insecureAt(address), goresilient.WithBlock(),
			goresilient.WithStreamAttemptInterceptor(note("attempt")), goresilient.WithStreamInterceptor(note("stream")))
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := c.stub.FullDuplexCall(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := c.Shutdown(t.Context()); err != nil {
			t.Fatalf("Shutdown waits for a stream whose caller went away: %v", err)
		}
		if !slices.Equal(order, []string{"stream", "attempt"}) {
			t.Fatalf("order = %v", order)
		}
	})
}

func TestShutdownWaitsAndCloseDoesNot(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	enter := sync.OnceFunc(func() { close(entered) })
	address := serve(t, &testServer{empty: func(ctx context.Context) error {
		enter()
		<-leave
		return nil
	}})
	c := mustClient(t, insecureAt(address), goresilient.WithBlock())
	call := make(chan error, 1)
	go func() {
		_, err := c.emptyCall.Call(context.Background(), &grpc_testing.Empty{})
		call <- err
	}()
	<-entered
	down := make(chan error, 1)
	go func() { down <- c.Shutdown(context.Background()) }()
	for {
		_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, goresilient.CallTimeout(time.Millisecond))
		if errors.Is(err, goresilient.ErrClosed) {
			if status.Code(err) != codes.Canceled {
				t.Fatalf("code = %v", status.Code(err))
			}
			break
		}
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v with a call running", err)
	default:
	}
	close(leave)
	if err := <-call; err != nil {
		t.Fatalf("the running call: %v", err)
	}
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), c.Shutdown(t.Context())); err != nil {
		t.Fatalf("Close and Shutdown again: %v", err)
	}
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	entered := make(chan struct{})
	address := serve(t, &testServer{empty: func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}})
	c := mustClient(t, insecureAt(address), goresilient.WithBlock())
	call := make(chan error, 1)
	go func() {
		_, err := c.emptyCall.Call(context.Background(), &grpc_testing.Empty{})
		call <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Shutdown = %v", err)
	}
	if err := <-call; status.Code(err) != codes.Canceled {
		t.Fatalf("the running call = %v", err)
	}
}

func TestConnHasNoMethodPolicy(t *testing.T) {
	address := serve(t, &testServer{})
	var opts testOptions
	opts.EmptyCall.Policy = timeoutPolicy(time.Nanosecond)
	c := mustClient(t, insecureAt(address), goresilient.WithBlock(), opts)
	if _, err := grpc_testing.NewTestServiceClient(c.Conn()).EmptyCall(t.Context(), &grpc_testing.Empty{}); err != nil {
		t.Fatalf("over Conn: %v", err)
	}
	if _, err := c.stub.EmptyCall(t.Context(), &grpc_testing.Empty{}); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("over the service's own stub: %v, want its deadline to strike", err)
	}
	s, err := grpc_testing.NewTestServiceClient(c.Conn()).FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.CloseSend()
	if _, err := s.Recv(); err != io.EOF {
		t.Fatalf("stream over Conn: %v", err)
	}
}
