package balancer

import (
	"iter"
	"math"
	"time"

	"google.golang.org/grpc/connectivity"
)

// choose makes the selection that of the list, and follows it at the priorities that are connected to. An endpoint that is
// now of another priority keeps its connection until balance has decided about that. removed are those that are no longer listed.
func (p *pool) choose(removed []*endpoint) {
	var before [][]*endpoint
	part := 0 // of the endpoints take part
	for g := range p.groups() {
		before = append(before, g.members)
		part += g.joined()
	}
	p.selection.choose(p.list, p.ch.mixed, p.cfg.criteria(), p.ch.salt)
	p.failover.list(p.selection.priorities())
	p.round++
	var elsewhere []seating
	for _, b := range p.selection.bands {
		for _, g := range b.groups {
			for _, e := range g.members {
				e.round = p.round
				if e.group != nil {
					part--
				}
				if e.group != g {
					elsewhere = append(elsewhere, seating{e, g, b})
				}
			}
		}
	}
	part -= p.dismiss(removed)
	for _, members := range before {
		if part == 0 {
			break // nobody else has left
		}
		part -= p.dismiss(members)
	}
	for _, s := range elsewhere {
		p.place(s)
	}
}

// amend follows a change of a few endpoints. It returns false if it is for choose to do that.
func (p *pool) amend(c change) bool {
	joined, ok := p.selection.amend(c.added, c.removed, p.cfg.criteria(), p.ch.salt)
	if !ok {
		return false
	}
	for _, e := range c.removed {
		if e.group != nil {
			p.retire(e)
		}
	}
	for _, s := range joined {
		s.e.round = p.round
		p.place(s)
	}
	return true
}

// dismiss retires those who are not chosen any more, and returns how many.
func (p *pool) dismiss(members []*endpoint) (n int) {
	for _, e := range members {
		if e.group != nil && e.round != p.round {
			p.retire(e)
			n++
		}
	}
	return n
}

// seating is an endpoint that does not take part in the group of a band that it is a member of.
type seating struct {
	e *endpoint
	g *group
	b *band
}

// place has it take part, if it is connected already or the band is.
func (p *pool) place(s seating) {
	switch {
	case s.e.group == nil && s.b.connected:
		p.admit(s.e, s.g)
	case s.e.group != nil && s.e.group != s.g:
		s.e.group.leave(s.e)
		s.g.join(s.e)
		p.left = p.left || s.e.is(connectivity.Ready)
	}
}

// seat has the members of a band take part in its groups: those that are connected already, and all if the band is.
func (p *pool) seat(b *band) {
	for _, g := range b.groups {
		for _, e := range g.members {
			p.place(seating{e, g, b})
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
