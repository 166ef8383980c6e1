package discovery

import (
	"sync"

	"google.golang.org/grpc/resolver"
)

// followedConn stands between a resolver that is followed and the channel. What the resolver says while it is being
// built waits until it is in use: the build may yet fail. What it says once it is closed is dropped.
type followedConn struct {
	resolver.ClientConn
	mu *sync.Mutex // of the resolver that follows; held during all calls of ClientConn
	// serverName is the name of addresses that have none of their own; "" where the channel's authority is right. The
	// channel fixed its authority when it was made, perhaps for another target.
	serverName string

	// Guarded by mu.
	phase followedPhase
	state *resolver.State // waiting
	err   error           // waiting
}

type followedPhase int

const (
	followedBuilding followedPhase = iota
	followedOpen
	followedClosed
)

// UpdateState implements [resolver.ClientConn].
func (c *followedConn) UpdateState(s resolver.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.phase {
	case followedBuilding:
		c.state, c.err = &s, nil
		return nil
	case followedOpen:
		return c.ClientConn.UpdateState(c.named(s))
	}
	return nil
}

// ReportError implements [resolver.ClientConn].
func (c *followedConn) ReportError(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.phase {
	case followedBuilding:
		c.err = err
	case followedOpen:
		c.ClientConn.ReportError(err)
	}
}

// NewAddress implements [resolver.ClientConn]; it is grpc's old form of UpdateState.
func (c *followedConn) NewAddress(addresses []resolver.Address) {
	_ = c.UpdateState(resolver.State{Addresses: addresses})
}

// open lets through what waited, and returns the channel's answer to it.
func (c *followedConn) open() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = followedOpen
	var answer error
	if c.state != nil {
		answer = c.ClientConn.UpdateState(c.named(*c.state))
	}
	if c.err != nil {
		c.ClientConn.ReportError(c.err)
	}
	c.state, c.err = nil, nil
	return answer
}

func (c *followedConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.state, c.err = followedClosed, nil, nil
}

// named gives addresses the name that a channel to the followed target would have given them. The resolver's own
// slices stay as they are.
func (c *followedConn) named(s resolver.State) resolver.State {
	if c.serverName == "" {
		return s
	}
	s.Addresses = c.namedAddresses(s.Addresses)
	if s.Endpoints != nil {
		endpoints := make([]resolver.Endpoint, len(s.Endpoints))
		for i, e := range s.Endpoints {
			endpoints[i] = resolver.Endpoint{Addresses: c.namedAddresses(e.Addresses), Attributes: e.Attributes}
		}
		s.Endpoints = endpoints
	}
	return s
}

func (c *followedConn) namedAddresses(addresses []resolver.Address) []resolver.Address {
	if addresses == nil {
		return nil
	}
	named := make([]resolver.Address, len(addresses))
	for i, a := range addresses {
		if a.ServerName == "" {
			a.ServerName = c.serverName
		}
		named[i] = a
	}
	return named
}
