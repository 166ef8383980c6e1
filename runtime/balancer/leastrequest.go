package balancer

import (
	"context"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
)

// leastRequest chooses, of a few targets drawn at random, the one with the fewest calls of this client in flight
// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). Endpoints of different weight are drawn,
// and their calls counted, in proportion to it.
type leastRequest struct{ lot }

func (l *leastRequest) choose(int64, context.Context, *attempt.Record) *target {
	if l.size == 2 && len(l.targets) > 2 && l.plain() {
		i, j := l.pair()
		a, b := &l.targets[i], &l.targets[j]
		if b.load.inFlight() < a.load.inFlight() {
			return b
		}
		return a
	}
	if len(l.targets) == 1 {
		return &l.targets[0]
	}
	var drawn [maxCandidates]int32
	n, _ := l.candidates(&drawn, l.size)
	best := int(drawn[0])
	load := l.targets[best].load.inFlight()
	for _, i := range drawn[1:n] {
		i := int(i)
		if calls := l.targets[i].load.inFlight(); l.lighter(i, calls, best, load) {
			best, load = i, calls
		}
	}
	return &l.targets[best]
}

// lighter tells whether target i with a calls in flight bears less for its weight than target j with b.
func (l *leastRequest) lighter(i int, a int64, j int, b int64) bool {
	if l.weights == nil {
		return a < b
	}
	return a*int64(l.weights.weights[j]) < b*int64(l.weights.weights[i])
}
