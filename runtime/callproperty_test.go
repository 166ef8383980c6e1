package goresilient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// checkCalls checks a property of histories of calls, in virtual time.
func checkCalls(t *testing.T, property func(*rapid.T)) {
	synctest.Test(t, func(t *testing.T) { rapid.Check(withoutDeadline{t}, property) })
}

// withoutDeadline is a test that has no Deadline: in virtual time it would make no sense.
type withoutDeadline struct{ testing.TB }

// drawnClient is a client over a scripted connection.
func drawnClient(t *rapid.T, conn grpc.ClientConnInterface, opts ...goresilient.Option) *testClient {
	c, err := newTestClient(append(opts, goresilient.WithConn(conn))...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// drawReactions draws what happens to the attempts of a call.
func drawReactions(t *rapid.T) []reaction {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) reaction {
		r := reaction{after: time.Duration(rapid.IntRange(0, 200).Draw(t, "after")) * ms}
		code := rapid.SampledFrom([]codes.Code{codes.OK, codes.Unavailable, codes.Unavailable, codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.NotFound, codes.Canceled}).Draw(t, "code")
		if code != codes.OK {
			r.err = status.Error(code, "scripted")
		}
		if pushed := rapid.SampledFrom([]string{"", "", "", "", "-1", "0", "40", "x"}).Draw(t, "pushback"); pushed != "" {
			r.trailer = metadata.Pairs("grpc-retry-pushback-ms", pushed)
		}
		return r
	}), 1, 5).Draw(t, "reactions")
}

// TestPropertyRetriesFollowTheModel compares calls without hedges, deadlines and budget with what gRFC A6 says of them.
func TestPropertyRetriesFollowTheModel(t *testing.T) {
	checkCalls(t, func(t *rapid.T) {
		reactions := drawReactions(t)
		most := rapid.IntRange(2, 5).Draw(t, "max_attempts")
		retryable := []codes.Code{codes.Unavailable, codes.ResourceExhausted}[:rapid.IntRange(1, 2).Draw(t, "codes")]

		wantAttempts, wantCode, wantStop := 0, codes.OK, goresilient.StopReason("")
		for wantStop == "" {
			r := reactions[min(wantAttempts, len(reactions)-1)]
			wantAttempts++
			wantCode = status.Code(r.err)
			pushback := r.trailer.Get("grpc-retry-pushback-ms")
			switch {
			case r.err == nil:
				wantStop = "none"
			case !slices.Contains(retryable, wantCode):
				wantStop = goresilient.StoppedByCode
			case wantAttempts == most:
				wantStop = goresilient.StoppedByAttempts
			case len(pushback) > 0 && (pushback[0] == "-1" || pushback[0] == "x"):
				wantStop = goresilient.StoppedByServer
			}
		}

		conn, seen := &scriptedConn{reactions: reactions}, &recorder{}
		retry := steady(most)
		retry.Codes = retryable
		c := drawnClient(t, conn, goresilient.WithObserver(seen), goresilient.WithPolicy(&policy.Service{
			RetryBudget: &policy.RetryBudget{Disabled: policy.Set(true)}, MethodDefaults: &policy.Method{Retry: retry},
		}))
		defer c.Close()
		_, err := c.emptyCall.Call(context.Background(), &grpc_testing.Empty{})
		if got := len(conn.seen()); got != wantAttempts || status.Code(err) != wantCode {
			t.Fatalf("%d attempts and %v, want %d and %v", got, err, wantAttempts, wantCode)
		}
		var call *goresilient.CallError
		if errors.As(err, &call) != (err != nil) || call != nil && (call.Stopped != wantStop || len(call.Attempts) != wantAttempts) {
			t.Fatalf("error %#v, want %d attempts and %q", err, wantAttempts, wantStop)
		}
		if events := eventsOf[*goresilient.CallEvent](seen); len(events) != 1 || events[0].Attempts != wantAttempts || events[0].Code != wantCode {
			t.Fatalf("events %+v", events)
		}
	})
}

// history is calls made at random, some at the same time, of which some are given up.
type history struct {
	conn   *scriptedConn
	client *testClient
	seen   *recorder

	mu        sync.Mutex
	cancelled int // calls that their callers gave up
	failed    int
}

