package goresilient_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// What a guard knows at a failure includes every call that went well until then, and not those that are too long ago.
func TestGuardsKnowOfSuccessesAtOnce(t *testing.T) {
	breaker := &policy.CircuitBreaker{MinimumCalls: policy.Set(10), FailureRatio: policy.Set(0.5), Window: policy.Set(10 * time.Second)}
	perService := &policy.Service{CircuitBreaker: breaker}
	perMethod := &policy.Service{MethodDefaults: &policy.Method{CircuitBreaker: breaker}}
	budget := &policy.Service{
		RetryBudget:    &policy.RetryBudget{Ratio: policy.Set(0.2), MinPerSecond: policy.Set(0.0)},
		MethodDefaults: &policy.Method{Retry: steady(2)},
	}
	throttle := &policy.Service{AdaptiveThrottle: &policy.AdaptiveThrottle{K: policy.Set(2.0), Window: policy.Set(10 * time.Second)}}
	tests := []struct {
		name      string
		policy    *policy.Service
		successes int
		pause     time.Duration // after them
		failures  int           // calls that fail then
		sent      int           // attempts of these
	}{
		{"breaker of the service", perService, 30, 0, 40, 30},
		{"breaker of the method", perMethod, 30, 0, 40, 30},
		{"breaker, nothing before", perMethod, 0, 0, 40, 10},
		{"breaker, at the end of the window", perMethod, 30, 9 * time.Second, 40, 30},
		{"breaker, long ago", perMethod, 1000, 11 * time.Second, 40, 10},
		// A retry at the i-th failure needs extra attempts + 1 <= 0.2 × (successes + i).
		{"budget", budget, 100, 0, 30, 30 + 26},
		{"budget, nothing before", budget, 0, 0, 30, 30 + 6},
		{"budget, long ago", budget, 1000, 12 * time.Second, 30, 30 + 6},
		{"throttle", throttle, 1000, 0, 500, 500},
		{"throttle, at the end of the window", throttle, 1000, 9 * time.Second, 500, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := &scriptedConn{reactions: []reaction{{}}}
				c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(tt.policy))
				call := func() {
					_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				}
				for range tt.successes {
					call()
				}
				time.Sleep(tt.pause)
				conn.reactions = []reaction{{err: errUnavailable}}
				for range tt.failures {
					call()
				}
				if sent := len(conn.seen()) - tt.successes; sent != tt.sent {
					t.Errorf("%d attempts of %d failing calls went out, want %d", sent, tt.failures, tt.sent)
				}
			})
		})
	}
}

// Those of one method count for what all methods of the service share, and a change of policy forgets none.
func TestSuccessesOfOtherMethodsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{}}}
		overrides := goresilient.NewOverrides()
		p := &policy.Service{CircuitBreaker: &policy.CircuitBreaker{MinimumCalls: policy.Set(10), FailureRatio: policy.Set(0.5)}}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(p), goresilient.WithOverrides(overrides))
		for range 30 {
			if _, err := c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := overrides.Set("test", []byte("version: goresilient.v1\ndefaults: {adaptive_throttle: {k: 100}}\n")); err != nil {
			t.Fatal(err)
		}
		conn.reactions = []reaction{{err: errUnavailable}}
		for range 40 {
			_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
		}
		if sent := len(conn.seen()) - 30; sent != 30 {
			t.Errorf("%d failing calls went out, want 30: that many make half of all", sent)
		}
	})
}
