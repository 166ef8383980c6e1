package goresilient

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/limit"
)

// permitted is the innermost part of an attempt: it holds the permits of the concurrency limits while it runs. It is a
// [grpc.UnaryInvoker].
func (p *plan) permitted(ctx context.Context, fullName string, in, out any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	var held permits
	err := p.guards.acquire(ctx, fullName, clock.Now(), &held)
	if err != nil {
		finishRefused(opts, err)
		return err
	}
	outcome := limit.Ignored // of what panics
	defer func() { p.guards.release(&held, outcome, clock.Now()) }()
	err = p.guards.client.conn.Invoke(ctx, fullName, in, out, opts...)
	outcome = limitOutcome(ctx, err)
	return err
}

// invokePermitted is permitted for an attempt without interceptors, and looks at the clock once.
func (p *plan) invokePermitted(t *try, fullName string, in, out any) {
	var held permits
	if err := p.guards.acquire(t.ctx, fullName, t.began, &held); err != nil {
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
	outcome = limitOutcome(t.ctx, t.err)
}

// invoke is a [grpc.UnaryInvoker].
func (c *Client) invoke(ctx context.Context, fullName string, in, out any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	return c.conn.Invoke(ctx, fullName, in, out, opts...)
}

// counting is the scope whose permits count calls.
type counting uint8

const (
	countedByNone counting = iota
	countedByOwn
	countedByService
)

// permits are what an attempt holds of the concurrency limits.
type permits struct {
	own, service bool
	call         bool // the one of guards.counts is to count the call too
	since        int64
}

// acquire waits for the permits of an attempt that begins at now, and enters them in p, which holds none.
func (g *guards) acquire(ctx context.Context, fullName string, now int64, p *permits) (err error) {
	if l := g.own.limit; l != nil {
		if p.own = l.Try(p.call && g.counts == countedByOwn); !p.own {
			if p.own, err = g.queue(ctx, fullName, &g.own, p.call && g.counts == countedByOwn); err != nil {
				return err
			}
		}
	}
	if l := g.service.limit; l != nil {
		if p.service = l.Try(p.call && g.counts == countedByService); !p.service {
			if p.service, err = g.queue(ctx, fullName, &g.service, p.call && g.counts == countedByService); err != nil {
				g.release(p, limit.Ignored, now)
				return err
			}
		}
	}
	p.since = now
	if g.queued {
		p.since = clock.Now() // a wait is no latency of the server
	}
	return nil
}

// queue waits for a permit of s, none of which is free. It neither holds one nor fails where the limit only observes.
func (g *guards) queue(ctx context.Context, fullName string, s *scope, call bool) (held bool, err error) {
	err = s.limit.Acquire(ctx, call)
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
		p.own = false
		g.own.limit.Release(now, took, outcome, p.call && g.counts == countedByOwn)
	}
	if p.service {
		p.service = false
		g.service.limit.Release(now, took, outcome, p.call && g.counts == countedByService)
	}
	if p.call {
		g.client.calls.Left()
	}
}

// limitOutcome tells an adaptive limit what to make of the end of an attempt.
func limitOutcome(ctx context.Context, err error) limit.Outcome {
	if err == nil {
		return limit.Success
	}
	switch code := status.Code(err); {
	case code == codes.Canceled, errors.Is(ctx.Err(), context.Canceled):
		return limit.Ignored
	case code == codes.DeadlineExceeded, code == codes.ResourceExhausted, code == codes.Unavailable:
		return limit.Dropped
	default:
		return limit.Success
	}
}
