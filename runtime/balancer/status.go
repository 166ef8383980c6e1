package balancer

import (
	"time"

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
	// Listed is the number of endpoints in the resolver's list.
	Listed int
	// Total is the number of those that the channel connects to: the subset, of the priorities in use. While no balancer
	// runs it is Listed.
	Total int
	// Ready is the number of those that are READY (with pick_first, 1), Ejected of these that outlier detection keeps calls
	// away from, Failed of those whose last attempt to connect, or health check, has failed and that have not been READY since.
	Ready, Ejected, Failed int
	// LastResolverError is what the resolver last reported; nil since it gave a list after that.
	LastResolverError error
}

// EndpointStatus is the state of one endpoint at one moment.
type EndpointStatus struct {
	// Endpoint is what discovery says of it.
	Endpoint discovery.Endpoint
	// State is READY when transport and health are; after a failure it stays TRANSIENT_FAILURE until it is READY.
	State connectivity.State
	// Selected is whether the channel connects to it. An endpoint beyond the subset, or of a priority that is not needed, is
	// IDLE and not selected.
	Selected bool
	// Attempts is how many attempts to connect have begun since the endpoint appeared.
	Attempts int
	// LastError is why an attempt, or a health check, last failed; nil if none ever did. It is an [*EndpointError] around
	// grpc's own, through which [errors.As] reaches those of crypto/tls and net.
	LastError error
	// Ejected is whether outlier detection keeps calls away, Probation whether it lets only a few through.
	Ejected, Probation bool
	// OutlierReason is why, as the policy's field, e.g., "consecutive_failures", for an endpoint that is ejected or on
	// probation, or would be if detection did more than observe; "" for others.
	OutlierReason string
	// Share is which share of calls the endpoint gets beside one that gets its full share: below 1 in slow start and on
	// probation, 0 if it gets none.
	Share float64
	// Latency is the moving average of how long calls take, by a policy that chooses by it or since one did; 0: not known.
	Latency time.Duration
	// InFlight is the number of calls that run. Only policies that choose by it count them; otherwise it is 0. Attempts that
	// another one of their call has beaten do not run: they are not among them, although such a policy counts them a while longer.
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
	s := Status{State: c.state, Updated: c.updated, Listed: len(c.list), Total: len(c.list), LastResolverError: c.resolverErr}
	if p := c.serving(); p != nil {
		t := p.census()
		s.Total, s.Ready, s.Ejected, s.Failed = t.total, t.ready, t.ejected, t.failed
	}
	return s
}

// Endpoints returns the state of each endpoint, in the resolver's order.
func (c *Channel) Endpoints() []EndpointStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	served := c.serving()
	out := make([]EndpointStatus, len(c.list))
	lingering := c.lingering.count()
	for i, e := range c.list {
		out[i] = EndpointStatus{
			Endpoint: c.describe(e),
			State:    connectivity.Idle,
			Attempts: int(e.attempts),
			InFlight: max(0, e.load.inFlight()-lingering[e.load]), // some may end just now
			Latency:  time.Duration(e.load.latency.last()),
		}
		if e.lastErr != nil {
			out[i].LastError = e.lastErr
		}
		if served != nil {
			out[i].State, out[i].Selected = served.stateOf(e)
		}
		if p, ok := served.(*pool); ok && out[i].Selected {
			p.detail(e, &out[i])
		}
	}
	return out
}

// detail adds what the pool knows of an endpoint that it connects to.
func (p *pool) detail(e *endpoint, s *EndpointStatus) {
	s.Ejected, s.Probation = e.ejected, e.probation
	if p.detection.detector != nil {
		s.OutlierReason = e.outlier.Reason().String()
	}
	if e.group.takes(e) {
		s.Share = e.share()
	}
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
