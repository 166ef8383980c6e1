// Package network gives clients one server to call, in memory or over loopback.
package network

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// Target leaves discovery out: it is one address.
const Target = "passthrough:///server"

// Network is one server. Each client has a connection of its own to it.
type Network struct {
	dial func(context.Context) (net.Conn, error)
}

// Memory returns a server in memory, which ends with the test.
func Memory(tb testing.TB, register func(*grpc.Server)) *Network {
	listener := bufconn.Listen(1 << 20)
	serve(tb, listener, register)
	return &Network{listener.DialContext}
}

// Loopback returns a server on a port of the machine, which ends with the test.
func Loopback(tb testing.TB, register func(*grpc.Server)) *Network {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	serve(tb, listener, register)
	addr := listener.Addr().String()
	return &Network{func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}
}

func serve(tb testing.TB, listener net.Listener, register func(*grpc.Server)) {
	server := grpc.NewServer()
	register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	tb.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
}

// Dial is a dialer that reaches the server under any address.
func (n *Network) Dial(ctx context.Context, _ string) (net.Conn, error) { return n.dial(ctx) }

// Conn returns a connection as grpc makes it by itself, with the options given.
func (n *Network) Conn(tb testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
	opts = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(n.Dial)}, opts...)
	conn, err := grpc.NewClient(Target, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
	})
	return conn
}
