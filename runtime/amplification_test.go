package goresilient_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// layers is three services, of which each calls the next: "top", "middle" and "bottom". The bottom fails as it is told.
type layers struct {
	network *memoryNetwork
	top     *testClient // of the user
	arrived atomic.Int64
	fail    func(ctx context.Context, n int64) error
}

// emptyCaller calls EmptyCall of the next layer.
type emptyCaller func(ctx context.Context) error

// newLayers builds them. middle makes the client with which the middle calls the bottom.
func newLayers(t *testing.T, p *policy.Service, middle func(*layers) emptyCaller) *layers {
	l := &layers{network: newMemoryNetwork()}
	l.network.serveAs(t, "bottom:1", &testServer{empty: func(ctx context.Context) error { return l.fail(ctx, l.arrived.Add(1)) }})
	down := middle(l)
	l.network.serveAs(t, "middle:1", &testServer{empty: down})
	next := l.client(t, "middle:1", p)
	l.network.serveAs(t, "top:1", &testServer{empty: next})
	l.top = mustClient(t, insecureAt("top:1"), l.network.dialer(), goresilient.WithBlock(), goresilient.WithPolicy(p))
	return l
}

// client returns a client of this module.
func (l *layers) client(t *testing.T, address string, p *policy.Service) emptyCaller {
	c := mustClient(t, insecureAt(address), l.network.dialer(), goresilient.WithBlock(), goresilient.WithPolicy(p))
	return func(ctx context.Context) error {
		_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
		return err
	}
}

// plainClient returns a client of grpc's own with a retryPolicy.
func (l *layers) plainClient(t *testing.T, address string) emptyCaller {
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(l.network.dial), grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}],
		"retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.025s", "maxBackoff": "1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	stub := grpc_testing.NewTestServiceClient(cc)
	return func(ctx context.Context) error {
		_, err := stub.EmptyCall(ctx, &grpc_testing.Empty{})
		return err
	}
}

// offer has the user call at a steady rate for some time, and returns how many requests arrived at the bottom for each call.
func (l *layers) offer(rate int, lasting time.Duration) float64 {
	before := l.arrived.Load()
	var wg sync.WaitGroup
	calls := int(lasting.Seconds() * float64(rate))
	for range calls {
		time.Sleep(time.Second / time.Duration(rate))
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _ = l.top.emptyCall.Call(ctx, &grpc_testing.Empty{})
		})
	}
	wg.Wait()
	return float64(l.arrived.Load()-before) / float64(calls)
}

// TestAmplification measures what an outage of the bottom of three layers makes of the load there, when each client makes up to
// three attempts. Without a bound it would be 27 times the load.
func TestAmplification(t *testing.T) {
	retrying := &policy.Service{MethodDefaults: &policy.Method{Retry: &policy.Retry{}}}
	bounded := &policy.Service{MethodDefaults: &policy.Method{Retry: &policy.Retry{}, Timeout: &policy.Timeout{PerAttempt: policy.Set(100 * ms)}}}
	deadlines := &policy.Service{MethodDefaults: &policy.Method{
		Retry:   &policy.Retry{Codes: []codes.Code{codes.Unavailable, codes.DeadlineExceeded}},
		Timeout: &policy.Timeout{Total: policy.Set(600 * ms), PerAttempt: policy.Set(200 * ms)},
	}}
	hang := func(ctx context.Context, _ int64) error {
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	slowly := func(ctx context.Context, _ int64) error {
		select {
		case <-time.After(20 * ms):
		case <-ctx.Done():
		}
		return errUnavailable
	}
	// All of a budget's extra attempts, and those that it allows whatever the traffic.
	const bound = 1.3
	tests := []struct {
		name   string
		policy *policy.Service
		plain  bool // the middle's client
		fail   func(ctx context.Context, n int64) error
		bound  float64 // 0: for information
	}{
		{name: "refuses", policy: retrying, fail: func(context.Context, int64) error { return errUnavailable }, bound: bound},
		{name: "hangs", policy: bounded, fail: hang, bound: bound},
		{name: "hangs, and deadlines are retried", policy: deadlines, fail: hang, bound: bound},
		{name: "refuses slowly", policy: deadlines, fail: slowly, bound: bound},
		{name: "refuses or hangs", policy: deadlines, fail: func(ctx context.Context, n int64) error {
			if n%2 == 0 {
				return errUnavailable
			}
			return hang(ctx, n)
		}, bound: bound},
		{name: "fails one call in two", policy: retrying, fail: func(_ context.Context, n int64) error {
			if n%2 == 0 {
				return errUnavailable
			}
			return nil
		}, bound: bound},
		{name: "fails for good", policy: retrying, fail: func(context.Context, int64) error { return status.Error(codes.Internal, "broken") }, bound: 1},
		{name: "refuses, plain client in the middle", policy: retrying, plain: true, fail: func(context.Context, int64) error { return errUnavailable }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLayers(t, tt.policy, func(l *layers) emptyCaller {
					if tt.plain {
						return l.plainClient(t, "bottom:1")
					}
					return l.client(t, "bottom:1", tt.policy)
				})
				l.fail = func(context.Context, int64) error { return nil }
				if well := l.offer(150, 2*time.Second); well != 1 {
					t.Errorf("%v requests a call while all is well", well)
				}
				l.fail = tt.fail
				onset := l.offer(150, 20*time.Second)  // budgets spend what they have saved, one layer after the other
				steady := l.offer(150, 10*time.Second) // as long as the window of a budget
				t.Logf("%.2f requests a call in the first 20 s, %.2f afterwards", onset, steady)
				if tt.bound > 0 && steady > tt.bound {
					t.Errorf("more than %v", tt.bound)
				}
				if steady < 0.9 {
					t.Errorf("the bottom has no load any more")
				}
			})
		})
	}
}