// play makes so many calls.
func (h *history) play(t *rapid.T, calls int, mayCancel bool) {
	var wg sync.WaitGroup
	for i := range calls {
		time.Sleep(time.Duration(rapid.IntRange(0, 300).Draw(t, fmt.Sprint("pause ", i))) * ms)
		ctx, cancel := context.WithCancel(context.Background())
		if mayCancel && rapid.Bool().Draw(t, fmt.Sprint("cancel ", i)) {
			time.AfterFunc(time.Duration(rapid.IntRange(0, 300).Draw(t, fmt.Sprint("after ", i)))*ms, cancel)
		}
		wg.Go(func() {
			defer cancel()
			_, err := h.client.emptyCall.Call(ctx, &grpc_testing.Empty{})
			h.mu.Lock()
			defer h.mu.Unlock()
			switch {
			case status.Code(err) == codes.Canceled && ctx.Err() != nil:
				h.cancelled++
			case err != nil:
				h.failed++
			}
		})
	}
	wg.Wait()
	synctest.Wait()
}

// TestPropertyAttempts checks the bounds of attempts, and that nothing runs on, over histories with retries, hedges and deadlines.
func TestPropertyAttempts(t *testing.T) {
	checkCalls(t, func(t *rapid.T) {
		m := &policy.Method{Timeout: &policy.Timeout{}}
		most, ratio := 1, rapid.Float64Range(0.05, 1).Draw(t, "hedge ratio")
		if rapid.Bool().Draw(t, "retries") {
			most = rapid.IntRange(2, 5).Draw(t, "max_attempts")
			m.Retry = steady(most)
		}
		if rapid.Bool().Draw(t, "hedges") {
			n := rapid.IntRange(2, 5).Draw(t, "hedged attempts")
			most = max(most, n)
			m.Hedging = &policy.Hedging{MaxAttempts: &n, Delay: policy.Set(time.Duration(rapid.IntRange(1, 100).Draw(t, "delay")) * ms), MaxExtraRatio: &ratio}
		}
		if rapid.Bool().Draw(t, "bounded") {
			m.Timeout.Total = policy.Set(time.Duration(rapid.IntRange(1, 500).Draw(t, "total")) * ms)
		}
		if rapid.Bool().Draw(t, "attempts bounded") {
			m.Timeout.PerAttempt = policy.Set(time.Duration(rapid.IntRange(1, 200).Draw(t, "per attempt")) * ms)
		}
		window := time.Duration(rapid.IntRange(1, 5).Draw(t, "window")) * time.Second
		share, least := rapid.Float64Range(0.01, 1).Draw(t, "ratio"), float64(rapid.IntRange(0, 2).Draw(t, "least"))
		h := &history{conn: &scriptedConn{reactions: drawReactions(t)}, seen: &recorder{}}
		h.client = drawnClient(t, h.conn, goresilient.WithObserver(h.seen), goresilient.WithPolicy(&policy.Service{
			RetryBudget:    &policy.RetryBudget{Ratio: &share, MinPerSecond: &least, Window: &window},
			MethodDefaults: m,
		}))
		defer h.client.Close()
		calls := rapid.IntRange(1, 25).Draw(t, "calls")
		began := time.Now()
		h.play(t, calls, true)

		events := eventsOf[*goresilient.CallEvent](h.seen)
		made := 0
		for _, e := range events {
			made += e.Attempts
			if e.Attempts > most {
				t.Fatalf("a call made %d attempts, of %d", e.Attempts, most)
			}
		}
		if n := len(h.conn.seen()); n != made || len(events) != calls || h.conn.running != 0 || h.client.Snapshot().Running != 0 {
			t.Fatalf("%d attempts seen, %d told; %d calls told, of %d; %d attempts and %d calls run", n, made, len(events), calls, h.conn.running, h.client.Snapshot().Running)
		}
		extra, hedges := 0, 0
		for _, e := range eventsOf[*goresilient.AttemptEvent](h.seen) {
			if e.Attempt.Number > 1 {
				extra++
			}
			if e.Attempt.Hedge {
				hedges++
			}
		}
		windows := float64(time.Since(began)/window + 1)
		if bound := share*float64(calls) + windows*least*window.Seconds(); float64(extra) > bound {
			t.Fatalf("%d extra attempts for %d calls, bound %v", extra, calls, bound)
		}
		if float64(hedges) > ratio*float64(calls) {
			t.Fatalf("%d hedges for %d calls, bound %v", hedges, calls, ratio)
		}
	})
}

