package goresilient_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
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

func TestStreamDeadlines(t *testing.T) {
	tests := []struct {
		name        string
		total, idle time.Duration
		caller      time.Duration
		options     []grpc.CallOption
		pause       time.Duration // between two messages
		field       string        // "": the stream ends well
		after       time.Duration
	}{
		{name: "total", total: time.Second, pause: 300 * ms, field: "stream_timeout.total", after: time.Second},
		{name: "long enough", total: 10 * time.Second, idle: time.Second, pause: 900 * ms, after: 4500 * ms},
		{name: "idle", idle: time.Second, pause: 1100 * ms, field: "stream_timeout.idle", after: time.Second},
		{name: "idle before total", total: 5 * time.Second, idle: time.Second, pause: 1100 * ms, field: "stream_timeout.idle", after: time.Second},
		{name: "total before idle", total: time.Second, idle: 2 * time.Second, pause: 3 * time.Second, field: "stream_timeout.total", after: time.Second},
		{name: "the call's own", total: time.Minute, options: []grpc.CallOption{goresilient.CallTimeout(time.Second)}, pause: 300 * ms, field: "CallTimeout", after: time.Second},
		{name: "taken away", total: time.Second, options: []grpc.CallOption{goresilient.CallTimeout(0)}, pause: 300 * ms, after: 1500 * ms},
		{name: "the caller's", total: time.Minute, idle: time.Minute, caller: time.Second, pause: 300 * ms, field: "none", after: time.Second},
	}
	for through, opts := range throughs {
		for _, tt := range tests {
			t.Run(tt.name+" through "+through, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := newStreamTest(t, &policy.Service{MethodDefaults: &policy.Method{StreamTimeout: &policy.StreamTimeout{Total: &tt.total, Idle: &tt.idle}}}, opts...)
					ctx, cancel := started(t), context.CancelFunc(func() {})
					if tt.caller > 0 {
						ctx, cancel = context.WithTimeout(ctx, tt.caller)
					}
					defer cancel()
					s, err := st.stub.FullDuplexCall(ctx, tt.options...)
					if err != nil {
						t.Fatal(err)
					}
					for i := range 5 {
						// A stream that waits for its next message ends by itself.
						timer := time.AfterFunc(tt.pause, func() {
							_ = s.Send(&grpc_testing.StreamingOutputCallRequest{})
							if i == 4 {
								_ = s.CloseSend()
							}
						})
						_, err = s.Recv()
						timer.Stop()
						if err != nil {
							break
						}
					}
					if err == nil {
						if _, err = s.Recv(); err == io.EOF {
							err = nil
						}
					}
					if took := sinceStart(ctx); (took - tt.after).Abs() > ms {
						t.Errorf("the stream ended after %v, want %v", took, tt.after)
					}
					var d *goresilient.DeadlineError
					switch errors.As(err, &d); {
					case tt.field == "" && err != nil, tt.field == "none" && d != nil, tt.field != "" && status.Code(err) != codes.DeadlineExceeded:
						t.Errorf("error %v, want the deadline of %q", err, tt.field)
					case tt.field != "" && tt.field != "none" && (d == nil || d.Field != tt.field):
						t.Errorf("error %v, want the deadline of %q", err, tt.field)
					}
					st.expectNothingRuns(t)
				})
			})
		}
	}
}

