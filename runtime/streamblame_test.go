package goresilient_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
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

// The guards of a service are those of its streams and of its unary calls. These tests have streams that go well, each in its way,
// and see whether a unary call passes afterwards.

// touchy is a policy whose guards act on few calls.
func touchy(m *policy.Method) *policy.Service {
	return &policy.Service{
		CircuitBreaker: &policy.CircuitBreaker{
			MinimumCalls: policy.Set(5), SlowCallRatio: policy.Set(0.8), SlowCallDuration: policy.Set(time.Second),
			Codes: []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Internal},
		},
		AdaptiveThrottle: &policy.AdaptiveThrottle{},
		OutlierDetection: &policy.OutlierDetection{MaxEjectedRatio: policy.Set(1.0)},
		ConcurrencyLimit: &policy.ConcurrencyLimit{Adaptive: &policy.AdaptiveLimit{}},
		MethodDefaults:   m,
	}
}

// expectNobodyBlamed calls, and looks at the endpoints.
func (st *streamTest) expectNobodyBlamed(t *testing.T) {
	t.Helper()
	for range 20 {
		if _, err := st.stub.EmptyCall(t.Context(), &grpc_testing.Empty{}); err != nil {
			t.Fatalf("a call afterwards: %v", err)
		}
	}
	for _, e := range st.Snapshot().Endpoints {
		if e.Ejected {
			t.Errorf("%s is ejected", e.Endpoint)
		}
	}
	st.expectNothingRuns(t)
}

func TestStreamsThatLive(t *testing.T) {
	tests := []struct {
		name   string
		method policy.Method
		pause  time.Duration // between messages
		code   codes.Code
	}{
		{"for long", policy.Method{}, 200 * ms, codes.OK},
		{"until their deadline", policy.Method{StreamTimeout: &policy.StreamTimeout{Total: policy.Set(2 * time.Second)}}, 200 * ms, codes.DeadlineExceeded},
		{"until the client is silent", policy.Method{StreamTimeout: &policy.StreamTimeout{Idle: policy.Set(500 * ms)}}, 100 * ms, codes.DeadlineExceeded},
	}
	for _, tt := range tests {
		for through, opts := range throughs {
			t.Run(tt.name+" through "+through, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := newStreamTest(t, touchy(&tt.method), opts...)
					for range 8 {
						var wg sync.WaitGroup
						for range 4 {
							wg.Go(func() {
								s, err := st.stub.FullDuplexCall(t.Context())
								if err != nil {
									t.Error(err)
									return
								}
								for range 20 {
									time.Sleep(tt.pause)
									_ = s.Send(&grpc_testing.StreamingOutputCallRequest{})
									if _, err = s.Recv(); err != nil {
										break
									}
								}
								if tt.code == codes.OK {
									_ = s.CloseSend()
								}
								for err == nil {
									_, err = s.Recv()
								}
								if err == io.EOF {
									err = nil
								}
								if status.Code(err) != tt.code {
									t.Errorf("ended with %v, want %v", err, tt.code)
								}
							})
						}
						wg.Wait()
					}
					st.expectNobodyBlamed(t)
				})
			})
		}
	}
}

// The server has the same deadline, and may see it before the client does.
func TestStreamsThatLiveUntilTheServersDeadline(t *testing.T) {
	policys := touchy(&policy.Method{StreamTimeout: &policy.StreamTimeout{Total: policy.Set(time.Second)}})
	for through, opts := range throughs {
		for whose, p := range map[string]*policy.Service{"policy's": policys, "caller's": touchy(&policy.Method{})} {
			t.Run("the "+whose+" through "+through, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := newStreamTest(t, p, opts...)
					st.duplex = strikesFirst
					for range 20 {
						st.liveUntilDeadline(t, p == policys)
					}
					st.expectNobodyBlamed(t)
				})
			})
		}
	}
}

// strikesFirst answers, and ends by its deadline somewhat early.
func strikesFirst(_ int64, s duplexServer) error {
	if err := s.Send(&grpc_testing.StreamingOutputCallResponse{}); err != nil {
		return err
	}
	d, _ := s.Context().Deadline()
	time.Sleep(time.Until(d) - 5*ms)
	return status.Error(codes.DeadlineExceeded, "the server's clock says so")
}

// liveUntilDeadline reads a stream to its end, which is to be by policy's deadline, or by the caller's.
func (st *streamTest) liveUntilDeadline(t *testing.T, policys bool) {
	ctx := t.Context()
	if !policys {
		timed, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		ctx = timed
	}
	s, err := st.stub.FullDuplexCall(ctx)
	for err == nil {
		_, err = s.Recv()
	}
	var struck *goresilient.DeadlineError
	if status.Code(err) != codes.DeadlineExceeded || errors.As(err, &struck) != policys {
		t.Errorf("ended with %v, want DEADLINE_EXCEEDED, named: %t", err, policys)
	}
}

