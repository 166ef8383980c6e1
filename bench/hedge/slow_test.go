package hedge_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/goresilient/goresilient/runtime/policy"
)

const (
	slowServers = 20
	slowOnes    = 2
	slowFactor  = 10
	slowMean    = 10 * time.Millisecond
	slowRate    = 2000.0
)

// sluggish returns servers of which the first two take ten times as long.
func sluggish(distribution func(time.Duration) func(*rand.Rand) time.Duration, mean time.Duration) servers {
	fast, slow := distribution(mean), distribution(slowFactor*mean)
	return servers{count: slowServers, slow: slowOnes, work: func(i int, _ time.Duration, draw *rand.Rand) time.Duration {
		if i < slowOnes {
			return slow(draw)
		}
		return fast(draw)
	}}
}

func leastRequest() *policy.LoadBalancing {
	return &policy.LoadBalancing{LeastRequest: &policy.LeastRequest{}}
}

// narrow returns how long a server works whose answers all take about as long.
func narrow(median time.Duration) func(*rand.Rand) time.Duration { return lognormal(median, 0.2) }

// slowGate is what hedging with the defaults leaves of p99.9 at most, however much times vary.
const slowGate = 0.25

// TestSlow calls servers of which some are always slow, by least_request. Its gate is a quarter of p99.9, for at most 5 % more
// attempts.
func TestSlow(t *testing.T) {
	length := atLength(25*time.Second, 200*time.Second)
	adaptive := &policy.LoadBalancing{Adaptive: &policy.Adaptive{}}
	for _, tt := range []struct {
		name         string
		distribution func(time.Duration) func(*rand.Rand) time.Duration
	}{{"slow", exponential}, {"slow-narrow", narrow}} {
		contenders := []contender{unhedged(leastRequest()), byDefault(leastRequest())}
		if *page != "" {
			contenders = append(contenders, after(40*time.Millisecond, leastRequest()), moreHedged(leastRequest()),
				unhedged(adaptive), byDefault(adaptive))
		}
		var rows []row
		for _, c := range contenders {
			rows = append(rows, inVirtualTime(t, c, sluggish(tt.distribution, slowMean), 1, func(c *caller) {
				c.arrivals(length, 5*time.Second, slowRate, "", 1)
			}))
		}
		for _, r := range rows {
			r.gateExtra(t)
		}
		if left := tail(rows[1], rows[0]); left > slowGate {
			t.Errorf("%s: hedging by default leaves %.2f of p99.9, the goal is %.2f", tt.name, left, slowGate)
		}
		publish(t, tt.name, slowTable(rows))
	}
}

// moreHedged spends most of the default cap at ordinary times; its own cap is higher, for its delay would be later otherwise.
func moreHedged(lb *policy.LoadBalancing) contender {
	return contender{"`delay_quantile: 0.955 max_extra_ratio: 0.1`", lb,
		&policy.Hedging{DelayQuantile: policy.Set(0.955), MaxExtraRatio: policy.Set(0.1)}}
}

// tail returns p99.9 of r, in multiples of that of another.
func tail(r, of row) float64 {
	return float64(quantile(r.took(), 0.999)) / float64(quantile(of.took(), 0.999))
}

// slowTable compares with the first row.
func slowTable(rows []row) string {
	head := []string{"balancing", "hedging", "p50", "p99", "p99.9", "p99.9 to the first", "extra attempts", "delay"}
	known := rows[0].slow > 0
	if known {
		head = append(head, "attempts to the slow")
	}
	out := newTable(head...)
	for _, r := range rows {
		rule, calls := "`least_request`", r.took()
		if r.balancing.Adaptive != nil {
			rule = "`adaptive`"
		}
		cells := []string{rule, r.name, ms(quantile(calls, 0.5)), ms(quantile(calls, 0.99)), ms(quantile(calls, 0.999)),
			fmt.Sprintf("%.2f", tail(r, rows[0])), percent(r.load()), ms(quantile(delays(r.calls), 0.5))}
		if known {
			cells = append(cells, percent(r.slow))
		}
		out.row(cells...)
	}
	return out.String()
}
