package balancer

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// window is how long a publication may wait for others, and the resolver for the next request.
const window = time.Millisecond

var (
	errUnexplained = errors.New("no reason given")
	errNoEndpoints = errors.New("the name resolver gives no endpoints; check that the target has servers registered")
)

// publisher decides when the pool publishes. A change of the aggregate state, the first READY and the loss of the last
// included, publishes at once. Every exit from READY forces a later publication of a fresh picker: a call that has picked a
// SubConn which is no longer READY waits for a picker newer than the one it used, even where both hold the same. Further
// READYs wait for each other, and exits for the window of an earlier publication.
//
// Channel.mu guards it. It has a timer while the window is open.
type publisher struct {
	pool    *pool
	timer   Timer // nil: the window is closed
	pending bool  // publish at the end of the window
	asked   bool  // the resolver was asked in this window
}

// soon publishes at the end of the window.
func (o *publisher) soon() {
	o.pending = true
	o.open()
}

// nowOrSoon publishes now, or at the end of the window if one is open.
func (o *publisher) nowOrSoon() {
	if o.timer != nil {
		o.pending = true
		return
	}
	o.pool.publish()
}

// askResolver has the resolver look again, once in a window.
func (o *publisher) askResolver() {
	if o.asked || !o.pool.in.latest(o.pool) {
		return
	}
	o.asked = true
	o.pool.in.cc.ResolveNow(resolver.ResolveNowOptions{})
	o.open()
}

func (o *publisher) open() {
	if o.timer == nil {
		o.timer = o.pool.ch.opts.AfterFunc(window, o.end)
	}
}

// end is called by the timer.
func (o *publisher) end() {
	o.pool.ch.mu.Lock()
	defer o.pool.ch.mu.Unlock()
	if o.pool.closed {
		return
	}
	o.timer, o.asked = nil, false
	if o.pending {
		o.pool.publish()
	}
}

func (o *publisher) stop() {
	if o.timer != nil {
		o.timer.Stop()
	}
	o.timer, o.pending = nil, false
}

// publish gives grpc a fresh picker over what is eligible now.
func (p *pool) publish() {
	p.out.pending, p.left, p.grown = false, false, false
	p.out.open()
	s := balancer.State{ConnectivityState: p.aggregate()}
	switch s.ConnectivityState {
	case connectivity.Ready:
		s.Picker = p.newPicker(p.eligible(), p.partial())
	case connectivity.TransientFailure:
		s.Picker = failing{p.explain()}
	default:
		s.Picker = waiting{}
	}
	p.last = s
	p.in.report(p, s)
	if ready := p.census().ready; ready != p.shown {
		p.shown = ready
		p.ch.touch()
	}
}

// explain says why no endpoint takes calls.
func (p *pool) explain() error {
	if len(p.list) == 0 {
		if p.ch.resolverErr != nil {
			return fmt.Errorf("no endpoints; name resolver error: %w", p.ch.resolverErr)
		}
		return errNoEndpoints
	}
	t := p.census()
	if p.failing == nil || !p.failing.is(connectivity.TransientFailure) {
		p.failing = p.anyFailed()
	}
	if p.failing == nil {
		return fmt.Errorf("none of %d endpoints takes calls: outlier detection has ejected %d; "+
			"it lets them back in with time, or at once if panic_ratio is above 0", t.total, t.ejected)
	}
	err := fmt.Errorf("none of %d endpoints takes calls; last connection error: %w", t.total, p.failing.lastErr)
	if p.ch.resolverErr != nil {
		err = fmt.Errorf("%w; last name resolver error: %w", err, p.ch.resolverErr)
	}
	return err
}

// anyFailed returns an endpoint that has failed, nil if there is none.
func (p *pool) anyFailed() *endpoint {
	for e := range p.connected() {
		if e.is(connectivity.TransientFailure) {
			return e
		}
	}
	return nil
}
