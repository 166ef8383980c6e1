package balancer

import (
	"errors"
	"sync"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

var errGuestClosed = errors.New("goresilient: the policy is closed; no new subchannel is made for it")

// host is what a [guest] works for. Its methods are called from within the guest, which may hold its own locks: they must
// not call the guest, and leave that to [calls.later].
type host interface {
	// guestState takes the place of [balancer.ClientConn.UpdateState].
	guestState(balancer.State)
	// guestConn tells of a change of one of the guest's SubConns, before the guest learns of it.
	guestConn(sc balancer.SubConn, addrs []resolver.Address, s balancer.SubConnState)
	// guestResolve takes the place of [balancer.ClientConn.ResolveNow].
	guestResolve(resolver.ResolveNowOptions)
}

// guest runs a policy of somebody else's beneath this one: it stands between the policy and grpc, serialises what the
// policy is told, observes its SubConns without wrapping them, and shuts down those that it leaves behind.
//
// The methods that call the policy (update, resolverError, exitIdle, close) must be called within calls.
type guest struct {
	balancer.ClientConn // grpc's
	calls               *calls
	host                host
	lb                  balancer.Balancer

	mu     sync.Mutex // guards what follows
	closed bool
	conns  map[balancer.SubConn]struct{}
}

// newGuest builds a policy. It must be called within calls, without Channel.mu: Build may call back.
func newGuest(cc balancer.ClientConn, calls *calls, h host, b balancer.Builder, opts balancer.BuildOptions) *guest {
	g := &guest{ClientConn: cc, calls: calls, host: h, conns: make(map[balancer.SubConn]struct{})}
	g.lb = b.Build(g, opts)
	return g
}

func (g *guest) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

func (g *guest) update(s balancer.ClientConnState) error {
	if g.isClosed() {
		return nil
	}
	return g.lb.UpdateClientConnState(s)
}

func (g *guest) resolverError(err error) {
	if !g.isClosed() {
		g.lb.ResolverError(err)
	}
}

func (g *guest) exitIdle() {
	if !g.isClosed() {
		g.lb.ExitIdle()
	}
}

// close closes the policy and shuts its SubConns down. It may be called again.
func (g *guest) close() {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return
	}
	g.closed = true
	left := g.conns
	g.conns = nil
	g.mu.Unlock()
	g.lb.Close()
	for sc := range left {
		sc.Shutdown()
	}
}

// NewSubConn implements [balancer.ClientConn].
func (g *guest) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	if g.isClosed() {
		return nil, errGuestClosed
	}
	var sc balancer.SubConn
	listener := opts.StateListener
	opts.StateListener = func(s balancer.SubConnState) {
		g.calls.do(func() { g.deliver(sc, addrs, listener, s) })
	}
	//lint:ignore SA1019 the deprecation is of several addresses; there is no other way to make a SubConn
	sc, err := g.ClientConn.NewSubConn(addrs, opts)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		sc.Shutdown()
		return nil, errGuestClosed
	}
	g.conns[sc] = struct{}{}
	return sc, nil
}

// deliver passes on what grpc reports of sc; within calls.
func (g *guest) deliver(sc balancer.SubConn, addrs []resolver.Address, listener func(balancer.SubConnState),
	s balancer.SubConnState) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return
	}
	if s.ConnectivityState == connectivity.Shutdown {
		delete(g.conns, sc)
	}
	g.mu.Unlock()
	g.host.guestConn(sc, addrs, s)
	if listener != nil {
		listener(s)
	} else {
		//lint:ignore SA1019 a policy that gives no listener relies on it
		g.lb.UpdateSubConnState(sc, s)
	}
}

// UpdateState implements [balancer.ClientConn].
func (g *guest) UpdateState(s balancer.State) {
	if !g.isClosed() {
		g.host.guestState(s)
	}
}

// ResolveNow implements [balancer.ClientConn].
func (g *guest) ResolveNow(opts resolver.ResolveNowOptions) {
	if !g.isClosed() {
		g.host.guestResolve(opts)
	}
}

// RemoveSubConn implements [balancer.ClientConn]; grpc's own no longer does.
func (g *guest) RemoveSubConn(sc balancer.SubConn) { sc.Shutdown() }
