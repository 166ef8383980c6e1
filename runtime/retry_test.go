package goresilient_test

import (
	"context"
	"errors"
	"strings"
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

func TestRetry(t *testing.T) {
	internal := status.Error(codes.Internal, "broken")
	tests := []struct {
		name      string
		retry     *policy.Retry
		reactions []reaction
		options   []grpc.CallOption
		attempts  int
		code      codes.Code
		stopped   goresilient.StopReason
	}{
		{name: "second answers", retry: steady(3), reactions: []reaction{{err: errUnavailable}, {}}, attempts: 2},
		{name: "attempts end", retry: steady(3), reactions: []reaction{{err: errUnavailable}}, attempts: 3, code: codes.Unavailable, stopped: goresilient.StoppedByAttempts},
		{name: "code is not one to retry", retry: steady(3), reactions: []reaction{{err: internal}}, attempts: 1, code: codes.Internal, stopped: goresilient.StoppedByCode},
		{name: "code changes", retry: steady(5), reactions: []reaction{{err: errUnavailable}, {err: internal}}, attempts: 2, code: codes.Internal, stopped: goresilient.StoppedByCode},
		{name: "not this call", retry: steady(3), reactions: []reaction{{err: errUnavailable}}, options: []grpc.CallOption{goresilient.NoRetry()}, attempts: 1, code: codes.Unavailable, stopped: goresilient.StoppedByOption},
		{name: "off", retry: nil, reactions: []reaction{{err: errUnavailable}}, attempts: 1, code: codes.Unavailable},
		{name: "turned off", retry: &policy.Retry{Disabled: policy.Set(true)}, reactions: []reaction{{err: errUnavailable}}, attempts: 1, code: codes.Unavailable},
		{name: "server refuses others", retry: steady(3), attempts: 1, code: codes.Unavailable, stopped: goresilient.StoppedByServer,
			reactions: []reaction{{err: errUnavailable, trailer: metadata.Pairs("grpc-retry-pushback-ms", "-1")}}},
		{name: "pushback is malformed", retry: steady(3), attempts: 1, code: codes.Unavailable, stopped: goresilient.StoppedByServer,
			reactions: []reaction{{err: errUnavailable, trailer: metadata.Pairs("grpc-retry-pushback-ms", "soon")}}},
		{name: "pushback is repeated", retry: steady(3), attempts: 1, code: codes.Unavailable, stopped: goresilient.StoppedByServer,
			reactions: []reaction{{err: errUnavailable, trailer: metadata.Pairs("grpc-retry-pushback-ms", "1", "grpc-retry-pushback-ms", "1")}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := &scriptedConn{reactions: tt.reactions}
				c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: tt.retry}))
				_, err := c.emptyCall.Call(started(t), &grpc_testing.Empty{}, tt.options...)
				if status.Code(err) != tt.code {
					t.Errorf("error %v, want code %v", err, tt.code)
				}
				if got := len(conn.seen()); got != tt.attempts {
					t.Errorf("%d attempts, want %d", got, tt.attempts)
				}
				var call *goresilient.CallError
				if errors.As(err, &call) != (tt.stopped != "") {
					t.Fatalf("error %T, want a *CallError: %v", err, tt.stopped != "")
				}
				if call == nil {
					return
				}
				if call.Stopped != tt.stopped || len(call.Attempts) != tt.attempts || call.Method != "/grpc.testing.TestService/EmptyCall" {
					t.Errorf("call error %+v, want %d attempts and %q", call, tt.attempts, tt.stopped)
				}
				for i, a := range call.Attempts {
					if a.Number != i+1 || a.Err == nil || a.Hedge {
						t.Errorf("attempt %d: %+v", i+1, a)
					}
				}
			})
		})
	}
}

// An RPC that is not safe to repeat is not repeated by what it inherits.
func TestInheritedRetryIsWithheld(t *testing.T) {
	conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
	c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: steady(3), Hedging: &policy.Hedging{}}))
	_, err := c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{})
	if got := len(conn.seen()); got != 1 || status.Code(err) != codes.Unavailable {
		t.Errorf("%d attempts and %v, want one", got, err)
	}
	if w := c.Snapshot().Methods[1].Withheld; len(w) != 2 {
		t.Errorf("withheld: %v, want retry and hedging", w)
	}
}

func TestPushbackReplacesTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{
			{err: errUnavailable, trailer: metadata.Pairs("grpc-retry-pushback-ms", "1500")}, {},
		}}
		c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: steady(3)}))
		if _, err := c.emptyCall.Call(started(t), &grpc_testing.Empty{}); err != nil {
			t.Fatal(err)
		}
		if at := conn.seen()[1].at; at != 1500*time.Millisecond {
			t.Errorf("the second attempt began after %v, want the 1.5 s that the server asked for", at)
		}
	})
}

