package goresilient_test

import (
	"context"
	"errors"
	"sync/atomic"
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

const ms = time.Millisecond

// hedgeAfter is a policy of hedges after a fixed time, without a bound on their number.
func hedgeAfter(d time.Duration, attempts int, retry *policy.Retry) goresilient.Option {
	return goresilient.WithPolicy(&policy.Service{
		MethodDefaults: &policy.Method{
			Hedging: &policy.Hedging{Delay: &d, MaxAttempts: &attempts, MaxExtraRatio: policy.Set(1.0)},
			Retry:   retry,
		},
	})
}

// Why a hedged call ended is told of what happened, and not of how many attempts there were.
func TestWhyAHedgedCallStops(t *testing.T) {
	bad, hang := status.Error(codes.InvalidArgument, "bad"), reaction{after: time.Hour}
	tests := []struct {
		name      string
		reactions []reaction
		total     time.Duration // 0: none
		cancelled time.Duration // 0: never
		want      goresilient.StopReason
	}{
		{"the first attempt's code", []reaction{{after: 50 * ms, err: bad}, hang}, 0, 0, goresilient.StoppedByCode},
		{"the hedge's code", []reaction{hang, {after: 50 * ms, err: bad}}, 0, 0, goresilient.StoppedByCode},
		{"both unavailable", []reaction{{after: 50 * ms, err: errUnavailable}, {after: 50 * ms, err: errUnavailable}}, 0, 0, goresilient.StoppedByAttempts},
		{"the call's deadline", []reaction{hang, hang}, 100 * ms, 0, goresilient.StoppedByDeadline},
		{"the caller", []reaction{hang, hang}, 0, 100 * ms, goresilient.StoppedByCaller},
	}
	for _, tt := range tests {
		for _, observed := range [][]goresilient.Option{nil, {goresilient.WithObserver(new(recorder))}} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &policy.Method{Hedging: &policy.Hedging{Delay: policy.Set(30 * ms), MaxAttempts: policy.Set(2), MaxExtraRatio: policy.Set(1.0)}}
					if tt.total > 0 {
						p.Timeout = &policy.Timeout{Total: &tt.total}
					}
					conn := &scriptedConn{reactions: []reaction{{}}}
					c := mustClient(t, append(observed, goresilient.WithConn(conn), methodDefaults(p))...)
					for range 10 { // which earn a hedge
						if _, err := c.emptyCall.Call(started(t), &grpc_testing.Empty{}); err != nil {
							t.Fatal(err)
						}
					}
					conn.reactions, conn.attempts = tt.reactions, nil
					ctx, cancel := context.WithCancel(started(t))
					defer cancel()
					if tt.cancelled > 0 {
						time.AfterFunc(tt.cancelled, cancel)
					}
					_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
					var call *goresilient.CallError
					if !errors.As(err, &call) || call.Stopped != tt.want || len(conn.seen()) != 2 {
						t.Errorf("%d attempts, then %v, want %q", len(conn.seen()), err, tt.want)
					}
				})
			})
		}
	}
}

