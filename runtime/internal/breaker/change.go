package breaker

import (
	"time"

	"github.com/goresilient/goresilient/runtime/internal/window"
)

// closed returns a phase that counts from nothing.
func (b *Breaker) closed(openFor time.Duration, now int64) *phase {
	return &phase{state: Closed, since: now, openFor: openFor, calls: window.New(b.cfg.Window)}
}

// opened returns the phase in which calls are refused after p, which was closed or half open.
func (b *Breaker) opened(p *phase, now int64) *phase {
	openFor := b.cfg.OpenDuration
	recovered := p.state == Closed && now-p.since >= int64(max(p.openFor, b.cfg.Window))
	if p.openFor > 0 && !recovered {
		openFor = b.cfg.MaxOpenDuration
		if p.openFor < openFor/2 {
			openFor = 2 * p.openFor
		}
	}
	return &phase{state: Open, since: now, until: now + int64(openFor), openFor: openFor}
}

// halfOpen returns the phase in which probes are let through after an open time of openFor.
func (b *Breaker) halfOpen(openFor time.Duration, now int64) *phase {
	p := &probes{limit: int64(b.cfg.HalfOpenCalls)}
	p.lastAt.Store(now)
	return &phase{state: HalfOpen, since: now, openFor: openFor, probes: p}
}

// renewed returns p with its results, and with new probes in the place of those that are not done; nil if they are not
// overdue, or are all done: the goroutine of the last is about to change the state.
func (b *Breaker) renewed(p *phase, now int64) *phase {
	done := p.probes.done.Load()
	calls, _, _ := fields(done)
	if int64(calls) >= p.probes.limit || !p.probes.overdue(now, p.openFor) {
		return nil
	}
	next := b.halfOpen(p.openFor, now)
	next.probes.done.Store(done)
	next.probes.out.Store(int64(calls))
	return next
}

// probed takes in the result of a probe, and changes the state as soon as the others cannot matter.
func (b *Breaker) probed(p *phase, now int64, o Outcome, k window.Kind) {
	if o == Neutral {
		p.probes.out.Add(-1)
		return
	}
	calls, failures, slow := p.probes.count(k)
	all := uint64(p.probes.limit)
	switch {
	case reached(failures, all, b.cfg.FailureRatio) || reached(slow, all, b.cfg.SlowCallRatio):
		b.change(p, b.opened(p, now))
	case calls == all:
		b.change(p, b.closed(p.openFor, now))
	}
}

// change puts to in the place of from, unless another goroutine has put something there, and has onChange told.
func (b *Breaker) change(from, to *phase) {
	b.mu.Lock()
	if b.current.Load() != from {
		b.mu.Unlock()
		return
	}
	b.current.Store(to)
	if b.onChange == nil || from.state == to.state {
		b.mu.Unlock()
		return
	}
	b.unheard = append(b.unheard, change{from.state, to.state})
	first := !b.reporting
	b.reporting = true
	b.mu.Unlock()
	if first {
		b.report()
	}
}

// report tells onChange what it has not heard, without a lock and on one goroutine at a time.
func (b *Breaker) report() {
	for {
		b.mu.Lock()
		if len(b.unheard) == 0 {
			b.reporting, b.unheard = false, nil
			b.mu.Unlock()
			return
		}
		c := b.unheard[0]
		b.unheard = b.unheard[1:]
		b.mu.Unlock()
		b.onChange(c.from, c.to)
	}
}
