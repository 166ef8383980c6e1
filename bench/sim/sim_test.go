package sim

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// The simulated servers do what queueing theory says of them (M/M/1 and Erlang's C).
func TestServersQueueAsTheoryHasIt(t *testing.T) {
	for _, c := range []struct {
		name    string
		workers int
		load    float64
		wait    float64 // mean time in the queue, in service times
	}{
		{"M/M/1", 1, 0.7, 0.7 / 0.3},
		{"M/M/8", 8, 0.8, erlangC(8, 0.8) / (8 * 0.2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Scenario{Servers: 1, Workers: c.workers, Service: exponential(10 * ms), Mean: 10 * ms, Clients: 1}
			s = s.at(c.load)
			s.Length = time.Duration(1e5 / s.Peak * float64(time.Second))
			r := Run(s, byRule("", newRoundRobin), 1)
			var sum time.Duration
			for _, l := range r.latency {
				sum += l
			}
			mean := float64(sum)/float64(r.Calls()) - float64(2*oneWay)
			want := float64(10*ms) * (1 + c.wait)
			if math.Abs(mean/want-1) > 0.05 {
				t.Errorf("mean latency %v, want %v within 5 %%", time.Duration(mean), time.Duration(want))
			}
		})
	}
}

// erlangC is the probability to wait with n workers.
func erlangC(n int, load float64) float64 {
	a, sum, term := float64(n)*load, 0.0, 1.0
	for k := range n {
		if k > 0 {
			term *= a / float64(k)
		}
		sum += term
	}
	last := term * a / float64(n) / (1 - load)
	return last / (sum + last)
}

func TestServiceCrossesPhases(t *testing.T) {
	s := &Server{clock: newClock(), phases: []Phase{
		{Speed: 1}, {From: 10 * ms, Speed: 0}, {From: 20 * ms, Speed: 0.5},
	}}
	for _, c := range []struct{ work, end time.Duration }{
		{5 * ms, 5 * ms}, {10 * ms, 10 * ms}, {12 * ms, 24 * ms},
	} {
		if got := time.Duration(s.finish(float64(c.work)) - float64(origin)); got != c.end {
			t.Errorf("work of %v ends at %v, want %v", c.work, got, c.end)
		}
	}
	s.phases = append(s.phases, Phase{From: 30 * ms, Speed: 0})
	if got := s.finish(float64(20 * ms)); !math.IsInf(got, 1) {
		t.Errorf("a server that stands still for good ends at %v", time.Duration(got))
	}
}

func TestClockRunsInOrder(t *testing.T) {
	c := newClock()
	random := rand.New(rand.NewPCG(1, 1))
	var last int64
	n := 0
	for range 1000 {
		at := origin + random.Int64N(500)
		c.at(at, func() {
			n++
			if c.now != at || at < last {
				t.Errorf("the event of %d came at %d, after one of %d", at, c.now, last)
			}
			last = at
		})
	}
	stopped := c.AfterFunc(10, func() { t.Error("a stopped timer fired") })
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop must tell whether it was in time")
	}
	c.run(origin + 1000)
	if n != 1000 {
		t.Errorf("%d events of 1000", n)
	}
}
