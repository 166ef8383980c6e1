package goresilient_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

type (
	duplexServer = grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]
	duplexClient = grpc.BidiStreamingClient[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]
)

// streamTest is a server whose streams do as they are told, and a client of it, in virtual time.
type streamTest struct {
	*testClient
	tries  atomic.Int64 // handlers begun
	duplex func(n int64, s duplexServer) error
	seen   recorder
}

// newStreamTest makes them. The RPCs may be repeated.
func newStreamTest(t *testing.T, p *policy.Service, opts ...goresilient.Option) *streamTest {
	st := &streamTest{duplex: func(_ int64, s duplexServer) error { return echo(s) }}
	network := newMemoryNetwork()
	server := &testServer{duplex: func(s duplexServer) error { return st.duplex(st.tries.Add(1), s) }}
	network.serveAs(t, "a:1", server)
	network.serveAs(t, "b:1", server)
	client, err := goresilient.NewClient(chaosService, append(opts, goresilient.WithoutEnvironment(), insecureAt("a:1,b:1"), network.dialer(),
		goresilient.WithBlock(), goresilient.WithPolicy(p), goresilient.WithObserver(&st.seen))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	st.testClient = &testClient{Client: client, stub: grpc_testing.NewTestServiceClient(goresilient.StubConn(client))}
	return st
}

// echo answers each message until the client has sent its last.
func echo(s duplexServer) error {
	for {
		in, err := s.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}

// exchange sends so many messages a pause apart, receives their answers, and then the end.
func (st *streamTest) exchange(ctx context.Context, messages int, pause time.Duration, opts ...grpc.CallOption) error {
	s, err := st.stub.FullDuplexCall(ctx, opts...)
	if err != nil {
		return err
	}
	for range messages {
		time.Sleep(pause)
		if err := s.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil && err != io.EOF {
			return err
		}
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
	_ = s.CloseSend()
	if _, err := s.Recv(); err != io.EOF {
		return err
	}
	return nil
}

func (st *streamTest) expectNothingRuns(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if n := st.Snapshot().Running; n != 0 {
		t.Errorf("%d streams are counted as running", n)
	}
	if n := goresilient.PermitsHeld(st.Client); n != 0 {
		t.Errorf("%d permits are held", n)
	}
}

// throughs are the ways in which a stream may reach grpc: the end of it is seen differently in each.
var throughs = map[string][]goresilient.Option{
	"directly": nil,
	"an interceptor of attempts": {goresilient.WithStreamAttemptInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return next(ctx, desc, cc, method, opts...)
	})},
}
