package balancer

import (
	"iter"
	"math"
	"time"

	"google.golang.org/grpc/connectivity"
)

// choose makes the selection that of the list, and follows it at the priorities that are connected to. An endpoint that is
// now of another priority keeps its connection until balance has decided about that.
func (p *pool) choose() {
	var before [][]*endpoint
	for g := range p.groups() {
		before = append(before, g.members)
	}
	p.selection.choose(p.list, p.ch.mixed, p.cfg.criteria(), p.ch.salt)
	p.failover.list(p.selection.priorities())
	p.round++
	for g := range p.groups() {
		for _, e := range g.members {
			e.round = p.round
		}
	}
	for _, members := range before {
		for _, e := range members {
			if e.group != nil && e.round != p.round {
				p.retire(e)
			}
		}
	}
	for _, b := range p.selection.bands {
		p.seat(b)
	}
}

// seat has the members of a band take part in its groups: those that are connected already, and all if the band is.
func (p *pool) seat(b *band) {
	for _, g := range b.groups {
		for _, e := range g.members {
			switch {
			case e.group == nil && b.connected:
				p.admit(e, g)
			case e.group != nil && e.group != g:
				e.group.leave(e)
				g.join(e)
				p.left = p.left || e.is(connectivity.Ready)
			}
		}
	}
}

// clear gives up the connections of a band.
func (p *pool) clear(b *band) {
	for _, g := range b.groups {
		for _, e := range g.members {
			if e.group != nil {
				p.retire(e)
			}
		}
	}
}

// balance has failover and panic follow what has changed: it connects to more priorities or to fewer, and divides the calls
// among them.
func (p *pool) balance() {
	p.heedPanic()
	for p.failOver() {
		p.heedPanic()
	}
	ratio := p.cfg.zoneRatio()
	for _, b := range p.selection.bands {
		if !b.connected && b.populated() {
			p.clear(b)
		}
		// An endpoint that takes no calls may come or go, or the ratio may change: that alone moves calls between zones.
		if stays := b.localShare(ratio); math.Abs(b.stays-stays) > rounding {
			b.stays, p.grown = stays, true
		}
	}
}

// failOver follows failover. It returns whether it has begun to connect to a priority.
func (p *pool) failOver() (opened bool) {
	f, bands := &p.failover, p.selection.bands
	if len(bands) < 2 {
		f.only()
		p.alarm.stop()
	} else {
		for i, b := range bands {
			f.levels[i].standing = b.standing()
		}
		p.wake(f.decide(p.ch.opts.Now()))
	}
	for i, b := range bands {
		l := &f.levels[i]
		if math.Abs(b.share-l.share) > rounding {
			b.share, p.grown = l.share, true
		}
		if b.connected != l.connected {
			b.connected = l.connected
			if b.connected {
				opened = true
				batching := p.batching
				p.batching = true // it is the caller who publishes
				p.seat(b)
				p.batching = batching
			}
		}
	}
	return opened
}

// wake has failover decide again at a moment of the channel's clock, or before.
func (p *pool) wake(at int64) {
	if at == never || p.alarm.isSet() && p.alarmAt <= at {
		return
	}
	p.alarmAt = at
	p.alarm.set(p.ch, max(0, time.Duration(at-p.ch.opts.Now())), p.follow)
}

// heedPanic decides whether ejected endpoints are to help: where too few are eligible in every group that the pool is connected
// to. While one is well, it takes what the others cannot.
func (p *pool) heedPanic() {
	ratio, ejected := p.cfg.panicRatio(), 0
	for _, b := range p.selection.bands {
		for _, g := range b.groups {
			ejected += g.ejected
		}
	}
	panicking := ejected > 0
	for _, b := range p.selection.bands {
		for _, g := range b.groups {
			if b.connected && !panics(g.ready()-g.ejected, len(g.members), ratio) {
				panicking = false
			}
		}
	}
	for _, b := range p.selection.bands {
		for _, g := range b.groups {
			if g.alarm(panicking) {
				p.left = p.left || !panicking
				p.grown = p.grown || panicking
			}
		}
	}
}

// eligible returns the endpoints that calls may go to.
func (p *pool) eligible() []tier {
	var out []tier
	for _, b := range p.selection.bands {
		out = b.tiers(out, b.share, p.cfg.zoneRatio())
	}
	return out
}

// partial tells whether an endpoint may have less than its full share.
func (p *pool) partial() bool {
	return len(p.slowStart.cold) > 0 || p.detection.probing()
}

// groups yields those of all priorities.
func (p *pool) groups() iter.Seq[*group] {
	return func(yield func(*group) bool) {
		for _, b := range p.selection.bands {
			for _, g := range b.groups {
				if !yield(g) {
					return
				}
			}
		}
	}
}

// connected yields the endpoints that the pool connects to.
func (p *pool) connected() iter.Seq[*endpoint] {
	return func(yield func(*endpoint) bool) {
		for g := range p.groups() {
			for _, e := range g.members {
				if e.group == g && !yield(e) {
					return
				}
			}
		}
	}
}
