package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/balancer"
)

// Tried is a rule of the family that `adaptive` comes from: of some candidates, the lowest
//
//	max(average latency, age of the oldest call)^LatencyPower x (calls in flight + 1)^FlightPower
//
// It is kept so that what was tried while choosing can be tried again.
type Tried struct {
	// Random is how many candidates are drawn, Remembered how many are kept from earlier: the best, and the second.
	Random, Remembered int
	// Survey is how many candidates a pick has, besides, that comes 0.1 ms or more after the last such pick; 0: there are no
	// such picks, and each one a millisecond after the last remembers.
	Survey int
	// Rise and Fall are the time constants of the average, Stale that of a fall after a second without an answer; 0: Fall.
	Rise, Fall, Stale time.Duration
	// Allowed and Limit are those of the sum that tells a change, in doublings, Most is what one call adds to it at most; a Limit
	// of 0: changes are not told.
	Allowed, Limit, Most float64
	// LatencyPower and FlightPower are the exponents.
	LatencyPower, FlightPower float64
	// NoAge leaves the age of calls in flight out.
	NoAge bool
	// Explore is the share of picks that go to a candidate which has not answered for a second, if one was drawn.
	Explore float64
}

// tried carries a Tried out for one client.
type tried struct {
	Tried
	clock  *Clock
	random *rand.Rand
	nodes  []triedNode
	kept   [2]int
	wrote  int64 // when kept was last written
}

type triedNode struct {
	inFlight          int
	average           float64
	stamp             int64   // of the last answer
	calls             float64 // since the last change
	surplus           float64 // of the calls of late, in doublings
	accepting, drains generation
}

// generation is some calls that began one after the other.
type generation struct {
	number, calls int
	since         int64
}

const (
	unheard  = int64(time.Second)
	remember = int64(time.Millisecond)
	survey   = int64(100 * time.Microsecond)
)

func (t Tried) rule(clock *Clock, random *rand.Rand, servers []*Server) rule {
	return &tried{Tried: t, clock: clock, random: random, nodes: make([]triedNode, len(servers)), kept: [2]int{-1, -1}}
}

func (t *tried) pick(now int64) (int, func(balancer.DoneInfo)) {
	every := remember
	if t.Survey > 0 {
		every = survey
	}
	due := now-t.wrote >= every
	chosen, kept := t.choose(now, t.candidates(due && t.Survey > 0))
	if due {
		t.kept, t.wrote = kept, now
	}
	return chosen, t.nodes[chosen].begin(now, t)
}

// choose returns the server to call, and the best and the second best of the candidates; -1 for no second.
func (t *tried) choose(now int64, candidates []int) (chosen int, kept [2]int) {
	best, second := -1, -1
	var low, next float64
	explore, longest := t.random.Float64() < t.Explore, unheard
	forced := -1
	for _, i := range candidates {
		n := &t.nodes[i]
		if idle := now - n.stamp; explore && n.average > 0 && n.inFlight == 0 && idle > longest {
			forced, longest = i, idle
		}
		if i == best || i == second {
			continue
		}
		switch cost := t.cost(n, now); {
		case best < 0 || cost < low:
			best, low, second, next = i, cost, best, low
		case second < 0 || cost < next:
			second, next = i, cost
		}
	}
	if forced >= 0 {
		return forced, [2]int{best, second}
	}
	return best, [2]int{best, second}
}

// candidates returns those of one pick; wide is whether it surveys.
func (t *tried) candidates(wide bool) []int {
	n, random := len(t.nodes), t.Random
	if wide {
		random = max(random, t.Survey)
	}
	var out []int
	if n <= random+t.Remembered {
		first := t.random.IntN(n)
		for k := range n {
			out = append(out, (first+k)%n)
		}
		return out
	}
	for _, i := range t.kept[:t.Remembered] {
		if i >= 0 {
			out = append(out, i)
		}
	}
	for len(out) < random+t.Remembered {
		out = append(out, t.random.IntN(n))
	}
	return out
}

// cost is 0 for a server that was never called, and more than any other if it was and has not answered yet.
func (t *tried) cost(n *triedNode, now int64) float64 {
	if n.average == 0 {
		return math.MaxFloat32 * float64(n.inFlight)
	}
	latency := n.average
	if !t.NoAge && n.inFlight > 0 {
		latency = max(latency, float64(now-n.oldest()))
	}
	return math.Pow(latency, t.LatencyPower) * math.Pow(float64(n.inFlight+1), t.FlightPower)
}

// oldest returns when the oldest call in flight began, or a moment before that.
func (n *triedNode) oldest() int64 {
	if n.drains.calls > 0 {
		return n.drains.since
	}
	return n.accepting.since
}

