package goresilient

import (
	"context"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/runtime/internal/pushback"
)

// Services that call services multiply retries: three attempts in each of three layers are 27 at the bottom. Two signs keep
// that from happening. Down: an attempt that is a retry or a hedge, and each call that a server makes on its behalf, says so
// in its metadata, and retry.skip_nested does not retry such a call. Up: a server whose own call has failed for good, after
// all the retries that policy allows, asks its caller not to retry (gRFC A6), who would only have all this done again.

// attemptsKey is the metadata key of the first sign. Its value is how many attempts came before. grpc has one of its own for
// its own retries.
const (
	attemptsKey     = "goresilient-previous-attempts"
	grpcAttemptsKey = "grpc-previous-rpc-attempts"
)

// isNested tells whether ctx is that of a request which is a retry, or part of one.
func isNested(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, attemptsKey)) > 0 ||
		len(metadata.ValueFromIncomingContext(ctx, grpcAttemptsKey)) > 0
}

// markRetried gives the first sign to the attempts under ctx. previous is 0 for the first attempt of a nested call.
func markRetried(ctx context.Context, previous int) context.Context {
	return metadata.AppendToOutgoingContext(ctx, attemptsKey, strconv.Itoa(max(1, previous)))
}

// pushBack gives the second sign, if ctx is that of a request to this process.
func pushBack(ctx context.Context) {
	if grpc.ServerTransportStreamFromContext(ctx) != nil {
		// A server that has answered meanwhile no longer takes it, which is as well.
		_ = grpc.SetTrailer(ctx, metadata.Pairs(pushback.Key, "-1"))
	}
}
