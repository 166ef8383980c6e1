package goresilient_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// Interceptors, credentials and users call others under the context of an attempt. Such a call is one of its own: it takes no part
// in what the attempt and its balancer tell each other.
func TestCallsUnderTheContextOfAnAttempt(t *testing.T) {
	keyed := goresilient.WithPolicy(&policy.Service{
		LoadBalancing:  &policy.LoadBalancing{ConsistentHash: &policy.ConsistentHash{}},
		MethodDefaults: &policy.Method{Retry: steady(3)},
	})
	pushBack := func(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		return &grpc_testing.SimpleResponse{}, grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", "-1"))
	}
	for _, where := range []string{"over another channel", "over the same channel"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newMemoryNetwork()
				var went []string
				for _, addr := range []string{"a:1", "b:1", "c:1"} {
					n.serveAs(t, addr, &testServer{unary: pushBack, empty: func(context.Context) error {
						went = append(went, addr)
						return status.Error(codes.Unavailable, addr)
					}})
				}
				n.serveAs(t, "other:1", &testServer{unary: pushBack})
				other := mustClient(t, insecureAt("other:1"), n.dialer(), goresilient.WithBlock())
				var c *testClient
				c = mustClient(t, insecureAt("a:1,b:1,c:1"), n.dialer(), goresilient.WithBlock(), keyed,
					goresilient.WithAttemptInterceptor(func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
						err := invoke(ctx, method, in, out, cc, opts...)
						if err == nil {
							return nil // the inner call's
						}
						by := other
						if where == "over the same channel" {
							by = c
						}
						if _, err := by.unaryCall.Call(ctx, &grpc_testing.SimpleRequest{}, goresilient.NoRetry()); err != nil {
							t.Error(err)
						}
						return err
					}))
				time.Sleep(time.Second)
				_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, goresilient.HashKey("k"))
				slices.Sort(went)
				if !slices.Equal(went, []string{"a:1", "b:1", "c:1"}) || status.Code(err) != codes.Unavailable {
					t.Errorf("the attempts went to %v: %v", went, err)
				}
			})
		})
	}
}

// The context of a stream outlives its opening, and is as good as any other for calls.
func TestCallsUnderTheContextOfAStream(t *testing.T) {
	for name, opts := range map[string][]grpc.CallOption{"retried": nil, "not retried": {goresilient.NoRetry()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newMemoryNetwork()
				n.serve(t, "other:1")
				other := mustClient(t, insecureAt("other:1"), n.dialer(), goresilient.WithBlock())
				streams := newStreamTest(t, &policy.Service{MethodDefaults: &policy.Method{Retry: &policy.Retry{}}})
				ctx, cancel := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer cancel()
				stream, err := streams.stub.FullDuplexCall(ctx, opts...)
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatal(err)
				}
				for i := range 100 {
					if _, err := other.unaryCall.Call(stream.Context(), &grpc_testing.SimpleRequest{}); err != nil {
						t.Fatalf("call %d: %v", i, err)
					}
				}
			})
		})
	}
}

// An interceptor of the connection may send a call to another method: it remains the call that it was.
func TestInterceptorChangesTheMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNetwork()
		went := make(map[string]int)
		var addrs string
		for _, addr := range []string{"a:1", "b:1", "c:1", "d:1", "e:1"} {
			n.serveAs(t, addr, &testServer{empty: func(context.Context) error { went[addr]++; return nil }})
			addrs += "," + addr
		}
		rewrite := func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(ctx, "/grpc.testing.TestService/EmptyCall", in, out, cc, opts...)
		}
		c := mustClient(t, insecureAt(addrs[1:]), n.dialer(), goresilient.WithBlock(), goresilient.WithDialOptions(grpc.WithUnaryInterceptor(rewrite)),
			goresilient.WithPolicy(&policy.Service{LoadBalancing: &policy.LoadBalancing{ConsistentHash: &policy.ConsistentHash{}}}))
		time.Sleep(time.Second)
		for range 20 {
			if _, err := c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{}, goresilient.HashKey("k")); err != nil {
				t.Fatal(err)
			}
		}
		if len(went) != 1 {
			t.Errorf("calls of one key went to %v", went)
		}
	})
}