// A consumer takes its time over each message. The stream is not idle meanwhile: messages wait for it.
func TestIdleCountsWhileSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStreamTest(t, &policy.Service{MethodDefaults: &policy.Method{StreamTimeout: &policy.StreamTimeout{Idle: policy.Set(time.Second)}}})
		st.duplex = func(_ int64, s duplexServer) error {
			for range 5 {
				if err := s.Send(&grpc_testing.StreamingOutputCallResponse{}); err != nil {
					return err
				}
			}
			<-s.Context().Done()
			return s.Context().Err()
		}
		s, err := st.stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(1500 * ms)
		}
		began := time.Now()
		var struck *goresilient.DeadlineError
		if _, err := s.Recv(); !errors.As(err, &struck) || time.Since(began) != time.Second {
			t.Errorf("after %v of waiting: %v", time.Since(began), err)
		}
		st.expectNothingRuns(t)
	})
}

// A stream that has got its first message has shown that the server is well again, however long it goes on.
func TestFirstMessageDecidesTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStreamTest(t, &policy.Service{CircuitBreaker: &policy.CircuitBreaker{
			MinimumCalls: policy.Set(5), HalfOpenCalls: policy.Set(2), OpenDuration: policy.Set(10 * time.Second),
		}})
		well := st.duplex
		st.duplex = func(int64, duplexServer) error { return errUnavailable }
		for range 5 {
			_ = st.exchange(t.Context(), 1, 0)
		}
		if _, err := st.stub.EmptyCall(t.Context(), &grpc_testing.Empty{}); status.Code(err) != codes.Unavailable {
			t.Fatalf("the breaker is not open: %v", err)
		}
		st.duplex = well
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 2 {
			s, err := st.stub.FullDuplexCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Send(&grpc_testing.StreamingOutputCallRequest{})
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			if _, err := st.stub.EmptyCall(t.Context(), &grpc_testing.Empty{}); err != nil {
				t.Fatalf("a call beside the probes, which go on: %v", err)
			}
		}
		cancel()
		synctest.Wait()
		st.expectNobodyBlamed(t)
	})
}

// again is a stream that is begun again when the first message it is to bring fails to come.
type again struct {
	grpc.ClientStream
	open func() (grpc.ClientStream, error)
}

func (s *again) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || err == io.EOF || s.open == nil {
		return err
	}
	next, err := s.open()
	if err != nil {
		return err
	}
	s.ClientStream, s.open = next, nil
	if err := s.SendMsg(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
		return err
	}
	return s.ClientStream.RecvMsg(m)
}

// Interceptors of the connection may make several tries of a stream. It is one stream all the same.
func TestInterceptorsOfTheConnectionTryStreamsAgain(t *testing.T) {
	opening := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if _, err := next(ctx, desc, cc, method, append(slices.Clip(opts), grpc.CallContentSubtype("no-such-codec"))...); err == nil {
			panic("a stream without a codec")
		}
		return next(ctx, desc, cc, method, opts...)
	}
	receiving := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		open := func() (grpc.ClientStream, error) { return next(ctx, desc, cc, method, opts...) }
		s, err := open()
		return &again{s, open}, err
	}
	interceptors := map[string]grpc.StreamClientInterceptor{"when opening": opening, "when receiving": receiving, "when sending has failed": receiving}
	for name, interceptor := range interceptors {
		for limited, p := range map[string]*policy.Service{
			"without policy": {},
			"limited":        {ConcurrencyLimit: &policy.ConcurrencyLimit{MaxInFlight: policy.Set(1)}},
			"with deadlines": {MethodDefaults: &policy.Method{StreamTimeout: &policy.StreamTimeout{Total: policy.Set(time.Hour), Idle: policy.Set(time.Hour)}}},
		} {
			t.Run(name+", "+limited, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := newStreamTest(t, p, goresilient.WithDialOptions(grpc.WithStreamInterceptor(interceptor)))
					st.duplex = func(n int64, s duplexServer) error {
						if n > 1 || name == "when opening" {
							return echo(s)
						}
						if name == "when receiving" {
							_, _ = s.Recv()
						}
						return errUnavailable
					}
					s, err := st.stub.FullDuplexCall(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for range 3 {
						synctest.Wait() // until a first try that fails at once has failed: its Send says io.EOF then, and Recv why
						if err := s.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil && err != io.EOF {
							t.Fatal(err)
						}
						if _, err := s.Recv(); err != nil {
							t.Fatal(err)
						}
						if n, held := st.Snapshot().Running, goresilient.PermitsHeld(st.Client); n != 1 || held != 1 && limited == "limited" {
							t.Fatalf("%d streams run, with %d permits", n, held)
						}
					}
					_ = s.CloseSend()
					if _, err := s.Recv(); err != io.EOF {
						t.Error(err)
					}
					st.expectNothingRuns(t)
					if events := eventsOf[*goresilient.CallEvent](&st.seen); len(events) != 1 || events[0].Err != nil {
						t.Errorf("told of %v", events)
					}
				})
			})
		}
	}
}

