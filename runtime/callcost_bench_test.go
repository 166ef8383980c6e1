package goresilient_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// What policy adds to a call that goes nowhere: compare with "conn", which is the call alone. The connection derives a
// context as grpc does.
//
//	go test ./runtime -run '^$' -bench CallCost
func BenchmarkCallCost(b *testing.B) {
	conn := fakeConn{invoke: func(ctx context.Context, _ string, _ []grpc.CallOption) error {
		_, cancel := context.WithCancel(ctx)
		cancel()
		return nil
	}}
	guarded := func() *policy.Service {
		return &policy.Service{
			AdaptiveThrottle: &policy.AdaptiveThrottle{},
			MethodDefaults: &policy.Method{
				Retry:            &policy.Retry{},
				CircuitBreaker:   &policy.CircuitBreaker{},
				ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1000)},
				RateLimit:        &policy.RateLimit{CallsPerSecond: policy.Set(1e9)},
			},
		}
	}
	timed := guarded()
	timed.MethodDefaults.Timeout = &policy.Timeout{Total: policy.Set(time.Second), PerAttempt: policy.Set(200 * time.Millisecond)}
	hedged := guarded()
	hedged.MethodDefaults.Timeout = timed.MethodDefaults.Timeout
	hedged.MethodDefaults.Hedging = &policy.Hedging{Delay: policy.Set(100 * time.Millisecond)}
	in := &grpc_testing.Empty{}
	b.Run("conn", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = conn.Invoke(b.Context(), "", in, new(grpc_testing.Empty))
		}
	})
	for _, bench := range []struct {
		name   string
		policy *policy.Service
	}{{"nothing", &policy.Service{}}, {"guards", guarded()}, {"deadlines", timed}, {"hedging", hedged}} {
		c := mustClient(b, goresilient.WithConn(conn), goresilient.WithPolicy(bench.policy))
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.emptyCall.Call(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
