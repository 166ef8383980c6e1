package balancer

import (
	"context"
	"math"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
)

// peakEwma chooses, of two targets drawn at random, the one with the lower latency × (calls in flight + 1), where the average
// latency jumps to a peak at once and falls with a time constant, also while nothing is measured (Finagle's Peak EWMA).
//
// A peak is that of the calls that are timed, one a millisecond at each endpoint: whatever holds up a server holds up these too.
//
// An endpoint that has not answered yet gets one call at a time, as in Finagle: it costs unanswered. What Finagle does not have:
// failures raise the cost; see [load.failing].
type peakEwma struct {
	lot
	smoothing smoothing
}

const peakChoices = 2

// unanswered is the cost of a call to an endpoint that has not answered yet, in nanoseconds: more than that of any that has.
const unanswered = 1 << 60

func peakSmoothing(decay time.Duration) smoothing {
	r := rateOf(float64(decay))
	return smoothing{fall: r, forget: r}
}

func (p *peakEwma) choose(now int64, _ context.Context, _ *attempt.Record) *target {
	if len(p.targets) == 1 {
		return &p.targets[0]
	}
	var i, j int
	if p.plain() {
		i, j = p.pair()
	} else {
		var drawn [maxCandidates]int32
		n, _ := p.candidates(&drawn, p.size)
		i, j = int(drawn[0]), int(drawn[n-1])
	}
	// Nobody can predict which is lower: this compares without a branch. Costs are not negative, and in the order of their bits.
	lower := min(uint64(math.Float32bits(p.cost(now, i)))<<32|uint64(i), uint64(math.Float32bits(p.cost(now, j)))<<32|uint64(j))
	return &p.targets[uint32(lower)]
}

// cost returns what another call to target i costs.
func (p *peakEwma) cost(now int64, i int) float32 {
	l := p.targets[i].load
	calls, failing := float32(l.inFlight()), float32(1)
	if l.trouble.any() {
		failing = l.failing(now, p.smoothing.forget)
	}
	cost := l.latency.read(now).at(p.smoothing.fall) * (calls + 1) * failing
	if cost == 0 && (calls != 0 || failing != 1) {
		cost = unanswered * (calls + failing)
	}
	if p.weights != nil {
		cost = p.perWeight(cost, i)
	}
	return cost
}
