package sim

import (
	"math/rand/v2"

	"google.golang.org/grpc/balancer"
)

// roundRobin is grpc's round_robin: each in turn, from a random start.
type roundRobin struct{ n, next int }

func newRoundRobin(_ *Clock, random *rand.Rand, servers []*Server) rule {
	n := max(1, len(servers))
	return &roundRobin{n, random.IntN(n)}
}

func (r *roundRobin) pick(int64) (int, func(balancer.DoneInfo)) {
	r.next = (r.next + 1) % r.n
	return r.next, nil
}
