package sim

import (
	"math/rand/v2"

	"google.golang.org/grpc/balancer"
)

// leastLoaded is the power of two choices over the calls of this client in flight (Mitzenmacher).
type leastLoaded struct {
	random   *rand.Rand
	inFlight []int
}

func newLeastLoaded(_ *Clock, random *rand.Rand, servers []*Server) rule {
	return &leastLoaded{random, make([]int, len(servers))}
}

func (l *leastLoaded) pick(int64) (int, func(balancer.DoneInfo)) {
	i, j := two(l.random, len(l.inFlight))
	if l.inFlight[j] < l.inFlight[i] {
		i = j
	}
	l.inFlight[i]++
	return i, func(balancer.DoneInfo) { l.inFlight[i]-- }
}
