package balancer

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// child runs pick_first or a policy of another module: pick_first over all endpoints, the best priority first, and others over
// the subset. Of the rest of load_balancing and of outlier detection it carries out nothing. What it publishes goes to grpc as it is; its
// SubConns are observed, for the status.
//
// cfg, config and given are touched within calls alone. Channel.mu guards the rest.
type child struct {
	in     *instance
	ch     *Channel
	guest  *guest
	cfg    Config
	config serviceconfig.LoadBalancingConfig
	given  []byte // the configuration that pick_first has, as JSON

	last    balancer.State
	watched watched
}

// newChild builds the policy that cfg names; within calls and without Channel.mu.
func newChild(in *instance, cfg Config) (*child, error) {
	b, config, err := childPolicy(cfg)
	if err != nil {
		return nil, err
	}
	c := &child{in: in, ch: in.ch, cfg: cfg, config: config}
	c.guest = newGuest(in.cc, &in.calls, c, b, in.opts)
	return c, nil
}

// runs implements [served]. Another health service asks for another child: only the policy itself can register
// listeners for its SubConns.
func (c *child) runs(cfg Config) bool {
	return cfg.policyName() == c.cfg.policyName() && cfg.arm() == c.cfg.arm() && sameHealth(cfg, c.cfg)
}

func (c *child) reported() (balancer.State, bool) { return c.last, c.last.Picker != nil }

// census implements [served].
func (c *child) census() census {
	t := census{total: len(c.watched.list), failed: c.watched.failed}
	if c.last.ConnectivityState == connectivity.Ready {
		t.ready = max(1, c.watched.ready) // some policies dial addresses of their own
	}
	return t
}

// stateOf implements [served]. An endpoint cannot be READY beyond the policy: it may wait for health.
func (c *child) stateOf(e *endpoint) (s connectivity.State, connected bool) {
	s, connected = c.watched.stateOf(e)
	if s == connectivity.Ready && c.last.ConnectivityState != connectivity.Ready {
		s = connectivity.Connecting
	}
	return s, connected
}

// update implements [served].
func (c *child) update(u update) error {
	refused := c.configure(u.cfg)
	c.ch.mu.Lock()
	ready := c.last.ConnectivityState == connectivity.Ready
	known, list := c.watched.list, c.chosen()
	if c.watched.byEndpoint == nil || len(u.change.moved) > 0 || !slices.Equal(known, list) {
		c.watched.follow(c.ch, list)
	}
	same := ready && slices.Equal(known, c.watched.list)
	state := u.state
	switch {
	case c.cfg.arm() == armPickFirst:
		state.Endpoints, state.Addresses = c.watched.dialled(c.ch, ready), nil
	case len(list) < len(c.ch.list):
		state = restricted(state, list)
	}
	c.ch.mu.Unlock()
	if c.cfg.arm() == armPickFirst {
		given := c.cfg.policyJSON()
		if same && bytes.Equal(c.given, given) {
			return refused // a connection that works is not disturbed
		}
		c.given = given
		if c.cfg.HealthService != nil {
			state = pickfirst.EnableHealthListener(state)
		}
	}
	err := c.guest.update(balancer.ClientConnState{ResolverState: bothLists(state), BalancerConfig: c.config})
	return cmp.Or(err, refused)
}

// chosen returns the endpoints that the policy is to know of; Channel.mu is held.
func (c *child) chosen() []*endpoint {
	criteria := c.cfg.criteria()
	if c.cfg.arm() != armPickFirst {
		return subset(c.ch.list, criteria.size, c.ch.salt)
	}
	parts := byPriority(c.ch.list, criteria.together, c.ch.mixed, nil)
	if len(parts) == 1 {
		return parts[0].members
	}
	var out []*endpoint
	for _, p := range parts {
		out = append(out, p.members...)
	}
	return out
}

// restricted returns the state with the endpoints of list alone.
func restricted(s resolver.State, list []*endpoint) resolver.State {
	names := make(map[string]bool, len(list))
	for _, e := range list {
		names[e.name] = true
	}
	all := endpointsOf(s)
	listed := listing{set: setOf(s, len(all)), endpoints: all}
	s.Endpoints, s.Addresses = make([]resolver.Endpoint, 0, len(list)), nil
	for i, e := range all {
		if len(e.Addresses) > 0 && names[identity(listed.info(i), e.Addresses)] {
			s.Endpoints = append(s.Endpoints, e)
		}
	}
	return s
}

// configure takes the settings of cfg, if it is for this policy. Settings that the policy refuses change nothing.
func (c *child) configure(cfg Config) error {
	if !c.runs(cfg) {
		return nil
	}
	_, config, err := childPolicy(cfg)
	if err != nil {
		return err
	}
	c.cfg, c.config = cfg, config
	return nil
}

// bothLists fills in the list of addresses, or of endpoints, for policies that read the other one.
func bothLists(s resolver.State) resolver.State {
	if s.Endpoints == nil {
		s.Endpoints = endpointsOf(s)
	}
	if s.Addresses == nil {
		for _, e := range s.Endpoints {
			s.Addresses = append(s.Addresses, e.Addresses...)
		}
	}
	return s
}

func (c *child) resolverError(err error) { c.guest.resolverError(err) }
func (c *child) close()                  { c.guest.close() }

// exitIdle implements [served]. Some policies, ring_hash among them, connect for a call and for nothing else; they get a pick
// that leads nowhere.
func (c *child) exitIdle() {
	c.guest.exitIdle()
	c.ch.mu.Lock()
	last := c.last
	c.ch.mu.Unlock()
	if last.ConnectivityState != connectivity.Idle || last.Picker == nil {
		return
	}
	if r, err := last.Picker.Pick(balancer.PickInfo{Ctx: context.Background()}); err == nil && r.Done != nil {
		r.Done(balancer.DoneInfo{})
	}
}

// guestState implements [host].
func (c *child) guestState(s balancer.State) {
	c.ch.mu.Lock()
	defer c.ch.mu.Unlock()
	if c.last.ConnectivityState != s.ConnectivityState {
		c.ch.touch()
	}
	c.last = s
	c.in.report(c, s)
}

// guestConn implements [host].
func (c *child) guestConn(sc balancer.SubConn, addrs []resolver.Address, s balancer.SubConnState) {
	c.ch.mu.Lock()
	defer c.ch.mu.Unlock()
	if c.watched.observe(sc, addrs, s) {
		c.ch.touch()
	}
}

// guestResolve implements [host].
func (c *child) guestResolve(opts resolver.ResolveNowOptions) {
	c.ch.mu.Lock()
	defer c.ch.mu.Unlock()
	if c.in.latest(c) {
		c.in.cc.ResolveNow(opts)
	}
}
