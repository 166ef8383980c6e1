package balancer

import (
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// endpoint is what a [Channel] remembers of one server for as long as the server is listed, and the server's connection
// in the pool. There may be tens of thousands: it is kept small.
//
// Channel.mu guards all of it but inFlight, which is atomic, and done, which is never written again.
type endpoint struct {
	info       *discovery.Endpoint // nil if another resolver than those of discovery listed it
	addrs      []resolver.Address  // where to dial, as last listed; not to be written
	sibling    *endpoint           // the next endpoint with the same ID
	shared     bool                // there is, or was, another endpoint with the same ID
	position   uint32              // in Channel.list
	generation uint32              // of the update that last listed it

	attempts uint32
	lastErr  *EndpointError

	connection

	inFlight atomic.Int64
	done     func(balancer.DoneInfo) // for picks that count inFlight
}

// connection is the pool's connection to an endpoint. The zero value is no connection.
type connection struct {
	sc      balancer.SubConn  // the one to pick; with a leaf, nil unless it is READY
	leaf    *leaf             // nil if the endpoint has one address
	dialled *resolver.Address // that sc was made with; nil with a leaf
	epoch   uint32            // of sc and leaf: what an earlier one reports is ignored
	check   uint32            // of the health listener, likewise
	state   connectivityState
	up      bool // the transport is READY
	renewed bool // READY by an earlier health listener, whose successor has not decided yet
}

// connectivityState is a [connectivity.State] in one byte.
type connectivityState uint8

func newEndpoint(info *discovery.Endpoint, addrs []resolver.Address) *endpoint {
	e := &endpoint{info: info, addrs: addrs}
	e.done = func(balancer.DoneInfo) { e.inFlight.Add(-1) }
	return e
}

// describe returns what is known of the endpoint itself; one that did not come from discovery has weight 1.
func (e *endpoint) describe() discovery.Endpoint {
	if e.info != nil {
		return *e.info
	}
	out := discovery.Endpoint{Addresses: make([]string, len(e.addrs)), Weight: 1}
	for i, a := range e.addrs {
		out.Addresses[i] = a.Addr
	}
	return out
}

// id returns the identity under which Channel.byID has the endpoint.
func (e *endpoint) id() string { return identity(e.info, e.addrs) }

func identity(info *discovery.Endpoint, addrs []resolver.Address) string {
	switch {
	case info != nil:
		return info.ID()
	case len(addrs) == 1:
		return addrs[0].Addr
	}
	names := make([]string, len(addrs))
	for i, a := range addrs {
		names[i] = a.Addr
	}
	return strings.Join(names, "+")
}

// failed records why an attempt at the address failed.
func (e *endpoint) failed(addr string, err error) {
	if err == nil {
		err = errUnexplained
	}
	e.lastErr = &EndpointError{Address: addr, Err: err}
}

func (e *endpoint) is(s connectivity.State) bool { return e.state == connectivityState(s) }