// TestPropertyCancellationIsNeutral has callers give up, as often as they like, and the server fail, a little less often than
// opens the breaker. Neither the breaker nor the throttle refuses anything.
func TestPropertyCancellationIsNeutral(t *testing.T) {
	checkCalls(t, func(t *rapid.T) {
		least := rapid.IntRange(1, 5).Draw(t, "minimum_calls")
		h := &history{conn: &scriptedConn{reactions: []reaction{{after: time.Hour}}}, seen: &recorder{}}
		m := &policy.Method{}
		if rapid.Bool().Draw(t, "retries") {
			m.Retry = steady(3)
		}
		if rapid.Bool().Draw(t, "hedges") {
			m.Hedging = &policy.Hedging{Delay: policy.Set(10 * ms)}
		}
		h.client = drawnClient(t, h.conn, goresilient.WithObserver(h.seen), goresilient.WithPolicy(&policy.Service{
			CircuitBreaker:   &policy.CircuitBreaker{MinimumCalls: &least, FailureRatio: policy.Set(0.01)},
			AdaptiveThrottle: &policy.AdaptiveThrottle{K: policy.Set(1.1)},
			MethodDefaults:   m,
		}))
		defer h.client.Close()
		failures := rapid.IntRange(0, least-1).Draw(t, "failures")
		for i := range rapid.IntRange(1, 30).Draw(t, "calls") {
			ctx, cancel := context.WithCancel(context.Background())
			want := codes.Canceled
			h.conn.reactions = []reaction{{after: time.Hour}}
			if failures > 0 && rapid.Bool().Draw(t, fmt.Sprint("fails ", i)) {
				failures--
				want = codes.Internal
				h.conn.reactions = []reaction{{err: status.Error(want, "scripted")}}
			} else {
				time.AfterFunc(time.Duration(rapid.IntRange(0, 30).Draw(t, fmt.Sprint("after ", i)))*ms, cancel)
			}
			_, err := h.client.emptyCall.Call(ctx, &grpc_testing.Empty{})
			cancel()
			if refusal(err) != nil || status.Code(err) != want {
				t.Fatalf("call %d: %v, want %v", i, err, want)
			}
		}
		if events := eventsOf[*goresilient.BreakerEvent](h.seen); len(events) != 0 {
			t.Fatalf("the breaker changed: %+v", events[0])
		}
	})
}

// TestPropertyBreakerTransitions checks that breakers, of the service and of the method, go from state to state as they may, and
// that the calls agree with them.
func TestPropertyBreakerTransitions(t *testing.T) {
	legal := map[string][]string{"closed": {"open"}, "open": {"half-open"}, "half-open": {"open", "closed"}}
	checkCalls(t, func(t *rapid.T) {
		breaker := func(name string) *policy.CircuitBreaker {
			return &policy.CircuitBreaker{
				Window: policy.Set(time.Second), MinimumCalls: policy.Set(rapid.IntRange(1, 5).Draw(t, name+" minimum")),
				FailureRatio: policy.Set(rapid.Float64Range(0.1, 1).Draw(t, name+" ratio")), HalfOpenCalls: policy.Set(rapid.IntRange(1, 3).Draw(t, name+" probes")),
				OpenDuration: policy.Set(500 * ms), MaxOpenDuration: policy.Set(2 * time.Second),
			}
		}
		h := &history{conn: &scriptedConn{reactions: drawReactions(t)}, seen: &recorder{}}
		h.client = drawnClient(t, h.conn, goresilient.WithObserver(h.seen), goresilient.WithPolicy(&policy.Service{
			CircuitBreaker: breaker("service"), MethodDefaults: &policy.Method{CircuitBreaker: breaker("method")},
		}))
		defer h.client.Close()
		h.play(t, 30, true)
		state := map[string]string{}
		for _, e := range eventsOf[*goresilient.BreakerEvent](h.seen) {
			if before, ok := state[e.Method]; (ok || e.From != "closed") && before != e.From || !slices.Contains(legal[e.From], e.To) {
				t.Fatalf("a breaker that was %q goes from %q to %q", before, e.From, e.To)
			}
			state[e.Method] = e.To
		}
		for _, e := range eventsOf[*goresilient.RefusalEvent](h.seen) {
			if len(state) == 0 {
				t.Fatalf("a breaker that never opened refuses: %v", e.Refusal)
			}
		}
		h.conn.reactions = []reaction{{}}
		for range 40 {
			time.Sleep(500 * ms)
			_, _ = h.client.emptyCall.Call(context.Background(), &grpc_testing.Empty{})
		}
		if _, err := h.client.emptyCall.Call(context.Background(), &grpc_testing.Empty{}); err != nil {
			t.Fatalf("long after the server has recovered: %v", err)
		}
	})
}
