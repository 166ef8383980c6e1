package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/balancer"
)

// finagle is p2c over peak EWMA, as Finagle has it: the cost of a node jumps to a latency that is above it, decays with time
// whenever it is looked at, and counts once for each call in flight and for the one to come. A node that has calls but no
// latency yet is passed over.
type finagle struct {
	clock  *Clock
	random *rand.Rand
	nodes  []finagleNode
}

type finagleNode struct {
	stamp   int64
	pending int
	cost    float64
}

const (
	finagleDecay   = float64(10 * time.Second)
	finaglePenalty = float64(math.MaxInt64 >> 16)
)

func newFinagle(clock *Clock, random *rand.Rand, servers []*Server) rule {
	f := &finagle{clock, random, make([]finagleNode, len(servers))}
	for i := range f.nodes {
		f.nodes[i].stamp = clock.now
	}
	return f
}

func (f *finagle) pick(now int64) (int, func(balancer.DoneInfo)) {
	i, j := two(f.random, len(f.nodes))
	if f.nodes[j].load(now) < f.nodes[i].load(now) {
		i = j
	}
	n := &f.nodes[i]
	n.pending++
	return i, func(balancer.DoneInfo) {
		n.pending--
		n.observe(f.clock.now, float64(f.clock.now-now))
	}
}

func (n *finagleNode) observe(now int64, latency float64) {
	if latency > n.cost {
		n.cost = latency
	} else {
		w := math.Exp(-float64(now-n.stamp) / finagleDecay)
		n.cost = n.cost*w + latency*(1-w)
	}
	n.stamp = now
}

func (n *finagleNode) load(now int64) float64 {
	n.observe(now, 0)
	if n.cost == 0 && n.pending > 0 {
		return finaglePenalty + float64(n.pending)
	}
	return n.cost * float64(n.pending+1)
}
