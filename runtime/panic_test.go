package goresilient_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// panics returns what a call panics with, nil if it does not.
func panics(c *testClient, ctx context.Context) (v any) {
	defer func() { v = recover() }()
	_, _ = c.emptyCall.Call(ctx, &grpc_testing.Empty{})
	return nil
}

// An interceptor that panics, and a caller that recovers, leave nothing behind: permits, probes, timers and the count of
// running calls come back.
func TestPanicOfAnInterceptor(t *testing.T) {
	for name, m := range map[string]*policy.Method{
		"alone":    {},
		"deadline": timeoutPolicy(time.Minute),
		"retry":    {Retry: steady(3)},
		"hedge":    {Hedging: &policy.Hedging{Delay: policy.Set(time.Minute)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var broken atomic.Bool
				conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
				c := mustClient(t, goresilient.WithConn(panickyConn{conn, &broken}), goresilient.WithPolicy(&policy.Service{
					ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1)},
					CircuitBreaker:   &policy.CircuitBreaker{MinimumCalls: policy.Set(2), HalfOpenCalls: policy.Set(1), OpenDuration: policy.Set(time.Hour), MaxOpenDuration: policy.Set(time.Hour)},
					MethodDefaults:   m,
				}))
				for range 3 {
					_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				}
				time.Sleep(time.Hour) // half open
				conn.reactions = []reaction{{}}
				broken.Store(true)
				for range 2 {
					if v := panics(c, t.Context()); v != "broken" {
						t.Fatalf("the call panicked with %v", v)
					}
				}
				broken.Store(false)
				if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
					t.Errorf("the call after: %v", err)
				}
				if n := c.Snapshot().Running; n != 0 {
					t.Errorf("%d calls run", n)
				}
			})
		})
	}
}

// panickyConn panics while it is broken, as an interceptor of a dial option may.
type panickyConn struct {
	*scriptedConn
	broken *atomic.Bool
}

func (p panickyConn) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	if p.broken.Load() {
		panic("broken")
	}
	return p.scriptedConn.Invoke(ctx, method, in, out, opts...)
}

// panickingOn panics in the attempts that it says.
type panickingOn struct {
	*scriptedConn
	on func(attempt int32)

	attempts atomic.Int32
}

func (p *panickingOn) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	p.on(p.attempts.Add(1))
	return p.scriptedConn.Invoke(ctx, method, in, out, opts...)
}

// A hedge runs on a goroutine of its own. That an interceptor of it panics, of ours or of the connection, is for the caller to
// recover from all the same, and the attempts that run beside it are ended first.
func TestPanicOfAHedge(t *testing.T) {
	pass := goresilient.WithAttemptInterceptor(func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return next(ctx, method, in, out, cc, opts...)
	})
	for name, option := range map[string]goresilient.Option{"intercepted": pass, "of the connection": all{}} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, first %v", name, first), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					conn := &panickingOn{scriptedConn: &scriptedConn{reactions: []reaction{{after: time.Hour}}}, on: func(attempt int32) {
						switch {
						case attempt == 2 && !first:
							panic("broken")
						case attempt == 1 && first:
							time.Sleep(20 * ms)
							panic("broken")
						}
					}}
					c := mustClient(t, goresilient.WithConn(conn), hedgeAfter(10*ms, 2, nil), option)
					ctx := started(t)
					if v := panics(c, ctx); v == nil || !strings.HasPrefix(fmt.Sprint(v), "broken") {
						t.Fatalf("the call panicked with %v", v)
					}
					if took := sinceStart(ctx); took > 20*ms || conn.running != 0 || c.Snapshot().Running != 0 {
						t.Errorf("after %v; %d attempts run, %d calls", took, conn.running, c.Snapshot().Running)
					}
				})
			})
		}
	}
}
