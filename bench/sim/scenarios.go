package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const ms = time.Millisecond

// base is what most scenarios begin with: 20 servers of 8 workers that take 20 ms for a call, a few of them 60 ms.
func base() Scenario {
	return Scenario{
		Servers: 20, Workers: 8, Service: lognormal(20*ms, 0.5), Mean: 20 * ms,
		Clients: 10,
		Length:  15 * time.Second, Warmup: 3 * time.Second,
	}
}

// Scenarios returns all scenarios, in order.
func Scenarios() []Scenario {
	return []Scenario{
		oneSlow(), halfSlow(), halfSlowWide(), antagonist(), even(), sparse(), failing(), hanging(), ramp(), rolling(), many(),
		twoSlow(0.7), twoSlow(0.9), stalling(),
	}
}

// At returns the scenario of that name, false if there is none.
func At(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// oneSlow is the experiment that Linkerd published for its balancers.
func oneSlow() Scenario {
	return Scenario{
		Name: "A", Title: "one of 11 servers is 2 s slower from 15 s to 45 s, one client",
		Servers: 11, Service: around(167*ms, 5*ms), Mean: 167 * ms,
		Phases: func(i int, _ *rand.Rand) []Phase {
			if i != 0 {
				return nil
			}
			return []Phase{{Speed: 1}, {From: 15 * time.Second, Speed: 1, Delay: 2 * time.Second}, {From: 45 * time.Second, Speed: 1}}
		},
		Bad: func(i int) bool { return i == 0 }, BadFrom: 17 * time.Second, BadTo: 45 * time.Second,
		Clients: 1, Rate: steady(1000), Peak: 1000,
		Length: 60 * time.Second,
	}
}

// slowed has the servers below n be at another speed from the beginning, and marks them as bad; their share counts after warm-up.
func (s Scenario) slowed(n int, speed float64) Scenario {
	s.Bad = func(i int) bool { return i < n }
	s.BadFrom = s.Warmup
	s.Phases = func(i int, _ *rand.Rand) []Phase {
		if i < n {
			return []Phase{{Speed: speed}}
		}
		return nil
	}
	return s
}

// broken has server 0 be different from 5 s on; its share of calls counts two seconds later.
func (s Scenario) broken(p Phase) Scenario {
	p.From = 5 * time.Second
	s.Bad = func(i int) bool { return i == 0 }
	s.BadFrom = p.From + 2*time.Second
	s.Phases = func(i int, _ *rand.Rand) []Phase {
		if i == 0 {
			return []Phase{{Speed: 1}, p}
		}
		return nil
	}
	s.Deadline = time.Second
	s.Length, s.Warmup = 20*time.Second, 0
	return s
}

// at has the clients make that share of the calls that the servers can do at speed 1.
func (s Scenario) at(load float64) Scenario {
	s.Peak = s.capacity() * load
	s.Rate = steady(s.Peak)
	return s
}

// halfSlow has servers that do one call at a time, so that every call that waits is seen in the latency.
func halfSlow() Scenario {
	s := base()
	s.Name, s.Title = "B", "half of 20 servers of one worker are half as fast, 10 clients, 75 % load"
	s.Workers, s.Length = 1, 60*time.Second
	return s.slowed(10, 0.5).at(0.75 * 0.75)
}

// halfSlowWide has servers that do eight calls at a time: nearly all of the latency is service.
func halfSlowWide() Scenario {
	s := base()
	s.Name, s.Title = "B8", "half of 20 servers of 8 workers are half as fast, 10 clients, 75 % load"
	return s.slowed(10, 0.5).at(0.75 * 0.75)
}

func antagonist() Scenario {
	s := base()
	s.Name, s.Title = "C", "an antagonist makes 4 of 20 servers 4 times slower and moves every 5 s, 10 clients, 75 % load"
	const stay, groups = 5 * time.Second, 5
	s.Length, s.Warmup = 60*time.Second, stay
	s.Phases = func(i int, _ *rand.Rand) []Phase {
		var out []Phase
		for k := range int(s.Length/stay) + 1 {
			speed := 1.0
			if i/4 == k*2%groups {
				speed = 0.25
			}
			out = append(out, Phase{From: time.Duration(k) * stay, Speed: speed})
		}
		return out
	}
	return s.at(0.75 * 0.85)
}

func even() Scenario {
	s := base()
	s.Name, s.Title = "D", "20 equal servers, 10 clients, 80 % load"
	return s.at(0.8)
}

// sparse has clients that make 2.5 calls a second each, over all servers.
func sparse() Scenario {
	s := base()
	s.Name, s.Title = "E", "half of 20 servers are 4 times slower, 400 clients of 5 calls in 2 s, 20 % load"
	s.Clients = 400
	s.Length, s.Warmup = 40*time.Second, 10*time.Second
	return s.slowed(10, 0.25).at(0.2 * 0.625)
}

func failing() Scenario {
	s := base()
	s.Name, s.Title = "F", "one of 20 servers fails fast from 5 s on, 10 clients, 60 % load, deadline 1 s"
	return s.broken(Phase{Speed: 1, Failing: true}).at(0.6)
}

func hanging() Scenario {
	s := base()
	s.Name, s.Title = "G", "one of 20 servers hangs from 5 s on, 10 clients, 60 % load, deadline 1 s"
	return s.broken(Phase{Speed: 0}).at(0.6)
}

func ramp() Scenario {
	s := base()
	s.Name, s.Title = "H", "load rises from 30 % to 170 % within 20 s, 10 clients, deadline 1 s"
	s.Deadline, s.Length, s.Warmup = time.Second, 22*time.Second, 0
	full := s.capacity()
	s.Peak = 1.7 * full
	s.Rate = func(t time.Duration) float64 { return full * (0.3 + 1.4*min(1, t.Seconds()/20)) }
	return s
}

func rolling() Scenario {
	s := base()
	s.Name, s.Title = "I", "all of 20 servers restart, one a second, each away for 1.5 s, 10 clients, 60 % load"
	s.Restarts = func(i int) (time.Duration, bool) { return time.Duration(2+i) * time.Second, true }
	s.Away = 1500 * ms
	s.Deadline, s.Length, s.Warmup = time.Second, 25*time.Second, 0
	return s.at(0.6)
}

// many has servers that are slow by their number, which says nothing of who connects to them.
func many() Scenario {
	s := base()
	s.Name, s.Title = "J", "100 of 1000 servers are 4 times slower, 400 clients, 50 % load"
	s.Servers, s.Workers, s.Clients, s.Subset = 1000, 4, 400, 20
	s.Service, s.Mean = lognormal(200*ms, 0.5), 200*ms
	return s.slowed(100, 0.25).at(0.5 * 0.925)
}

func twoSlow(load float64) Scenario {
	s := base()
	s.Name = fmt.Sprintf("K%.0f", 100*load)
	s.Title = fmt.Sprintf("two of 20 servers are 10 times slower, 50 clients, %.0f %% load", 100*load)
	s.Service, s.Mean, s.Clients = exponential(5*ms), 5*ms, 50
	s.Length, s.Warmup = 8*time.Second, 2*time.Second
	return s.slowed(2, 0.1).at(load * 0.91)
}

func stalling() Scenario {
	s := base()
	s.Name, s.Title = "L", "each of 20 servers stands still for 300 ms every 8 s, 10 clients, 60 % load"
	const period, stall = 8 * time.Second, 300 * ms
	s.Length = 27 * time.Second
	s.Phases = func(_ int, random *rand.Rand) []Phase {
		out := []Phase{{Speed: 1}}
		for at := time.Duration(random.Float64() * float64(period)); at < s.Length+drain; at += period {
			out = append(out, Phase{From: at, Speed: 0}, Phase{From: at + stall, Speed: 1})
		}
		return out
	}
	return s.at(0.6)
}