// A panic of an interceptor says nothing of the server.
func TestPanicWhileOpeningAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStreamTest(t, touchy(nil), goresilient.WithStreamAttemptInterceptor(
			func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, grpc.Streamer, ...grpc.CallOption) (grpc.ClientStream, error) {
				panic("broken")
			}))
		for range 10 {
			func() {
				defer func() { _ = recover() }()
				_, _ = st.stub.FullDuplexCall(t.Context())
			}()
		}
		st.expectNobodyBlamed(t)
	})
}

// grpc repeats streams, and nothing but our own picks can stop it: where there are none, policy says that there are no retries.
func TestStreamRetryThatNobodyCouldStop(t *testing.T) {
	p := &policy.Service{LoadBalancing: &policy.LoadBalancing{PickFirst: &policy.PickFirst{}}, MethodDefaults: &policy.Method{Retry: steady(3)}}
	synctest.Test(t, func(t *testing.T) {
		o := goresilient.NewOverrides()
		st := newStreamTest(t, p, goresilient.WithOverrides(o))
		st.duplex = func(int64, duplexServer) error { return errUnavailable }
		tries := func() int64 {
			before := st.tries.Load()
			if err := st.exchange(t.Context(), 1, 0); status.Code(err) != codes.Unavailable {
				t.Error(err)
			}
			return st.tries.Load() - before
		}
		if n := tries(); n != 1 {
			t.Errorf("%d tries with pick_first", n)
		}
		if err := o.Set("x", override("    policy: {load_balancing: {round_robin: {}}}\n")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := tries(); n != 3 {
			t.Errorf("%d tries with round_robin", n)
		}
	})
}

// An interceptor that begins a stream twice may give up the first one when it likes.
func TestInterceptorGivesItsFirstTryUp(t *testing.T) {
	twice := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		first, cancel := context.WithCancel(ctx)
		defer cancel()
		if _, err := next(first, desc, cc, method, opts...); err != nil {
			return nil, err
		}
		return next(ctx, desc, cc, method, opts...)
	}
	for name, option := range map[string]goresilient.Option{
		"of attempts":       goresilient.WithStreamAttemptInterceptor(twice),
		"of the connection": goresilient.WithDialOptions(grpc.WithStreamInterceptor(twice)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStreamTest(t, touchy(&policy.Method{StreamTimeout: &policy.StreamTimeout{Total: policy.Set(time.Hour)}}), option)
				s, err := st.stub.FullDuplexCall(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					time.Sleep(time.Second)
					if err := s.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
						t.Fatal(err)
					}
					if _, err := s.Recv(); err != nil {
						t.Fatal(err)
					}
				}
				_ = s.CloseSend()
				if _, err := s.Recv(); err != io.EOF {
					t.Error(err)
				}
				st.expectNobodyBlamed(t)
			})
		})
	}
}

// The deadline of a probe strikes while its first message waits to be read. It is one probe, and it has failed.
func TestAProbeCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStreamTest(t, &policy.Service{
			CircuitBreaker: &policy.CircuitBreaker{MinimumCalls: policy.Set(5), HalfOpenCalls: policy.Set(2), FailureRatio: policy.Set(1.0),
				OpenDuration: policy.Set(10 * time.Second), Codes: []codes.Code{codes.Unavailable, codes.DeadlineExceeded}},
			MethodDefaults: &policy.Method{StreamTimeout: &policy.StreamTimeout{Total: policy.Set(time.Second)}},
		})
		st.duplex = func(n int64, s duplexServer) error {
			if n <= 5 {
				return errUnavailable
			}
			if err := s.Send(&grpc_testing.StreamingOutputCallResponse{}); err != nil {
				return err
			}
			<-s.Context().Done()
			return s.Context().Err()
		}
		for range 5 {
			_ = st.exchange(t.Context(), 1, 0)
		}
		time.Sleep(10 * time.Second)
		s, err := st.stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // nobody reads
		_, _ = s.Recv()
		_, _ = s.Recv()
		events := eventsOf[*goresilient.BreakerEvent](&st.seen)
		if last := events[len(events)-1]; last.To != "half-open" {
			t.Errorf("one of two probes has had the breaker go from %s to %s", last.From, last.To)
		}
	})
}
