package calls_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/goresilient/goresilient/bench/internal/contest"
)

// floorConn does what all guards together can hardly do without, and decides nothing: it looks at the clock when a call begins,
// and counts for each of the running calls (twice), the permits of the concurrency limit (twice), the rate limit, the budget, the
// breaker, the throttle, and the latency.
type floorConn struct {
	grpc.ClientConnInterface
	began  time.Time
	latest atomic.Int64
	counts [9]struct {
		n atomic.Int64
		_ [120]byte // cache lines of its own
	}
}

func (c *floorConn) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	if now := int64(time.Since(c.began)); now < c.latest.Load() {
		c.latest.Store(now)
	}
	before, after := c.counts[:5], c.counts[5:]
	for i := range before {
		before[i].n.Add(1)
	}
	err := c.ClientConnInterface.Invoke(ctx, method, in, out, opts...)
	for i := range after {
		after[i].n.Add(1)
	}
	return err
}

// floor is a contender that calls the last interceptor through a floorConn.
func floor(tb testing.TB, last grpc.UnaryClientInterceptor) contest.Contender {
	return invoker(context.Background(), "floor of all guards", &floorConn{ClientConnInterface: over(tb, last), began: time.Now()})
}
