package balancer

import (
	"context"
	"math"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/attempt"
)

// adaptive chooses, of several candidates, the one with the lowest
//
//	max(average latency, age of the oldest call in flight)^1.25 × (calls in flight + 1)
//
// The age makes an endpoint that has stopped answering expensive before the first of its calls has ended. Failures raise the
// cost; see [load.failing]. An endpoint that was never called is called first; until it answers, its latency counts as the mean
// of those that it is compared with: it is neither flooded nor left out.
//
// Every so often a pick compares many candidates, all if they are few enough, and remembers the best and the runner-up; see
// [adaptive.survey]. The picks in between compare these two and three that are drawn at random (Mitzenmacher, Prabhakar and Shah, "Load
// balancing with memory", 2002). A client that calls at a low rate compares all each time, and one that calls at a high rate pays
// for few.
//
// An average moves with calls alone, so that an endpoint that was slow would be left alone for ever. One pick in 512 therefore
// explores: it goes to the candidate that has not been measured for longest, if that is a second or more.
type adaptive struct {
	lot
	smoothing smoothing
	lightness []float32 // of each target, weight^-flightPower; nil: all weights are equal
	memory    memory
}

const (
	adaptiveChoices = 5
	// adaptiveRise and adaptiveFall are the time constants of the average while there is no change; see [latency].
	adaptiveRise = 10 * time.Second
	adaptiveFall = 4 * time.Second
	// adaptiveForget is the time constant with which failures fade.
	adaptiveForget = 10 * time.Second
	// flightPower is that of calls in flight. To raise both factors of the cost to it leaves the latency as it is.
	flightPower = 1 / 1.25
	// unheard is for how long the latency of an endpoint has not been measured that is worth exploring, in units of an average.
	unheard = int32(int64(time.Second) >> stampUnit)
	// unforgiven is for how long after a failure an endpoint is not explored.
	unforgiven = 4 * unheard
	// exploreBits is the log2 of how many picks there are for one that explores.
	exploreBits = 9
	// unknownLatency stands for the mean where none of the candidates has answered yet, in nanoseconds.
	unknownLatency = 1e6
)

func adaptiveSmoothing() smoothing {
	return smoothing{
		rise:   rateOf(float64(adaptiveRise)),
		fall:   rateOf(float64(adaptiveFall)),
		forget: rateOf(float64(adaptiveForget)),
	}
}

func newAdaptive(l lot) *adaptive {
	a := &adaptive{lot: l, smoothing: adaptiveSmoothing()}
	if l.weights != nil {
		a.lightness = make([]float32, len(l.targets))
		for i, w := range l.weights.weights {
			a.lightness[i] = float32(math.Pow(float64(w), -flightPower))
		}
	}
	return a
}

// keyOf returns what candidate k costs, with its number in the low half. latency and age, in nanoseconds, are bits of a
// float32. Costs are not negative, and in the order of their bits: which is the lowest, which nobody can predict, is found without a
// branch. Of equal costs the first counts.
func keyOf(k int, latency, age uint32, factor float32) uint64 {
	cost := math.Float32frombits(max(latency, age)) * factor
	return uint64(math.Float32bits(cost))<<32 | uint64(k)
}

func (a *adaptive) choose(now int64, _ context.Context, _ *attempt.Record) *target {
	if len(a.targets) == 1 {
		return &a.targets[0]
	}
	if len(a.targets) > adaptiveChoices && a.memory.claim(now) {
		return &a.targets[a.survey(now)]
	}
	var drawn [maxCandidates]int32
	var costs [maxCandidates]uint64
	n, bits := a.draw(&drawn)
	lowest := a.compare(now, drawn[:n], costs[:n])
	best := drawn[lowest&15]
	if bits>>(64-exploreBits) == 0 {
		best = a.explore(now, drawn[:n], best)
	}
	return &a.targets[best]
}

