package balancer

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// connect begins to connect to e, which must have no connection. An endpoint of one address has its SubConn directly;
// one of several gets a leaf, for which calls must be held.
func (p *pool) connect(e *endpoint) {
	e.epoch++
	epoch := e.epoch
	addrs := p.ch.addrsOf(e)
	if len(addrs) > 1 {
		l := newLeaf(p, e, epoch)
		e.leaf = l
		p.in.calls.later(func() { l.start(addrs) })
		return
	}
	//lint:ignore SA1019 the deprecation is of several addresses; there is no other way to make a SubConn
	sc, err := p.in.cc.NewSubConn(addrs, balancer.NewSubConnOptions{
		StateListener: func(s balancer.SubConnState) { p.direct(e, epoch, s) },
	})
	if err != nil {
		e.failed(addrs[0].Addr, err)
		p.fail(e)
		return
	}
	e.sc, e.dialled = sc, &addrs[0]
	sc.Connect()
}

// dialsRight tells whether the connection of e leads where e's addresses do.
func (p *pool) dialsRight(e *endpoint) bool {
	addrs := p.ch.addrsOf(e)
	if e.leaf != nil {
		return sameDial(e.leaf.addrs, addrs)
	}
	return e.dialled != nil && len(addrs) == 1 && sameAddress(*e.dialled, addrs[0])
}

// direct takes what grpc reports of the SubConn of an endpoint of one address.
func (p *pool) direct(e *endpoint, epoch uint32, s balancer.SubConnState) {
	p.ch.mu.Lock()
	if p.closed || e.epoch != epoch {
		p.ch.mu.Unlock()
		return
	}
	switch s.ConnectivityState {
	case connectivity.Connecting:
		e.attempts++
	case connectivity.TransientFailure:
		e.failed(e.dialled.Addr, s.ConnectionError)
	}
	watch := p.transport(e, s.ConnectivityState)
	kept := e.epoch == epoch
	if kept && s.ConnectivityState == connectivity.Idle {
		p.reconnect(e)
	}
	sc, check := e.sc, e.check
	p.ch.mu.Unlock()
	if kept && watch {
		p.watch(e, sc, check)
	}
}

// reconnect connects anew where the SubConn is IDLE. Attributes that have changed since take effect here: a resolver that
// changes them at every update disturbs no connection.
func (p *pool) reconnect(e *endpoint) {
	if sameAddress(*e.dialled, p.ch.addrsOf(e)[0]) {
		e.sc.Connect()
		return
	}
	state := e.state
	p.abandon(e)
	e.state = state
	p.connect(e)
	p.discard()
}

// transport takes the state of the connection as such. It returns whether the health of the endpoint is to be watched,
// which the caller must see to once it has released Channel.mu. What follows from the state may be that the connection is
// given up, and the epoch another one.
func (p *pool) transport(e *endpoint, s connectivity.State) (watch bool) {
	switch s {
	case connectivity.Shutdown: // by nobody but the pool, which has let go of it before
		return false
	case connectivity.Ready:
		e.up = true
		e.check++
		if p.cfg.HealthService != nil {
			p.set(e, connectivity.Connecting)
			return true
		}
		p.set(e, connectivity.Ready)
		return false
	}
	lost := e.up
	if lost {
		e.up, e.renewed = false, false
		e.check++
	}
	switch {
	case s == connectivity.TransientFailure:
		p.fail(e)
	case !e.is(connectivity.TransientFailure):
		p.set(e, s)
	}
	if lost || s == connectivity.TransientFailure {
		p.out.askResolver() // afterwards: a loss is published at once unless a window is open
	}
	return false
}