func TestHedging(t *testing.T) {
	internal := status.Error(codes.Internal, "broken")
	tests := []struct {
		name      string
		attempts  int
		retry     *policy.Retry
		reactions []reaction
		options   []grpc.CallOption
		began     []time.Duration
		ended     time.Duration
		code      codes.Code
	}{
		{name: "fast enough", attempts: 2, reactions: []reaction{{after: 20 * ms}}, began: []time.Duration{0}, ended: 20 * ms},
		{name: "hedge wins", attempts: 2, reactions: []reaction{{after: time.Hour}, {after: 5 * ms}}, began: []time.Duration{0, 30 * ms}, ended: 35 * ms},
		{name: "first wins", attempts: 2, reactions: []reaction{{after: 40 * ms}, {after: time.Hour}}, began: []time.Duration{0, 30 * ms}, ended: 40 * ms},
		{name: "third wins", attempts: 3, reactions: []reaction{{after: time.Hour}, {after: time.Hour}, {after: ms}}, began: []time.Duration{0, 30 * ms, 60 * ms}, ended: 61 * ms},
		{name: "no more than allowed", attempts: 2, reactions: []reaction{{after: time.Second}}, began: []time.Duration{0, 30 * ms}, ended: time.Second},
		{name: "not this call", attempts: 2, options: []grpc.CallOption{goresilient.NoRetry()}, reactions: []reaction{{after: time.Second}}, began: []time.Duration{0}, ended: time.Second},
		{name: "fails for good before", attempts: 2, reactions: []reaction{{after: 10 * ms, err: internal}}, began: []time.Duration{0}, ended: 10 * ms, code: codes.Internal},
		{name: "hedge fails for good", attempts: 2, reactions: []reaction{{after: time.Hour}, {after: 5 * ms, err: internal}}, began: []time.Duration{0, 30 * ms}, ended: 35 * ms, code: codes.Internal},
		{name: "hedge cannot connect, first wins", attempts: 2, reactions: []reaction{{after: 50 * ms}, {after: 5 * ms, err: errUnavailable}}, began: []time.Duration{0, 30 * ms}, ended: 50 * ms},
		{name: "first cannot connect, hedge wins", attempts: 2, reactions: []reaction{{after: 40 * ms, err: errUnavailable}, {after: 20 * ms}}, began: []time.Duration{0, 30 * ms}, ended: 50 * ms},
		{name: "failure is retried at once", attempts: 2, retry: steady(3), reactions: []reaction{{after: 10 * ms, err: errUnavailable}, {after: 10 * ms}}, began: []time.Duration{0, 10 * ms}, ended: 20 * ms},
		{name: "the retry is hedged", attempts: 2, retry: steady(3), reactions: []reaction{{after: 10 * ms, err: errUnavailable}, {after: time.Hour}, {after: 5 * ms}}, began: []time.Duration{0, 10 * ms, 40 * ms}, ended: 45 * ms},
		{name: "both fail", attempts: 2, reactions: []reaction{{after: 40 * ms, err: errUnavailable}, {after: 20 * ms, err: errUnavailable}}, began: []time.Duration{0, 30 * ms}, ended: 50 * ms, code: codes.Unavailable},
		{name: "server refuses others", attempts: 3, reactions: []reaction{{after: 40 * ms, err: errUnavailable, trailer: metadata.Pairs("grpc-retry-pushback-ms", "-1")}, {after: 50 * ms}},
			began: []time.Duration{0, 30 * ms}, ended: 80 * ms},
		{name: "server puts others off", attempts: 3, reactions: []reaction{{after: 40 * ms, err: errUnavailable, trailer: metadata.Pairs("grpc-retry-pushback-ms", "100")}, {after: time.Second}, {after: ms}},
			began: []time.Duration{0, 30 * ms, 140 * ms}, ended: 141 * ms},
		{name: "retry and hedge share the attempts", attempts: 2, retry: steady(2), reactions: []reaction{{after: 40 * ms, err: errUnavailable}, {after: 40 * ms, err: errUnavailable}, {}},
			began: []time.Duration{0, 30 * ms}, ended: 70 * ms, code: codes.Unavailable},
	}
	// Where nothing watches the attempts, the first one of a call is made of less until it is hedged or fails.
	ways := map[string]goresilient.Option{"": all{}, ", observed": goresilient.WithObserver(&recorder{})}
	for way, option := range ways {
		for _, tt := range tests {
			t.Run(tt.name+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					conn := &scriptedConn{reactions: []reaction{{}}}
					c := mustClient(t, goresilient.WithConn(conn), hedgeAfter(30*ms, tt.attempts, tt.retry), option)
					for range 10 { // calls that fill the cap
						_, _ = c.emptyCall.Call(t.Context(), &grpc_testing.Empty{})
					}
					conn.reactions, conn.attempts = tt.reactions, nil
					ctx := started(t)
					_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{}, tt.options...)
					if status.Code(err) != tt.code {
						t.Errorf("error %v, want code %v", err, tt.code)
					}
					near := func(a, b time.Duration) bool { return (a - b).Abs() < ms/10 }
					if got := sinceStart(ctx); !near(got, tt.ended) {
						t.Errorf("the call ended after %v, want %v", got, tt.ended)
					}
					seen := conn.seen()
					if len(seen) != len(tt.began) {
						t.Fatalf("%d attempts, want %d", len(seen), len(tt.began))
					}
					for i, want := range tt.began {
						if !near(seen[i].at, want) {
							t.Errorf("attempt %d began after %v, want %v", i+1, seen[i].at, want)
						}
					}
					if conn.running != 0 {
						t.Errorf("%d attempts run after the call", conn.running)
					}
				})
			})
		}
	}
}

// A hedge is beside an attempt that runs: while a call waits for its retry there is none.
func TestNoHedgeInABackoff(t *testing.T) {
	for way, option := range map[string]goresilient.Option{"": all{}, "observed": goresilient.WithObserver(&recorder{})} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := &scriptedConn{reactions: []reaction{{after: 10 * ms, err: errUnavailable}, {after: time.Hour}, {}}}
				long := &policy.Backoff{Initial: policy.Set(10 * time.Second), Max: policy.Set(10 * time.Second)}
				c := mustClient(t, goresilient.WithConn(conn), hedgeAfter(30*ms, 2, &policy.Retry{MaxAttempts: policy.Set(3), Backoff: long}), option)
				if _, err := c.emptyCall.Call(started(t), &grpc_testing.Empty{}); err != nil {
					t.Fatal(err)
				}
				seen := conn.seen()
				if len(seen) != 3 || seen[1].at == 30*ms || seen[2].at-seen[1].at != 30*ms {
					t.Errorf("attempts began %+v; want the second after some seconds of back-off, and a hedge 30 ms later", seen)
				}
			})
		})
	}
}

