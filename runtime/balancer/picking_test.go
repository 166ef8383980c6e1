package balancer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goresilient/goresilient/runtime/discovery"
	"github.com/goresilient/goresilient/runtime/internal/attempt"
)

// scene is a picker over endpoints that nothing connects to, with a clock of the test's own.
type scene struct {
	*Channel
	now       int64
	endpoints []*endpoint
	pool      *pool
	picker    balancer.Picker
}

// newScene makes a picker over n endpoints in so many tiers of equal share. weights may be shorter than n; the others weigh 1.
func newScene(seed uint64, cfg Config, n, tiers int, weights ...uint32) *scene {
	s := new(scene)
	random := rand.New(rand.NewPCG(seed, 0))
	s.Channel = NewChannel(cfg, Options{Rand: random.Uint64, Now: func() int64 { return s.now }, AfterFunc: new(manualTime).afterFunc})
	s.pool = &pool{ch: s.Channel, cfg: cfg}
	for i := range n {
		info := &discovery.Endpoint{Addresses: []string{fmt.Sprint("s", i)}, Weight: 1}
		if i < len(weights) {
			info.Weight = weights[i]
			s.uneven = s.uneven || weights[i] != 1
		}
		e := newEndpoint(info.Addresses[0], info)
		e.sc = new(fakeSubConn)
		e.countUntimed(s.Channel)
		s.endpoints = append(s.endpoints, e)
	}
	s.publish(tiers)
	return s
}

// publish makes a new picker.
func (s *scene) publish(tiers int) {
	list := make([]tier, tiers)
	partial := false
	for i, e := range s.endpoints {
		t := &list[i*tiers/len(s.endpoints)]
		t.targets, t.share = append(t.targets, e.target()), 1/float64(tiers)
		partial = partial || e.load.share.Load() != fullShare
	}
	s.picker = s.pool.newPicker(list, partial)
}

// pick picks, and returns the index of the endpoint.
func (s *scene) pick(t testing.TB, ctx context.Context) (int, func(balancer.DoneInfo)) {
	t.Helper()
	res, err := s.picker.Pick(balancer.PickInfo{Ctx: ctx})
	if err != nil {
		t.Fatal(err)
	}
	done := res.Done
	if done == nil {
		done = func(balancer.DoneInfo) {}
	}
	for i, e := range s.endpoints {
		if e.sc == res.SubConn {
			return i, done
		}
	}
	t.Fatal("picked a SubConn that there is not")
	return 0, nil
}

// inFlight returns the calls that run, at all endpoints.
func (s *scene) inFlight() (n int64) {
	for _, e := range s.endpoints {
		n += e.load.inFlight()
	}
	return n
}

// pass lets time pass.
func (s *scene) pass(d time.Duration) { s.now += int64(d) }

// How calls end, as grpc reports it.
var (
	succeeded  = balancer.DoneInfo{BytesSent: true, BytesReceived: true}
	failed     = balancer.DoneInfo{Err: status.Error(codes.Unavailable, "down"), BytesSent: true, BytesReceived: true}
	cancelled  = balancer.DoneInfo{Err: status.Error(codes.Canceled, "given up"), BytesSent: true}
	notReached = balancer.DoneInfo{}
)

// simulated is a server in a run.
type simulated struct {
	latency time.Duration
	ends    balancer.DoneInfo
}

// run makes calls at regular intervals, each of which takes as long as its server does, and returns how many each server had
// after the warm-up.
func (s *scene) run(t testing.TB, every, warmUp, length time.Duration, server func(i int, now time.Duration) simulated) []int {
	type call struct {
		end  int64
		done func(balancer.DoneInfo)
		info balancer.DoneInfo
	}
	var running []call
	got := make([]int, len(s.endpoints))
	for next := s.now; s.now < int64(length); next += int64(every) {
		for len(running) > 0 {
			first := 0
			for i := range running {
				if running[i].end < running[first].end {
					first = i
				}
			}
			c := running[first]
			if c.end > next {
				break
			}
			s.now = c.end
			c.done(c.info)
			running[first] = running[len(running)-1]
			running = running[:len(running)-1]
		}
		s.now = next
		i, done := s.pick(t, t.Context())
		sim := server(i, time.Duration(s.now))
		running = append(running, call{s.now + int64(sim.latency), done, sim.ends})
		if s.now >= int64(warmUp) {
			got[i]++
		}
	}
	for _, c := range running {
		s.now = max(s.now, c.end)
		c.done(c.info)
	}
	if n := s.inFlight(); n != 0 {
		t.Errorf("%d calls are in flight at the end", n)
	}
	return got
}

// attempts are those of a call.
type attempts struct{ last *attempt.Record }

// nextAttempt returns the context of the next attempt of a call, and its record.
func nextAttempt(call *attempts, over *Channel) (context.Context, *attempt.Record) {
	rec := &attempt.Record{Before: call.last, Channel: over.Identity()}
	call.last = rec
	return context.WithValue(context.Background(), attempt.Key{}, rec), rec
}

// comparing are the policies that compare a few targets; pooled all of which this file knows.
var (
	comparing = []Config{leastRequestConfig(2), leastRequestConfig(5), peakEwmaConfig(10 * time.Second), adaptiveConfig()}
	pooled    = append([]Config{roundRobinConfig()}, comparing...)
)
