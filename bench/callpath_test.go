package bench_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/goresilient/goresilient/bench/internal/contest"
	plainv1 "github.com/goresilient/goresilient/bench/proto/acme/plain/v1"
	goresilient "github.com/goresilient/goresilient/runtime"
)

// callPathBatch is about a tenth of a millisecond of calls without a network.
const callPathBatch = 500

// noNetwork is a connection that does what grpc does to the context of each call, and nothing else.
type noNetwork struct{}

// Invoke implements [grpc.ClientConnInterface].
func (noNetwork) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return ctx.Err()
}

// NewStream implements [grpc.ClientConnInterface].
func (noNetwork) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, context.Canceled
}

// callPathCase is a pair of clients over noNetwork.
type callPathCase struct {
	name       string
	configured bool
	contenders func(tb testing.TB) []contest.Contender
}

// bystander is a context that somebody may cancel, as the context of a server's handler is.
func bystander(tb testing.TB) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	return ctx
}

// floor is a contender that calls noNetwork itself: the unit in which the gate measures what a client adds.
func floor(ctx context.Context) contest.Contender {
	in, out := plainRequest(), new(plainv1.GetItemResponse)
	var conn grpc.ClientConnInterface = noNetwork{}
	return contest.Contender{Name: "floor", Call: func() error { return conn.Invoke(ctx, plainv1.PlainService_GetItem_FullMethodName, in, out) }}
}

func nothingConfigured(ctx context.Context, tb testing.TB) []contest.Contender {
	return []contest.Contender{
		caller(ctx, "ours", newPlain(tb, goresilient.WithConn(noNetwork{})), plainRequest()),
		caller(ctx, "grpc", plainv1.NewPlainServiceClient(noNetwork{}), plainRequest()),
		floor(ctx),
	}
}

func totalDeadline(ctx context.Context, tb testing.TB) []contest.Contender {
	return []contest.Contender{
		caller(ctx, "ours", newPlain(tb, goresilient.WithConn(noNetwork{}), deadlinePolicy()), plainRequest()),
		callerByHand(ctx, "grpc", plainv1.NewPlainServiceClient(noNetwork{}), plainRequest()),
		floor(ctx),
	}
}

var callPathCases = []callPathCase{
	{"nothing configured/background", false, func(tb testing.TB) []contest.Contender { return nothingConfigured(context.Background(), tb) }},
	{"nothing configured/cancellable", false, func(tb testing.TB) []contest.Contender { return nothingConfigured(bystander(tb), tb) }},
	{"deadline/background", true, func(tb testing.TB) []contest.Contender { return totalDeadline(context.Background(), tb) }},
	{"deadline/cancellable", true, func(tb testing.TB) []contest.Contender { return totalDeadline(bystander(tb), tb) }},
}

// BenchmarkCallPath is what a client does for a call when there is no network, beside the plain generated client. With a
// deadline, the plain client's caller uses context.WithTimeout.
func BenchmarkCallPath(b *testing.B) {
	for _, c := range callPathCases {
		b.Run(c.name, func(b *testing.B) {
			contenders := c.contenders(b)
			c := contest.New(b, 1, callPathBatch, contenders...)
			c.Bench(b)
			b.ReportMetric(contest.Median(c.Times.Added(0, 1)), "added-ns/op")
			b.ReportMetric(contest.Allocations(b, contenders[0])-contest.Allocations(b, contenders[1]), "added-allocs/op")
		})
	}
}
