package goresilient

import (
	"context"

	"google.golang.org/grpc"

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
