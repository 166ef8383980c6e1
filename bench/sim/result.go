package sim

import (
	"slices"
	"time"
)

// Result is what came of one run, or of several together.
type Result struct {
	scenario Scenario
	sorted   bool
	latency  []time.Duration // of the calls that count; a failed one took a second at least
	Failed   int             // of them
	Within   int             // of them: succeeded within a second
	byServer []int           // calls that went to each server
	bad      [2]int          // since BadFrom: all calls, and those to bad servers
	seconds  [][]time.Duration
	good     []int // by second: succeeded within a second
}

// patience is what a caller has.
const patience = time.Second

func newResult(s Scenario) *Result {
	n := int((s.Length + time.Second - 1) / time.Second)
	return &Result{
		scenario: s,
		byServer: make([]int, s.Servers),
		seconds:  make([][]time.Duration, n),
		good:     make([]int, n),
	}
}

// add takes a call that began at start and ended after latency.
func (r *Result) add(start, latency time.Duration, server int, ok bool) {
	if !ok {
		latency = max(latency, patience)
	}
	within := ok && latency <= patience
	second := int(start / time.Second)
	r.seconds[second] = append(r.seconds[second], latency)
	if within {
		r.good[second]++
	}
	if bad := r.scenario.Bad; bad != nil && server >= 0 && start >= r.scenario.BadFrom &&
		(r.scenario.BadTo == 0 || start < r.scenario.BadTo) {
		r.bad[0]++
		if bad(server) {
			r.bad[1]++
		}
	}
	if start < r.scenario.Warmup {
		return
	}
	r.latency = append(r.latency, latency)
	if !ok {
		r.Failed++
	}
	if within {
		r.Within++
	}
	if server >= 0 {
		r.byServer[server]++
	}
}

// Merge adds what came of another run of the same scenario.
func (r *Result) Merge(o *Result) {
	r.latency, r.sorted = append(r.latency, o.latency...), false
	r.Failed += o.Failed
	r.Within += o.Within
	for i, n := range o.byServer {
		r.byServer[i] += n
	}
	for i := range r.seconds {
		r.seconds[i] = append(r.seconds[i], o.seconds[i]...)
		r.good[i] += o.good[i]
	}
	r.bad[0] += o.bad[0]
	r.bad[1] += o.bad[1]
}

// Calls is how many calls count.
func (r *Result) Calls() int { return len(r.latency) }

// Quantile returns the latency that the share q of calls does not exceed.
func (r *Result) Quantile(q float64) time.Duration {
	if !r.sorted {
		slices.Sort(r.latency)
		r.sorted = true
	}
	return quantile(r.latency, q)
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// Success is the share of calls that succeeded within a second.
func (r *Result) Success() float64 { return float64(r.Within) / float64(max(1, len(r.latency))) }

// BadShare is the share of calls that went to bad servers since they are.
func (r *Result) BadShare() float64 { return float64(r.bad[1]) / float64(max(1, r.bad[0])) }

// Spread returns the lowest and the highest share of calls that a server got, in multiples of an even share.
func (r *Result) Spread() (low, high float64) {
	sum := 0
	for _, n := range r.byServer {
		sum += n
	}
	even := float64(max(1, sum)) / float64(len(r.byServer))
	return float64(slices.Min(r.byServer)) / even, float64(slices.Max(r.byServer)) / even
}
