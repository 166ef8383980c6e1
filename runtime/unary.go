package goresilient

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/internal/clock"
	"github.com/goresilient/goresilient/runtime/internal/inflight"
)

// UnaryMethod is one unary RPC of a generated client.
type UnaryMethod[Req, Res any] struct {
	method   *method
	fallback func(context.Context, *Req, error) (*Res, error) // nil for none
	key      func(*Req) uint64                                // nil for none
}

// NewUnaryMethod returns the RPC of the given name. Generated constructors call it.
func NewUnaryMethod[Req, Res any](c *Client, name string) *UnaryMethod[Req, Res] {
	m := c.methods["/"+c.desc.Name+"/"+name]
	fallback, _ := m.fallback.(func(context.Context, *Req, error) (*Res, error))
	return &UnaryMethod[Req, Res]{method: m, fallback: fallback}
}

// HashedBy sets how the key of consistent_hash is read from a request, and returns u. Generated constructors call it for
// RPCs with traits.hash_key.
func (u *UnaryMethod[Req, Res]) HashedBy(key func(*Req) uint64) *UnaryMethod[Req, Res] {
	u.key = key
	return u
}

// Call calls the RPC. The error is a gRPC status, see the errors of this package for what it may carry.
func (u *UnaryMethod[Req, Res]) Call(ctx context.Context, in *Req, opts ...grpc.CallOption) (*Res, error) {
	m := u.method
	if u.key != nil && m.client.hashes() {
		opts = keyed(u.key(in), opts)
	}
	p := m.plan.Load()
	short := m.short(ctx, p, opts)
	running, ok := m.begin(p, short)
	if !ok {
		finishRefused(opts, ErrClosed)
		return nil, ErrClosed
	}
	defer func() { m.client.calls.End(running) }() // which direct may have set
	reply, heard := newReply[Res](p)
	var out any = reply
	var err error
	if short {
		if out, err = m.direct(ctx, p, in, reply, heard, &running); err != nil && running == 0 {
			return nil, ErrClosed
		}
	} else {
		out, err = m.intercepted(ctx, p, m.fullName, in, reply, opts)
	}
	if err != nil {
		if u.fallback != nil {
			return u.fallBack(ctx, in, err)
		}
		return nil, err
	}
	return out.(*Res), nil
}

// fallBack has the fallback answer for a call that ended with cause.
func (u *UnaryMethod[Req, Res]) fallBack(ctx context.Context, in *Req, cause error) (*Res, error) {
	o := u.method.client.observer
	if o == nil {
		return u.fallback(ctx, in, cause)
	}
	began := clock.Now()
	out, err := u.fallback(ctx, in, cause)
	o.Observe(ctx, &FallbackEvent{Method: u.method.fullName, Cause: cause, Err: err, Duration: time.Duration(clock.Now() - began)})
	return out, err
}

// call makes a call that is not typed.
func (m *method) call(ctx context.Context, fullName string, in, out any, opts []grpc.CallOption) error {
	running, ok := m.client.calls.Begin()
	if !ok {
		finishRefused(opts, ErrClosed)
		return ErrClosed
	}
	defer m.client.calls.End(running)
	reply, err := m.intercepted(ctx, m.plan.Load(), fullName, in, out, opts)
	if err == nil && reply != out {
		handOver(out, reply)
	}
	return err
}

// short tells whether a call goes the short way; see [method.direct].
func (m *method) short(ctx context.Context, p *plan, opts []grpc.CallOption) bool {
	return len(opts) == 0 && m.client.callUnary == nil && p.suits(ctx)
}

// begin counts a call, unless it goes the short way and a permit will. ok is false if the client is closed.
func (m *method) begin(p *plan, short bool) (running inflight.Token, ok bool) {
	if short && p.guards.countedBy != noScope {
		return 0, !m.client.calls.Closed()
	}
	return m.client.calls.Begin()
}

// intercepted is the call from its interceptors in. It returns the reply, which may be another message than out; out is then
// as undefined as after an error.
func (m *method) intercepted(ctx context.Context, p *plan, fullName string, in, out any, opts []grpc.CallOption) (any, error) {
	c := m.client
	if c.callUnary != nil {
		return out, c.callUnary(ctx, fullName, in, out, c.grpc, m.governed, opts...)
	}
	if p.bare && len(opts) == 0 {
		// Fewer frames for the most frequent case: on a new goroutine each one adds to what is copied when its stack grows.
		return out, asStatus(c.conn.Invoke(c.apart(ctx), fullName, in, out, p.options...))
	}
	return m.run(ctx, p, fullName, in, out, opts)
}

// governed is the call within the interceptors: policy applies from here on. It is a [grpc.UnaryInvoker].
func (m *method) governed(ctx context.Context, fullName string, in, out any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	reply, err := m.run(ctx, m.plan.Load(), fullName, in, out, opts)
	if err == nil && reply != out {
		handOver(out, reply)
	}
	return err
}

// asStatus turns the error of a context, which a connection that is not grpc's may return as it is, into a status.
func asStatus(err error) error {
	if err == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}
