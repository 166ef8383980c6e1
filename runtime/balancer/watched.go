package balancer

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// watched is what can be seen of a child policy's connections from outside: the state of each endpoint by that of the
// SubConns that lead to its addresses. Channel.mu guards it.
type watched struct {
	list          []*endpoint
	byEndpoint    map[*endpoint]*view
	byAddr        map[string]*view // of several endpoints with one address, the first
	conns         map[balancer.SubConn]*seen
	ready, failed int // endpoints
}

// view is one endpoint as seen.
type view struct {
	e      *endpoint
	addrs  []resolver.Address             // that the policy was last given
	counts [connectivity.Shutdown + 1]int // SubConns by state
	failed bool                           // the last attempt failed, and none has been READY since
}

// seen is one SubConn.
type seen struct {
	v     *view
	state connectivity.State
}

// follow makes list the endpoints that are watched.
func (w *watched) follow(ch *Channel, list []*endpoint) {
	before := w.byEndpoint
	w.list = list
	w.byEndpoint = make(map[*endpoint]*view, len(list))
	w.byAddr = make(map[string]*view, len(list))
	w.ready, w.failed = 0, 0
	for _, e := range list {
		v := before[e]
		if v == nil {
			v = &view{e: e}
		}
		w.byEndpoint[e] = v
		w.count(v, 1)
		for _, a := range ch.addrsOf(e) {
			if w.byAddr[a.Addr] == nil {
				w.byAddr[a.Addr] = v
			}
		}
	}
}

// dialled returns the endpoints with the addresses to dial: with keep, those that are known with the attributes that they
// were given before.
func (w *watched) dialled(ch *Channel, keep bool) []resolver.Endpoint {
	out := make([]resolver.Endpoint, len(w.list))
	for i, e := range w.list {
		v := w.byEndpoint[e]
		if addrs := ch.addrsOf(e); !keep || !sameTarget(v.addrs, addrs) {
			v.addrs = addrs
		}
		out[i].Addresses = v.addrs
	}
	return out
}

// observe takes a change of a SubConn's state; it returns whether the status has changed.
func (w *watched) observe(sc balancer.SubConn, addrs []resolver.Address, s balancer.SubConnState) bool {
	c := w.conns[sc]
	if c == nil {
		v := w.viewOf(addrs)
		if v == nil || s.ConnectivityState == connectivity.Shutdown {
			return false
		}
		if w.conns == nil {
			w.conns = make(map[balancer.SubConn]*seen)
		}
		c = &seen{v: v, state: connectivity.Shutdown}
		w.conns[sc] = c
	}
	v := c.v
	listed := w.byEndpoint[v.e] == v
	ready, failed := w.ready, w.failed
	if listed {
		w.count(v, -1)
	}
	if c.state != connectivity.Shutdown {
		v.counts[c.state]--
	}
	c.state = s.ConnectivityState
	switch s.ConnectivityState {
	case connectivity.Shutdown:
		delete(w.conns, sc)
	case connectivity.Ready:
		v.failed = false
	case connectivity.Connecting:
		v.e.attempts++
	case connectivity.TransientFailure:
		v.failed = true
		v.e.failed(addrs[0].Addr, s.ConnectionError)
	}
	if c.state != connectivity.Shutdown {
		v.counts[c.state]++
	}
	if listed {
		w.count(v, 1)
	}
	return ready != w.ready || failed != w.failed
}

func (w *watched) viewOf(addrs []resolver.Address) *view {
	for _, a := range addrs {
		if v := w.byAddr[a.Addr]; v != nil {
			return v
		}
	}
	return nil
}

func (w *watched) count(v *view, n int) {
	switch v.state() {
	case connectivity.Ready:
		w.ready += n
	case connectivity.TransientFailure:
		w.failed += n
	}
}

func (w *watched) stateOf(e *endpoint) (s connectivity.State, listed bool) {
	if v := w.byEndpoint[e]; v != nil {
		return v.state(), true
	}
	return connectivity.Idle, false
}

func (v *view) state() connectivity.State {
	switch {
	case v.counts[connectivity.Ready] > 0:
		return connectivity.Ready
	case v.failed:
		return connectivity.TransientFailure
	case v.counts[connectivity.Connecting] > 0:
		return connectivity.Connecting
	default:
		return connectivity.Idle
	}
}
