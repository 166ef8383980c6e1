package balancer

import "google.golang.org/grpc/balancer"

// leastRequest picks, of a few targets drawn at random, the one with the fewest calls of this client in flight
// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
type leastRequest struct {
	targets []target
	choices int
	random  func() uint64
}

func newLeastRequest(targets []target, choices int, random func() uint64) *leastRequest {
	return &leastRequest{targets: targets, choices: choices, random: random}
}

// Pick implements [balancer.Picker].
func (l *leastRequest) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	var t *target
	switch n := len(l.targets); {
	case n == 1:
		t = &l.targets[0]
	case n <= l.choices:
		t = l.all(n)
	case l.choices == 2:
		t = l.two(n)
	default:
		t = l.some(n)
	}
	t.e.inFlight.Add(1)
	return balancer.PickResult{SubConn: t.sc, Done: t.e.done}, nil
}

// two compares two targets that are never the same.
func (l *leastRequest) two(n int) *target {
	r := l.random()
	i, j := scale(uint32(r>>32), n), scale(uint32(r), n-1)
	if j >= i {
		j++
	}
	return less(&l.targets[i], &l.targets[j])
}

// some compares several targets, of which some may be the same.
func (l *leastRequest) some(n int) *target {
	r := l.random()
	best := &l.targets[scale(uint32(r>>32), n)]
	for drawn := 1; drawn < l.choices; drawn++ {
		if drawn%2 == 0 {
			r = l.random()
			best = less(best, &l.targets[scale(uint32(r>>32), n)])
		} else {
			best = less(best, &l.targets[scale(uint32(r), n)])
		}
	}
	return best
}

// all compares all targets. It begins at random: among equals the first is taken.
func (l *leastRequest) all(n int) *target {
	i := scale(uint32(l.random()>>32), n)
	best := &l.targets[i]
	for range n - 1 {
		if i++; i == n {
			i = 0
		}
		best = less(best, &l.targets[i])
	}
	return best
}

// less returns the target with fewer calls in flight, a if they have as many.
func less(a, b *target) *target {
	if b.e.inFlight.Load() < a.e.inFlight.Load() {
		return b
	}
	return a
}
