package balancer

import (
	"context"
	"math/bits"

	"google.golang.org/grpc/balancer"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// roundRobin chooses each target in turn. The turn is the channel's, so that a fresh picker goes on where the last one
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

func (r *roundRobin) choose(int64, context.Context, *attempt.Record) *target {
	return &r.targets[r.size.mod(r.turn.Next())]
}

// turns is a picker of round_robin that measures nothing, with the shortest way to a target. An attempt with a record takes
// the usual way.
type turns struct {
	roundRobin
	picker *picker
}

// Pick implements [balancer.Picker].
func (r *turns) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if r.picker.ch.records.Load() {
		return r.picker.Pick(info)
	}
	return balancer.PickResult{SubConn: r.targets[r.size.mod(r.turn.Next())].sc}, nil
}

// divisor takes remainders without dividing (Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019).
type divisor struct {
	n       uint64
	inverse uint64 // 2^64 / n, rounded up
}

func newDivisor(n int) divisor { return divisor{n: uint64(n), inverse: ^uint64(0)/uint64(n) + 1} }

// mod returns x modulo n.
func (d divisor) mod(x uint32) uint32 {
	hi, _ := bits.Mul64(d.inverse*uint64(x), d.n)
	return uint32(hi)
}
