package goresilient_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// reaction is what a scripted connection does with one attempt.
type reaction struct {
	after   time.Duration // before it answers; the attempt's context may end first
	err     error
	trailer metadata.MD
	reply   string // in the payload of a SimpleResponse
	partial string // likewise, although it fails
}

// scriptedConn reacts to the n-th attempt with the n-th reaction, and to those beyond with the last.
type scriptedConn struct {
	reactions []reaction

	mu       sync.Mutex
	attempts []attemptSeen
	running  int
}

// attemptSeen is what a scripted connection saw of an attempt.
type attemptSeen struct {
	at       time.Duration // since the connection was made
	left     time.Duration // of the deadline; -1 without one
	metadata metadata.MD
	ended    error // of the context, if it ended before the answer
}

func (s *scriptedConn) Invoke(ctx context.Context, _ string, _, out any, opts ...grpc.CallOption) error {
	s.mu.Lock()
	n := len(s.attempts)
	seen := attemptSeen{at: sinceStart(ctx), left: -1}
	seen.metadata, _ = metadata.FromOutgoingContext(ctx)
	if d, ok := ctx.Deadline(); ok {
		seen.left = time.Until(d)
	}
	s.attempts = append(s.attempts, seen)
	s.running++
	r := s.reactions[min(n, len(s.reactions)-1)]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()

	err := r.err
	if r.after > 0 {
		timer := time.NewTimer(r.after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			s.mu.Lock()
			s.attempts[n].ended = context.Cause(ctx)
			s.mu.Unlock()
			err = status.FromContextError(ctx.Err()).Err()
		}
	}
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.TrailerCallOption:
			*o.TrailerAddr = r.trailer
		case grpc.HeaderCallOption:
			*o.HeaderAddr = metadata.Pairs("attempt", string(rune('1'+n)))
		case grpc.OnFinishCallOption:
			o.OnFinish(err)
		}
	}
	if out, ok := out.(*grpc_testing.SimpleResponse); ok {
		text := r.reply
		if err != nil {
			text = r.partial
		}
		if text != "" {
			out.Payload = &grpc_testing.Payload{Body: []byte(text)}
		}
	}
	return err
}

func (s *scriptedConn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

func (s *scriptedConn) seen() []attemptSeen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]attemptSeen(nil), s.attempts...)
}

type startKey struct{}

// started returns a context that knows when the test began.
func started(t *testing.T) context.Context {
	return context.WithValue(t.Context(), startKey{}, time.Now())
}

func sinceStart(ctx context.Context) time.Duration {
	if t, ok := ctx.Value(startKey{}).(time.Time); ok {
		return time.Since(t)
	}
	return 0
}

var errUnavailable = status.Error(codes.Unavailable, "try elsewhere")

// steady is a retry policy whose back-off is at most a nanosecond.
func steady(attempts int) *policy.Retry {
	return &policy.Retry{
		MaxAttempts: policy.Set(attempts),
		Backoff:     &policy.Backoff{Initial: policy.Set(time.Nanosecond), Max: policy.Set(time.Nanosecond)},
	}
}

// methodDefaults is the policy of all methods.
func methodDefaults(m *policy.Method) goresilient.Option {
	return goresilient.WithPolicy(&policy.Service{MethodDefaults: m})
}

// recorder is an observer that keeps what it is told.
type recorder struct {
	mu     sync.Mutex
	events []goresilient.Event
}

func (r *recorder) Observe(_ context.Context, e goresilient.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// eventsOf returns the events of one type.
func eventsOf[E goresilient.Event](r *recorder) []E {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []E
	for _, e := range r.events {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}
