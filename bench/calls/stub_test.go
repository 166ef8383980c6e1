package calls_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"

	"github.com/goresilient/goresilient/bench/internal/contest"
	"github.com/goresilient/goresilient/bench/internal/network"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
)

const getItem = plainv1.PlainService_GetItem_FullMethodName

// total and perAttempt are the deadlines of whoever sets some.
const (
	total      = timeout
	perAttempt = timeout / 2
)

type response = plainv1.GetItemResponse

func request() *plainv1.GetItemRequest { return &plainv1.GetItemRequest{ItemId: "42"} }

// stub does what grpc does to the context of each call, and nothing else: as the last interceptor of a connection it stands
// in for the network.
func stub(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return ctx.Err()
}

// hollow does not even that. A context.WithCancel takes longer beneath a context that can end than beneath the background's;
// over hollow, what a client takes is its own.
func hollow(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	return ctx.Err()
}

// nowhere dials until it is told to stop.
func nowhere(ctx context.Context, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// over returns a connection under the interceptors given, the outermost first.
func over(tb testing.TB, interceptors ...grpc.UnaryClientInterceptor) *grpc.ClientConn {
	return new(network.Network).Conn(tb, grpc.WithContextDialer(nowhere), grpc.WithChainUnaryInterceptor(interceptors...))
}

// invoker is a contender that calls conn. Like a typed client it makes the reply message.
func invoker(ctx context.Context, name string, conn grpc.ClientConnInterface) contest.Contender {
	in := request()
	return contest.Contender{Name: name, Call: func() error {
		return conn.Invoke(ctx, getItem, in, new(response))
	}}
}
