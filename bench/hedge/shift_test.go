package hedge_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/policy"
)

const (
	shiftBegins = 60 * time.Second // latency doubles
	shiftEnds   = 90 * time.Second // and halves again
	shiftOver   = 100 * time.Second
)

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// TestShift has every server become twice as slow, and as fast as before 30 s later. Its gates: the cap holds in the 30 s that
// follow, and the delay is twice what it was within 5 s, to a fifth.
func TestShift(t *testing.T) {
	work := lognormal(keyMedian, keySigma)
	all := servers{count: slowServers, work: func(_ int, at time.Duration, draw *rand.Rand) time.Duration {
		took := work(draw)
		if shiftBegins <= at && at < shiftEnds {
			took *= 2
		}
		return took
	}}
	roundRobin := &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}}
	r := inVirtualTime(t, byDefault(roundRobin), all, 1, func(c *caller) {
		c.arrivals(shiftOver, 0, stallRate, "", 1)
	})
	during := func(from, to time.Duration) []outcome { return between(r.calls, r.start.Add(from), r.start.Add(to)) }
	out := newTable("seconds after the change", "p50", "p99", "delay", "extra attempts", "of the 30 s before")
	for _, s := range [][2]float64{ // seconds after latency doubles
		{-1, 0}, {0, 0.25}, {0.25, 0.5}, {0.5, 0.75}, {0.75, 1}, {1, 2}, {2, 3}, {3, 4}, {5, 6}, {10, 11}, {20, 21}, {29, 30},
		{30, 30.25}, {30.25, 30.5}, {30.5, 31}, {31, 32}, {32, 33}, {35, 36},
	} {
		from, to := shiftBegins+seconds(s[0]), shiftBegins+seconds(s[1])
		calls := during(from, to)
		took := times(calls, func(o outcome) time.Duration { return o.took })
		out.row(fmt.Sprintf("%v to %v", s[0], s[1]), ms(quantile(took, 0.5)), ms(quantile(took, 0.99)), ms(quantile(delays(calls), 0.5)),
			percent(hedged(calls)), percent(hedged(during(to-30*time.Second, to))))
	}
	before := quantile(delays(during(shiftBegins-5*time.Second, shiftBegins)), 0.5)
	after := quantile(delays(during(shiftBegins+5*time.Second, shiftBegins+10*time.Second)), 0.5)
	if ratio := float64(after) / float64(before); ratio < 1.6 || ratio > 2.4 {
		t.Errorf("the delay was %s, and 5 s after latency has doubled it is %s; want twice as much, to a fifth", ms(before), ms(after))
	}
	for to := shiftBegins; to <= shiftEnds; to += time.Second {
		if load := hedged(during(to-30*time.Second, to)); load > 0.05 {
			t.Errorf("in the 30 s before %v there were %s extra attempts; the cap is 5 %%", to, percent(load))
		}
	}
	publish(t, "shift", out.String())
}

// hedged returns the share of calls that were.
func hedged(calls []outcome) float64 {
	return float64(len(delays(calls))) / float64(max(1, len(calls)))
}