// Back-offs are anywhere between nothing and a bound that doubles.
func TestBackoffIsFullJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var longest [3]time.Duration
		for range 200 {
			conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
			c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
				RetryBudget:    &policy.RetryBudget{Disabled: policy.Set(true)},
				MethodDefaults: &policy.Method{Retry: &policy.Retry{MaxAttempts: policy.Set(4)}},
			}))
			_, _ = c.emptyCall.Call(started(t), &grpc_testing.Empty{})
			seen := conn.seen()
			for i := range longest {
				longest[i] = max(longest[i], seen[i+1].at-seen[i].at)
			}
		}
		for i, bound := range []time.Duration{25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond} {
			if longest[i] > bound || longest[i] < bound/2 {
				t.Errorf("the longest back-off before retry %d was %v, want close to %v", i+1, longest[i], bound)
			}
		}
	})
}

// A caller that gives up while the call waits for its next attempt gets its answer at once, and no attempt follows.
func TestCancelDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{err: errUnavailable, trailer: metadata.Pairs("grpc-retry-pushback-ms", "60000")}}}
		c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: steady(3)}))
		ctx, cancel := context.WithCancel(started(t))
		time.AfterFunc(time.Second, cancel)
		_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
		if sinceStart(ctx) != time.Second || status.Code(err) != codes.Canceled || len(conn.seen()) != 1 {
			t.Errorf("after %v: %v, with %d attempts", sinceStart(ctx), err, len(conn.seen()))
		}
	})
}

// What an attempt wrote before it failed is not in the reply of the next.
func TestEachAttemptHasItsReply(t *testing.T) {
	for _, through := range []string{"method", "stub", "interceptor"} {
		t.Run(through, func(t *testing.T) {
			conn := &scriptedConn{reactions: []reaction{{err: errUnavailable, partial: "half"}, {}}}
			opts := all{goresilient.WithConn(conn)}
			if through == "interceptor" {
				opts = append(opts, goresilient.WithUnaryInterceptor(func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
					return invoker(ctx, method, in, out, cc, opts...)
				}))
			}
			service := testService
			service.Methods = append([]goresilient.MethodDesc(nil), testService.Methods...)
			service.Methods[1].Idempotency = policy.Idempotent
			client, err := goresilient.NewClient(&service, goresilient.WithoutEnvironment(), opts, methodDefaults(&policy.Method{Retry: steady(3)}))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			var out *grpc_testing.SimpleResponse
			if through == "stub" {
				out, err = grpc_testing.NewTestServiceClient(goresilient.StubConn(client)).UnaryCall(t.Context(), &grpc_testing.SimpleRequest{})
			} else {
				out, err = goresilient.NewUnaryMethod[grpc_testing.SimpleRequest, grpc_testing.SimpleResponse](client, "UnaryCall").Call(t.Context(), &grpc_testing.SimpleRequest{})
			}
			if err != nil || out.GetPayload() != nil {
				t.Errorf("reply %v, %v; want an empty one", out, err)
			}
		})
	}
}

// The options that tell of a call tell of the attempt that ended it, and once.
func TestTargetsTellOfTheLastAttempt(t *testing.T) {
	conn := &scriptedConn{reactions: []reaction{
		{err: errUnavailable, trailer: metadata.Pairs("from", "first")},
		{trailer: metadata.Pairs("from", "second")},
	}}
	c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: steady(3)}))
	var header, trailer metadata.MD
	var finished []error
	_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}, grpc.Header(&header), grpc.Trailer(&trailer),
		grpc.OnFinish(func(err error) { finished = append(finished, err) }))
	if err != nil || header.Get("attempt")[0] != "2" || trailer.Get("from")[0] != "second" {
		t.Errorf("%v: header %v, trailer %v", err, header, trailer)
	}
	if len(finished) != 1 || finished[0] != nil {
		t.Errorf("OnFinish was called with %v, want once with nil", finished)
	}
}

// The budget bounds the retries of an outage.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
		seen := &recorder{}
		c := mustClient(t, goresilient.WithConn(conn), goresilient.WithObserver(seen), goresilient.WithPolicy(&policy.Service{
			RetryBudget:    &policy.RetryBudget{MinPerSecond: policy.Set(0.0)},
			MethodDefaults: &policy.Method{Retry: steady(3)},
		}))
		const calls = 5000
		for range calls {
			_, _ = c.emptyCall.Call(started(t), &grpc_testing.Empty{})
			time.Sleep(10 * time.Millisecond)
		}
		if extra := len(conn.seen()) - calls; extra > calls/5 || extra < calls/8 {
			t.Errorf("%d extra attempts for %d calls, want close to 20 %%", extra, calls)
		}
		for _, e := range eventsOf[*goresilient.StopEvent](seen) {
			if e.Reason == goresilient.StoppedByBudget {
				return
			}
		}
		t.Error("no event tells of the budget")
	})
}

func TestErrorTellsOfAttempts(t *testing.T) {
	conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
	c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: steady(3)}))
	_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
	for _, part := range []string{"try elsewhere", "3 attempts failed", "max_attempts"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not tell of %q", err, part)
		}
	}
	if st, _ := status.FromError(err); st.Code() != codes.Unavailable || st.Message() != "try elsewhere" {
		t.Errorf("status %v, want that of the last attempt", st)
	}
}

