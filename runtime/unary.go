package goresilient

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
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
	token, ok := m.client.calls.Begin()
	if !ok {
		finishRefused(opts, ErrClosed)
		return nil, ErrClosed
	}
	defer m.client.calls.End(token)
	if u.key != nil && m.client.hashes() {
		opts = keyed(u.key(in), opts)
	}
	reply, heard := newReply[Res](m.plan.Load())
	out, err := m.intercepted(ctx, m.fullName, in, reply, heard, opts)
	if err != nil {
		if u.fallback != nil {
			return u.fallback(ctx, in, err)
		}
		return nil, err
	}
	return out.(*Res), nil
}

// call makes a call that is not typed.
func (m *method) call(ctx context.Context, fullName string, in, out any, opts []grpc.CallOption) error {
	token, ok := m.client.calls.Begin()
	if !ok {
		finishRefused(opts, ErrClosed)
		return ErrClosed
	}
	defer m.client.calls.End(token)
	reply, err := m.intercepted(ctx, fullName, in, out, nil, opts)
	if err == nil && reply != out {
		handOver(out, reply)
	}
	return err
}

// intercepted is the call from its interceptors in. It returns the reply, which may be another message than out; out is then
// as undefined as after an error.
func (m *method) intercepted(ctx context.Context, fullName string, in, out any, heard *attemptState, opts []grpc.CallOption) (any, error) {
	c := m.client
	if c.callUnary != nil {
		return out, c.callUnary(ctx, fullName, in, out, c.grpc, m.governed, opts...)
	}
	p := m.plan.Load()
	if p.bare && len(opts) == 0 {
		// Fewer frames for the most frequent case: on a new goroutine each one adds to what is copied when its stack grows.
		return out, asStatus(c.conn.Invoke(ctx, fullName, in, out, p.options...))
	}
	if len(opts) == 0 && p.suits(ctx) {
		return m.direct(ctx, p, fullName, in, out, heard)
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
