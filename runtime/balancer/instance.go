package balancer

import (
	"fmt"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// instance is one balancer that grpc has built: from the first use of a connection until it is idle or closed. It runs
// one policy, the current one, and a second while it switches: the next one serves once it is READY, and until then the
// current one stays as long as it is READY itself.
//
// grpc calls the methods of [balancer.Balancer] one at a time; their policies are called within calls. ch is written once,
// within calls. Channel.mu guards what follows it.
type instance struct {
	cc    balancer.ClientConn
	opts  balancer.BuildOptions
	calls calls
	ch    *Channel // nil before the first update

	current, next served
	retired       []served // replaced, and still to be closed
	closed        bool
}

// served is a policy that an instance runs: the pool or a child. Its methods up to close are called within calls and
// without Channel.mu, the others with Channel.mu held.
type served interface {
	update(update) error
	resolverError(error)
	exitIdle()
	close()

	// runs tells whether cfg asks for this policy, with other settings perhaps.
	runs(Config) bool
	// reported returns what the policy last gave to [instance.report], false if nothing yet.
	reported() (balancer.State, bool)
	census() census
	// stateOf returns the state of an endpoint, and whether the policy connects to it; IDLE and false if it does not.
	stateOf(*endpoint) (s connectivity.State, connected bool)
}

// census counts the endpoints of a policy.
type census struct {
	total                  int // that it connects to
	ready, failed, ejected int // of them
}

// update is what a resolver's update comes to, for a policy.
type update struct {
	cfg    Config // followed if the policy runs it
	state  resolver.State
	change change
}

// UpdateClientConnState implements [balancer.Balancer].
func (in *instance) UpdateClientConnState(s balancer.ClientConnState) (err error) {
	in.calls.do(func() {
		if in.ch == nil {
			in.attach(channelOf(s.ResolverState))
		}
		in.ch.mu.Lock()
		if in.closed {
			in.ch.mu.Unlock()
			return
		}
		u := update{cfg: in.ch.config, state: s.ResolverState, change: in.ch.match(s.ResolverState)}
		in.ch.updated, in.ch.resolverErr = true, nil
		in.ch.touch()
		in.ch.mu.Unlock()
		err = in.follow(u)
	})
	return err
}

// attach takes ch, or a channel of its own if there is none or another balancer works for it.
func (in *instance) attach(ch *Channel) {
	switch {
	case ch == nil:
		ch = NewChannel(defaultConfig(), Options{})
	case !ch.claim(in):
		ch.mu.Lock()
		cfg := ch.config
		ch.mu.Unlock()
		ch = NewChannel(cfg, ch.opts)
	default:
		in.ch = ch
		return
	}
	ch.claim(in)
	in.ch = ch
}

// follow makes the policy that u asks for the latest one, and passes u on.
func (in *instance) follow(u update) error {
	in.ch.mu.Lock()
	var dropped served
	if in.next != nil && !in.next.runs(u.cfg) {
		dropped, in.next = in.next, nil
	}
	current, next := in.current, in.next
	in.ch.mu.Unlock()
	if dropped != nil {
		dropped.close()
	}
	if next == nil && (current == nil || !current.runs(u.cfg)) {
		in.closeRetired() // two pools at a time would share the endpoints' connections
		built, err := in.build(u.cfg)
		if err != nil {
			return in.refuse(err, current, u)
		}
		if current == nil {
			current = built
		} else {
			next = built
		}
		in.ch.mu.Lock()
		in.current, in.next = current, next
		in.ch.mu.Unlock()
	}
	err := current.update(u)
	if next != nil {
		err = next.update(u)
	}
	return err
}

// build returns the policy that cfg asks for.
func (in *instance) build(cfg Config) (served, error) {
	if cfg.policyName() == "" && cfg.arm() != armCustom {
		return newPool(in, cfg), nil
	}
	return newChild(in, cfg)
}

// refuse reports a policy that cannot be built. The current one, if any, goes on.
func (in *instance) refuse(err error, current served, u update) error {
	err = fmt.Errorf("goresilient: load balancing policy: %w", err)
	if current != nil {
		_ = current.update(u) // the refusal matters more
		return err
	}
	in.ch.mu.Lock()
	defer in.ch.mu.Unlock()
	in.show(balancer.State{ConnectivityState: connectivity.TransientFailure, Picker: failing{err}})
	return err
}

// report takes what p tells of itself, and carries out the switch; Channel.mu is held.
func (in *instance) report(p served, s balancer.State) {
	switch {
	case in.closed:
	case p == in.current:
		if in.next != nil && s.ConnectivityState != connectivity.Ready {
			if next, ok := in.next.reported(); ok {
				in.promote(next)
				return
			}
		}
		in.show(s)
	case p == in.next:
		if current, ok := in.current.reported(); !ok || current.ConnectivityState != connectivity.Ready ||
			s.ConnectivityState == connectivity.Ready {
			in.promote(s)
		}
	}
}

// promote makes the next policy the current one; Channel.mu is held.
func (in *instance) promote(s balancer.State) {
	old := in.current
	in.current, in.next = in.next, nil
	in.show(s)
	in.ch.touch()
	in.retired = append(in.retired, old)
	in.calls.later(in.closeRetired)
}

// closeRetired closes the policies that were replaced; within calls.
func (in *instance) closeRetired() {
	in.ch.mu.Lock()
	retired := in.retired
	in.retired = nil
	in.ch.mu.Unlock()
	for _, p := range retired {
		p.close()
	}
}

// show publishes s; Channel.mu is held.
func (in *instance) show(s balancer.State) {
	in.cc.UpdateState(s)
	if in.ch.state != s.ConnectivityState {
		in.ch.state = s.ConnectivityState
		in.ch.touch()
	}
}

// latest tells whether p is the policy that follows the resolver; Channel.mu is held.
func (in *instance) latest(p served) bool {
	return !in.closed && (p == in.next || in.next == nil && p == in.current)
}

// each calls f for the policies that run; within calls.
func (in *instance) each(f func(served)) {
	if in.ch == nil {
		return
	}
	in.ch.mu.Lock()
	current, next := in.current, in.next
	in.ch.mu.Unlock()
	for _, p := range []served{current, next} {
		if p != nil {
			f(p)
		}
	}
}

// ResolverError implements [balancer.Balancer].
func (in *instance) ResolverError(err error) {
	in.calls.do(func() {
		if in.ch == nil {
			in.cc.UpdateState(balancer.State{
				ConnectivityState: connectivity.TransientFailure,
				Picker:            failing{fmt.Errorf("name resolver error: %w", err)},
			})
			return
		}
		in.ch.mu.Lock()
		in.ch.resolverErr = err
		in.ch.touch()
		in.ch.mu.Unlock()
		in.each(func(p served) { p.resolverError(err) })
	})
}

// UpdateSubConnState implements [balancer.Balancer]. Every SubConn has a listener: grpc has nothing to say here.
func (in *instance) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle implements [balancer.Balancer].
func (in *instance) ExitIdle() {
	in.calls.do(func() { in.each(served.exitIdle) })
}

// Close implements [balancer.Balancer].
func (in *instance) Close() {
	in.calls.do(func() {
		if in.ch == nil {
			return
		}
		in.closeRetired()
		in.each(served.close)
		in.ch.mu.Lock()
		defer in.ch.mu.Unlock()
		if !in.closed {
			in.closed, in.current, in.next = true, nil, nil
			in.ch.release()
		}
	})
}
