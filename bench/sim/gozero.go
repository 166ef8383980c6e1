package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// goZero is the p2c of go-zero 1.10: of two, the lower of sqrt(average latency) x (in flight + 1); the other one if it was
// not picked for a second. Of up to three pairs, the first in which both have mostly succeeded is taken.
type goZero struct {
	clock  *Clock
	random *rand.Rand
	nodes  []goZeroNode
}

type goZeroNode struct {
	lag, success float64
	inFlight     int
	last, picked int64
}

const (
	goZeroDecay = float64(10 * time.Second)
	goZeroForce = int64(time.Second)
	goZeroGood  = 1000
)

func newGoZero(clock *Clock, random *rand.Rand, servers []*Server) rule {
	g := &goZero{clock, random, make([]goZeroNode, len(servers))}
	for i := range g.nodes {
		g.nodes[i].success = goZeroGood
	}
	return g
}

func (g *goZero) pick(now int64) (int, func(balancer.DoneInfo)) {
	i, j := 0, min(1, len(g.nodes)-1)
	if len(g.nodes) > 2 {
		for range 3 {
			i, j = two(g.random, len(g.nodes))
			if g.nodes[i].healthy() && g.nodes[j].healthy() {
				break
			}
		}
	}
	if g.nodes[i].load() > g.nodes[j].load() {
		i, j = j, i
	}
	if i != j && now-g.nodes[j].picked > goZeroForce {
		i = j
	}
	n := &g.nodes[i]
	n.picked = now
	n.inFlight++
	return i, func(info balancer.DoneInfo) { n.done(now, g.clock.now, info.Err) }
}

func (n *goZeroNode) healthy() bool { return n.success > goZeroGood/2 }

func (n *goZeroNode) load() float64 {
	lag := math.Floor(math.Sqrt(n.lag + 1))
	return lag * float64(n.inFlight+1)
}

func (n *goZeroNode) done(start, now int64, err error) {
	n.inFlight--
	w := math.Exp(-float64(now-n.last) / goZeroDecay)
	n.last = now
	if n.lag == 0 {
		w = 0
	}
	n.lag = math.Floor(n.lag*w + float64(now-start)*(1-w))
	success := float64(goZeroGood)
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Internal, codes.Unavailable, codes.DataLoss, codes.Unimplemented,
		codes.ResourceExhausted:
		success = 0
	}
	n.success = math.Floor(n.success*w + success*(1-w))
}
