package pool_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"

	"github.com/goresilient/goresilient/bench/internal/fake"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/policy"
)

// smallBuffer keeps 10 000 connections and both their ends in the memory of a small machine.
const smallBuffer = 4 << 10

// many is one server in memory that stands for all endpoints, each with a connection of its own.
type many struct {
	listener *bufconn.Listener
	greeted  atomic.Int64 // connections over which the server's first bytes came
}

// named is a connection that says which endpoint it leads to.
type named struct {
	net.Conn
	to      address
	of      *many
	greeted sync.Once
}

type address string

// Network implements [net.Addr].
func (address) Network() string { return "memory" }

// String implements [net.Addr].
func (a address) String() string { return string(a) }

// RemoteAddr implements [net.Conn].
func (c *named) RemoteAddr() net.Addr { return c.to }

// Read implements [net.Conn].
func (c *named) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.greeted.Do(func() { c.of.greeted.Add(1) })
	}
	return n, err
}

type plainServer struct {
	plainv1.UnimplementedPlainServiceServer
}

func (plainServer) GetItem(context.Context, *plainv1.GetItemRequest) (*plainv1.GetItemResponse, error) {
	return new(plainv1.GetItemResponse), nil
}

func newMany(tb testing.TB) *many {
	m := &many{listener: bufconn.Listen(smallBuffer)}
	server := grpc.NewServer(grpc.ReadBufferSize(smallBuffer), grpc.WriteBufferSize(smallBuffer))
	plainv1.RegisterPlainServiceServer(server, plainServer{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(m.listener) }()
	tb.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return m
}

func (m *many) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := m.listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	return &named{Conn: conn, to: address(addr), of: m}, nil
}

// buffers are the same for both sides.
var buffers = []grpc.DialOption{grpc.WithReadBufferSize(smallBuffer), grpc.WithWriteBufferSize(smallBuffer)}

// connected is a connection to n endpoints, and what closes it.
type connected struct {
	conn  grpc.ClientConnInterface
	close func() error
}

func (m *many) resilient(tb testing.TB, n int) connected {
	registry := discovery.NewRegistry()
	tb.Cleanup(registry.Close)
	endpoints := fake.Endpoints(n)
	endpoints[n-1].Priority = 0 // all are to be connected to
	fake.Register(tb, registry, endpoints)
	client, err := goresilient.NewClient(&goresilient.ServiceDesc{Name: "bench.Any"}, goresilient.WithTarget("memory:///"+fake.Service),
		goresilient.WithResolvers(discovery.NewMemoryBuilder(registry)), goresilient.WithInsecure(), goresilient.WithDialer(m.dial),
		goresilient.WithoutEnvironment(), goresilient.WithDialOptions(buffers...),
		// All are reached soonest in turn.
		goresilient.WithPolicy(&policy.Service{LoadBalancing: &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}}))
	if err != nil {
		tb.Fatal(err)
	}
	return connected{client.Conn(), client.Close}
}

// bringUp connects to n endpoints and returns how long it took until calls by turns had reached each of them.
func (m *many) bringUp(tb testing.TB, n int, make func(testing.TB, int) connected) time.Duration {
	m.greeted.Store(0)
	start := time.Now()
	c := make(tb, n)
	defer func() {
		if err := c.close(); err != nil {
			tb.Error(err)
		}
	}()
	stub := plainv1.NewPlainServiceClient(c.conn)
	reached := map[string]bool{}
	for len(reached) < n {
		var p peer.Peer
		if _, err := stub.GetItem(tb.Context(), new(plainv1.GetItemRequest), grpc.WaitForReady(true), grpc.Peer(&p)); err != nil {
			tb.Fatal(err)
		}
		reached[p.Addr.String()] = true
		for m.greeted.Load() < int64(n) {
			time.Sleep(time.Millisecond)
		}
	}
	return time.Since(start)
}

// BenchmarkConnect brings up connections in memory, beside grpc's round_robin: from nothing until calls have reached all.
//
//	go test ./pool -run '^$' -bench Connect -benchtime 1x
//	go test ./pool -run '^$' -bench Connect -benchtime 1x -full
func BenchmarkConnect(b *testing.B) {
	sizes := []int{100, 1_000}
	if *full {
		sizes = append(sizes, quadratic)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("endpoints=%d", n), func(b *testing.B) {
			m := newMany(b)
			var ours, grpcs time.Duration
			for range b.N {
				ours += m.bringUp(b, n, m.resilient)
				grpcs += m.bringUp(b, n, m.grpc)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ours.Seconds()*1000/float64(b.N), "ours-ms")
			b.ReportMetric(grpcs.Seconds()*1000/float64(b.N), "grpc-ms")
			b.ReportMetric(ours.Seconds()/grpcs.Seconds(), "ratio")
		})
	}
}
