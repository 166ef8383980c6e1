package goresilient

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/policy"
)

// Snapshot is the state of a client at one moment: plain data, for logs, tests and pages.
type Snapshot struct {
	// Service is the full name of the service.
	Service string
	// Target is the target, of several the first; "" with [WithConn] of something that is no *grpc.ClientConn.
	Target string
	// State is the aggregate state of the connections.
	State connectivity.State
	// Running is how many calls and streams have begun and not ended, those in a fallback or between two attempts included. A call
	// whose first attempt has just failed may be counted twice for a moment.
	Running int64
	// Endpoints is what is known of each endpoint, in the order of discovery.
	Endpoints []EndpointSnapshot
	// Discovery is what discovery reported last if that was an error; nil otherwise.
	Discovery error
	// Override is the version of the policy document in force, as [OverridesStatus] has it; "" for none.
	Override string
	// Policy is the service's policy in force, defaults included, with the origin of what was written.
	Policy *policy.Service
	// Origins has the level, file and line of each field of Policy that is not a default.
	Origins policy.Origins
	// Methods is in the order of the schema.
	Methods []MethodSnapshot
}

// EndpointSnapshot is the state of one endpoint.
type EndpointSnapshot struct {
	// Endpoint is the address, or the addresses joined by "+".
	Endpoint string
	// Target is the target that it is of, with [WithTargets]; "" otherwise.
	Target string
	// Weight, Zone and Priority are as discovery gave them.
	Weight   uint32
	Zone     string
	Priority uint32
	// State is the state of its connection, health included.
	State connectivity.State
	// Selected is whether the channel connects to it: it is in the subset, and its priority is in use.
	Selected bool
	// Ejected is whether outlier detection keeps calls away, Probation whether it lets a trickle through. Reason is why, in
	// words; "" if neither.
	Ejected, Probation bool
	Reason             string
	// Attempts is how often a connection was tried.
	Attempts int
	// InFlight is how many calls run on it, where the balancing policy counts them.
	InFlight int64
	// LastError is why the last attempt to connect failed; nil if none has.
	LastError error
}

// MethodSnapshot is the policy of one RPC.
type MethodSnapshot struct {
	// Name is the name in the schema.
	Name string
	// Timeout is the deadline that a call gets; 0 for none but the caller's.
	Timeout time.Duration
	// Policy is in force, defaults included.
	Policy *policy.Method
	// Origins has the level, file and line of each field of Policy that is not a default.
	Origins policy.Origins
	// Withheld is what the RPC inherits and must not get.
	Withheld []policy.Withheld
}

// Snapshot returns the client's state. What is in it is the caller's.
func (c *Client) Snapshot() Snapshot {
	s := Snapshot{Service: c.desc.Name, Running: c.calls.Running()}
	c.mu.Lock()
	layers := c.stack()
	s.Override = c.overrideVersion
	c.mu.Unlock()
	merged, origins := layers.Service()
	s.Policy, s.Origins = policy.Complete(merged), origins
	switch {
	case c.channel != nil:
		c.channel.describe(&s)
	case c.grpc != nil:
		s.Target, s.State = c.grpc.Target(), c.grpc.GetState()
	}
	for _, d := range c.desc.Methods {
		p := c.methods["/"+c.desc.Name+"/"+d.Name].plan.Load()
		s.Methods = append(s.Methods, MethodSnapshot{
			Name:     d.Name,
			Timeout:  p.total,
			Policy:   policy.Clone(p.effective),
			Origins:  maps.Clone(p.origins),
			Withheld: slices.Clone(p.withheld),
		})
	}
	return s
}

// describe fills in what the channel knows. The channel's part of the policy is what is in force there.
func (ch *Channel) describe(s *Snapshot) {
	s.State = ch.State()
	s.Discovery = ch.reports.now().err
	for _, e := range ch.state.Endpoints() {
		s.Endpoints = append(s.Endpoints, EndpointSnapshot{
			Endpoint:  e.Endpoint.ID(),
			Target:    e.Endpoint.Target(),
			Weight:    e.Endpoint.Weight,
			Zone:      e.Endpoint.Zone,
			Priority:  e.Endpoint.Priority,
			State:     e.State,
			Selected:  e.Selected,
			Ejected:   e.Ejected,
			Probation: e.Probation,
			Reason:    e.OutlierReason,
			Attempts:  e.Attempts,
			InFlight:  e.InFlight,
			LastError: e.LastError,
		})
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	s.Target = policy.Value(ch.policy.Target)
	inForce := policy.Clone(ch.policy)
	s.Policy.Target, s.Policy.LoadBalancing, s.Policy.HealthCheck = inForce.Target, inForce.LoadBalancing, inForce.HealthCheck
	s.Policy.OutlierDetection, s.Policy.Discovery, s.Policy.Connection = inForce.OutlierDetection, inForce.Discovery, inForce.Connection
	for path := range s.Origins {
		if isChannels(path) {
			delete(s.Origins, path)
		}
	}
	for path, o := range ch.origins {
		if isChannels(path) {
			s.Origins[path] = o
		}
	}
}

func isChannels(path string) bool {
	scope, _ := policy.ScopeOf(path)
	return scope == policy.ScopeChannel
}