// A stream holds its permit until it ends, however it ends.
func TestStreamsUnderAConcurrencyLimit(t *testing.T) {
	ends := map[string]func(s duplexClient, cancel context.CancelFunc){
		"closed":    func(s duplexClient, _ context.CancelFunc) { _ = s.CloseSend(); _, _ = s.Recv() },
		"abandoned": func(_ duplexClient, cancel context.CancelFunc) { cancel() },
		"abandoned after a message": func(s duplexClient, cancel context.CancelFunc) {
			_ = s.Send(&grpc_testing.StreamingOutputCallRequest{})
			_, _ = s.Recv()
			cancel()
		},
	}
	for through, opts := range throughs {
		for name, end := range ends {
			t.Run(name+" through "+through, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := newStreamTest(t, &policy.Service{ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1)}}, opts...)
					for range 3 {
						ctx, cancel := context.WithCancel(t.Context())
						s, err := st.stub.FullDuplexCall(ctx)
						if err != nil {
							t.Fatal(err)
						}
						finished := 0
						if _, err := st.stub.FullDuplexCall(ctx, grpc.OnFinish(func(error) { finished++ })); refusal(err) == nil || finished != 1 {
							t.Errorf("a second stream: %v; OnFinish ran %d times", err, finished)
						}
						end(s, cancel)
						synctest.Wait()
						cancel()
					}
					st.expectNothingRuns(t)
				})
			})
		}
	}
}

// A stream that waits for a permit waits within its deadline.
func TestStreamWaitsWithinItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStreamTest(t, &policy.Service{
			ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1), MaxQueued: policy.Set(5)},
			MethodDefaults:   &policy.Method{StreamTimeout: &policy.StreamTimeout{Total: policy.Set(time.Second)}},
		})
		ctx, cancel := context.WithCancel(started(t))
		defer cancel()
		if _, err := st.stub.FullDuplexCall(ctx, goresilient.CallTimeout(0)); err != nil {
			t.Fatal(err)
		}
		_, err := st.stub.FullDuplexCall(ctx)
		var d *goresilient.DeadlineError
		if !errors.As(err, &d) || sinceStart(ctx) != time.Second {
			t.Errorf("after %v: %v, want the deadline of the policy", sinceStart(ctx), err)
		}
		cancel()
		st.expectNothingRuns(t)
	})
}

// The breaker counts how streams end, and gives back the probe of a stream that is abandoned.
func TestStreamsUnderABreaker(t *testing.T) {
	for through, opts := range throughs {
		t.Run(through, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStreamTest(t, &policy.Service{CircuitBreaker: &policy.CircuitBreaker{
					MinimumCalls: policy.Set(3), HalfOpenCalls: policy.Set(1), OpenDuration: policy.Set(time.Minute), MaxOpenDuration: policy.Set(time.Minute),
				}}, opts...)
				st.duplex = func(int64, duplexServer) error { return errUnavailable }
				for range 3 {
					if err := st.exchange(t.Context(), 1, 0); status.Code(err) != codes.Unavailable || refusal(err) != nil {
						t.Fatalf("a failing stream: %v", err)
					}
				}
				if err := st.exchange(t.Context(), 1, 0); refusal(err) == nil {
					t.Fatalf("after 3 failures: %v, want a refusal", err)
				}
				time.Sleep(time.Minute)
				st.duplex = func(_ int64, s duplexServer) error { return echo(s) }
				ctx, cancel := context.WithCancel(t.Context())
				if _, err := st.stub.FullDuplexCall(ctx); err != nil {
					t.Fatalf("the probe: %v", err)
				}
				cancel()
				synctest.Wait()
				for range 3 {
					if err := st.exchange(t.Context(), 1, 0); err != nil {
						t.Fatalf("after an abandoned probe: %v", err)
					}
				}
				st.expectNothingRuns(t)
			})
		})
	}
}

