package balancer

import (
	"math"
	"sync/atomic"

	"github.com/goresilient/goresilient/runtime/balancer/internal/outlier"
)

// load is what a channel knows of the calls to one endpoint: those in flight, and how earlier ones went. It fills a cache
// line, which is all that a pick reads of an endpoint. All methods may be called concurrently, none blocks.
//
// Calls are counted in generations if they are timed, by themselves otherwise.
//
// The age of the oldest timed call in flight is approximated by two generations of calls. One accepts, the other drains: once the
// draining one is empty, the next call begins a new generation and the other one drains. Every call in the draining
// generation began after it did, so the age that this gives is never too low. It is too high by at most the time for which
// the generation accepted, and it accepted no call for longer than the longest call of the generation before it ran.
type load struct {
	latency                      // and the calls in flight that no generation counts
	generations [2]atomic.Uint64 // since<<countBits | calls in flight; the one that began later accepts
	trouble     average          // share of failures among the calls of late
	share       atomic.Uint32

	// What outlier detection counts.
	streak          atomic.Uint32 // failures in a row
	calls, failures atomic.Uint32 // that have ended since the last sample
	elapsed         atomic.Uint64 // how long those that were timed and succeeded took, in nanoseconds
}

const (
	countBits = 24
	countMask = 1<<countBits - 1
	// ageUnit is the log2 of the unit of a generation's beginning in nanoseconds, 131 µs. 40 bits of it last 4.5 years.
	ageUnit = 17
	// fullShare is the share of an endpoint that takes as many calls as any other.
	fullShare = math.MaxUint32
)

func newLoad() *load {
	l := new(load)
	l.share.Store(fullShare)
	return l
}

// inFlight returns the number of calls that run.
func (l *load) inFlight() int64 {
	return int64(l.untimed.Load()) + int64(l.generations[0].Load()&countMask) + int64(l.generations[1].Load()&countMask)
}

// begin counts a call that begins now. end must be given what it returns.
func (l *load) begin(now int64) *atomic.Uint64 {
	accepting, draining := &l.generations[0], &l.generations[1]
	a, d := accepting.Load(), draining.Load()
	if int64(d-a) > 0 {
		accepting, draining, a, d = draining, accepting, d, a
	}
	switch {
	case a&countMask == 0 && d&countMask == 0:
		if accepting.CompareAndSwap(a, since(now)|1) {
			return accepting
		}
	case d&countMask == 0:
		accepting = draining
		if accepting.CompareAndSwap(d, since(now)|1) {
			return accepting
		}
	}
	// Where another call has begun the generation at the same moment, this one joins it.
	accepting.Add(1)
	return accepting
}

// end takes a call out that begin has counted in g.
func (l *load) end(g *atomic.Uint64) { g.Add(math.MaxUint64) }

// since returns now as the beginning of a generation.
func since(now int64) uint64 { return uint64(now) >> ageUnit << countBits }

// state returns the number of calls that run and the age of the oldest timed one in nanoseconds, 0 if there is none.
func (l *load) state(now int64) (inFlight, age int64) {
	a, b := l.generations[0].Load(), l.generations[1].Load()
	inFlight = int64(a&countMask+b&countMask) + int64(l.untimed.Load())
	if (a|b)&countMask == 0 {
		return inFlight, 0
	}
	// The oldest call is in the generation that began first, of those that have calls.
	ageA, ageB := int64(since(now)-a&^countMask), int64(since(now)-b&^countMask)
	if a&countMask == 0 {
		ageA = 0
	}
	if b&countMask == 0 {
		ageB = 0
	}
	return inFlight, max(ageA, ageB, 0) >> countBits << ageUnit
}

// count notes how a call has ended, for outlier detection. It returns the failures in a row.
func (l *load) count(failed bool, elapsed int64) (streak uint32) {
	l.calls.Add(1)
	if failed {
		l.failures.Add(1)
		return l.streak.Add(1)
	}
	if elapsed > 0 {
		l.elapsed.Add(uint64(elapsed))
	}
	if l.streak.Load() != 0 {
		l.streak.Store(0)
	}
	return 0
}

// sample returns what was counted since the last time, and begins anew. Calls that end at this moment may be torn between
// two samples.
func (l *load) sample() outlier.Sample {
	s := outlier.Sample{Failures: l.failures.Swap(0), Calls: l.calls.Swap(0), Streak: l.streak.Load()}
	elapsed := l.elapsed.Swap(0)
	s.Failures = min(s.Failures, s.Calls)
	if n := s.Calls - s.Failures; n > 0 {
		s.Latency = float32(float64(elapsed) / float64(n))
	}
	return s
}
