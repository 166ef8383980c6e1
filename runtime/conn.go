package goresilient

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// StubConn returns the connection for the stub of the client's own service, whose streams a generated client delegates to.
// Each RPC runs under its policy. Generated constructors call it.
func StubConn(c *Client) grpc.ClientConnInterface { return stubConn{serviceConn{client: c}} }

// serviceConn calls RPCs of any service under the method defaults of the client's.
type serviceConn struct{ client *Client }

// Invoke implements [grpc.ClientConnInterface].
func (s serviceConn) Invoke(ctx context.Context, fullName string, in, out any, opts ...grpc.CallOption) error {
	return s.client.unaryDefault.call(ctx, fullName, in, out, opts)
}

// NewStream implements [grpc.ClientConnInterface].
func (s serviceConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, fullName string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return s.client.streamDefault.open(ctx, desc, fullName, opts)
}

// stubConn calls the RPCs of the client's service under their own policy.
type stubConn struct{ serviceConn }

// Invoke implements [grpc.ClientConnInterface].
func (s stubConn) Invoke(ctx context.Context, fullName string, in, out any, opts ...grpc.CallOption) error {
	if m := s.client.methods[fullName]; m != nil {
		return m.call(ctx, fullName, in, out, opts)
	}
	return s.serviceConn.Invoke(ctx, fullName, in, out, opts...)
}

// NewStream implements [grpc.ClientConnInterface].
func (s stubConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, fullName string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if m := s.client.methods[fullName]; m != nil {
		return m.open(ctx, desc, fullName, opts)
	}
	return s.serviceConn.NewStream(ctx, desc, fullName, opts...)
}

// waitConn waits for a connection that is not of this module.
func waitConn(ctx context.Context, cc *grpc.ClientConn, timeout time.Duration) error {
	if timeout > noTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	cc.Connect()
	for {
		state := cc.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.Shutdown:
			return &DialError{Target: cc.Target(), Wanted: 1, Err: ErrClosed}
		case connectivity.Idle:
			cc.Connect()
		}
		if !cc.WaitForStateChange(ctx, state) {
			return &DialError{Target: cc.Target(), Wanted: 1, Err: ctx.Err()}
		}
	}
}