// begin counts a call, and returns what ends it.
func (n *triedNode) begin(now int64, t *tried) func(balancer.DoneInfo) {
	n.inFlight++
	if n.drains.calls == 0 {
		n.drains = n.accepting
		n.accepting = generation{number: n.drains.number + 1, since: now}
	}
	n.accepting.calls++
	mine := n.accepting.number
	return func(info balancer.DoneInfo) {
		n.inFlight--
		if mine == n.accepting.number {
			n.accepting.calls--
		} else {
			n.drains.calls--
		}
		n.learn(t.clock.now, float64(t.clock.now-now), info.Err != nil, t)
	}
}

// learn has the average follow a latency. A failure counts as twice what the server takes.
func (n *triedNode) learn(now int64, latency float64, failed bool, t *tried) {
	if failed {
		latency = 2 * max(latency, n.average)
	}
	silent := now - n.stamp
	n.stamp = now
	if n.average == 0 {
		n.average, n.calls = latency, 1
		return
	}
	constant := t.Fall
	switch {
	case latency > n.average:
		constant = t.Rise
	case t.Stale > 0 && silent > unheard:
		constant = t.Stale
	}
	gain := 1 - math.Exp(-float64(silent)/float64(constant))
	if t.Limit > 0 {
		n.surplus = max(0, n.surplus+min(math.Log2(latency/n.average)-t.Allowed, t.Most))
		if n.surplus > t.Limit {
			n.surplus, n.calls = 0, 0
		}
		n.calls++
		gain = max(gain, 1/(n.calls+1))
	}
	n.average += (latency - n.average) * gain
}

// Attempts are the rules that were tried, by what is special about each; the first is what was chosen.
func Attempts() []Contender {
	chosen := Tried{
		Random: 3, Remembered: 2, Survey: 32,
		Rise: 10 * time.Second, Fall: 4 * time.Second, Stale: 500 * ms, Allowed: 1, Limit: 1.75, Most: 1.75,
		LatencyPower: 1.25, FlightPower: 1, Explore: 1.0 / 512,
	}
	var out []Contender
	add := func(name string, change func(*Tried)) {
		t := chosen
		change(&t)
		out = append(out, byRule(name, t.rule))
	}
	averaged := func(rise, fall time.Duration) func(*Tried) {
		return func(t *Tried) { t.Limit, t.Stale, t.Rise, t.Fall = 0, 0, rise, fall }
	}
	add("as chosen", func(*Tried) {})
	add("8 surveyed", func(t *Tried) { t.Survey = 8 })
	add("12 surveyed", func(t *Tried) { t.Survey = 12 })
	add("none surveyed: 3 random, 2 remembered", func(t *Tried) { t.Survey = 0 })
	add("none surveyed: 5 random", func(t *Tried) { t.Survey, t.Random, t.Remembered = 0, 5, 0 })
	add("none surveyed: 2 random", func(t *Tried) { t.Survey, t.Random, t.Remembered = 0, 2, 0 })
	add("a change by one call", func(t *Tried) { t.Most = 3 })
	add("changes from 1.4 times the average on", func(t *Tried) { t.Allowed = 0.5 })
	add("no changes, rise 10 s, fall 4 s", averaged(10*time.Second, 4*time.Second))
	add("no changes, rise 1 s, fall 0.5 s", averaged(time.Second, 500*ms))
	add("no changes, rise and fall 0.1 s", averaged(100*ms, 100*ms))
	add("no faster fall after silence", func(t *Tried) { t.Stale = 0 })
	add("rise and fall 3 s", func(t *Tried) { t.Rise, t.Fall = 3*time.Second, 3*time.Second })
	add("rise and fall 30 s", func(t *Tried) { t.Rise, t.Fall = 30*time.Second, 30*time.Second })
	add("latency ^ 1", func(t *Tried) { t.LatencyPower = 1 })
	add("latency ^ 1.5", func(t *Tried) { t.LatencyPower = 1.5 })
	add("latency ^ 2", func(t *Tried) { t.LatencyPower = 2 })
	add("(in flight + 1) ^ 2", func(t *Tried) { t.FlightPower = 2 })
	add("without the age", func(t *Tried) { t.NoAge = true })
	add("no exploring", func(t *Tried) { t.Explore = 0 })
	add("exploring 1 of 128", func(t *Tried) { t.Explore = 1.0 / 128 })
	add("exploring 1 of 2048", func(t *Tried) { t.Explore = 1.0 / 2048 })
	add("before: none surveyed, no changes, 1 s and 0.5 s, exploring 1 of 128", func(t *Tried) {
		averaged(time.Second, 500*ms)(t)
		t.Survey, t.Explore = 0, 1.0/128
	})
	return out
}
