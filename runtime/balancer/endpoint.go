package balancer

import (
	"strings"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// endpoint is what a [Channel] remembers of one server for as long as the server is listed, and the server's connection
// in the pool. There may be tens of thousands: it is kept small.
//
// Channel.mu guards all of it but name and load, which are never written again, and reports, which is atomic.
type endpoint struct {
	name     string
	sibling  *endpoint           // the next endpoint with the same ID
	left     *[]resolver.Address // where it was dialled when it was last listed; nil while it is, see [Channel.addrsOf]
	position uint32              // in Channel.list; during the update that brings it, see fresh
	weight   uint32              // that discovery gives it, 1 if it gives none
	shared   bool                // there is, or was, another endpoint with the same ID

	attempts uint32
	lastErr  *EndpointError

	connection
	eligibility

	reports atomic.Pointer[reports] // nil before weighted_round_robin has seen it READY

	load *load
	done func(balancer.DoneInfo) // of calls that are counted and not timed; nil before any is, see pool.equip
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

func newEndpoint(id string, info *discovery.Endpoint) *endpoint {
	e := &endpoint{name: id, weight: weightOf(info), load: newLoad()}
	e.priority = priorityOf(info)
	e.hash, e.zoneHash = xxhash.Sum64String(id), xxhash.Sum64String(zoneOf(info))
	return e
}

// countUntimed has targets of the endpoint know a Done for calls that are not timed.
func (e *endpoint) countUntimed(ch *Channel) {
	if e.done == nil {
		l := e.load
		e.done = func(info balancer.DoneInfo) { ch.ended(e, l, &info) }
	}
}

// weightOf returns the static weight of an endpoint, 1 if nobody gave it one.
func weightOf(info *discovery.Endpoint) uint32 {
	if info == nil || info.Weight == 0 {
		return 1
	}
	return info.Weight
}

// ID implements [attempt.Endpoint]. It may be called without Channel.mu.
func (e *endpoint) ID() string { return e.name }

// target returns the endpoint for a picker.
func (e *endpoint) target() target { return target{sc: e.sc, load: e.load, done: e.done, e: e} }

// addrsOf returns where to dial e, as last listed; c.mu is held. They are not to be written.
func (c *Channel) addrsOf(e *endpoint) []resolver.Address {
	if e.left != nil {
		return *e.left
	}
	return c.listing.addrs(c.listing.index(e.position))
}

// describe returns what is known of e itself, which is listed; one that did not come from discovery has weight 1. c.mu is held.
func (c *Channel) describe(e *endpoint) discovery.Endpoint {
	if info := c.listing.info(c.listing.index(e.position)); info != nil {
		return *info
	}
	addrs := c.addrsOf(e)
	out := discovery.Endpoint{Addresses: make([]string, len(addrs)), Weight: 1}
	for i, a := range addrs {
		out.Addresses[i] = a.Addr
	}
	return out
}

// identity returns the ID under which Channel.byID has an endpoint.
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