// compare fills in the keys of the candidates, and returns the lowest.
func (a *adaptive) compare(now int64, drawn []int32, costs []uint64) uint64 {
	known := 0
	lowest := uint64(math.MaxUint64)
	for k, i := range drawn {
		l := a.targets[i].load
		calls, age := l.state(now)
		factor := flightFactor(calls)
		if a.lightness != nil || l.trouble.any() {
			factor *= a.burden(i, now)
		}
		latency := l.latency.bits()
		if latency != 0 {
			known++
		}
		key := keyOf(k, latency, math.Float32bits(float32(age)), factor)
		costs[k] = key
		lowest = min(lowest, key)
	}
	if known < len(drawn) {
		return a.compareUnknown(now, drawn, costs)
	}
	return lowest
}

// burden returns by how much the failures of target i raise its cost, and its weight lowers it.
func (a *adaptive) burden(i int32, now int64) float32 {
	factor := a.targets[i].load.failing(now, a.smoothing.forget)
	if a.lightness != nil {
		factor *= a.lightness[i]
	}
	return factor
}

// compareUnknown compares once more: a candidate without a latency costs nothing if it was never called, and has the mean latency
// of the others if it has calls in flight or has failed.
func (a *adaptive) compareUnknown(now int64, drawn []int32, costs []uint64) uint64 {
	mean, known := float32(unknownLatency), float32(0)
	var sum float32
	for _, i := range drawn {
		if latency := a.targets[i].load.latency.last(); latency != 0 {
			sum += latency
			known++
		}
	}
	if known > 0 {
		mean = sum / known
	}
	lowest := uint64(math.MaxUint64)
	for k, i := range drawn {
		l := a.targets[i].load
		latency := l.latency.bits()
		calls, age := l.state(now)
		if latency == 0 && (calls != 0 || l.trouble.any()) {
			latency = math.Float32bits(mean)
		}
		costs[k] = keyOf(k, latency, math.Float32bits(float32(age)), flightFactor(calls)*a.burden(i, now))
		lowest = min(lowest, costs[k])
	}
	return lowest
}

// explore returns the candidate that has not been measured for longest, or the best if there is none that is worth it. One that
// failed of late is given more time.
func (a *adaptive) explore(now int64, drawn []int32, best int32) int32 {
	longest := unheard
	for _, i := range drawn {
		l := a.targets[i].load
		latency, trouble := l.latency.read(now), l.trouble.read(now)
		if trouble.value != 0 && trouble.units < unforgiven {
			continue
		}
		if latency.value != 0 && latency.units > longest && l.inFlight() == 0 {
			best, longest = i, latency.units
		}
	}
	return best
}

// draw fills in the candidates and returns how many, and random bits that served for nothing else. What is remembered comes
// last: among equals, a target that is drawn at random comes first.
func (a *adaptive) draw(out *[maxCandidates]int32) (n int, bits uint64) {
	if len(a.targets) <= adaptiveChoices {
		return a.candidates(out, len(a.targets))
	}
	first, second := a.remembered()
	wanted := adaptiveChoices
	if first >= 0 {
		wanted--
	}
	if second >= 0 {
		wanted--
	}
	n, bits = a.candidates(out, wanted)
	if first >= 0 {
		out[n] = first
		n++
	}
	if second >= 0 {
		out[n] = second
		n++
	}
	return n, bits
}

const flightTable = 64

// flightFactors are the first powers of (calls in flight + 1).
var flightFactors = func() (f [flightTable]float32) {
	for i := range f {
		f[i] = float32(math.Pow(float64(i+1), flightPower))
	}
	return f
}()

func flightFactor(calls int64) float32 {
	if calls < flightTable {
		return flightFactors[calls&(flightTable-1)]
	}
	return manyFlights(calls)
}

//go:noinline
func manyFlights(calls int64) float32 { return float32(math.Pow(float64(calls+1), flightPower)) }
