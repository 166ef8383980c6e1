package goresilient_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// refusal returns what refused a call, nil if nothing did.
func refusal(err error) *goresilient.RefusedError {
	var r *goresilient.RefusedError
	errors.As(err, &r)
	return r
}

func TestCircuitBreaker(t *testing.T) {
	for _, perMethod := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
			cb := &policy.CircuitBreaker{MinimumCalls: policy.Set(10), HalfOpenCalls: policy.Set(1)}
			p := &policy.Service{CircuitBreaker: cb}
			if perMethod {
				p = &policy.Service{MethodDefaults: &policy.Method{CircuitBreaker: cb}}
			}
			seen := &recorder{}
			c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(p), goresilient.WithObserver(seen))
			call := func() error {
				_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				return err
			}
			for range 10 {
				if r := refusal(call()); r != nil {
					t.Fatalf("refused before the breaker has seen enough: %v", r)
				}
			}
			r := refusal(call())
			if r == nil || r.Guard != goresilient.GuardCircuitBreaker || r.PerMethod != perMethod || r.RetryAfter != 5*time.Second || status.Code(r) != codes.Unavailable {
				t.Fatalf("refusal %+v, want one of the breaker, for 5 s", r)
			}
			_, err := c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{})
			if refused := refusal(err) != nil; refused == perMethod {
				t.Errorf("the other method is refused: %v", refused)
			}
			time.Sleep(5 * time.Second)
			conn.reactions = []reaction{{}}
			if err := call(); err != nil {
				t.Errorf("the probe: %v", err)
			}
			if err := call(); err != nil {
				t.Errorf("after the probe: %v", err)
			}
			var states []string
			for _, e := range eventsOf[*goresilient.BreakerEvent](seen) {
				if (e.Method != "") != perMethod || e.Service != "grpc.testing.TestService" {
					t.Errorf("event %+v", e)
				}
				states = append(states, e.To)
			}
			if len(states) != 3 || states[0] != "open" || states[1] != "half-open" || states[2] != "closed" {
				t.Errorf("states %v", states)
			}
		})
	}
}

// A breaker counts what the server is to blame for.
func TestBreakerCountsTheServersFailures(t *testing.T) {
	tests := []struct {
		name  string
		react reaction
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		opens bool
	}{
		{name: "unavailable", react: reaction{err: errUnavailable}, opens: true},
		{name: "not found", react: reaction{err: status.Error(codes.NotFound, "")}},
		{name: "caller cancels", react: reaction{after: time.Hour}, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Millisecond, cancel)
			return ctx, cancel
		}},
		{name: "deadline", react: reaction{after: time.Hour}, opens: true, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Millisecond)
		}},
		{name: "server cancels", react: reaction{err: status.Error(codes.Canceled, "")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := &scriptedConn{reactions: []reaction{tt.react}}
				c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{CircuitBreaker: &policy.CircuitBreaker{MinimumCalls: policy.Set(10)}}))
				var err error
				for range 20 {
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if tt.ctx != nil {
						ctx, cancel = tt.ctx(ctx)
					}
					_, err = c.emptyCall.Call(ctx, &grpc_testing.Empty{})
					cancel()
				}
				if opened := refusal(err) != nil; opened != tt.opens {
					t.Errorf("opened: %v, want %v; %v", opened, tt.opens, err)
				}
			})
		})
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{}}}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{RateLimit: &policy.RateLimit{CallsPerSecond: policy.Set(10.0), Burst: policy.Set(5)}}))
		passed := 0
		for range 20 {
			if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err == nil {
				passed++
			} else if r := refusal(err); r == nil || r.Guard != goresilient.GuardRateLimit || status.Code(err) != codes.ResourceExhausted {
				t.Fatal(err)
			}
		}
		if passed != 5 {
			t.Errorf("%d calls passed at once, want the burst of 5", passed)
		}
		_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
		r := refusal(err)
		if r == nil || r.RetryAfter <= 0 || r.RetryAfter > 100*ms {
			t.Fatalf("refusal %+v, want one that says when the next call may go, within 100 ms", r)
		}
		time.Sleep(r.RetryAfter - ms)
		if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); refusal(err) == nil {
			t.Errorf("a call a millisecond too early: %v", err)
		}
		time.Sleep(ms)
		if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
			t.Errorf("a call in time: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
			t.Error(err)
		}
	})
}

func TestConcurrencyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{after: time.Second}}}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{ConcurrencyLimit: &policy.ConcurrencyLimit{
			MaxInFlight: policy.Set(3), MaxQueued: policy.Set(2),
		}}))
		var mu sync.Mutex
		var wg sync.WaitGroup
		var ok, refused int
		for range 10 {
			wg.Go(func() {
				_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				mu.Lock()
				defer mu.Unlock()
				switch r := refusal(err); {
				case err == nil:
					ok++
				case r != nil && r.Guard == goresilient.GuardConcurrencyLimit && r.Reason != "":
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if ok != 5 || refused != 5 {
			t.Errorf("%d calls were made and %d refused, want 5 (3 at once, 2 after a wait) and 5", ok, refused)
		}
		for _, a := range conn.seen() {
			_ = a
		}
	})
}

// A throttle gives up on a server that refuses, and lets enough through to notice when it no longer does.
func TestAdaptiveThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{err: status.Error(codes.ResourceExhausted, "")}}}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{AdaptiveThrottle: &policy.AdaptiveThrottle{Window: policy.Set(time.Second)}}))
		run := func() (refused int) {
			for range 1000 {
				_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				if refusal(err) != nil {
					refused++
				}
				time.Sleep(5 * time.Millisecond)
			}
			return refused
		}
		run()
		if refused := run() + run() + run(); refused < 2700 || refused == 3000 { // one in 200 goes out
			t.Errorf("%d of 3000 calls were refused here while the server refuses all", refused)
		}
		conn.reactions = []reaction{{}}
		for range 10 {
			run()
		}
		if refused := run(); refused != 0 {
			t.Errorf("%d of 1000 calls were refused here although the server takes all", refused)
		}
	})
}

// What one limit refuses tells another, adaptive one nothing of the server.
func TestAdaptiveLimitBehindAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newGated()
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
			ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(2)},
			MethodDefaults: &policy.Method{ConcurrencyLimit: &policy.ConcurrencyLimit{
				Adaptive: &policy.AdaptiveLimit{Min: policy.Set(1), Max: policy.Set(100)},
			}},
		}))
		for range 100 {
			var calls sync.WaitGroup
			for range 10 {
				calls.Go(func() { _, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}) })
			}
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
			conn.end <- nil
			conn.end <- nil
			calls.Wait()
			for range 2 {
				<-conn.enter
			}
		}
		for range 2 {
			go func() { _, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}) }()
		}
		synctest.Wait()
		if n := conn.inside.Load(); n != 2 {
			t.Errorf("the adaptive limit lets %d calls through, want 2", n)
		}
		conn.end <- nil
		conn.end <- nil
	})
}

// A guard that observes tells what it would refuse, and refuses nothing.
func TestObserve(t *testing.T) {
	yes := policy.Set(true)
	tests := []struct {
		guard  goresilient.Guard
		policy *policy.Service
	}{
		{goresilient.GuardCircuitBreaker, &policy.Service{CircuitBreaker: &policy.CircuitBreaker{Observe: yes, MinimumCalls: policy.Set(5)}}},
		{goresilient.GuardRateLimit, &policy.Service{RateLimit: &policy.RateLimit{Observe: yes, CallsPerSecond: policy.Set(1.0)}}},
		{goresilient.GuardConcurrencyLimit, &policy.Service{ConcurrencyLimit: &policy.ConcurrencyLimit{Observe: yes, MaxInFlight: policy.Set(1)}}},
		{goresilient.GuardAdaptiveThrottle, &policy.Service{AdaptiveThrottle: &policy.AdaptiveThrottle{Observe: yes}}},
	}
	for _, tt := range tests {
		t.Run(string(tt.guard), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := &scriptedConn{reactions: []reaction{{err: errUnavailable, after: time.Millisecond}}}
				seen := &recorder{}
				c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(tt.policy), goresilient.WithObserver(seen))
				for range 20 {
					var wg sync.WaitGroup
					for range 5 {
						wg.Go(func() {
							if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); refusal(err) != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
				}
				if n := len(conn.seen()); n != 100 {
					t.Errorf("%d of 100 calls were made", n)
				}
				events := eventsOf[*goresilient.RefusalEvent](seen)
				if len(events) == 0 {
					t.Fatal("no event tells what would have been refused")
				}
				for _, e := range events {
					if !e.Observed || e.Refusal.Guard != tt.guard {
						t.Errorf("event %+v", e)
					}
				}
			})
		})
	}
}

// What the guards know survives a change of policy that leaves their parameters alone.
func TestGuardsSurviveAChange(t *testing.T) {
	conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
	overrides := goresilient.NewOverrides()
	c := mustClient(t, goresilient.WithConn(conn), goresilient.WithOverrides(overrides), goresilient.WithPolicy(&policy.Service{CircuitBreaker: &policy.CircuitBreaker{MinimumCalls: policy.Set(5)}}))
	refused := func() bool {
		_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
		return refusal(err) != nil
	}
	for range 5 {
		refused()
	}
	if !refused() {
		t.Fatal("the breaker is closed")
	}
	if err := overrides.Set("test", []byte("version: goresilient.v1\ndefaults: {method_defaults: {timeout: {total: 5s}}}\n")); err != nil {
		t.Fatal(err)
	}
	if !refused() {
		t.Error("the breaker has forgotten what it knew, although its policy is the same")
	}
	if err := overrides.Set("test", []byte("version: goresilient.v1\ndefaults: {circuit_breaker: {disabled: true}}\n")); err != nil {
		t.Fatal(err)
	}
	if refused() {
		t.Error("a breaker that is off refuses")
	}
}

