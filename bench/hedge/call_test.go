package hedge_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// call is one call as the harness sees it. It travels in the context of each attempt.
type call struct {
	number   uint64
	start    time.Time
	attempts atomic.Uint64
	hedged   atomic.Int64 // when the second attempt began, in nanoseconds after the start; 0 if none did
	first    atomic.Int64 // how long the first attempt takes if nobody ends it, in nanoseconds; 0 if that is unknown
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// count is an interceptor that counts the attempts of each call.
func count(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if c := callOf(ctx); c.attempts.Add(1) == 2 {
		c.hedged.Store(int64(time.Since(c.start)))
	}
	return invoke(ctx, method, in, out, cc, opts...)
}

// draw returns the random numbers of the attempt that began last. They follow from the seed and the numbers of call and
// attempt: the first attempts of one call are alike whatever the policy.
func (c *call) draw(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, c.number<<3+c.attempts.Load()))
}
