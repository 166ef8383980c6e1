package goresilient_test

import (
	"context"
	"errors"
	"math"
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

func TestDeadlineOfAnAttempt(t *testing.T) {
	hang := reaction{after: time.Hour}
	tests := []struct {
		name       string
		total, per time.Duration
		caller     time.Duration
		retry      *policy.Retry
		reactions  []reaction
		want       []time.Duration // when each attempt began
		ended      time.Duration
		field      string // of the *DeadlineError; "" for the caller's
		ok         bool
	}{
		{name: "alone", per: time.Second, reactions: []reaction{hang}, want: []time.Duration{0}, ended: time.Second, field: "timeout.per_attempt"},
		{name: "another endpoint answers", per: time.Second, retry: steady(3), reactions: []reaction{hang, {}}, want: []time.Duration{0, time.Second}, ended: time.Second, ok: true},
		{name: "each hangs", per: time.Second, retry: steady(2), reactions: []reaction{hang}, want: []time.Duration{0, time.Second}, ended: 2 * time.Second, field: "timeout.per_attempt"},
		{name: "equal shares", per: time.Second, total: 900 * time.Millisecond, retry: steady(3), reactions: []reaction{hang},
			want: []time.Duration{0, 300 * time.Millisecond, 600 * time.Millisecond}, ended: 900 * time.Millisecond, field: "timeout.total"},
		{name: "caller's is earlier", per: time.Second, caller: 500 * time.Millisecond, reactions: []reaction{hang}, want: []time.Duration{0}, ended: 500 * time.Millisecond},
		{name: "no deadline of attempts", total: time.Second, retry: steady(3), reactions: []reaction{hang}, want: []time.Duration{0}, ended: time.Second, field: "timeout.total"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := &scriptedConn{reactions: tt.reactions}
				timeout := &policy.Timeout{Total: &tt.total, PerAttempt: &tt.per}
				c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: tt.retry, Timeout: timeout}))
				ctx := started(t)
				if tt.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.caller)
					defer cancel()
				}
				_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
				near := func(a, b time.Duration) bool { return (a - b).Abs() < time.Millisecond }
				if ended := sinceStart(ctx); !near(ended, tt.ended) {
					t.Errorf("the call ended after %v, want %v", ended, tt.ended)
				}
				seen := conn.seen()
				if len(seen) != len(tt.want) {
					t.Fatalf("%d attempts, want %d; %v", len(seen), len(tt.want), err)
				}
				for i, want := range tt.want {
					if !near(seen[i].at, want) {
						t.Errorf("attempt %d began after %v, want %v", i+1, seen[i].at, want)
					}
				}
				if tt.ok {
					if err != nil {
						t.Error(err)
					}
					return
				}
				var d *goresilient.DeadlineError
				if status.Code(err) != codes.DeadlineExceeded || errors.As(err, &d) != (tt.field != "") || d != nil && d.Field != tt.field {
					t.Errorf("error %v, want the deadline of %q", err, tt.field)
				}
			})
		})
	}
}

