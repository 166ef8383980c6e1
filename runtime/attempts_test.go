package goresilient_test

import (
	"context"
	"errors"
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

// An error of a call names the endpoints that its attempts went to, and so do the events.
func TestAttemptsNameTheirEndpoints(t *testing.T) {
	tests := []struct {
		name    string
		method  policy.Method
		opts    []grpc.CallOption
		stopped goresilient.StopReason
	}{
		{name: "a deadline alone", method: policy.Method{Timeout: &policy.Timeout{Total: policy.Set(time.Second)}}, stopped: goresilient.StoppedByPolicy},
		{name: "not retried this time", method: policy.Method{Retry: steady(3)}, opts: []grpc.CallOption{goresilient.NoRetry()}, stopped: goresilient.StoppedByOption},
		{name: "a breaker alone", method: policy.Method{CircuitBreaker: &policy.CircuitBreaker{}}, stopped: goresilient.StoppedByPolicy},
	}
	for _, tt := range tests {
		for _, observed := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := newMemoryNetwork()
					n.serveAs(t, "a:1", &testServer{empty: func(context.Context) error { return errUnavailable }})
					seen := new(recorder)
					opts := []goresilient.Option{insecureAt("a:1"), n.dialer(), goresilient.WithBlock(),
						goresilient.WithPolicy(&policy.Service{MethodDefaults: &tt.method, LoadBalancing: &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}})}
					if observed {
						opts = append(opts, goresilient.WithObserver(seen))
					}
					_, err := mustClient(t, opts...).emptyCall.Call(t.Context(), &grpc_testing.Empty{}, tt.opts...)
					const want = "a:1"
					var call *goresilient.CallError
					if !errors.As(err, &call) || len(call.Attempts) != 1 || call.Attempts[0].Endpoint != want || call.Stopped != tt.stopped || status.Code(err) != codes.Unavailable {
						t.Fatalf("%+v, want an attempt at %q and %q", err, want, tt.stopped)
					}
					if err.Error() != errUnavailable.Error() {
						t.Errorf("the text of one attempt is %q", err)
					}
					events := eventsOf[*goresilient.AttemptEvent](seen)
					if observed && (len(events) != 1 || events[0].Attempt.Endpoint != want) {
						t.Errorf("told of %v", events)
					}
				})
			})
		}
	}
}

// The error of a stream has the tries that grpc made of it, and so have the events.
func TestErrorOfAStreamHasItsTries(t *testing.T) {
	internal := status.Error(codes.Internal, "broken")
	tests := []struct {
		name    string
		retry   *policy.Retry
		fails   []error // one try after the other; the last as often as there are more
		answers int64   // messages before the failure
		want    []codes.Code
		stopped goresilient.StopReason
	}{
		{"no retry", nil, []error{errUnavailable}, 0, []codes.Code{codes.Unavailable}, goresilient.StoppedByPolicy},
		{"all fail", steady(3), []error{errUnavailable}, 0, []codes.Code{codes.Unavailable, codes.Unavailable, codes.Unavailable}, goresilient.StoppedByAttempts},
		{"another code", steady(3), []error{errUnavailable, internal}, 0, []codes.Code{codes.Unavailable, codes.Internal}, goresilient.StoppedByCode},
		{"after an answer", steady(3), []error{errUnavailable}, 1, []codes.Code{codes.Unavailable}, goresilient.StoppedByCommit},
	}
	for _, tt := range tests {
		for through, opts := range throughs {
			t.Run(tt.name+" through "+through, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := newStreamTest(t, &policy.Service{MethodDefaults: &policy.Method{Retry: tt.retry}}, opts...)
					st.duplex = func(n int64, s duplexServer) error {
						for range tt.answers {
							if err := s.Send(&grpc_testing.StreamingOutputCallResponse{}); err != nil {
								return err
							}
						}
						return tt.fails[min(int(n), len(tt.fails))-1]
					}
					time.Sleep(time.Second) // until both are connected
					s, err := st.stub.FullDuplexCall(t.Context())
					for err == nil {
						_, err = s.Recv()
					}
					var call *goresilient.CallError
					if !errors.As(err, &call) || call.Stopped != tt.stopped || len(call.Attempts) != len(tt.want) || status.Code(err) != tt.want[len(tt.want)-1] {
						t.Fatalf("%v, want the attempts %v and %q", err, tt.want, tt.stopped)
					}
					events := eventsOf[*goresilient.AttemptEvent](&st.seen)
					for i, a := range call.Attempts {
						if a.Code != tt.want[i] || a.Number != i+1 || a.Endpoint == "" || i > 0 && a.Endpoint == call.Attempts[i-1].Endpoint && i < 2 {
							t.Errorf("attempt %d is %+v", i+1, a)
						}
						if len(events) != len(call.Attempts) || events[i].Attempt.Endpoint != a.Endpoint || events[i].Attempt.Code != a.Code {
							t.Errorf("told of %v", events)
						}
					}
					st.expectNothingRuns(t)
				})
			})
		}
	}
}
