package goresilient_test

import (
	"sync"
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

// Those of one method count for what all methods of the service share, and a change of policy keeps those from before.
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

// Those after a breaker has closed again count from the first one on.
func TestSuccessesOfABreakerThatHasJustClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{}
		cb := &policy.CircuitBreaker{MinimumCalls: policy.Set(10), FailureRatio: policy.Set(0.5), HalfOpenCalls: policy.Set(1), OpenDuration: policy.Set(5 * time.Second)}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{CircuitBreaker: cb}))
		calls := func(n int, err error) (sent int) {
			conn.reactions = []reaction{{err: err}}
			before := len(conn.seen())
			for range n {
				_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
			}
			return len(conn.seen()) - before
		}
		calls(20, errUnavailable)
		time.Sleep(5 * time.Second)
		calls(31, nil) // of which the first is the probe
		if sent := calls(40, errUnavailable); sent != 30 {
			t.Errorf("%d failing calls went out, want 30: that many make half of all", sent)
		}
	})
}

// First attempts of a method that is called no more do not count for ever.
func TestOldFirstAttemptsPayForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{}}}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
			RetryBudget:    &policy.RetryBudget{Ratio: policy.Set(0.2), MinPerSecond: policy.Set(0.0)},
			MethodDefaults: &policy.Method{Retry: steady(2)},
			CircuitBreaker: &policy.CircuitBreaker{Disabled: policy.Set(true)},
		}))
		for range 1000 {
			_, _ = c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{})
		}
		for range 700 {
			time.Sleep(100 * time.Millisecond)
			_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
		}
		conn.reactions = []reaction{{err: errUnavailable}}
		before := len(conn.seen())
		for range 400 {
			_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
		}
		if extra := len(conn.seen()) - before - 400; extra > 100 { // 0.2 of 400 and of the 100 in the window before
			t.Errorf("%d retries, want 100 at most", extra)
		}
	})
}

// A first attempt counts for the budget at the time at which it began.
func TestFirstAttemptsThatTakeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{after: time.Minute}}}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
			RetryBudget:    &policy.RetryBudget{Ratio: policy.Set(0.2), MinPerSecond: policy.Set(0.0)},
			MethodDefaults: &policy.Method{Retry: steady(2)},
		}))
		var calls sync.WaitGroup
		for range 1000 {
			calls.Go(func() { _, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}) })
		}
		calls.Wait()
		conn.reactions = []reaction{{err: errUnavailable}}
		before := len(conn.seen())
		for range 100 {
			_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
		}
		if extra := len(conn.seen()) - before - 100; extra > 20 {
			t.Errorf("%d retries, want 20 at most: the other first attempts began a minute ago", extra)
		}
	})
}

// Calls that are under way while policy changes count as all others.
func TestSuccessesDuringAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{after: time.Second}}}
		overrides := goresilient.NewOverrides()
		p := &policy.Service{CircuitBreaker: &policy.CircuitBreaker{MinimumCalls: policy.Set(10), FailureRatio: policy.Set(0.5)}}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(p), goresilient.WithOverrides(overrides))
		var calls sync.WaitGroup
		for range 300 {
			calls.Go(func() { _, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}) })
		}
		synctest.Wait()
		if err := overrides.Set("test", []byte("version: goresilient.v1\ndefaults: {adaptive_throttle: {k: 100}}\n")); err != nil {
			t.Fatal(err)
		}
		calls.Wait()
		conn.reactions = []reaction{{err: errUnavailable}}
		for range 400 {
			_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
		}
		if sent := len(conn.seen()) - 300; sent != 300 {
			t.Errorf("%d failing calls went out, want 300: that many make half of all", sent)
		}
	})
}

// A call of an earlier plan that fails knows of the successes of the plan in force.
func TestFailuresAfterAChange(t *testing.T) {
	for _, perMethod := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			conn := newGated()
			overrides := goresilient.NewOverrides()
			cb := &policy.CircuitBreaker{MinimumCalls: policy.Set(10), FailureRatio: policy.Set(0.5)}
			p := &policy.Service{CircuitBreaker: cb}
			if perMethod {
				p = &policy.Service{MethodDefaults: &policy.Method{CircuitBreaker: cb}}
			}
			c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(p), goresilient.WithOverrides(overrides))
			errs := make(chan error, 100)
			call := func() {
				_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				errs <- err
			}
			for range 20 {
				go call()
				<-conn.enter
			}
			synctest.Wait()
			if err := overrides.Set("test", []byte("version: goresilient.v1\ndefaults: {adaptive_throttle: {k: 100}}\n")); err != nil {
				t.Fatal(err)
			}
			early := make(chan error) // which ends the early calls
			conn.mu.Lock()
			conn.end, early = early, conn.end
			conn.mu.Unlock()
			for range 60 {
				go call()
				<-conn.enter
				conn.end <- nil
				if err := <-errs; err != nil {
					t.Fatal(err)
				}
			}
			for range 20 {
				early <- errUnavailable
				<-errs
			}
			go call()
			synctest.Wait()
			select {
			case err := <-errs:
				t.Errorf("after 20 failures of 80 calls a call ended with %v", err)
			default:
				conn.end <- nil
			}
		})
	}
}
