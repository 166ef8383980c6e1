package goresilient

import (
	"context"
	"sync"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/alarm"
	"github.com/goresilient/goresilient/runtime/internal/clock"
)

// lead is the first attempt of a call that may be hedged, while it is alone: nearly always until it ends. It has what the
// attempt needs, and what a [race] is made of when a hedge is due, or when the attempt fails, in one allocation. A call that
// does not suit its plan (see [plan.suits]) begins as a race at once.
type lead struct {
	attempt timedAttempt

	m        *method
	p        *plan
	ctx      context.Context // the caller's
	fullName string
	in       any
	kind     *replyType
	nested   bool
	began    int64
	delay    time.Duration // of the first hedge
	first    allowance     // of the attempt

	mu    sync.Mutex   // guards what follows
	alarm *alarm.Alarm // of the first hedge
	race  *race        // nil while the attempt is alone
	over  bool         // it has ended alone
}

// newLead returns what the first attempt needs if the call is hedged, nil if it is not. The attempt takes its context from it.
func (m *method) newLead(t *try, p *plan, fullName string, in, out any, nested bool) *lead {
	delay, ok := p.hedgeDelay(t.began, nested)
	if !ok {
		return nil
	}
	l := &lead{m: m, p: p, ctx: t.ctx, fullName: fullName, in: in, kind: m.kindOf(out), nested: nested, began: t.began, delay: delay}
	t.timed = &l.attempt
	return l
}

// watch has a race begin once the attempt has taken as long as the delay.
func (l *lead) watch() {
	l.mu.Lock()
	l.alarm = alarm.Set(l.began, l.delay, l)
	l.mu.Unlock()
}

// Ring implements [alarm.Target]: a hedge is due.
func (l *lead) Ring() {
	l.attempt.Arm(clock.Now()) // which nearly no attempt lives to need
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	if l.race == nil { // there is one if the attempt has failed, and another follows
		l.becomeRace()
	}
	r := l.race
	l.mu.Unlock()
	r.Ring()
}

// becomeRace makes the race of which the attempt is the first; l.mu is held. What the race has of the attempt serves to cancel it:
// how it ends, join brings.
func (l *lead) becomeRace() {
	t := &try{number: 1, began: l.began, timed: &l.attempt, state: &l.attempt.attemptState, ctx: &l.attempt.Context, cause: l.first.struck, within: l.first.timeout}
	if l.attempt.Record.Channel != nil {
		t.record = &l.attempt.Record
	}
	c := l.m.continued(l.ctx, l.p, l.fullName, l.in, t, l.nested)
	l.race = &race{call: &c, kind: *l.kind, delay: l.delay, number: 1, active: 1, alarm: l.alarm, due: c.start + int64(l.delay)}
	l.race.running[0] = t
}

// end ends the attempt. It returns the race that it takes part in, nil if it was alone and has succeeded.
func (l *lead) end(failed bool) *race {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.race != nil {
		return l.race
	}
	if !failed {
		l.over = true
		l.alarm.Stop()
		return nil
	}
	l.becomeRace()
	return l.race
}

// join lets the first attempt, which has ended with reply, take part in the race, and returns how that ends.
func (r *race) join(first try, reply any) (any, error) {
	defer r.leave()
	c, t := r.call, &first
	c.conclude(t)
	if next, wait := r.ended(t, reply); next != nil {
		r.run(r.resume(next, wait), r.kind.fresh())
	}
	return r.outcome()
}

// abandon ends everything, after a panic of the attempt. l may be nil.
func (l *lead) abandon() {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.over = true
	r := l.race
	if r == nil && l.alarm != nil {
		l.alarm.Stop()
	}
	l.mu.Unlock()
	if r != nil {
		r.leave()
	}
}
