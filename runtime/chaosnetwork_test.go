package goresilient_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/goresilient/goresilient/internal/memnet"
	goresilient "github.com/goresilient/goresilient/runtime"
)

// chaosNetwork is hosts in memory whose connections and servers fail on command, for tests in virtual time.
type chaosNetwork struct {
	hosts  []*chaosHost
	byAddr map[string]*chaosHost
}

// reach is what becomes of an attempt to connect to a host.
type reach int

const (
	reachable reach = iota
	refused         // nobody listens
	slow            // connects after a while
	silent          // never answers
	reaches
)

// chaosHost is one address with the server that is there at the moment.
type chaosHost struct {
	addr    string
	service grpc_testing.TestServiceServer
	options []grpc.ServerOption
	running sync.WaitGroup // servers

	mu       sync.Mutex
	reach    reach
	listener *memnet.Listener // nil while no server runs
	server   *grpc.Server
	conns    map[*chaosConn]struct{}
}

func newChaosNetwork(services map[string]grpc_testing.TestServiceServer, addrs []string, options ...grpc.ServerOption) *chaosNetwork {
	n := &chaosNetwork{byAddr: make(map[string]*chaosHost)}
	for _, addr := range addrs {
		h := &chaosHost{addr: addr, service: services[addr], options: options, conns: make(map[*chaosConn]struct{})}
		h.start()
		n.hosts = append(n.hosts, h)
		n.byAddr[addr] = h
	}
	return n
}

// dialer is the option for clients on this network.
func (n *chaosNetwork) dialer() goresilient.Option {
	return goresilient.WithDialer(func(ctx context.Context, addr string) (net.Conn, error) { return n.byAddr[addr].dial(ctx) })
}

// stop ends all servers.
func (n *chaosNetwork) stop() {
	for _, h := range n.hosts {
		h.kill()
		h.running.Wait()
	}
}

// heal starts what is down, and ends the connections that lead nowhere.
func (n *chaosNetwork) heal() {
	for _, h := range n.hosts {
		h.setReach(reachable)
		h.reset()
		h.start()
	}
}

func (h *chaosHost) setReach(r reach) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reach = r
}

// start runs a server, unless one runs.
func (h *chaosHost) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listener != nil {
		return
	}
	l, s := memnet.Listen(), grpc.NewServer(h.options...)
	grpc_testing.RegisterTestServiceServer(s, h.service)
	h.listener, h.server = l, s
	h.running.Go(func() { _ = s.Serve(l) })
}

// kill ends the server with its connections.
func (h *chaosHost) kill() {
	if s := h.take(); s != nil {
		s.Stop()
	}
}

// leave ends the server as a deployment does: with GOAWAY, once its calls have ended, or after a while.
func (h *chaosHost) leave(patience time.Duration) {
	s := h.take()
	if s == nil {
		return
	}
	h.running.Go(func() {
		timer := time.AfterFunc(patience, s.Stop)
		defer timer.Stop()
		s.GracefulStop()
	})
}

// take takes the server off the network.
func (h *chaosHost) take() *grpc.Server {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.server
	h.listener, h.server = nil, nil
	return s
}

// reset ends all connections at once.
func (h *chaosHost) reset() {
	for _, c := range h.connections() {
		_ = c.Close()
	}
}

// vanish has all connections lead nowhere, unknown to both sides.
func (h *chaosHost) vanish() {
	for _, c := range h.connections() {
		c.vanished.Store(true)
	}
}

func (h *chaosHost) connections() []*chaosConn {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*chaosConn, 0, len(h.conns))
	for c := range h.conns {
		list = append(list, c)
	}
	return list
}

var errRefused = errors.New("connection refused")

func (h *chaosHost) dial(ctx context.Context) (net.Conn, error) {
	h.mu.Lock()
	r, l := h.reach, h.listener
	h.mu.Unlock()
	switch r {
	case refused:
		return nil, errRefused
	case slow:
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case silent:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if l == nil {
		return nil, errRefused
	}
	under, err := l.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &chaosConn{Conn: under, host: h}
	h.mu.Lock()
	h.conns[c] = struct{}{}
	h.mu.Unlock()
	return c, nil
}

// chaosConn is the client's end of a connection. Once it has vanished, what either side writes is lost, and no error tells.
type chaosConn struct {
	net.Conn
	host     *chaosHost
	vanished atomic.Bool
}

func (c *chaosConn) Write(p []byte) (int, error) {
	if c.vanished.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *chaosConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.vanished.Load() {
			return n, err
		}
	}
}

func (c *chaosConn) Close() error {
	c.host.mu.Lock()
	delete(c.host.conns, c)
	c.host.mu.Unlock()
	return c.Conn.Close()
}
