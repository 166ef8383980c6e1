package balancer

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// pool keeps a connection to every endpoint and publishes pickers over those that are READY. The policies that differ in
// the picker alone share it, so that a switch among them leaves every connection as it is.
//
// Channel.mu guards everything in it. The methods that connect to endpoints of several addresses need calls as well.
type pool struct {
	in  *instance
	ch  *Channel
	out publisher

	cfg      Config
	started  bool // the first update has come
	closed   bool
	batching bool // an update is under way; it publishes at its end

	list    []*endpoint                    // the endpoints of the last update; never written to
	counts  [connectivity.Shutdown + 1]int // of them, by state
	failing *endpoint                      // the last one that failed; its error stands for all
	last    balancer.State                 // as published; the zero value before the first time

	// targets are the endpoints that calls may go to: the READY ones. Pickers share the array; it is only ever appended to,
	// and replaced where one has left (stale), so that bringing up n endpoints costs n steps.
	targets []target
	stale   bool
	grown   bool // by what an update did

	discarded []connection // to be shut down once nothing published refers to them
}

// target is an endpoint in a picker.
type target struct {
	sc balancer.SubConn
	e  *endpoint
}

func newPool(in *instance, cfg Config) *pool {
	p := &pool{in: in, ch: in.ch, cfg: cfg}
	p.out.pool = p
	return p
}

func (p *pool) runs(cfg Config) bool {
	return cfg.policyName() == "" && cfg.arm() != armCustom
}

func (p *pool) reported() (balancer.State, bool) { return p.last, p.last.Picker != nil }

func (p *pool) tally() (ready, failed int) {
	return p.counts[connectivity.Ready], p.counts[connectivity.TransientFailure]
}

func (p *pool) stateOf(e *endpoint) connectivity.State { return connectivity.State(e.state) }

// aggregate returns the state of the pool: READY if an endpoint is, TRANSIENT_FAILURE if all have failed.
func (p *pool) aggregate() connectivity.State {
	switch {
	case p.counts[connectivity.Ready] > 0:
		return connectivity.Ready
	case p.counts[connectivity.TransientFailure] == len(p.list):
		return connectivity.TransientFailure
	default:
		return connectivity.Connecting
	}
}

// update implements [served].
func (p *pool) update(u update) error {
	p.ch.mu.Lock()
	defer p.ch.mu.Unlock()
	if p.closed {
		return nil
	}
	p.batching = true
	force := !p.started || p.out.pending
	if !p.started {
		p.started = true
		u.change = change{added: p.ch.list}
	}
	p.list = p.ch.list
	for _, e := range u.change.removed {
		p.retire(e)
	}
	for _, e := range u.change.added {
		p.admit(e)
	}
	for _, e := range u.change.moved {
		if !p.dialsRight(e) {
			p.retire(e)
			p.admit(e)
		}
	}
	if p.runs(u.cfg) {
		force = force || !samePicker(p.cfg, u.cfg)
		before := p.cfg
		p.cfg = u.cfg
		p.followHealth(before)
	}
	p.batching = false
	switch state := p.aggregate(); {
	case force, p.stale, state != p.last.ConnectivityState, state == connectivity.TransientFailure:
		p.publish()
	case p.grown:
		p.out.soon()
	}
	p.grown = false
	p.discard()
	if len(p.list) == 0 {
		return balancer.ErrBadResolverState
	}
	return nil
}

// admit begins to connect to an endpoint that has no connection.
func (p *pool) admit(e *endpoint) {
	p.counts[e.state]++
	p.connect(e)
}

// retire takes the endpoint out; its connection is shut down by discard.
func (p *pool) retire(e *endpoint) {
	p.counts[e.state]--
	p.stale = p.stale || e.is(connectivity.Ready)
	if p.failing == e {
		p.failing = nil
	}
	p.abandon(e)
}

// abandon leaves the connection to discard; what it still reports is ignored.
func (p *pool) abandon(e *endpoint) {
	if e.sc != nil || e.leaf != nil {
		p.discarded = append(p.discarded, e.connection)
	}
	e.connection = connection{epoch: e.epoch + 1, check: e.check + 1}
}

// discard shuts down what was retired. A picker without it must have been published if it was READY.
func (p *pool) discard() {
	for _, c := range p.discarded {
		if c.leaf != nil {
			p.in.calls.later(c.leaf.stop)
		} else {
			c.sc.Shutdown()
		}
	}
	p.discarded = nil
}

// set changes the state of an endpoint and publishes as far as that asks for it.
func (p *pool) set(e *endpoint, s connectivity.State) {
	old := connectivity.State(e.state)
	if old == s {
		return
	}
	e.state = connectivityState(s)
	p.counts[old]--
	p.counts[s]++
	p.ch.touch()
	if old == connectivity.Ready {
		p.stale = true
	}
	if s == connectivity.Ready && !p.stale {
		p.targets = append(p.targets, target{sc: e.sc, e: e})
	}
	switch {
	case p.batching:
		p.grown = p.grown || s == connectivity.Ready
	case p.aggregate() != p.last.ConnectivityState:
		p.publish()
	case old == connectivity.Ready:
		p.out.nowOrSoon()
	case s == connectivity.Ready:
		p.out.soon()
	}
}

// fail puts an endpoint, whose lastErr says why, into TRANSIENT_FAILURE. It stays there until it is READY.
func (p *pool) fail(e *endpoint) {
	p.failing = e
	if !e.is(connectivity.TransientFailure) {
		p.set(e, connectivity.TransientFailure)
	}
	if !p.batching && p.last.ConnectivityState == connectivity.TransientFailure {
		p.out.soon() // the picker's text
	}
}

// eligible returns the endpoints that calls may go to.
func (p *pool) eligible() []target {
	if !p.stale {
		return p.targets
	}
	ready := p.counts[connectivity.Ready]
	targets := make([]target, 0, ready+ready/16+1) // whoever left will often come back
	for _, e := range p.list {
		if e.is(connectivity.Ready) {
			targets = append(targets, target{sc: e.sc, e: e})
		}
	}
	p.targets, p.stale = targets, false
	return targets
}

// resolverError implements [served].
func (p *pool) resolverError(error) {
	p.ch.mu.Lock()
	defer p.ch.mu.Unlock()
	switch {
	case p.closed:
	case p.last.Picker == nil || len(p.list) == 0:
		p.publish()
	case p.last.ConnectivityState == connectivity.TransientFailure:
		p.out.soon() // the picker's text
	}
}

// exitIdle implements [served]. The pool connects wherever it is IDLE, and needs no reminder; grpc ignores a second one.
func (p *pool) exitIdle() {
	p.ch.mu.Lock()
	defer p.ch.mu.Unlock()
	for _, e := range p.list {
		switch {
		case p.closed || !e.is(connectivity.Idle):
		case e.leaf != nil:
			p.in.calls.later(e.leaf.reconnect)
		case e.sc != nil:
			e.sc.Connect()
		}
	}
}

// close implements [served].
func (p *pool) close() {
	p.ch.mu.Lock()
	defer p.ch.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.out.stop()
	for _, e := range p.list {
		p.retire(e)
	}
	p.targets = nil
	p.discard()
}
