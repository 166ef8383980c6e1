package goresilient

import (
	"context"

	"google.golang.org/grpc"
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
	out := new(Res)
	if err := u.method.call(ctx, u.method.fullName, in, out, opts); err != nil {
		if u.fallback != nil {
			return u.fallback(ctx, in, err)
		}
		return nil, err
	}
	return out, nil
}

// call makes a call, from the outermost layer in.
func (m *method) call(ctx context.Context, fullName string, in, out any, opts []grpc.CallOption) error {
	c := m.client
	token, ok := c.calls.Begin()
	if !ok {
		return ErrClosed
	}
	defer c.calls.End(token)
	if c.callUnary != nil {
		return c.callUnary(ctx, fullName, in, out, c.grpc, m.governed, opts...)
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
		return c.attemptUnary(ctx, fullName, in, out, c.grpc, c.invoke, opts...)
	}
	return c.conn.Invoke(ctx, fullName, in, out, opts...)
}

// invoke is a [grpc.UnaryInvoker].
func (c *Client) invoke(ctx context.Context, fullName string, in, out any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	return c.conn.Invoke(ctx, fullName, in, out, opts...)
}
