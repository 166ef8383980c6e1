package balancer

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/policy"
)

// pool keeps a connection to every endpoint of its selection and publishes pickers over those that are eligible. The policies
// that differ in the picker alone share it, so that a switch among them leaves every connection as it is.
//
// Channel.mu guards everything in it. The methods that connect to endpoints of several addresses leave that to calls.
type pool struct {
	in  *instance
	ch  *Channel
	out publisher

	cfg      Config
	started  bool // the first update has come
	closed   bool
	batching bool // something is under way that publishes at its end

	list      []*endpoint // the endpoints of the last update; never written to
	selection selection   // of them
	round     uint32      // of the selection
	failover  failover
	weighing  weighing
	alarm     wakeup // for failover, at alarmAt
	alarmAt   int64
	slowStart slowStart
	detection detection

	failing *endpoint      // the last one that failed; its error stands for all
	last    balancer.State // as published; the zero value before the first time
	shown   int            // the READY endpoints then
	left    bool           // since the last publication, an endpoint has left those that take calls, or READY
	grown   bool           // since then, one has come, or the shares have changed

	discarded []connection // to be shut down once nothing published refers to them
}

func newPool(in *instance, cfg Config) *pool {
	p := &pool{in: in, ch: in.ch, cfg: cfg}
	p.out.pool, p.slowStart.pool, p.detection.pool = p, p, p
	return p
}

func (p *pool) runs(cfg Config) bool {
	return cfg.policyName() == "" && cfg.arm() != armCustom
}

func (p *pool) reported() (balancer.State, bool) { return p.last, p.last.Picker != nil }

// census implements [served].
func (p *pool) census() (t census) {
	for g := range p.groups() {
		for _, n := range g.counts {
			t.total += n
		}
		t.ready += g.ready()
		t.failed += g.counts[connectivity.TransientFailure]
		t.ejected += g.ejected
	}
	if p.out.pending { // calls cannot go to those that are still to be published
		t.ready = min(t.ready, p.shown)
	}
	return t
}

func (p *pool) stateOf(e *endpoint) (s connectivity.State, connected bool) {
	return connectivity.State(e.state), e.group != nil
}

// aggregate returns the state of the pool: READY if calls go anywhere, TRANSIENT_FAILURE if they cannot, wherever they might.
func (p *pool) aggregate() connectivity.State {
	hope := false
	for _, b := range p.selection.bands {
		hope = hope || !b.connected
		for _, g := range b.groups {
			if g.takers() > 0 {
				return connectivity.Ready
			}
			hope = hope || g.counts[connectivity.Idle]+g.counts[connectivity.Connecting] > 0
		}
	}
	if hope {
		return connectivity.Connecting
	}
	return connectivity.TransientFailure
}

// update implements [served].
func (p *pool) update(u update) error {
	p.ch.mu.Lock()
	defer p.ch.mu.Unlock()
	if p.closed {
		return nil
	}
	p.batching = true
	force := !p.started || p.out.pending || u.change.reweighted
	anew := !p.started || u.change.reseated
	before := p.cfg
	if p.runs(u.cfg) {
		force = force || !samePicker(p.cfg, u.cfg)
		anew = anew || p.cfg.criteria() != u.cfg.criteria()
		p.configure(u.cfg)
	}
	p.started = true
	p.list = p.ch.list
	if anew || u.change.relisted {
		force = force || p.cfg.arm() == armConsistentHash // a key may belong elsewhere now, whoever is READY
		if anew || !p.amend(u.change) {
			p.choose(u.change.removed)
		}
	}
	for _, e := range u.change.moved {
		if g := e.group; g != nil && !p.dialsRight(e) {
			p.retire(e)
			p.admit(e, g)
		}
	}
	p.followHealth(before)
	p.balance()
	p.batching = false
	switch state := p.aggregate(); {
	case force, p.left, state != p.last.ConnectivityState, state == connectivity.TransientFailure:
		p.publish()
	case p.grown:
		p.out.soon()
	}
	p.discard()
	if len(p.list) == 0 {
		return balancer.ErrBadResolverState
	}
	return nil
}

// configure takes new settings. Those of the pickers take effect with the next publication.
func (p *pool) configure(cfg Config) {
	if p.started && p.cfg == cfg {
		return
	}
	counted := p.cfg.counts()
	p.cfg = cfg
	if cfg.counts() && !counted {
		p.equip(p.ch.list...)
		for g := range p.groups() {
			g.stale = true // its targets may know no Done
		}
	}
	lb := cfg.LoadBalancing
	if lb == nil {
		lb = new(policy.LoadBalancing)
	}
	p.failover.configure(lb.Failover)
	p.slowStart.configure(lb.SlowStart)
	p.detection.configure(cfg)
}

// equip has the endpoints, which are about to take calls or do so, count those that are not timed, if pickers do so. One
// that does not costs less of the heap.
func (p *pool) equip(list ...*endpoint) {
	if p.cfg.counts() {
		for _, e := range list {
			e.countUntimed(p.ch)
		}
	}
}

// follow brings everything up to date after a change that is no update, and publishes as far as that asks for it.
func (p *pool) follow() {
	p.balance()
	switch {
	case p.aggregate() != p.last.ConnectivityState, p.left && len(p.discarded) > 0:
		p.publish()
	case p.left:
		p.out.nowOrSoon()
	case p.grown:
		p.out.soon()
	}
	p.discard()
}

// admit begins to connect to an endpoint that has no connection, as one of the group.
func (p *pool) admit(e *endpoint, g *group) {
	p.detection.join(e)
	g.join(e)
	p.connect(e)
}

// retire takes the endpoint out; its connection is shut down by discard.
func (p *pool) retire(e *endpoint) {
	p.left = p.left || e.is(connectivity.Ready)
	e.group.leave(e)
	p.detection.leave(e)
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
	g := e.group
	g.leave(e)
	e.state = connectivityState(s)
	if s == connectivity.Ready {
		p.equip(e)
	}
	g.join(e)
	p.ch.touch()
	switch {
	case old == connectivity.Ready:
		p.left = true
	case s == connectivity.Ready:
		p.grown = true
		p.slowStart.begin(e)
	}
	if !p.batching {
		p.follow()
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
	p.alarm.stop()
	p.slowStart.stop()
	p.detection.timer.stop()
	p.weighing.timer.stop()
	p.ch.deafen()
	for e := range p.connected() {
		p.retire(e)
	}
	p.selection = selection{}
	p.discard()
}
