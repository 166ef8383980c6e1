package goresilient

import (
	"context"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/deadline"
	"github.com/goresilient/goresilient/runtime/internal/limit"
)

// suits tells whether a call under ctx, without options of its caller's, can be made by direct: nothing watches its attempts, and
// the deadline of the first one is what the plan says. A deadline of the caller's that is earlier changes that.
func (p *plan) suits(ctx context.Context) bool {
	if !p.direct {
		return false
	}
	if p.first.timeout > 0 {
		d, ok := ctx.Deadline()
		return !ok || p.total > 0 && time.Until(d) > p.total
	}
	return true
}

// direct makes a call that suits the plan. Nearly every call ends with its first attempt, and well: then these few locals are
// all that is kept of it. One that fails goes on as a [unaryCall], which keeps what a second attempt needs to know.
func (m *method) direct(ctx context.Context, p *plan, fullName string, in, out any, heard *attemptState) (reply any, err error) {
	g := &p.guards
	t := try{number: 1, began: clock.Now(), ctx: ctx, opts: p.options, state: heard}
	var admitted admission
	if refused := g.admit(ctx, fullName, t.began, &admitted); refused != nil {
		return nil, refused
	}
	var held permits
	var l *lead
	running := true
	defer func() {
		if running { // an interceptor of the connection has panicked
			g.release(&held, limit.Ignored, clock.Now())
			g.abandon(&admitted)
			t.release()
			l.abandon()
		}
	}()
	g.depositHedge(t.began)
	nested := p.repeats && isNested(ctx)
	if p.hedge != nil {
		l = m.newLead(&t, p, fullName, in, out, nested)
	}
	m.prepare(&t, p, l, nested)
	if g.limited {
		t.err = g.acquire(t.ctx, fullName, t.began, &held)
	}
	if t.err == nil {
		t.err = m.client.conn.Invoke(t.ctx, fullName, in, out, t.opts...)
		if g.clocked {
			t.ended = clock.Now()
		}
		if g.limited {
			g.release(&held, limitOutcome(t.ctx, t.err), t.ended)
			held = permits{}
		}
	}
	r := l.end(t.err != nil)
	if r == nil && t.err == nil {
		running = false
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
		reply, ended, err = m.pursue(ctx, p, fullName, in, out, &t, nested)
	}
	running = false
	g.settle(&admitted, ctx, err, t.began, ended)
	return reply, err
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
func (m *method) pursue(ctx context.Context, p *plan, fullName string, in, out any, t *try, nested bool) (reply any, ended int64, err error) {
	c := m.continued(ctx, p, fullName, in, t, nested)
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
