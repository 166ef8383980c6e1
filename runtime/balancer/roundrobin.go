package balancer

import (
	"google.golang.org/grpc/balancer"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// roundRobin picks each target in turn. The turn is the channel's, so that a fresh picker goes on where the last one
// stopped; it begins at random, lest all clients of a restarted fleet begin with the same server. A caller that is alone
// gets the targets strictly in turn; callers that collide each go round on their own.
type roundRobin struct {
	targets []target
	size    divisor
	turn    *stripe.Sequence
}

func newRoundRobin(targets []target, turn *stripe.Sequence) *roundRobin {
	return &roundRobin{targets: targets, size: newDivisor(len(targets)), turn: turn}
}

// Pick implements [balancer.Picker].
func (r *roundRobin) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{SubConn: r.targets[r.size.mod(r.turn.Next())].sc}, nil
}