// Once it is known how long answers take, an attempt is not cut short for the sake of others that would have no more time.
func TestSharesLeaveTimeForAnAnswer(t *testing.T) {
	const given, calls = 100 * time.Millisecond, 150
	within := func(total time.Duration) *policy.Timeout {
		return &policy.Timeout{Total: &total, PerAttempt: policy.Set(time.Second)}
	}
	tests := []struct {
		name   string
		policy *policy.Method
		caller time.Duration // how much the caller has; 0 for no deadline
		opts   []goresilient.Option
	}{
		{name: "of the policy", policy: &policy.Method{Retry: steady(3), Timeout: within(given)}},
		{name: "of the policy, observed", policy: &policy.Method{Retry: steady(3), Timeout: within(given)}, opts: []goresilient.Option{goresilient.WithObserver(new(recorder))}},
		{name: "of the policy, with hedges", policy: &policy.Method{Retry: steady(3), Timeout: within(given), Hedging: &policy.Hedging{Delay: policy.Set(90 * time.Millisecond)}}},
		{name: "of the caller", policy: &policy.Method{Retry: steady(3), Timeout: within(time.Minute)}, caller: given},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := &scriptedConn{reactions: []reaction{{after: 40 * time.Millisecond}}}
				c := mustClient(t, append(tt.opts, goresilient.WithConn(conn), methodDefaults(tt.policy))...)
				call := func() (attempts int, err error) {
					ctx := started(t)
					if tt.caller > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tt.caller)
						defer cancel()
					}
					before := len(conn.seen())
					_, err = c.emptyCall.Call(ctx, &grpc_testing.Empty{})
					return len(conn.seen()) - before, err
				}
				if attempts, err := call(); attempts != 3 || err == nil {
					t.Errorf("of a third of the time each, %d attempts were made, with %v", attempts, err)
				}
				for range calls {
					_, _ = call()
				}
				for range calls {
					if attempts, err := call(); attempts != 1 || err != nil {
						t.Fatalf("an answer that comes in time took %d attempts: %v", attempts, err)
					}
				}
				conn.reactions = []reaction{{after: 5 * time.Millisecond}}
				time.Sleep(time.Minute)
				for range 10 * calls {
					if attempts, err := call(); attempts != 1 || err != nil {
						t.Fatalf("a quick answer took %d attempts: %v", attempts, err)
					}
				}
				conn.reactions = []reaction{{after: time.Hour}}
				if attempts, err := call(); attempts < 3 || status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("of a server that hangs, %d attempts were made, with %v", attempts, err)
				}
			})
		})
	}
}

// A deadline so far away that no clock shows it is as good as none.
func TestEndlessTimeout(t *testing.T) {
	const endless = time.Duration(math.MaxInt64)
	total := &policy.Timeout{Total: policy.Set(endless)}
	for name, tt := range map[string]struct {
		timeout *policy.Timeout
		opts    []grpc.CallOption
	}{"of the call": {nil, []grpc.CallOption{goresilient.CallTimeout(endless)}}, "of the policy": {total, nil}} {
		t.Run(name, func(t *testing.T) {
			conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}, {}}}
			c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: steady(3), Timeout: tt.timeout}))
			if _, err := c.emptyCall.Call(started(t), &grpc_testing.Empty{}, tt.opts...); err != nil || len(conn.seen()) != 2 {
				t.Errorf("%d attempts: %v", len(conn.seen()), err)
			}
		})
	}
}

// An error that an interceptor brings from a call of its own, whose deadline struck, says nothing of this call's time.
func TestDeadlineOfAnotherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mustClient(t, goresilient.WithConn(&scriptedConn{reactions: []reaction{{after: time.Hour}}}),
			methodDefaults(&policy.Method{Timeout: &policy.Timeout{Total: policy.Set(10 * ms)}}))
		conn := &scriptedConn{reactions: []reaction{{}}}
		retried := steady(3)
		retried.Codes = []codes.Code{codes.DeadlineExceeded}
		tries := 0
		c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: retried, Timeout: &policy.Timeout{Total: policy.Set(time.Second)}}),
			goresilient.WithAttemptInterceptor(func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				if tries++; tries == 1 {
					_, err := inner.unaryCall.Call(ctx, &grpc_testing.SimpleRequest{})
					return err
				}
				return invoke(ctx, method, in, out, cc, opts...)
			}))
		if _, err := c.emptyCall.Call(started(t), &grpc_testing.Empty{}); err != nil || tries != 2 {
			t.Errorf("%d attempts: %v", tries, err)
		}
	})
}

// An attempt that the deadline would cut off before it begins is not waited for.
func TestNoAttemptBeyondTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{err: errUnavailable, trailer: metadata.Pairs("grpc-retry-pushback-ms", "5000")}}}
		c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: steady(3), Timeout: &policy.Timeout{Total: policy.Set(time.Second)}}))
		ctx := started(t)
		_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
		var call *goresilient.CallError
		if !errors.As(err, &call) || call.Stopped != goresilient.StoppedByDeadline || sinceStart(ctx) != 0 || status.Code(err) != codes.Unavailable {
			t.Errorf("after %v: %v", sinceStart(ctx), err)
		}
	})
}
