package goresilient

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/inflight"
	"github.com/goresilient/goresilient/runtime/internal/limit"
	"github.com/goresilient/goresilient/runtime/internal/notsent"
)

// permitted is the innermost part of an attempt: it holds the permits of the concurrency limits while it runs. It is a
// [grpc.UnaryInvoker].
func (p *plan) permitted(ctx context.Context, fullName string, in, out any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	var held permits
	err := p.guards.acquire(ctx, fullName, clock.Now(), &held)
	if err != nil {
		p.guards.release(&held, limit.Ignored, clock.Now())
		finishRefused(opts, err)
		return err
	}
	outcome := limit.Ignored // of what panics
	defer func() { p.guards.release(&held, outcome, clock.Now()) }()
	err = p.guards.client.conn.Invoke(ctx, fullName, in, out, opts...)
	outcome = limitOutcome(ctx, err, held.since)
	return err
}

// invokePermitted is permitted for an attempt without interceptors, and looks at the clock once.
func (p *plan) invokePermitted(t *try, fullName string, in, out any) {
	var held permits
	if err := p.guards.acquire(t.ctx, fullName, t.began, &held); err != nil {
		p.guards.release(&held, limit.Ignored, t.began)
		finishRefused(t.opts, err)
		t.err = err
		return
	}
	outcome := limit.Ignored // of what panics
	defer func() {
		t.ended = clock.Now()
		p.guards.release(&held, outcome, t.ended)
	}()
	t.err = p.guards.client.conn.Invoke(t.ctx, fullName, in, out, t.opts...)
	outcome = limitOutcome(t.ctx, t.err, held.since)
}

// invoke is a [grpc.UnaryInvoker].
func (c *Client) invoke(ctx context.Context, fullName string, in, out any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	return c.conn.Invoke(ctx, fullName, in, out, opts...)
}

// scopeName tells the scopes of guards apart.
type scopeName uint8

const (
	noScope scopeName = iota
	ownScope
	serviceScope
)

// permits are what an attempt holds of the concurrency limits.
type permits struct {
	own, service bool
	counting     bool            // that of guards.countedBy counts the call
	running      *inflight.Token // where the call is to be counted if no permit does; nil if it is counted already
	since        int64
}

// count moves the count of a call from its permit to the client, or begins it where nobody counts the call. Then it returns false if
// the client is closed.
func (g *guards) count(p *permits) (counted bool) {
	running := p.running
	if p.running = nil; running == nil {
		return true
	}
	if p.counting {
		*running = g.client.calls.Enter()
		p.counting = false
		g.counter().Uncount()
		return true
	}
	*running, counted = g.client.calls.Begin()
	return counted
}

// counter returns the limit whose permits count calls.
func (g *guards) counter() *limit.Limiter {
	if g.countedBy == ownScope {
		return g.own.limit
	}
	return g.service.limit
}

// acquire waits for the permits of an attempt that begins at now, and enters them in p, which holds none. After an error it may hold
// some. The error is ErrClosed if the client was closed since the call was asked for, and before it was counted: Shutdown does not wait
// for such a call.
func (g *guards) acquire(ctx context.Context, fullName string, now int64, p *permits) (err error) {
	if l := g.own.limit; l != nil {
		call := p.running != nil && g.countedBy == ownScope
		if p.own = l.Try(call); p.own {
			p.counting = p.counting || call
		} else if p.own, err = g.queue(ctx, fullName, &g.own, p); err != nil {
			return err
		}
	}
	if l := g.service.limit; l != nil {
		call := p.running != nil && g.countedBy == serviceScope
		if p.service = l.Try(call); p.service {
			p.counting = p.counting || call
		} else if p.service, err = g.queue(ctx, fullName, &g.service, p); err != nil {
			return err
		}
	}
	p.since = now
	if g.queued {
		p.since = clock.Now() // a wait is no latency of the server
	}
	if p.counting && g.client.calls.Closed() {
		return ErrClosed
	}
	return nil
}

// queue waits for a permit of s, none of which is free. It neither holds one nor fails where the limit only observes.
func (g *guards) queue(ctx context.Context, fullName string, s *scope, p *permits) (held bool, err error) {
	if !g.count(p) {
		return false, ErrClosed
	}
	err = s.limit.Acquire(ctx)
	if err == nil {
		return true, nil
	}
	if ended := ctx.Err(); ended != nil && errors.Is(err, ended) {
		return false, unsent(ended)
	}
	refused := &RefusedError{Method: fullName, Guard: GuardConcurrencyLimit, PerMethod: s.perMethod, Reason: err.Error()}
	if !g.refuses(ctx, refused, s.observeLimit) {
		return false, nil
	}
	return false, refused
}

// release gives permits back at now. p holds none then.
func (g *guards) release(p *permits, outcome limit.Outcome, now int64) {
	took := time.Duration(now - p.since)
	if p.own {
		g.own.limit.Release(now, took, outcome, p.counting && g.countedBy == ownScope)
	}
	if p.service {
		g.service.limit.Release(now, took, outcome, p.counting && g.countedBy == serviceScope)
	}
	if p.counting {
		g.client.calls.Left()
	}
	p.own, p.service, p.counting = false, false, false
}

// limitOutcome tells an adaptive limit what to make of the end of an attempt that has its permits since then. Any answer tells of the
// time that it took, an error too, unless it says that the server has too much to do.
func limitOutcome(ctx context.Context, err error, since int64) limit.Outcome {
	if err == nil {
		return limit.Success
	}
	switch code := status.Code(err); {
	case code == codes.Canceled, errors.Is(ctx.Err(), context.Canceled), notsent.Is(err),
		code == codes.DeadlineExceeded && cameLate(ctx, clock.Now()-since):
		return limit.Ignored
	case code == codes.DeadlineExceeded, code == codes.ResourceExhausted, code == codes.Unavailable:
		return limit.Dropped
	default:
		return limit.Success
	}
}
