package balancer

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// leaf connects the pool to an endpoint of several addresses: grpc's pick_first tries them (Happy Eyeballs, RFC 8305),
// and its SubConn is taken out of its picker once READY. Health is not left to pick_first: the pool registers its own
// listener, which it can renew.
//
// addrs is touched within calls alone; the rest is never written after newLeaf.
type leaf struct {
	pool  *pool
	e     *endpoint
	epoch uint32
	*guest
	addrs []resolver.Address // that pick_first has
}

// newLeaf returns a leaf for e, which begins to connect once start is called. Both must be called within calls.
func newLeaf(p *pool, e *endpoint, epoch uint32) *leaf {
	return &leaf{pool: p, e: e, epoch: epoch}
}

// start builds pick_first and gives it the addresses; without Channel.mu.
func (l *leaf) start(addrs []resolver.Address) {
	if l.gone() {
		return
	}
	l.guest = newGuest(l.pool.in.cc, &l.pool.in.calls, l, balancer.Get(pickfirst.Name), l.pool.in.opts)
	l.give(addrs)
}

// give passes the addresses on, if pick_first has not got these.
func (l *leaf) give(addrs []resolver.Address) {
	if sameDial(l.addrs, addrs) {
		return
	}
	l.addrs = addrs
	state := resolver.State{Endpoints: []resolver.Endpoint{{Addresses: addrs}}}
	// pick_first refuses nothing but an empty list.
	_ = l.update(balancer.ClientConnState{ResolverState: state})
}

// reconnect begins anew where pick_first went IDLE; attributes that have changed since take effect here.
func (l *leaf) reconnect() {
	if l.guest == nil || l.gone() {
		return
	}
	l.pool.ch.mu.Lock()
	addrs := l.pool.ch.addrsOf(l.e)
	l.pool.ch.mu.Unlock()
	l.give(addrs)
	l.exitIdle()
}

// gone tells whether the pool has let the leaf go.
func (l *leaf) gone() bool {
	l.pool.ch.mu.Lock()
	defer l.pool.ch.mu.Unlock()
	return l.pool.closed || l.e.epoch != l.epoch
}

// stop closes pick_first, if it was ever started.
func (l *leaf) stop() {
	if l.guest != nil {
		l.close()
	}
}

// guestState implements [host].
func (l *leaf) guestState(s balancer.State) {
	var sc balancer.SubConn
	if s.ConnectivityState == connectivity.Ready {
		picked, err := s.Picker.Pick(balancer.PickInfo{})
		if err != nil {
			return // not READY after all; another state follows
		}
		sc = picked.SubConn
	}
	p := l.pool
	p.ch.mu.Lock()
	defer p.ch.mu.Unlock()
	if p.closed || l.e.epoch != l.epoch {
		return
	}
	switch s.ConnectivityState {
	case connectivity.Ready:
		if l.e.up { // another address took over
			p.transport(l.e, connectivity.Idle)
			if l.e.epoch != l.epoch {
				return // given up meanwhile
			}
		}
		l.e.sc = sc
	case connectivity.Idle:
		p.in.calls.later(l.reconnect)
	}
	watch := p.transport(l.e, s.ConnectivityState)
	if l.e.epoch != l.epoch {
		return
	}
	if watch {
		check := l.e.check
		p.in.calls.later(func() { p.watch(l.e, sc, check) })
	}
	if !l.e.up {
		l.e.sc = nil
	}
}

// guestConn implements [host].
func (l *leaf) guestConn(_ balancer.SubConn, addrs []resolver.Address, s balancer.SubConnState) {
	p := l.pool
	p.ch.mu.Lock()
	defer p.ch.mu.Unlock()
	if p.closed || l.e.epoch != l.epoch {
		return
	}
	switch s.ConnectivityState {
	case connectivity.Connecting:
		l.e.attempts++
	case connectivity.TransientFailure:
		l.e.failed(addrs[0].Addr, s.ConnectionError)
		p.out.askResolver()
	}
}

// guestResolve implements [host].
func (l *leaf) guestResolve(resolver.ResolveNowOptions) {
	l.pool.ch.mu.Lock()
	defer l.pool.ch.mu.Unlock()
	if !l.pool.closed {
		l.pool.out.askResolver()
	}
}
