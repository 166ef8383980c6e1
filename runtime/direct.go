package goresilient

import (
	"context"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/deadline"
	"github.com/goresilient/goresilient/runtime/internal/inflight"
	"github.com/goresilient/goresilient/runtime/internal/limit"
)

// suits tells whether a call under ctx, without options of its caller's, can be made by direct: nothing watches its attempts, and
// the deadline of the first one is what the plan says. A deadline of the caller's that is earlier changes that.
func (p *plan) suits(ctx context.Context) bool {
	return p.direct && (p.first.timeout == 0 || p.rules(ctx))
}

// rules tells whether the plan's deadlines are those of a call, and not that of its caller.
func (p *plan) rules(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return !ok || p.total > 0 && time.Until(d) > p.total
}

// direct makes a call that suits the plan. Nearly every call ends with its first attempt, and well: then these few locals are
// all that is kept of it. One that fails goes on as a [unaryCall], which keeps what a second attempt needs to know.
//
// running is how the client counts the call. If that is zero, a permit counts it (see [guards.counts]) as long as the call holds one;
// when it has failed, running does, which the caller of direct ends.
func (m *method) direct(ctx context.Context, p *plan, in, out any, heard *attemptState, running *inflight.Token) (reply any, err error) {
	g := &p.guards
	t := try{number: 1, ctx: ctx, opts: p.options, state: heard}
	t.began = clock.Now()
	held := permits{call: *running == 0}
	var admitted admission
	if refused := g.admit(ctx, m.fullName, t.began, &admitted); refused != nil {
		m.fails(&held, running)
		return nil, refused
	}
	var l *lead
	busy := true
	defer func() {
		if busy { // an interceptor of the connection has panicked, or the client is closed
			g.release(&held, limit.Ignored, clock.Now())
			g.abandon(&admitted, clock.Now())
			t.release()
			l.abandon()
		}
	}()
	g.depositHedge(t.began)
	nested := p.repeats && isNested(ctx)
	if p.hedge != nil {
		l = m.newLead(&t, p, m.fullName, in, out, nested)
	}
	if heard != nil && !nested { // which it needs, and nothing else
		t.listen()
	} else {
		m.prepare(&t, p, l, nested)
	}
	if g.limited {
		t.err = g.acquire(t.ctx, m.fullName, t.began, &held)
		if held.call && m.client.calls.Closed() { // since this call was asked for: nobody waits for it
			return nil, ErrClosed
		}
	}
	if t.err == nil {
		t.err = m.client.conn.Invoke(t.ctx, m.fullName, in, out, t.opts...)
		if g.clocked {
			t.ended = clock.Now()
		}
	}
	if t.err != nil {
		m.fails(&held, running)
	}
	if g.limited {
		g.release(&held, limitOutcome(t.ctx, t.err), t.ended)
	}
	var r *race
	if l != nil {
		r = l.end(t.err != nil)
	}
	if r == nil && t.err == nil {
		busy = false
		t.release()
		g.succeeded(&admitted, t.began, t.ended)
		return out, nil
	}
	var ended int64
	if r != nil {
		reply, err = r.join(t, out)
		ended = clock.Now()
	} else {
		g.deposit(t.began)
		reply, ended, err = m.pursue(ctx, p, in, out, &t, nested)
	}
	busy = false
	g.settle(&admitted, ctx, err, t.began, ended)
	return reply, err
}

// fails has running count a call that was counted by its permit, or was about to be.
func (m *method) fails(held *permits, running *inflight.Token) {
	if held.call {
		*running = m.client.calls.Enter()
	}
}

// prepare makes the context and the options of the first attempt, which has a lead if it may be hedged.
func (m *method) prepare(t *try, p *plan, l *lead, nested bool) {
	if nested {
		t.ctx = markRetried(t.ctx, 0)
	}
	if parent := t.ctx; p.first.timeout > 0 || p.repeats {
		t.equip(parent, p.first.timeout > 0 || t.timed != nil, p.repeats && m.client.records(), p.repeats)
		if t.timed != nil {
			timeout := deadline.None
			if p.first.timeout > 0 {
				timeout, t.cause, t.within = p.first.timeout, p.first.struck, p.first.timeout
			}
			t.timed.Start(parent, t.began, timeout, t.cause)
		}
	}
	if p.repeats {
		t.listen()
	}
	if l != nil {
		l.watch()
	}
}

// pursue goes on with a call whose first attempt has failed.
func (m *method) pursue(ctx context.Context, p *plan, in, out any, t *try, nested bool) (reply any, ended int64, err error) {
	c := m.continued(ctx, p, m.fullName, in, t, nested)
	c.conclude(t)
	reply, err = c.follow(t, out)
	return reply, c.end(), err
}

// continued returns the call of which t is the first attempt.
func (m *method) continued(ctx context.Context, p *plan, fullName string, in any, t *try, nested bool) unaryCall {
	c := unaryCall{m: m, p: p, ctx: ctx, fullName: fullName, in: in, opts: p.options, start: t.began, struck: p.struck,
		nested: nested, last: t.record}
	if p.total > 0 {
		c.ends = c.start + int64(p.total)
	}
	return c
}
