package hedge_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/policy"
)

const (
	stallRate   = 1000.0 // calls a second
	stallBegins = 40 * time.Second
	stallOver   = 50 * time.Second // all calls have long ended, and hedging is as before
	stallFelt   = 100 * time.Millisecond
)

// stopping returns servers that stall once, those that stops tells.
func stopping(n int, length time.Duration, stops func(i int) bool) servers {
	once, work := stalls{{stallBegins, stallBegins + length}}, lognormal(keyMedian, keySigma)
	return servers{count: n, work: func(i int, at time.Duration, draw *rand.Rand) time.Duration {
		took := work(draw)
		if stops(i) {
			took += once.wait(at)
		}
		return took
	}}
}

// stallCase is a stall of one server.
type stallCase struct {
	takes     string
	balancing *policy.LoadBalancing
	length    time.Duration
}

// TestStall has a server stall, once one that takes a twentieth of the calls and once one that takes all, since all are for one
// key. Its gate is for stalls
// of 300 ms: all calls are hedged that would feel them, those that would take 100 ms and more.
func TestStall(t *testing.T) {
	roundRobin := &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}
	gated := []stallCase{{"one in 20", roundRobin, 300 * time.Millisecond}, {"all", byKey(), 300 * time.Millisecond}}
	longer := []stallCase{{"one in 20", roundRobin, 5 * time.Second}, {"all", byKey(), 600 * time.Millisecond}, {"all", byKey(), 2 * time.Second}}
	out := newTable("calls to the server", "stall", "would take 100 ms or more", "of them hedged", "the slowest call")
	for _, s := range gated {
		felt, hedged, slowest := s.run(t)
		if hedged < felt || slowest > s.length/2 {
			t.Errorf("%s, %v: %d of %d calls were hedged, the slowest took %s; all must be, and take less than half of the stall",
				s.takes, s.length, hedged, felt, ms(slowest))
		}
		out.row(s.takes, s.length.String(), fmt.Sprint(felt), fmt.Sprint(hedged), ms(slowest))
	}
	for _, s := range atLength(nil, longer) {
		felt, hedged, slowest := s.run(t)
		out.row(s.takes, s.length.String(), fmt.Sprint(felt), fmt.Sprint(hedged), ms(slowest))
	}
	publish(t, "stall", out.String())
}

// run returns how many of the calls that began during the stall would have felt it, how many of these were hedged, and how long
// the slowest took.
func (s stallCase) run(t *testing.T) (felt, hedged int, slowest time.Duration) {
	owner := 0
	if s.balancing.ConsistentHash != nil {
		owner = ownerOf(t, s.balancing, slowServers, "hot")
	}
	all := stopping(slowServers, s.length, func(i int) bool { return i == owner })
	r := inVirtualTime(t, byDefault(s.balancing), all, 1, func(c *caller) { c.arrivals(stallOver, 0, stallRate, "hot", 1) })
	began := r.start.Add(stallBegins)
	for _, o := range between(r.calls, began, began.Add(s.length)) {
		slowest = max(slowest, o.took)
		if o.first >= stallFelt {
			felt++
			if o.delay > 0 {
				hedged++
			}
		}
	}
	return felt, hedged, slowest
}

// ownerOf returns which of n servers a call for the key goes to.
func ownerOf(t *testing.T, lb *policy.LoadBalancing, n int, key string) (owner int) {
	s := servers{count: n, work: func(i int, _ time.Duration, _ *rand.Rand) time.Duration {
		owner = i
		return time.Millisecond
	}}
	inVirtualTime(t, unhedged(lb), s, 1, func(c *caller) { c.call(0, key, true) })
	return owner
}
