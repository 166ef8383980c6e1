package goresilient_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/goresilient/goresilient/internal/memnet"
	goresilient "github.com/goresilient/goresilient/runtime"
)

// memoryNetwork is where servers listen under their addresses, for tests in virtual time.
type memoryNetwork struct {
	mu        sync.Mutex
	listeners map[string]*memnet.Listener
}

func newMemoryNetwork() *memoryNetwork {
	return &memoryNetwork{listeners: make(map[string]*memnet.Listener)}
}

var errNobodyListens = errors.New("nobody listens")

// dialer is the option for clients on this network.
func (n *memoryNetwork) dialer() goresilient.Option { return goresilient.WithDialer(n.dial) }

func (n *memoryNetwork) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, errNobodyListens
	}
	return l.Dial(ctx)
}

// serve starts a server, whose UnaryCall answers with its address. die takes it off the network, connections and all, and
// returns when the clients know.
func (n *memoryNetwork) serve(t *testing.T, address string) (die func()) {
	return n.serveAs(t, address, &testServer{unary: func(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		return &grpc_testing.SimpleResponse{Hostname: address}, nil
	}})
}

// serveAs starts the given server.
func (n *memoryNetwork) serveAs(t *testing.T, address string, server *testServer) (die func()) {
	l := memnet.Listen()
	n.mu.Lock()
	n.listeners[address] = l
	n.mu.Unlock()
	s := serveOn(t, l, server)
	return func() {
		n.mu.Lock()
		delete(n.listeners, address)
		n.mu.Unlock()
		s.Stop()
		synctest.Wait()
	}
}

// answerer returns the address of the server that answers a call.
func answerer(t *testing.T, c *testClient) string {
	t.Helper()
	out, err := c.unaryCall.Call(t.Context(), &grpc_testing.SimpleRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatalf("call: %v", err)
	}
	return out.GetHostname()
}
