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
}

// NewUnaryMethod returns the RPC of the given name. Generated constructors call it.
func NewUnaryMethod[Req, Res any](c *Client, name string) *UnaryMethod[Req, Res] {
	m := c.methods["/"+c.desc.Name+"/"+name]
	fallback, _ := m.fallback.(func(context.Context, *Req, error) (*Res, error))
	return &UnaryMethod[Req, Res]{method: m, fallback: fallback}
}

// Call calls the RPC. The error is a gRPC status, see the errors of this package for what it may carry.
func (u *UnaryMethod[Req, Res]) Call(ctx context.Context, in *Req, opts ...grpc.CallOption) (*Res, error) {
	m := u.method
	token, ok := m.client.calls.Begin()
	if !ok {
		return nil, ErrClosed
	}
	defer m.client.calls.End(token)
	out := new(Res)
	if err := m.intercepted(ctx, m.fullName, in, out, opts); err != nil {
		if u.fallback != nil {
			return u.fallback(ctx, in, err)
		}
		return nil, err
	}
	return out, nil
}

// call makes a call that is not typed.
func (m *method) call(ctx context.Context, fullName string, in, out any, opts []grpc.CallOption) error {
	token, ok := m.client.calls.Begin()
	if !ok {
		return ErrClosed
	}
	defer m.client.calls.End(token)
	return m.intercepted(ctx, fullName, in, out, opts)
}

// intercepted is the call from its interceptors in.
func (m *method) intercepted(ctx context.Context, fullName string, in, out any, opts []grpc.CallOption) error {
	c := m.client
	if c.callUnary != nil {
		return c.callUnary(ctx, fullName, in, out, c.grpc, m.governed, opts...)
	}
	// Fewer frames for the most frequent case: on a new goroutine each one adds to what is copied when its stack grows.
	if p := m.plan.Load(); p.total == 0 && len(opts) == 0 && c.attemptUnary == nil {
		return c.conn.Invoke(ctx, fullName, in, out, p.options...)
	}
	return m.governed(ctx, fullName, in, out, c.grpc, opts...)
}

// governed is the call within the interceptors: policy applies from here on. It is a [grpc.UnaryInvoker].
func (m *method) governed(ctx context.Context, fullName string, in, out any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	p := m.plan.Load()
	limited, cause := p.limit(ctx, fullName, opts)
	if limited == nil {
		return m.client.attempt(ctx, fullName, in, out, p.with(opts))
	}
	defer limited.Release()
	return told(m.client.attempt(limited, fullName, in, out, p.with(opts)), limited, cause)
}

// attempt is one try on the connection.
func (c *Client) attempt(ctx context.Context, fullName string, in, out any, opts []grpc.CallOption) error {
	if c.attemptUnary != nil {
		return asStatus(c.attemptUnary(ctx, fullName, in, out, c.grpc, c.invoke, opts...))
	}
	return asStatus(c.conn.Invoke(ctx, fullName, in, out, opts...))
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

// invoke is a [grpc.UnaryInvoker].
func (c *Client) invoke(ctx context.Context, fullName string, in, out any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	return c.conn.Invoke(ctx, fullName, in, out, opts...)
}