// A caller that gives up ends all attempts.
func TestCancelledHedges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{after: time.Hour}}}
		c := mustClient(t, goresilient.WithConn(conn), hedgeAfter(10*ms, 3, steady(3)))
		ctx, cancel := context.WithCancel(started(t))
		time.AfterFunc(25*ms, cancel)
		_, err := c.emptyCall.Call(ctx, &grpc_testing.Empty{})
		if status.Code(err) != codes.Canceled || sinceStart(ctx) != 25*ms || conn.running != 0 {
			t.Errorf("after %v: %v; %d attempts still run", sinceStart(ctx), err, conn.running)
		}
	})
}

// The loser knows why it was cancelled, and is reported as superseded.
func TestSupersededAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{{after: time.Hour}, {}}}
		seen := &recorder{}
		c := mustClient(t, goresilient.WithConn(conn), hedgeAfter(10*ms, 2, nil), goresilient.WithObserver(seen))
		if _, err := c.emptyCall.Call(started(t), &grpc_testing.Empty{}); err != nil {
			t.Fatal(err)
		}
		if ended := conn.seen()[0].ended; ended == nil || errors.Is(ended, context.DeadlineExceeded) {
			t.Errorf("the first attempt ended by %v", ended)
		}
		superseded := 0
		for _, e := range eventsOf[*goresilient.AttemptEvent](seen) {
			if e.Superseded {
				superseded++
			}
		}
		if superseded != 1 {
			t.Errorf("%d attempts are reported as superseded, want 1", superseded)
		}
		if calls := eventsOf[*goresilient.CallEvent](seen); len(calls) != 1 || calls[0].Attempts != 2 {
			t.Errorf("calls %v", calls)
		}
	})
}

// The reply and what the options tell are the winner's.
func TestWinnerFillsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &scriptedConn{reactions: []reaction{
			{after: time.Hour, partial: "loser", trailer: metadata.Pairs("from", "loser")},
			{reply: "winner", trailer: metadata.Pairs("from", "winner")},
		}}
		service := testService
		service.Methods = append([]goresilient.MethodDesc(nil), testService.Methods...)
		service.Methods[1].Idempotency = policy.NoSideEffects
		client, err := goresilient.NewClient(&service, goresilient.WithoutEnvironment(), goresilient.WithConn(conn), hedgeAfter(10*ms, 2, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		stub := grpc_testing.NewTestServiceClient(goresilient.StubConn(client))
		var trailer, header metadata.MD
		finished := 0
		out, err := stub.UnaryCall(started(t), &grpc_testing.SimpleRequest{}, grpc.Trailer(&trailer), grpc.Header(&header), grpc.OnFinish(func(error) { finished++ }))
		if err != nil || string(out.GetPayload().GetBody()) != "winner" {
			t.Errorf("reply %v, %v", out, err)
		}
		if trailer.Get("from")[0] != "winner" || header.Get("attempt")[0] != "2" || finished != 1 {
			t.Errorf("trailer %v, header %v, finished %d times", trailer, header, finished)
		}
	})
}

// Hedges stay under their cap when everything becomes slow, and the delay follows.
func TestHedgesOfASlowService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		latency := 10 * ms
		var attempts atomic.Int64
		conn := fakeConn{invoke: func(ctx context.Context, _ string, _ []grpc.CallOption) error {
			timer := time.NewTimer(latency + time.Duration(attempts.Add(1)%10)*ms/10)
			defer timer.Stop()
			select {
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return status.FromContextError(ctx.Err()).Err()
			}
		}}
		c := mustClient(t, goresilient.WithConn(conn), methodDefaults(&policy.Method{Hedging: &policy.Hedging{}}))
		extra := func(calls int) float64 {
			before := int(attempts.Load())
			for range calls {
				if _, err := c.emptyCall.Call(t.Context(), &grpc_testing.Empty{}); err != nil {
					t.Fatal(err)
				}
			}
			return float64(int(attempts.Load())-before-calls) / float64(calls)
		}
		extra(1000)
		latency = 20 * ms
		if got := extra(2000); got > 0.055 {
			t.Errorf("%.3f extra attempts a call after the latency doubled, want at most 0.05", got)
		}
		if got := extra(1000); got > 0.06 {
			t.Errorf("%.3f extra attempts a call once the delay followed", got)
		}
	})
}
