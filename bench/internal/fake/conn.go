// Package fake runs balancers without connections: ours and those of peers, each built as grpc builds it, over a channel
// whose SubConns go from state to state as the benchmark says.
package fake

import (
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	estats "google.golang.org/grpc/experimental/stats"
	"google.golang.org/grpc/resolver"
)

// Conn is a grpc channel without connections. Its methods may be called concurrently.
type Conn struct {
	balancer.ClientConn
	mu    sync.Mutex
	conns []*SubConn // that are not shut down, in the order of their making
	last  balancer.State
}

// SubConn is a connection that does what the benchmark says. Its methods may be called concurrently, but only one of
// those that move it from state to state at a time.
type SubConn struct {
	balancer.SubConn
	Addr     string
	in       *Conn
	listener func(balancer.SubConnState)
	health   func(balancer.SubConnState)
	down     bool
	state    connectivity.State
	heard    atomic.Int64
}

// NewSubConn implements [balancer.ClientConn].
func (c *Conn) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	sc := &SubConn{in: c, Addr: addrs[0].Addr, listener: opts.StateListener}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, sc)
	return sc, nil
}

// UpdateState implements [balancer.ClientConn].
func (c *Conn) UpdateState(s balancer.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = s
}

// ResolveNow implements [balancer.ClientConn].
func (c *Conn) ResolveNow(resolver.ResolveNowOptions) {}

// Target implements [balancer.ClientConn].
func (c *Conn) Target() string { return "fake:///service" }

// MetricsRecorder implements [balancer.ClientConn].
func (c *Conn) MetricsRecorder() estats.MetricsRecorder { return estats.UnimplementedMetricsRecorder{} }

// Picker returns the picker that was published last.
func (c *Conn) Picker() balancer.Picker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.Picker
}

// Live returns the SubConns that are not shut down.
func (c *Conn) Live() []*SubConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	live := c.conns[:0:0]
	for _, sc := range c.conns {
		if !sc.down {
			live = append(live, sc)
		}
	}
	c.conns = live
	return append([]*SubConn(nil), live...)
}

// Newest returns the SubConn that was made last.
func (c *Conn) Newest() *SubConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conns[len(c.conns)-1]
}

// Connect implements [balancer.SubConn].
func (sc *SubConn) Connect() { sc.heard.Add(1) }

// UpdateAddresses implements [balancer.SubConn].
func (sc *SubConn) UpdateAddresses([]resolver.Address) { sc.heard.Add(1) }

// Shutdown implements [balancer.SubConn].
func (sc *SubConn) Shutdown() {
	sc.heard.Add(1)
	sc.in.mu.Lock()
	defer sc.in.mu.Unlock()
	sc.down = true
}

// RegisterHealthListener implements [balancer.SubConn].
func (sc *SubConn) RegisterHealthListener(f func(balancer.SubConnState)) {
	sc.heard.Add(1)
	sc.health = f
}

// Heard returns how many calls of its methods the balancer has made.
func (sc *SubConn) Heard() int64 { return sc.heard.Load() }

// Becomes reports s to the balancer. A SubConn that becomes READY is healthy as well.
func (sc *SubConn) Becomes(s connectivity.State) {
	sc.state = s
	state := balancer.SubConnState{ConnectivityState: s}
	sc.listener(state)
	if s == connectivity.Ready && sc.health != nil {
		sc.health(state)
	}
}

// Connects takes sc to READY, unless it is.
func (sc *SubConn) Connects() {
	if sc.state == connectivity.Ready {
		return
	}
	sc.Becomes(connectivity.Connecting)
	sc.Becomes(connectivity.Ready)
}

// Addresses returns n different addresses.
func Addresses(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("10.%d.%d.%d:443", i>>16, i>>8&255, i&255)
	}
	return out
}

// State is what a resolver says of one endpoint for each address: as endpoints, and as addresses for those balancers that
// read nothing else.
func State(addrs []string) resolver.State {
	s := resolver.State{Endpoints: make([]resolver.Endpoint, len(addrs)), Addresses: make([]resolver.Address, len(addrs))}
	for i, a := range addrs {
		s.Addresses[i].Addr = a
		s.Endpoints[i].Addresses = s.Addresses[i : i+1 : i+1]
	}
	return s
}
