package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// kratos is the p2c of Kratos 2.8: of two, the higher of success / (sqrt(latency + 5 ms) x (in flight + 1)), where latency is
// the larger of the average and the mean age of the calls in flight that are older than it, if most are. Weights are kept
// for 5 ms; the other one is picked if it was not for three seconds.
type kratos struct {
	clock  *Clock
	random *rand.Rand
	nodes  []kratosNode
}

type kratosNode struct {
	lag, success float64
	inFlight     int // and one
	starts       [200]int64
	requests     int
	stamp        int64
	picked       int64
	weight       float64
	weighed      int64
}

const (
	kratosDecay   = float64(600 * time.Millisecond)
	kratosForce   = int64(3 * time.Second)
	kratosKeep    = int64(5 * time.Millisecond)
	kratosAdded   = float64(5 * time.Millisecond)
	kratosPenalty = float64(100 * time.Microsecond)
	kratosGood    = 1000
)

func newKratos(clock *Clock, random *rand.Rand, servers []*Server) rule {
	k := &kratos{clock, random, make([]kratosNode, len(servers))}
	for i := range k.nodes {
		k.nodes[i].success, k.nodes[i].inFlight = kratosGood, 1
	}
	return k
}

func (k *kratos) pick(now int64) (int, func(balancer.DoneInfo)) {
	i, j := two(k.random, len(k.nodes))
	if k.nodes[j].value(now) > k.nodes[i].value(now) {
		i, j = j, i
	}
	if i != j && now-k.nodes[j].picked > kratosForce {
		i = j
	}
	n := &k.nodes[i]
	n.picked = now
	n.inFlight++
	n.requests++
	slot := &n.starts[n.requests%len(n.starts)]
	if *slot == 0 {
		*slot = now
	} else {
		slot = nil
	}
	return i, func(info balancer.DoneInfo) {
		if slot != nil {
			*slot = 0
		}
		n.done(now, k.clock.now, info.Err)
	}
}

func (n *kratosNode) value(now int64) float64 {
	if n.weighed == 0 || now-n.weighed > kratosKeep {
		n.weight, n.weighed = n.success/n.load(now), now
	}
	return n.weight
}

func (n *kratosNode) load(now int64) float64 {
	if n.lag == 0 {
		return kratosPenalty * float64(n.inFlight)
	}
	lag := max(n.lag, n.predict(now)) + kratosAdded
	return math.Floor(math.Sqrt(lag)) * float64(n.inFlight)
}

// predict returns the mean age of the calls in flight that are older than the average latency, if most are.
func (n *kratosNode) predict(now int64) float64 {
	var sum float64
	var slow, all int
	if n.inFlight == 1 {
		return 0
	}
	for _, start := range n.starts {
		if start == 0 {
			continue
		}
		all++
		if age := float64(now - start); age > n.lag {
			slow++
			sum += age
		}
	}
	if slow < all/2+1 {
		return 0
	}
	return sum / float64(slow)
}

func (n *kratosNode) done(start, now int64, err error) {
	n.inFlight--
	w := math.Exp(-float64(now-n.stamp) / kratosDecay)
	n.stamp = now
	if n.lag == 0 {
		w = 0
	}
	n.lag = math.Floor(n.lag*w + float64(now-start)*(1-w))
	success := float64(kratosGood)
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		success = 0
	}
	n.success = math.Floor(n.success*w + success*(1-w))
}
