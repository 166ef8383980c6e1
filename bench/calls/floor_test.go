package calls_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/bench/internal/contest"
)

// floorConn does what all guards together can hardly do without, and decides nothing: it looks at the clock when a call begins
// and when it ends, has something on the heap that the server's trailer is written to, and counts for each of the running calls
// (twice), the permits of the concurrency limit (twice), the rate limit, the budget, the breaker, the throttle, and the latency.
type floorConn struct {
	grpc.ClientConnInterface
	began   time.Time
	longest atomic.Int64
	counts  [9]struct {
		n atomic.Int64
		_ [120]byte // cache lines of its own
	}
}

// heard is what the server said.
type heard struct {
	trailer metadata.MD
	room    [2]grpc.CallOption
}

func (c *floorConn) Invoke(ctx context.Context, method string, in, out any, _ ...grpc.CallOption) error {
	start := time.Since(c.began)
	before, after := c.counts[:5], c.counts[5:]
	for i := range before {
		before[i].n.Add(1)
	}
	h := new(heard)
	h.room = [2]grpc.CallOption{grpc.StaticMethod(), grpc.Trailer(&h.trailer)}
	err := c.ClientConnInterface.Invoke(ctx, method, in, out, h.room[:]...)
	if took := int64(time.Since(c.began) - start); took > c.longest.Load() {
		c.longest.Store(took)
	}
	for i := range after {
		after[i].n.Add(1)
	}
	return err
}

// floor is a contender that calls the last interceptor through a floorConn.
func floor(tb testing.TB, last grpc.UnaryClientInterceptor) contest.Contender {
	return invoker(context.Background(), "floor of all guards", &floorConn{ClientConnInterface: over(tb, last), began: time.Now()})
}
