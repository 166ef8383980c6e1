package sim

import (
	"errors"
	"strconv"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// clientConn is grpc's side of a balancer: it makes SubConns to the servers and takes the pickers.
type clientConn struct {
	balancer.ClientConn
	client *Client
	picker balancer.Picker
}

// NewSubConn implements [balancer.ClientConn].
func (cc *clientConn) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	i, err := strconv.Atoi(addrs[0].Addr)
	if err != nil {
		return nil, err
	}
	sc := &subConn{server: cc.client.run.servers[i], clock: cc.client.run.clock, listener: opts.StateListener}
	sc.server.conns = append(sc.server.conns, sc)
	return sc, nil
}

// UpdateState implements [balancer.ClientConn].
func (cc *clientConn) UpdateState(s balancer.State) {
	cc.picker = s.Picker
	cc.client.wake()
}

// ResolveNow implements [balancer.ClientConn]: the list does not change.
func (*clientConn) ResolveNow(resolver.ResolveNowOptions) {}

// subConn is a connection that is made at once where the server takes any.
type subConn struct {
	balancer.SubConn
	server   *Server
	clock    *Clock
	listener func(balancer.SubConnState)
	state    connectivity.State // IDLE at first
	queued   bool               // a Connect is under way
}

// backoff is how long grpc waits after the first failure to connect.
const backoff = time.Second

var errRefused = errors.New("connection refused")

// Connect implements [balancer.SubConn].
func (sc *subConn) Connect() {
	if sc.state != connectivity.Idle || sc.queued {
		return
	}
	sc.queued = true
	sc.clock.after(0, func() {
		sc.queued = false
		sc.become(connectivity.Connecting, nil)
		sc.clock.after(2*oneWay, sc.connected)
	})
}

func (sc *subConn) connected() {
	if !sc.server.down {
		sc.become(connectivity.Ready, nil)
		return
	}
	sc.become(connectivity.TransientFailure, errRefused)
	sc.clock.after(int64(backoff), func() { sc.become(connectivity.Idle, nil) })
}

// goAway is what the server's GOAWAY comes to: calls that are under way go on.
func (sc *subConn) goAway() {
	if sc.state == connectivity.Ready {
		sc.become(connectivity.Idle, nil)
	}
}

func (sc *subConn) become(s connectivity.State, err error) {
	if sc.state == connectivity.Shutdown {
		return
	}
	sc.state = s
	sc.listener(balancer.SubConnState{ConnectivityState: s, ConnectionError: err})
}

// Shutdown implements [balancer.SubConn].
func (sc *subConn) Shutdown() { sc.state = connectivity.Shutdown }

// RegisterHealthListener implements [balancer.SubConn]: nobody checks health here.
func (sc *subConn) RegisterHealthListener(func(balancer.SubConnState)) {}
