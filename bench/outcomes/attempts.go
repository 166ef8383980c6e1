package main

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// attempts counts what a client sends. It is a grpc stats handler.
type attempts struct{ n atomic.Int64 }

// HandleRPC implements [stats.Handler].
func (a *attempts) HandleRPC(_ context.Context, s stats.RPCStats) {
	if h, ok := s.(*stats.OutHeader); ok && h.Client {
		a.n.Add(1)
	}
}

// TagRPC implements [stats.Handler].
func (*attempts) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements [stats.Handler].
func (*attempts) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (*attempts) HandleConn(context.Context, stats.ConnStats) {}