// A refused call never reaches grpc, and its options hear of the end all the same.
func TestOnFinishOfARefusedCall(t *testing.T) {
	conn := &scriptedConn{reactions: []reaction{{}}}
	c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{RateLimit: &policy.RateLimit{CallsPerSecond: policy.Set(0.001), Burst: policy.Set(1)}}))
	for i := range 2 {
		finished := 0
		_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, grpc.OnFinish(func(error) { finished++ }))
		if finished != 1 || (err != nil) != (i == 1) {
			t.Errorf("call %d: finished %d times, %v", i, finished, err)
		}
	}
}

// A call whose deadline strikes while it waits for a permit was seen by no server: breakers and hedging learn nothing from it.
func TestDeadlineWhileACallWaitsForAPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{after: time.Hour}}}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
			CircuitBreaker: &policy.CircuitBreaker{MinimumCalls: policy.Set(5)},
			MethodDefaults: &policy.Method{
				Retry:            steady(3),
				Timeout:          &policy.Timeout{Total: policy.Set(100 * ms)},
				ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1), MaxQueued: policy.Set(10)},
			},
		}))
		var first sync.WaitGroup
		first.Go(func() {
			_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, goresilient.CallTimeout(time.Hour))
		})
		synctest.Wait()
		conn.mu.Lock()
		before := len(conn.attempts)
		conn.mu.Unlock()
		for range 10 {
			_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
			if r := refusal(err); r != nil && r.Guard == goresilient.GuardCircuitBreaker {
				t.Fatalf("the breaker has opened over calls that no server saw: %v", err)
			}
			var of *goresilient.DeadlineError
			if status.Code(err) != codes.DeadlineExceeded || !errors.As(err, &of) || of.Field != "timeout.total" || !strings.Contains(err.Error(), "concurrency_limit") {
				t.Fatalf("error %v, want one that names the deadline and what the call waited for", err)
			}
		}
		if n := len(conn.seen()) - before; n > 0 {
			t.Errorf("%d attempts got through a full limit", n)
		}
		first.Wait()
	})
}

// A breaker counts the attempts that reached a server, although a guard of this client kept the last one from it.
func TestBreakerCountsBehindARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{after: 10 * ms, err: errUnavailable}}}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
			ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1), MaxQueued: policy.Set(100)},
			CircuitBreaker:   &policy.CircuitBreaker{MinimumCalls: policy.Set(10), OpenDuration: policy.Set(time.Hour), MaxOpenDuration: policy.Set(time.Hour)},
			RetryBudget:      &policy.RetryBudget{Disabled: policy.Set(true)},
			MethodDefaults:   &policy.Method{Retry: steady(3), Timeout: &policy.Timeout{Total: policy.Set(45 * ms)}},
		}))
		var opened atomic.Bool
		var callers sync.WaitGroup
		for i := range 4 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * ms)
				for range 50 {
					_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
					if r := refusal(err); r != nil && r.Guard == goresilient.GuardCircuitBreaker {
						opened.Store(true)
						return
					}
				}
			})
		}
		callers.Wait()
		if !opened.Load() {
			t.Errorf("the server failed %d attempts and answered none, and the breaker has not opened", len(conn.seen()))
		}
	})
}

// occupied is a connection whose UnaryCall takes until it is freed, and whose other calls may panic.
type occupied struct {
	freed  chan struct{}
	panics atomic.Bool
}

func (o *occupied) Invoke(_ context.Context, method string, _, _ any, _ ...grpc.CallOption) error {
	if strings.HasSuffix(method, "/UnaryCall") {
		<-o.freed
		return nil
	}
	if o.panics.Load() {
		panic("broken")
	}
	return nil
}

func (*occupied) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errUnavailable
}

// A permit that the first attempt has given back, since another limit refused it, is not given back again when a hedge panics.
func TestPermitsAreGivenBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &occupied{freed: make(chan struct{})}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
			ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1), MaxQueued: policy.Set(5), MaxQueueTime: policy.Set(20 * ms)},
			MethodDefaults: &policy.Method{
				ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(5)},
				Hedging:          &policy.Hedging{Delay: policy.Set(10 * ms), MaxExtraRatio: policy.Set(1.0)},
			},
		}))
		var other sync.WaitGroup
		other.Go(func() { _, _ = c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{}) })
		synctest.Wait()
		time.AfterFunc(25*ms, func() { close(conn.freed) }) // the first attempt has given up by then, the hedge waits
		conn.panics.Store(true)
		if v := panics(c, t.Context()); v == nil {
			t.Fatal("the hedge did not panic")
		}
		other.Wait()
		conn.panics.Store(false)
		for range 5 {
			if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
				t.Errorf("a call of an idle client: %v", err)
			}
		}
		if n := goresilient.PermitsHeld(c.Client); n != 0 {
			t.Errorf("%d permits are held", n)
		}
	})
}
