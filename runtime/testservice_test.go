package goresilient_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// testService is grpc's own test service, as the generator would describe it.
var testService = goresilient.ServiceDesc{
	Name: "grpc.testing.TestService",
	Layers: []policy.Layer{{
		Level:  policy.LevelService,
		Source: "test.proto",
		Lines:  policy.Lines{"": 7},
		Service: &policy.Service{
			MethodDefaults: &policy.Method{Compressor: policy.Set("identity")},
		},
	}},
	Methods: []goresilient.MethodDesc{
		{Name: "EmptyCall", Idempotency: policy.NoSideEffects},
		{Name: "UnaryCall"},
		{Name: "StreamingOutputCall", ServerStreaming: true},
		{Name: "StreamingInputCall", ClientStreaming: true},
		{Name: "FullDuplexCall", ClientStreaming: true, ServerStreaming: true},
	},
}

// testOptions is what the generator would write for testService.
type testOptions struct {
	EmptyCall           goresilient.UnaryOptions[grpc_testing.Empty, grpc_testing.Empty]
	UnaryCall           goresilient.UnaryOptions[grpc_testing.SimpleRequest, grpc_testing.SimpleResponse]
	StreamingOutputCall goresilient.StreamOptions
	StreamingInputCall  goresilient.StreamOptions
	FullDuplexCall      goresilient.StreamOptions
}

func (o testOptions) ApplyTo(s *goresilient.Settings) {
	s.SetMethods(&testService, o.EmptyCall, o.UnaryCall, o.StreamingOutputCall, o.StreamingInputCall, o.FullDuplexCall)
}

// testClient is what the generator would write for testService.
type testClient struct {
	*goresilient.Client
	stub      grpc_testing.TestServiceClient
	emptyCall *goresilient.UnaryMethod[grpc_testing.Empty, grpc_testing.Empty]
	unaryCall *goresilient.UnaryMethod[grpc_testing.SimpleRequest, grpc_testing.SimpleResponse]
}

func newTestClient(opts ...goresilient.Option) (*testClient, error) {
	client, err := goresilient.NewClient(&testService, append([]goresilient.Option{goresilient.WithoutEnvironment()}, opts...)...)
	if err != nil {
		return nil, err
	}
	return &testClient{
		Client:    client,
		stub:      grpc_testing.NewTestServiceClient(goresilient.StubConn(client)),
		emptyCall: goresilient.NewUnaryMethod[grpc_testing.Empty, grpc_testing.Empty](client, "EmptyCall"),
		unaryCall: goresilient.NewUnaryMethod[grpc_testing.SimpleRequest, grpc_testing.SimpleResponse](client, "UnaryCall"),
	}, nil
}

// mustClient makes a client that is closed with the test.
func mustClient(t testing.TB, opts ...goresilient.Option) *testClient {
	t.Helper()
	c, err := newTestClient(opts...)
	if err != nil {
		t.Fatalf("new client: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// testServer answers by its functions, and calls that have none at once.
type testServer struct {
	grpc_testing.UnimplementedTestServiceServer
	empty  func(context.Context) error
	unary  func(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error)
	duplex func(grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error
}

func (s *testServer) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	if s.empty != nil {
		if err := s.empty(ctx); err != nil {
			return nil, err
		}
	}
	return &grpc_testing.Empty{}, nil
}

func (s *testServer) UnaryCall(ctx context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if s.unary != nil {
		return s.unary(ctx, in)
	}
	return &grpc_testing.SimpleResponse{Payload: in.GetPayload()}, nil
}

func (s *testServer) FullDuplexCall(stream grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
	if s.duplex != nil {
		return s.duplex(stream)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return nil
		}
		if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}

// serve runs s on loopback until the test ends and returns its address.
func serve(t testing.TB, s *testServer, opts ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, s, opts...)
	return l.Addr().String()
}

func serveOn(t testing.TB, l net.Listener, s *testServer, opts ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(opts...)
	grpc_testing.RegisterTestServiceServer(g, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Serve(l)
	}()
	t.Cleanup(func() {
		g.Stop()
		<-done
	})
	return g
}

// insecureAt are the options of a client of the given addresses.
func insecureAt(addresses string) goresilient.Option {
	return all{goresilient.WithTarget("static:///" + addresses), goresilient.WithInsecure(), goresilient.WithoutProxy()}
}

// all is several options as one.
type all []goresilient.Option

func (a all) ApplyTo(s *goresilient.Settings) {
	for _, o := range a {
		o.ApplyTo(s)
	}
}
