package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/balancer"
)

// Tried is a rule of the family that `adaptive` comes from: of a few candidates, the lowest
//
//	max(average latency, age of the oldest call)^LatencyPower x (calls in flight + 1)^FlightPower
//
// It is kept so that what was tried while choosing can be tried again.
type Tried struct {
	// Random is how many candidates are drawn, Remembered how many are kept from the pick before: the best, and the second.
	Random, Remembered int
	// Rise and Fall are the time constants of the average.
	Rise, Fall time.Duration
	// LatencyPower and FlightPower are the exponents.
	LatencyPower, FlightPower float64
	// NoAge leaves the age of calls in flight out.
	NoAge bool
	// Explore is the share of picks that go to a candidate which has not answered for a second, if one was drawn.
	Explore float64
	// Fade is the time constant with which a latency without new answers falls towards 0; 0: it does not.
	Fade time.Duration
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
	stamp             int64 // of the last answer
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
)

func (t Tried) rule(clock *Clock, random *rand.Rand, servers []*Server) rule {
	return &tried{Tried: t, clock: clock, random: random, nodes: make([]triedNode, len(servers)), kept: [2]int{-1, -1}}
}

func (t *tried) pick(now int64) (int, func(balancer.DoneInfo)) {
	chosen, kept := t.choose(now)
	if t.Remembered > 0 && now-t.wrote >= remember {
		t.kept, t.wrote = kept, now
	}
	return chosen, t.nodes[chosen].begin(now, t)
}

// choose returns the server to call, and the best and the second best of the candidates; -1 for no second.
func (t *tried) choose(now int64) (chosen int, kept [2]int) {
	best, second := -1, -1
	var low, next float64
	explore, longest := t.random.Float64() < t.Explore, unheard
	forced := -1
	for _, i := range t.candidates() {
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

func (t *tried) candidates() []int {
	n := len(t.nodes)
	var out []int
	if n <= t.Random+t.Remembered {
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
	for len(out) < t.Random+t.Remembered {
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
	if t.Fade > 0 {
		latency *= math.Exp(-float64(now-n.stamp) / float64(t.Fade))
	}
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
	constant := t.Fall
	if latency > n.average {
		constant = t.Rise
	}
	keep := math.Exp(-float64(now-n.stamp) / float64(constant))
	if n.average == 0 {
		keep = 0
	}
	n.average = n.average*keep + latency*(1-keep)
	n.stamp = now
}

// Attempts are the rules that were tried, by what is special about each; the first is what was chosen.
func Attempts() []Contender {
	chosen := Tried{
		Random: 3, Remembered: 2, Rise: time.Second, Fall: 500 * ms, LatencyPower: 1.25, FlightPower: 1, Explore: 1.0 / 128,
	}
	var out []Contender
	add := func(name string, change func(*Tried)) {
		t := chosen
		change(&t)
		out = append(out, byRule(name, t.rule))
	}
	add("as chosen", func(*Tried) {})
	add("5 random, none remembered", func(t *Tried) { t.Random, t.Remembered = 5, 0 })
	add("4 random, the best remembered", func(t *Tried) { t.Random, t.Remembered = 4, 1 })
	add("2 random, none remembered", func(t *Tried) { t.Random, t.Remembered = 2, 0 })
	add("latency ^ 1", func(t *Tried) { t.LatencyPower = 1 })
	add("latency ^ 1.5", func(t *Tried) { t.LatencyPower = 1.5 })
	add("latency ^ 2", func(t *Tried) { t.LatencyPower = 2 })
	add("(in flight + 1) ^ 2", func(t *Tried) { t.FlightPower = 2 })
	add("(in flight + 1) ^ 3", func(t *Tried) { t.FlightPower = 3 })
	add("without the age", func(t *Tried) { t.NoAge = true })
	add("no exploring", func(t *Tried) { t.Explore = 0 })
	add("exploring 1 of 32", func(t *Tried) { t.Explore = 1.0 / 32 })
	add("exploring 1 of 512", func(t *Tried) { t.Explore = 1.0 / 512 })
	add("fading in 10 s instead of exploring", func(t *Tried) { t.Explore, t.Fade = 0, 10*time.Second })
	add("rise and fall 0.1 s", func(t *Tried) { t.Rise, t.Fall = 100*ms, 100*ms })
	add("rise and fall 0.3 s", func(t *Tried) { t.Rise, t.Fall = 300*ms, 300*ms })
	add("rise 1 s, fall 3 s", func(t *Tried) { t.Fall = 3 * time.Second })
	add("rise 3 s", func(t *Tried) { t.Rise = 3 * time.Second })
	add("rise and fall 10 s", func(t *Tried) { t.Rise, t.Fall = 10*time.Second, 10*time.Second })
	return out
}
