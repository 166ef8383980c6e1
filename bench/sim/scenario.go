package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// Scenario is a set of servers, what happens to them, and who calls them.
type Scenario struct {
	// Name is short: "A". Title says what happens.
	Name, Title string
	// Servers is how many there are, with Workers each; 0 workers: as many as there are calls.
	Servers, Workers int
	// Service is how long a server at speed 1 works on a call; Mean is its mean.
	Service func(*rand.Rand) time.Duration
	Mean    time.Duration
	// Phases says how server i is over time; nil: as it should be.
	Phases func(i int, random *rand.Rand) []Phase
	// Bad tells which servers are the ones to avoid; nil: none is.
	Bad func(i int) bool
	// BadFrom and BadTo are between when their share of calls is counted; BadTo 0: to the end.
	BadFrom, BadTo time.Duration
	// Restarts are when servers restart, and Away for how long each is gone.
	Restarts func(i int) (at time.Duration, ok bool)
	Away     time.Duration

	// Clients share Rate calls a second evenly; Peak is its highest value.
	Clients int
	Rate    func(t time.Duration) float64
	Peak    float64
	// Subset is the subset_size that goresilient is given; 0: none.
	Subset int
	// Deadline is that of each call; 0: none.
	Deadline time.Duration
	// Length is that of the run; calls that begin before Warmup are not counted.
	Length, Warmup time.Duration
}

// capacity is how many calls a second all servers can do at speed 1.
func (s Scenario) capacity() float64 {
	return float64(s.Servers*s.Workers) / s.Mean.Seconds()
}

func steady(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

// exponential returns service times that have no memory.
func exponential(mean time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(mean)) }
}

// lognormal returns service times of which a few are long.
func lognormal(mean time.Duration, sigma float64) func(*rand.Rand) time.Duration {
	mu := math.Log(float64(mean)) - sigma*sigma/2
	return func(r *rand.Rand) time.Duration { return time.Duration(math.Exp(mu + sigma*r.NormFloat64())) }
}

// around returns service times that are even within width on both sides of the mean.
func around(mean, width time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		return mean + time.Duration((2*r.Float64()-1)*float64(width))
	}
}
