package hedge_test

import (
	"context"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	"github.com/goresilient/goresilient/internal/memnet"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/policy"
)

// fleet is servers of gRPC. Their work is to wait. Clients know them by names, so that the same keys belong to them in every run.
type fleet struct {
	servers servers
	seed    uint64
	start   time.Time
	calls   atomic.Uint64
	dial    map[string]func(context.Context) (net.Conn, error) // by name
}

// backend is one of them.
type backend struct {
	plainv1.UnimplementedPlainServiceServer
	number int
	of     *fleet
}

// GetItem implements [plainv1.PlainServiceServer].
func (b *backend) GetItem(ctx context.Context, in *plainv1.GetItemRequest) (*plainv1.GetItemResponse, error) {
	draw := rand.New(rand.NewPCG(b.of.seed, b.of.calls.Add(1)))
	work := time.NewTimer(b.of.servers.work(b.number, time.Since(b.of.start), draw))
	defer work.Stop()
	select {
	case <-work.C:
		return &plainv1.GetItemResponse{ItemId: in.GetItemId()}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// network makes a listener, and what connects to it.
type network func(t *testing.T) (net.Listener, func(context.Context) (net.Conn, error))

// loopback is the network of the machine.
func loopback(t *testing.T) (net.Listener, func(context.Context) (net.Conn, error)) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	}
}

// memory is a network that takes no time.
func memory(*testing.T) (net.Listener, func(context.Context) (net.Conn, error)) {
	listener := memnet.Listen()
	return listener, listener.Dial
}

// newFleet starts the servers, which end with the test.
func newFleet(t *testing.T, over network, s servers, seed uint64) *fleet {
	f := &fleet{servers: s, seed: seed, start: time.Now(), dial: make(map[string]func(context.Context) (net.Conn, error))}
	for i, name := range s.names() {
		listener, dial := over(t)
		server, served := grpc.NewServer(), make(chan error, 1)
		plainv1.RegisterPlainServiceServer(server, &backend{number: i, of: f})
		go func() { served <- server.Serve(listener) }()
		t.Cleanup(func() {
			server.Stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		f.dial[name] = dial
	}
	return f
}

// caller returns a client of the servers that balances and hedges as the contender does.
func (f *fleet) caller(t *testing.T, c contender) *caller {
	balanced := goresilient.WithPolicy(&policy.Service{LoadBalancing: c.balancing})
	dialed := goresilient.WithDialer(func(ctx context.Context, name string) (net.Conn, error) { return f.dial[name](ctx) })
	return newCaller(t, c.hedging, balanced, dialed, goresilient.WithBlock(), goresilient.WithInsecure(),
		goresilient.WithTarget("static:///"+strings.Join(f.servers.names(), ",")))
}
