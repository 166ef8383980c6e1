package goresilient_test

import (
	"context"
	"errors"
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

// OnFinish runs once, with the error that the call ends with, whatever ends it and whatever policy has done until then. grpc
// promises the same of its own calls, those that it refuses included.
func TestOnFinishRunsOnce(t *testing.T) {
	policies := map[string]*policy.Service{
		"none":              {},
		"deadline":          {MethodDefaults: &policy.Method{Timeout: &policy.Timeout{Total: policy.Set(time.Minute)}}},
		"attempt's":         {MethodDefaults: &policy.Method{Timeout: &policy.Timeout{PerAttempt: policy.Set(time.Minute)}}},
		"retry":             {MethodDefaults: &policy.Method{Retry: steady(3)}},
		"hedge":             {MethodDefaults: &policy.Method{Hedging: &policy.Hedging{Delay: policy.Set(10 * ms), MaxExtraRatio: policy.Set(1.0)}}},
		"retry and hedge":   {MethodDefaults: &policy.Method{Retry: steady(3), Hedging: &policy.Hedging{Delay: policy.Set(10 * ms)}, Timeout: &policy.Timeout{Total: policy.Set(time.Minute)}}},
		"concurrency limit": {ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1)}},
		"limit and retry":   {ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1)}, MethodDefaults: &policy.Method{Retry: steady(3)}},
		"rate limit":        {RateLimit: &policy.RateLimit{CallsPerSecond: policy.Set(0.001), Burst: policy.Set(1)}},
		"breaker":           {CircuitBreaker: &policy.CircuitBreaker{MinimumCalls: policy.Set(1)}},
	}
	ends := map[string]struct {
		reaction reaction
		ctx      func(context.Context) (context.Context, context.CancelFunc)
		options  []grpc.CallOption
		closed   bool
	}{
		"answered":     {},
		"fails":        {reaction: reaction{err: errUnavailable}},
		"no retry":     {reaction: reaction{err: errUnavailable}, options: []grpc.CallOption{goresilient.NoRetry()}},
		"out of time":  {reaction: reaction{after: time.Hour}, options: []grpc.CallOption{goresilient.CallTimeout(time.Second)}},
		"no time left": {ctx: func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, -1) }},
		"given up": {ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}},
		"closed": {closed: true},
	}
	for policyName, p := range policies {
		for endName, end := range ends {
			t.Run(policyName+"/"+endName, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					conn := &scriptedConn{reactions: []reaction{end.reaction}}
					c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(p))
					if end.closed {
						_ = c.Close()
					}
					for range 2 { // the second may be refused
						ctx, cancel := t.Context(), context.CancelFunc(func() {})
						if end.ctx != nil {
							ctx, cancel = end.ctx(ctx)
						}
						var finished []error
						opts := append([]grpc.CallOption{grpc.OnFinish(func(err error) { finished = append(finished, err) })}, end.options...)
						_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{}, opts...)
						cancel()
						if len(finished) != 1 || status.Code(finished[0]) != status.Code(err) {
							t.Fatalf("OnFinish was told %v of a call that ended with %v", finished, err)
						}
					}
				})
			})
		}
	}
}

// A call that a concurrency limit refuses has an end too.
func TestOnFinishOfACallWithoutAPermit(t *testing.T) {
	for _, retry := range []*policy.Retry{nil, steady(3)} {
		synctest.Test(t, func(t *testing.T) {
			conn := &scriptedConn{reactions: []reaction{{after: time.Second}}}
			c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
				ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1)},
				MethodDefaults:   &policy.Method{Retry: retry},
			}))
			go func() { _, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}) }()
			synctest.Wait()
			finished := 0
			_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, grpc.OnFinish(func(error) { finished++ }))
			if refusal(err) == nil || finished != 1 {
				t.Errorf("finished %d times, %v", finished, err)
			}
			time.Sleep(time.Second)
		})
	}
}

// A caller that comes too late tells nothing of the server, which never saw the call.
func TestBreakerIgnoresCallersWithoutTime(t *testing.T) {
	for _, timeout := range []*policy.Timeout{nil, {Total: policy.Set(time.Minute)}} {
		synctest.Test(t, func(t *testing.T) {
			conn := &scriptedConn{reactions: []reaction{{after: time.Nanosecond}}}
			c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
				CircuitBreaker: &policy.CircuitBreaker{MinimumCalls: policy.Set(5)},
				MethodDefaults: &policy.Method{Timeout: timeout},
			}))
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
				if _, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{}); status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("error %v, want that of the caller's deadline", err)
				}
				cancel()
			}
			if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
				t.Errorf("a call with time left: %v", err)
			}
		})
	}
}

// A connection that is not grpc's may return the error of a context as it is.
func TestForeignContextErrorsAreStatuses(t *testing.T) {
	for name, m := range map[string]*policy.Method{"no policy": {}, "deadline": timeoutPolicy(time.Minute), "retry": {Retry: steady(3)}} {
		conn := fakeConn{invoke: func(ctx context.Context, _ string, _ []grpc.CallOption) error { return ctx.Err() }}
		c := mustClient(t, goresilient.WithConn(conn), methodDefaults(m))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{}); status.Code(err) != codes.Canceled {
			t.Errorf("%s: %v has the code %v", name, err, status.Code(err))
		}
	}
}

// Close breaks off a call that waits for its next attempt.
func TestCloseDuringBackoff(t *testing.T) {
	for _, hedging := range []*policy.Hedging{nil, {Delay: policy.Set(time.Hour)}} {
		synctest.Test(t, func(t *testing.T) {
			network := newMemoryNetwork()
			network.serveAs(t, "a:1", &testServer{empty: func(ctx context.Context) error {
				_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", "3600000"))
				return errUnavailable
			}})
			c := mustClient(t, insecureAt("a:1"), network.dialer(), goresilient.WithBlock(), methodDefaults(&policy.Method{Retry: steady(3), Hedging: hedging}))
			ctx := started(t)
			time.AfterFunc(time.Second, func() { _ = c.Close() })
			_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
			if took := sinceStart(ctx); status.Code(err) != codes.Canceled || took > 2*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
}

// A race that its caller breaks off while it waits for its next attempt says so, and tells of the last attempt that there was.
func TestCallerLeavesARaceInBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{err: errUnavailable, trailer: metadata.Pairs("grpc-retry-pushback-ms", "60000")}}}
		seen := &recorder{}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithObserver(seen), hedgeAfter(time.Hour, 2, steady(3)))
		ctx, cancel := context.WithCancel(started(t))
		time.AfterFunc(time.Second, cancel)
		var header metadata.MD
		_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{}, grpc.Header(&header))
		var call *goresilient.CallError
		if !errors.As(err, &call) || call.Stopped != goresilient.StoppedByCaller || status.Code(err) != codes.Canceled {
			t.Errorf("the call ended with %v, want a cancelled one that its caller stopped", err)
		}
		if len(header.Get("attempt")) != 1 || header.Get("attempt")[0] != "1" {
			t.Errorf("header %v, want that of the only attempt", header)
		}
		if events := eventsOf[*goresilient.CallEvent](seen); len(events) != 1 || events[0].Attempts != 1 {
			t.Errorf("%+v, want one call with one attempt", events)
		}
	})
}
