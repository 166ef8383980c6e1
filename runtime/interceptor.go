package goresilient

import (
	"context"

	"google.golang.org/grpc"
)

// chainUnary makes one interceptor of many, the first the outermost; nil of none.
func chainUnary(list []grpc.UnaryClientInterceptor) grpc.UnaryClientInterceptor {
	if len(list) == 0 {
		return nil
	}
	first, rest := list[0], chainUnary(list[1:])
	if rest == nil {
		return first
	}
	return func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		next := func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
			return rest(ctx, method, in, out, cc, invoker, opts...)
		}
		return first(ctx, method, in, out, cc, next, opts...)
	}
}

// chainStream makes one interceptor of many, the first the outermost; nil of none.
func chainStream(list []grpc.StreamClientInterceptor) grpc.StreamClientInterceptor {
	if len(list) == 0 {
		return nil
	}
	first, rest := list[0], chainStream(list[1:])
	if rest == nil {
		return first
	}
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		next := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return rest(ctx, desc, cc, method, streamer, opts...)
		}
		return first(ctx, desc, cc, method, next, opts...)
	}
}
