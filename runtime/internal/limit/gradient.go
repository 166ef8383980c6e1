package limit

import (
	"math"
	"sync/atomic"
	"time"
)

// The numbers of Netflix's Gradient2Limit, but for those whose comments say otherwise.
const (
	initialLimit = 20
	smoothing    = 0.2
	tolerance    = 1.5
	// longSpan is how many intervals the long average spans, and warmUp of how many it is the plain mean at first.
	longSpan = 600
	warmUp   = 10
	// leastSamples is how many calls an interval must have seen.
	leastSamples = 10
	// interval between two changes. Netflix's is 1 s by default; a tenth of it follows a server that slows down before
	// most deadlines have passed.
	interval = int64(100 * time.Millisecond)
	// risingWeight lowers the weight of a latency above the long average while the limit is in use. Netflix has no
	// such thing: under an overload that lasts, its long average takes the latency of the queue for that of the
	// server, and the limit grows with it, without end.
	risingWeight = 0.1
	// deepestCut bounds what one interval takes off the limit, by latency or by overload.
	deepestCut = 0.5
)

// gradient finds a limit from latency: the Gradient2Limit of Netflix's concurrency-limits
// (https://github.com/Netflix/concurrency-limits), with a queue of the square root of the limit, as in its GradientLimit.
// It compares the latency of an interval with the long average of it: as long as they agree, within the tolerance,
// there is no queue at the server and the limit grows by what is called the queue size; where calls have become slower
// it shrinks in proportion.
type gradient struct {
	limit   float64
	long    float64 // average latency, in microseconds
	updates int     // up to warmUp
}

// sample is what an interval has shown.
type sample struct {
	calls, drops uint64  // calls with a latency, and those turned away
	latency      float64 // mean, in microseconds
	mostRunning  uint64
}

// update moves the limit, unclamped, by what an interval has shown.
func (g *gradient) update(s sample) {
	inUse := float64(s.mostRunning) >= g.limit/2
	if s.calls > 0 {
		g.average(s.latency, inUse)
	}
	switch {
	case s.drops > 0:
		// The server says so itself. Netflix's Gradient2Limit does not listen; its AIMDLimit takes off a tenth.
		share := float64(s.drops) / float64(s.drops+s.calls)
		g.limit *= max(deepestCut, 1-share)
	case s.calls > 0 && inUse: // a limit that is not reached would grow whatever the server can bear
		slope := max(deepestCut, min(1, tolerance*g.long/s.latency))
		g.limit += smoothing * (g.limit*slope + math.Sqrt(g.limit) - g.limit)
	}
}

// average moves the long average, and faster where latency has fallen by half.
func (g *gradient) average(latency float64, inUse bool) {
	if g.updates < warmUp {
		g.updates++
		g.long += (latency - g.long) / float64(g.updates)
	} else {
		weight := 2. / (longSpan + 1)
		if inUse && latency > g.long {
			weight *= risingWeight
		}
		g.long += weight * (latency - g.long)
	}
	if g.long > 2*latency {
		g.long *= 0.95
	}
}

// clamp brings the limit between the bounds and returns it.
func (g *gradient) clamp(cfg *Config) int {
	g.limit = min(max(g.limit, float64(cfg.AdaptiveMin)), float64(cfg.AdaptiveMax))
	return int(g.limit)
}

// samples gathers calls until the next change.
type samples struct {
	until atomic.Int64
	// sum holds the latencies in its high 44 bits, in microseconds, and how many there are in its low 20 bits.
	sum         atomic.Uint64
	drops       atomic.Uint64
	mostRunning atomic.Uint64
}

const (
	sampleBits = 20
	sampleMask = 1<<sampleBits - 1
	// mostSamples of an interval are looked at, and of each no more than longest, so that no half of sum overflows.
	mostSamples = sampleMask / 2
	longest     = 16 * time.Second
)

// add takes in a call, and tells whether it is time to change the limit.
func (s *samples) add(now int64, took time.Duration, o Outcome, running uint64) bool {
	if running > s.mostRunning.Load() {
		s.mostRunning.Store(running) // two callers may meet here; the next of them makes it good
	}
	sum := s.sum.Load()
	if o == Dropped {
		s.drops.Add(1)
	} else if sum&sampleMask < mostSamples {
		micros := uint64(min(max(took, time.Microsecond), longest) / time.Microsecond)
		sum = s.sum.Add(micros<<sampleBits | 1)
	}
	return now >= s.until.Load() && s.enough(sum)
}

func (s *samples) enough(sum uint64) bool {
	return sum&sampleMask+s.drops.Load() >= leastSamples
}

// adapt changes the limit by what the interval has shown. Of callers that find it over, one does.
func (l *Limiter) adapt(now int64) {
	s := &l.samples
	until := s.until.Load()
	if now < until || !s.until.CompareAndSwap(until, now+interval) {
		return
	}
	sum := s.sum.Swap(0)
	seen := sample{calls: sum & sampleMask, drops: s.drops.Swap(0), mostRunning: s.mostRunning.Swap(0)}
	seen.latency = float64(sum>>sampleBits) / float64(max(seen.calls, 1))
	l.mu.Lock()
	defer l.mu.Unlock()
	if cfg := l.cfg.Load(); cfg.Adaptive {
		l.gradient.update(seen)
		l.setLimit(cfg)
	}
}