// grpc replays a stream as long as nothing was received, on another endpoint, within the budget; the caller gets the failure
// that a replay was to mend, not that of the budget.
func TestStreamRetry(t *testing.T) {
	tests := []struct {
		name    string
		budget  float64 // retries that it has, all in all
		options []grpc.CallOption
		ctx     func(context.Context) context.Context
		skip    bool // skip_nested
		fails   int64
		tries   int64
		reason  goresilient.StopReason
		code    codes.Code
	}{
		{name: "second succeeds", budget: 10, fails: 1, tries: 2},
		{name: "all fail", budget: 10, fails: 9, tries: 3, code: codes.ResourceExhausted},
		{name: "budget is used up", budget: 0, fails: 9, tries: 1, reason: goresilient.StoppedByBudget, code: codes.ResourceExhausted},
		{name: "budget for one", budget: 1, fails: 9, tries: 2, reason: goresilient.StoppedByBudget, code: codes.ResourceExhausted},
		{name: "not this one", budget: 10, fails: 9, tries: 1, options: []grpc.CallOption{goresilient.NoRetry()}, reason: goresilient.StoppedByOption, code: codes.ResourceExhausted},
		{name: "nested", budget: 10, skip: true, fails: 9, tries: 1, reason: goresilient.StoppedByNesting, code: codes.ResourceExhausted, ctx: func(ctx context.Context) context.Context {
			return metadata.NewIncomingContext(ctx, metadata.Pairs("goresilient-previous-attempts", "1"))
		}},
	}
	for through, opts := range throughs {
		for _, tt := range tests {
			t.Run(tt.name+" through "+through, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := newStreamTest(t, &policy.Service{
						RetryBudget: &policy.RetryBudget{Ratio: policy.Set(0.001), MinPerSecond: &tt.budget, Window: policy.Set(time.Second)},
						MethodDefaults: &policy.Method{Retry: &policy.Retry{
							Codes: []codes.Code{codes.ResourceExhausted}, SkipNested: &tt.skip,
							Backoff: &policy.Backoff{Initial: policy.Set(ms), Max: policy.Set(ms)},
						}},
					}, opts...)
					st.duplex = func(n int64, s duplexServer) error {
						if n > tt.fails {
							return echo(s)
						}
						_, _ = s.Recv()
						return status.Error(codes.ResourceExhausted, "the server's own words")
					}
					ctx := t.Context()
					if tt.ctx != nil {
						ctx = tt.ctx(ctx)
					}
					err := st.exchange(ctx, 2, 0, tt.options...)
					if status.Code(err) != tt.code || err != nil && !strings.Contains(err.Error(), "the server's own words") {
						t.Errorf("error %v, want %v", err, tt.code)
					}
					if n := st.tries.Load(); n != tt.tries {
						t.Errorf("%d tries, want %d", n, tt.tries)
					}
					var reasons []goresilient.StopReason
					for _, e := range eventsOf[*goresilient.StopEvent](&st.seen) {
						reasons = append(reasons, e.Reason)
					}
					if tt.reason != "" && (len(reasons) != 1 || reasons[0] != tt.reason) {
						t.Errorf("stopped for %q, want %q", reasons, tt.reason)
					}
					if calls := eventsOf[*goresilient.CallEvent](&st.seen); len(calls) != 1 || calls[0].Code != tt.code {
						t.Errorf("the observer was told %+v, want one call with %v", calls, tt.code)
					}
					st.expectNothingRuns(t)
				})
			})
		}
	}
}

// A stream may turn out to have failed when a message is sent. What the failure was grpc tells nobody; that it was one to retry
// is known.
func TestStreamFailsBeforeAMessageIsSent(t *testing.T) {
	for through, opts := range throughs {
		t.Run(through, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStreamTest(t, &policy.Service{
					ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1)},
					RetryBudget:      &policy.RetryBudget{Ratio: policy.Set(0.001), MinPerSecond: policy.Set(0.0)},
					MethodDefaults:   &policy.Method{Retry: &policy.Retry{Codes: []codes.Code{codes.Aborted}}},
				}, opts...)
				st.duplex = func(int64, duplexServer) error { return status.Error(codes.Aborted, "conflict") }
				s, err := st.stub.FullDuplexCall(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if err = s.Send(&grpc_testing.StreamingOutputCallRequest{}); err == io.EOF {
					_, err = s.Recv()
				}
				if status.Code(err) != codes.Aborted {
					t.Errorf("error %v, want Aborted", err)
				}
				if calls := eventsOf[*goresilient.CallEvent](&st.seen); len(calls) != 1 || calls[0].Code != codes.Aborted {
					t.Errorf("the observer was told %+v, want one call that was aborted", calls)
				}
				st.expectNothingRuns(t)
			})
		})
	}
}

