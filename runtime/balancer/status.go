package balancer

import (
	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// Status is the state of a [Channel] at one moment.
type Status struct {
	// State is what grpc was last told: READY if any endpoint is, TRANSIENT_FAILURE if all have failed; IDLE while no
	// balancer runs.
	State connectivity.State
	// Updated is whether a resolver has ever given a list, an empty one included.
	Updated bool
	// Total is the number of endpoints, Ready of those that take calls (with pick_first, the one in use), Failed of those
	// whose last attempt to connect, or health check, has failed and that have not been READY since.
	Total, Ready, Failed int
	// LastResolverError is what the resolver last reported; nil since it gave a list after that.
	LastResolverError error
}

// EndpointStatus is the state of one endpoint at one moment.
type EndpointStatus struct {
	// Endpoint is what discovery says of it.
	Endpoint discovery.Endpoint
	// State is READY when transport and health are; after a failure it stays TRANSIENT_FAILURE until it is READY.
	State connectivity.State
	// Attempts is how many attempts to connect have begun since the endpoint appeared.
	Attempts int
	// LastError is why an attempt, or a health check, last failed; nil if none ever did. It is an [*EndpointError] around
	// grpc's own, through which [errors.As] reaches those of crypto/tls and net.
	LastError error
	// Ejected is whether outlier detection keeps calls away.
	Ejected bool
	// InFlight is the number of calls that run. Only policies that choose by it count them; otherwise it is 0.
	InFlight int64
}

// EndpointError is what went wrong at one endpoint.
type EndpointError struct {
	// Address is where the connection was to lead, e.g., "10.0.0.1:443".
	Address string
	// Err is grpc's error.
	Err error
}

// Error returns "address: error".
func (e *EndpointError) Error() string { return e.Address + ": " + e.Err.Error() }

// Unwrap returns grpc's error.
func (e *EndpointError) Unwrap() error { return e.Err }

// Status returns the present state, in constant time.
func (c *Channel) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{State: c.state, Updated: c.updated, Total: len(c.list), LastResolverError: c.resolverErr}
	if p := c.serving(); p != nil {
		s.Ready, s.Failed = p.tally()
	}
	return s
}

// Endpoints returns the state of each endpoint, in the resolver's order.
func (c *Channel) Endpoints() []EndpointStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.serving()
	out := make([]EndpointStatus, len(c.list))
	for i, e := range c.list {
		out[i] = EndpointStatus{
			Endpoint: e.describe(),
			State:    connectivity.Idle,
			Attempts: int(e.attempts),
			InFlight: e.inFlight.Load(),
		}
		if e.lastErr != nil {
			out[i].LastError = e.lastErr
		}
		if p != nil {
			out[i].State = p.stateOf(e)
		}
	}
	return out
}

// Changed returns a channel that is closed at the next change of [Channel.Status]. Take it before reading the status, so
// that no change is missed.
func (c *Channel) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// serving returns the policy that serves calls, nil if there is none; c.mu is held.
func (c *Channel) serving() served {
	if c.owner == nil {
		return nil
	}
	return c.owner.current
}
