package sim

import (
	"math/rand/v2"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// rule is how a peer chooses among the connections that are READY. It is made anew whenever one comes or goes, as are
// pickers over grpc's base balancer, which go-zero and Kratos stand on; what it knew is lost then.
type rule interface {
	// pick chooses one of the connections by its index, and returns what to call when the call has ended.
	pick(now int64) (i int, done func(balancer.DoneInfo))
}

// newRule makes a rule for n connections; servers are theirs, for rules that ask them.
type newRule func(clock *Clock, random *rand.Rand, servers []*Server) rule

// peer is a balancer that connects to all and has a rule choose.
type peer struct {
	cc      balancer.ClientConn
	clock   *Clock
	random  *rand.Rand
	newRule newRule

	conns []*subConn // all, in the order of the list
	ready []*subConn
	rule  rule
	stale bool // ready and rule are to be made anew
}

// UpdateClientConnState implements [balancer.Balancer].
func (p *peer) UpdateClientConnState(s balancer.ClientConnState) error {
	for _, e := range s.ResolverState.Endpoints {
		var sc balancer.SubConn
		//lint:ignore SA1019 the deprecation is of several addresses; there is no other way to make a SubConn
		sc, err := p.cc.NewSubConn(e.Addresses, balancer.NewSubConnOptions{
			StateListener: func(s balancer.SubConnState) { p.follow(sc.(*subConn), s) },
		})
		if err != nil {
			return err
		}
		p.conns = append(p.conns, sc.(*subConn))
		sc.Connect()
	}
	return nil
}

// follow takes the new state of a connection.
func (p *peer) follow(sc *subConn, s balancer.SubConnState) {
	if s.ConnectivityState == connectivity.Idle {
		sc.Connect()
	}
	p.stale = true
	p.cc.UpdateState(balancer.State{ConnectivityState: connectivity.Ready, Picker: p})
}

// Pick implements [balancer.Picker].
func (p *peer) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	if p.stale {
		p.renew()
	}
	if len(p.ready) == 0 {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	i, done := p.rule.pick(p.clock.now)
	return balancer.PickResult{SubConn: p.ready[i], Done: done}, nil
}

func (p *peer) renew() {
	p.stale = false
	p.ready = p.ready[:0]
	var servers []*Server
	for _, sc := range p.conns {
		if sc.state == connectivity.Ready {
			p.ready = append(p.ready, sc)
			servers = append(servers, sc.server)
		}
	}
	p.rule = p.newRule(p.clock, p.random, servers)
}

// ResolverError implements [balancer.Balancer].
func (*peer) ResolverError(error) {}

// UpdateSubConnState implements [balancer.Balancer]: every SubConn has a listener.
func (*peer) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle implements [balancer.Balancer].
func (*peer) ExitIdle() {}

// Close implements [balancer.Balancer].
func (*peer) Close() {}

// two draws two different numbers below n, the same twice if n is 1.
func two(random *rand.Rand, n int) (int, int) {
	if n == 1 {
		return 0, 0
	}
	a, b := random.IntN(n), random.IntN(n-1)
	if b >= a {
		b++
	}
	return a, b
}