// Once something was received a stream is not replayed.
func TestStreamIsNotReplayedAfterAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStreamTest(t, &policy.Service{MethodDefaults: &policy.Method{Retry: steady(3)}})
		st.duplex = func(_ int64, s duplexServer) error {
			if _, err := s.Recv(); err != nil {
				return err
			}
			_ = s.Send(&grpc_testing.StreamingOutputCallResponse{})
			return errUnavailable
		}
		if err := st.exchange(t.Context(), 2, 0); status.Code(err) != codes.Unavailable || st.tries.Load() != 1 {
			t.Errorf("%v after %d tries", err, st.tries.Load())
		}
		st.expectNothingRuns(t)
	})
}

// Many streams at once, ended in all ways, leave nothing behind.
func TestStreamsLeaveNothingBehind(t *testing.T) {
	for through, opts := range throughs {
		t.Run(through, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStreamTest(t, &policy.Service{
					ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(10), MaxQueued: policy.Set(100)},
					CircuitBreaker:   &policy.CircuitBreaker{MinimumCalls: policy.Set(1_000_000)},
					MethodDefaults: &policy.Method{Retry: steady(3), StreamTimeout: &policy.StreamTimeout{
						Total: policy.Set(time.Second), Idle: policy.Set(100 * ms),
					}},
				}, opts...)
				st.duplex = func(n int64, s duplexServer) error {
					switch n % 4 {
					case 0:
						return errUnavailable
					case 1:
						<-s.Context().Done()
						return s.Context().Err()
					default:
						return echo(s)
					}
				}
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						if i%3 == 0 {
							time.AfterFunc(time.Duration(i)*ms, cancel)
						}
						_ = st.exchange(ctx, 1+i%5, time.Duration(i%7)*20*ms)
					})
				}
				wg.Wait()
				st.expectNothingRuns(t)
				if n := len(eventsOf[*goresilient.CallEvent](&st.seen)); n != 100 {
					t.Errorf("the observer was told of %d streams, of 100", n)
				}
			})
		})
	}
}

// grpcStream is the stream of a request to this process, as grpc's server gives it to handlers.
type grpcStream struct{ trailer metadata.MD }

func (*grpcStream) Method() string               { return "" }
func (*grpcStream) SetHeader(metadata.MD) error  { return nil }
func (*grpcStream) SendHeader(metadata.MD) error { return nil }
func (s *grpcStream) SetTrailer(md metadata.MD) error {
	s.trailer = metadata.Join(s.trailer, md)
	return nil
}

// A server asks its own caller not to retry once a stream of its own has used up its tries, and not when it failed later on.
func TestFailedStreamAsksItsCallerNotToRetry(t *testing.T) {
	for name, tt := range map[string]struct {
		answers int // before it fails
		fails   int64
		asks    bool
	}{
		"all tries fail":           {fails: 10, asks: true},
		"the second try succeeds":  {fails: 1},
		"it fails after an answer": {fails: 10, answers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStreamTest(t, &policy.Service{MethodDefaults: &policy.Method{Retry: steady(3)}})
				st.duplex = func(n int64, s duplexServer) error {
					if n > tt.fails {
						return echo(s)
					}
					for range tt.answers {
						if _, err := s.Recv(); err != nil {
							return err
						}
						_ = s.Send(&grpc_testing.StreamingOutputCallResponse{})
					}
					return errUnavailable
				}
				incoming := new(grpcStream)
				err := st.exchange(grpc.NewContextWithServerTransportStream(t.Context(), incoming), 3, 0)
				if asks := slices.Equal(incoming.trailer.Get("grpc-retry-pushback-ms"), []string{"-1"}); asks != tt.asks {
					t.Errorf("asks: %v (%v), want %v; %v", asks, incoming.trailer, tt.asks, err)
				}
				st.expectNothingRuns(t)
			})
		})
	}
}
