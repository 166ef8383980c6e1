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
	return p.direct && (p.first.timeout == 0 || p.setsDeadline(ctx))
}

// setsDeadline tells whether it is the plan, and not the caller, that says how long the first attempt may take.
func (p *plan) setsDeadline(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return !ok || p.total > 0 && time.Until(d) > p.total
}

// direct makes a call that suits the plan. Nearly every call ends with its first attempt, and well: then these few locals are
// all that is kept of it. One that fails, or that a hedge has joined, goes on as a [unaryCall] or a [race], which keeps what a
// second attempt needs to know.
//
// *running is the token by which the client counts the call, 0 if it does not yet: then the attempt's permit counts the call while
// it is held (see [guards.countedBy]), and an attempt that fails makes direct take a token, which its caller ends. If it is still 0
// after an error, the client was closed before anybody had counted the call, and the error is [ErrClosed].
func (m *method) direct(ctx context.Context, p *plan, in, out any, heard *attemptState, running *inflight.Token) (reply any, err error) {
	g := &p.guards
	var t try // a literal would be put together elsewhere, and copied
	t.number, t.ctx, t.opts, t.state = 1, ctx, p.options, heard
	t.began = clock.Now()
	var held permits
	if *running == 0 {
		held.running = running
	}
	var admitted admission
	if refused := g.admit(ctx, m.fullName, t.began, &admitted); refused != nil {
		if !g.count(&held) {
			return nil, ErrClosed
		}
		return nil, refused
	}
	var l *lead
	undo := true
	defer func() {
		if undo { // the client is closed, or an interceptor of the connection has panicked
			g.release(&held, limit.Ignored, clock.Now())
			g.abandon(&admitted, clock.Now())
			t.release()
			l.abandon()
		}
	}()
	if !g.late {
		g.first(t.began)
	}
	nested := p.repeats && isNested(ctx)
	if p.hedge != nil {
		l = m.newLead(&t, p, m.fullName, in, out, nested)
	}
	if heard != nil && !nested { // the server's trailer is all that the attempt needs; see plan.listens
		t.listen()
	} else {
		m.prepare(&t, p, l, nested)
	}
	if g.limited {
		if t.err = g.acquire(t.ctx, m.fullName, t.began, &held); t.err == ErrClosed {
			return nil, ErrClosed
		}
	}
	if t.err == nil {
		t.err = m.client.conn.Invoke(t.ctx, m.fullName, in, out, t.opts...)
		if g.clocked {
			t.ended = clock.Now()
		}
		if t.err != nil {
			g.count(&held)
		}
		if g.limited {
			g.release(&held, limitOutcome(t.ctx, t.err, held.since), t.ended)
		}
	} else {
		g.release(&held, limit.Ignored, t.began)
	}
	alone := l == nil || l.end(t.err != nil) == nil
	if alone && t.err == nil {
		undo = false
		t.release()
		g.succeeded(&admitted, t.began, t.ended)
		if m.plan.Load() != p && g.ledger != nil { // nobody else asks for what is in it
			g.ledger.Flush(t.ended)
		}
		return out, nil
	}
	reply, err = m.goOn(ctx, p, in, out, &t, l, nested, &admitted)
	undo = false
	return reply, err
}

// goOn goes on with a call whose first attempt has ended, but not alone, or not well.
func (m *method) goOn(ctx context.Context, p *plan, in, out any, t *try, l *lead, nested bool, admitted *admission) (reply any, err error) {
	ended := int64(0)
	if l != nil {
		reply, err = l.race.join(*t, out)
		ended = clock.Now()
	} else {
		if p.guards.late {
			p.guards.first(t.began)
		}
		c := m.continued(ctx, p, m.fullName, in, t, nested)
		c.conclude(t)
		reply, err = c.follow(t, out)
		ended = c.end()
	}
	p.guards.settle(ctx, admitted, err, t.began, ended)
	return reply, err
}

// prepare makes the context and the options of the first attempt, which has a lead if it may be hedged.
func (m *method) prepare(t *try, p *plan, l *lead, nested bool) {
	if nested {
		t.ctx = markRetried(t.ctx, 0)
	}
	parent := t.ctx
	t.equip(parent, p.first.timeout > 0 || t.timed != nil, m.client.records(), p.repeats)
	if t.timed != nil {
		t.start(parent, p.allowFirst(t.began), l)
	}
	if p.repeats {
		t.listen()
	}
	if l != nil {
		l.watch()
	}
}

// start starts the attempt's context, which has what first allows.
func (t *try) start(parent context.Context, first allowance, l *lead) {
	timeout := deadline.None
	if first.timeout > 0 {
		timeout, t.cause, t.within = first.timeout, first.struck, first.timeout
	}
	if l == nil {
		t.timed.Start(parent, t.began, timeout, t.cause)
		return
	}
	l.first = first
	if l.delay < timeout { // it will arm the context
		t.timed.Promise(parent, t.began, timeout, t.cause)
	} else {
		t.timed.Start(parent, t.began, timeout, t.cause)
	}
}

// continued returns the call of which t is the first attempt.
func (m *method) continued(ctx context.Context, p *plan, fullName string, in any, t *try, nested bool) unaryCall {
	c := unaryCall{m: m, p: p, ctx: ctx, fullName: fullName, in: in, opts: p.options, start: t.began, struck: p.struck,
		nested: nested, last: t.record}
	if p.total > 0 {
		c.ends = clock.Add(c.start, p.total)
	}
	return c
}
