package goresilient_test

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// mood is how a server reacts to most requests.
type mood int32

const (
	healthy mood = iota
	mixed        // a little of everything
	sluggish
	failing
	overloaded // with pushback
	hanging
	moods
)

// chaosServer answers with the id of the request, or fails by its mood. Which way is decided by the seed, the request and the
// attempt.
type chaosServer struct {
	grpc_testing.UnimplementedTestServiceServer
	addr string
	seed uint64
	log  *serverLog
	mood atomic.Int32
}

// serverLog is what all servers of a run have seen.
type serverLog struct {
	mu      sync.Mutex
	calls   map[string]int // handlers begun, by attempt
	running int
}

// chaosAttemptKey is the metadata with the name of the attempt, where the client gives them names.
const chaosAttemptKey = "chaos-attempt"

func (l *serverLog) begin(ctx context.Context) (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range metadata.ValueFromIncomingContext(ctx, chaosAttemptKey) {
		l.calls[name]++
	}
	l.running++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.running--
	}
}

var hashSeed = maphash.MakeSeed()

// react waits, and returns the error to answer with.
func (s *chaosServer) react(ctx context.Context, id string, n int) error {
	r := rand.New(rand.NewPCG(s.seed, maphash.String(hashSeed, id)+uint64(n)))
	m := mood(s.mood.Load())
	if m == mixed {
		m = mood(r.IntN(int(moods)))
	}
	wait := between(r, 0, 20*ms)
	var err error
	switch m {
	case sluggish:
		wait = between(r, 0, 500*ms)
	case failing:
		wait = between(r, 0, 5*ms)
		err = status.Error([]codes.Code{codes.Unavailable, codes.Unavailable, codes.Internal, codes.NotFound}[r.IntN(4)], "chaos")
	case overloaded:
		err = status.Error([]codes.Code{codes.Unavailable, codes.ResourceExhausted}[r.IntN(2)], "chaos")
		if pushed := []string{"-1", "0", "30", "700", "soon", ""}[r.IntN(6)]; pushed != "" {
			_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", pushed))
		}
	case hanging:
		wait = time.Hour
	}
	if odds(r, 4) { // whatever the mood
		wait, err = between(r, 0, 20*ms), nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return err
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (s *chaosServer) UnaryCall(ctx context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	defer s.log.begin(ctx)()
	id := string(in.GetPayload().GetBody())
	_ = grpc.SetHeader(ctx, metadata.Pairs("id", id))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("id", id))
	if err := s.react(ctx, id, len(metadata.ValueFromIncomingContext(ctx, "goresilient-previous-attempts"))); err != nil {
		return nil, err
	}
	return &grpc_testing.SimpleResponse{Payload: in.GetPayload(), Hostname: s.addr}, nil
}

func (s *chaosServer) FullDuplexCall(stream grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
	defer s.log.begin(stream.Context())()
	for n := 0; ; n++ {
		in, err := stream.Recv()
		if err != nil {
			return nil
		}
		if err := s.react(stream.Context(), string(in.GetPayload().GetBody()), n); err != nil {
			return err
		}
		if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}