func TestAttemptEvents(t *testing.T) {
	conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}, {}}}
	seen := &recorder{}
	c := mustClient(t, goresilient.WithConn(conn), goresilient.WithObserver(seen), methodDefaults(&policy.Method{Retry: steady(3)}))
	if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
		t.Fatal(err)
	}
	attempts := eventsOf[*goresilient.AttemptEvent](seen)
	if len(attempts) != 2 || attempts[0].Attempt.Code != codes.Unavailable || attempts[1].Attempt.Code != codes.OK || attempts[1].Attempt.Number != 2 {
		t.Errorf("attempts %v", attempts)
	}
	calls := eventsOf[*goresilient.CallEvent](seen)
	if len(calls) != 1 || calls[0].Attempts != 2 || calls[0].Code != codes.OK {
		t.Errorf("calls %v", calls)
	}
}

// A server that serves a retry says so to those it calls, and these do not retry if policy says so.
func TestNestedRetry(t *testing.T) {
	incoming := func(ctx context.Context, key string) context.Context {
		return metadata.NewIncomingContext(ctx, metadata.Pairs(key, "1"))
	}
	for _, key := range []string{"goresilient-previous-attempts", "grpc-previous-rpc-attempts"} {
		for _, skip := range []bool{false, true} {
			conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
			retry := steady(3)
			retry.SkipNested = &skip
			c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: retry}))
			_, err := c.emptyCall.Call(incoming(t.Context(), key), &grpc_testing.Empty{})
			seen := conn.seen()
			if want := map[bool]int{false: 3, true: 1}[skip]; len(seen) != want {
				t.Errorf("skip_nested %v: %d attempts, want %d; %v", skip, len(seen), want, err)
			}
			if len(seen[0].metadata.Get("goresilient-previous-attempts")) != 1 {
				t.Error("the first attempt does not say that it serves a retry")
			}
		}
	}
	conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
	c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Retry: steady(3)}))
	_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
	for i, a := range conn.seen() {
		if marked := len(a.metadata.Get("goresilient-previous-attempts")) > 0; marked != (i > 0) {
			t.Errorf("attempt %d is marked as a retry: %v", i+1, marked)
		}
	}
}

// What the budget granted to a retry goes back if the caller gives up before it begins.
func TestRetryThatDoesNotBeginCostsNothing(t *testing.T) {
	hedged := &policy.Hedging{Delay: policy.Set(time.Hour)}
	for name, hedging := range map[string]*policy.Hedging{"one after the other": nil, "with hedging": hedged} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := &scriptedConn{reactions: []reaction{{err: errUnavailable}}}
				c := mustClient(t, goresilient.WithConn(conn), goresilient.WithPolicy(&policy.Service{
					RetryBudget: &policy.RetryBudget{Ratio: policy.Set(0.001), MinPerSecond: policy.Set(0.1), Window: policy.Set(10 * time.Second)},
					MethodDefaults: &policy.Method{
						Retry:   &policy.Retry{Backoff: &policy.Backoff{Initial: policy.Set(time.Second), Max: policy.Set(time.Second)}},
						Hedging: hedging,
					},
				}))
				for range 5 { // the budget is for one
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(time.Nanosecond, cancel)
					_, _ = c.emptyCall.Call(ctx, &grpc_testing.Empty{})
					cancel()
				}
				before := len(conn.seen())
				if before > 7 {
					t.Fatalf("%d attempts: callers did not give up", before)
				}
				_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
				if n := len(conn.seen()) - before; n != 2 {
					t.Errorf("%d attempts, want 2: the budget has one left", n)
				}
			})
		})
	}
}

// The error of an attempt's deadline says how long the attempt really had, and a server's own deadline is not told as it.
func TestDeadlineOfAnAttemptIsToldRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{after: time.Hour}}}
		c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{
			Retry: steady(2), Timeout: &policy.Timeout{Total: policy.Set(900 * ms), PerAttempt: policy.Set(time.Second)},
		}))
		_, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
		var call *goresilient.CallError
		var struck *goresilient.DeadlineError
		if !errors.As(err, &call) || !errors.As(call.Attempts[0].Err, &struck) || struck.Field != "timeout.per_attempt" || struck.Timeout != 450*ms {
			t.Errorf("error %v, of the first attempt %+v; want its share of 450 ms", err, struck)
		}

		conn = &scriptedConn{reactions: []reaction{{after: ms, err: status.Error(codes.DeadlineExceeded, "a server behind the server")}}}
		c = mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{
			Retry: steady(3), Timeout: &policy.Timeout{PerAttempt: policy.Set(9 * ms)},
		}))
		_, err = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
		if n := len(conn.seen()); n != 1 || errors.As(err, &struck) && struck.Timeout == 9*ms {
			t.Errorf("%d attempts, %v; want one, and no word of our deadline", n, err)
		}
	})
}
