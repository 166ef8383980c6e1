package pick_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/metadata"

	"github.com/goresilient/goresilient/bench/internal/fake"
)

// The floors are the least that a picker of a kind must do: no weights, no failures, no new endpoints.

// randomFloor draws an endpoint.
type randomFloor []balancer.SubConn

func newRandomFloor(conns []*fake.SubConn) randomFloor {
	var f randomFloor
	for _, sc := range conns {
		f = append(f, sc)
	}
	return f
}

// Pick implements [balancer.Picker].
func (f randomFloor) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{SubConn: f[rand.IntN(len(f))]}, nil
}

// nothingFloor sends all calls to one endpoint: what is left is what it takes to measure.
type nothingFloor struct{ conn balancer.SubConn }

// Pick implements [balancer.Picker].
func (f nothingFloor) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{SubConn: f.conn}, nil
}

// headerFloor reads the header that the hashing balancers hash, and sends all calls to one endpoint.
type headerFloor struct{ conn balancer.SubConn }

// Pick implements [balancer.Picker].
func (f headerFloor) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	md, _ := metadata.FromOutgoingContext(info.Ctx)
	if len(md.Get(hashHeader)) == 0 {
		return balancer.PickResult{}, errors.New("the call has no header to hash")
	}
	return balancer.PickResult{SubConn: f.conn}, nil
}

// counted is an endpoint whose calls in flight are counted.
type counted struct {
	conn     balancer.SubConn
	inFlight atomic.Int64
	done     func(balancer.DoneInfo)
	_        [64]byte // keeps neighbours off the cache line
}

// inFlightFloor takes the one of two with fewer calls in flight.
type inFlightFloor []*counted

func newInFlightFloor(conns []*fake.SubConn) inFlightFloor {
	var f inFlightFloor
	for _, sc := range conns {
		e := &counted{conn: sc}
		e.done = func(balancer.DoneInfo) { e.inFlight.Add(-1) }
		f = append(f, e)
	}
	return f
}

// Pick implements [balancer.Picker].
func (f inFlightFloor) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	a, b := f[rand.IntN(len(f))], f[rand.IntN(len(f))]
	if b.inFlight.Load() < a.inFlight.Load() {
		a = b
	}
	a.inFlight.Add(1)
	return balancer.PickResult{SubConn: a.conn, Done: a.done}, nil
}

// timed is an endpoint with an average of latency.
type timed struct {
	counted
	average atomic.Int64 // nanoseconds
}

// completion is a call to an endpoint.
type completion struct {
	to    *timed
	start time.Duration
	done  func(balancer.DoneInfo)
}

// latencyFloor takes the one of two with the lower product of average latency and calls in flight. It reads the clock twice
// for a call.
type latencyFloor struct {
	endpoints   []*timed
	completions sync.Pool
}

// origin is from when the clock counts: the monotonic clock alone is cheaper to read.
var origin = time.Now()

func newLatencyFloor(conns []*fake.SubConn) *latencyFloor {
	f := new(latencyFloor)
	for _, sc := range conns {
		e := new(timed)
		e.conn = sc
		f.endpoints = append(f.endpoints, e)
	}
	f.completions.New = func() any {
		c := new(completion)
		c.done = func(balancer.DoneInfo) {
			e := c.to
			took, old := int64(time.Since(origin)-c.start), e.average.Load()
			e.average.Store(old + (took-old)/8)
			e.inFlight.Add(-1)
			f.completions.Put(c)
		}
		return c
	}
	return f
}

func (e *timed) load() int64 { return e.average.Load() * (e.inFlight.Load() + 1) }

// Pick implements [balancer.Picker].
func (f *latencyFloor) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	a, b := f.endpoints[rand.IntN(len(f.endpoints))], f.endpoints[rand.IntN(len(f.endpoints))]
	if b.load() < a.load() {
		a = b
	}
	a.inFlight.Add(1)
	c := f.completions.Get().(*completion)
	c.to, c.start = a, time.Since(origin)
	return balancer.PickResult{SubConn: a.conn, Done: c.done}, nil
}
