// Package latency learns how long the attempts of a method take.
//
//	var h latency.Histogram
//	p95 := latency.NewCached(&h, 0.95)
//	h.Record(took)
//	if delay, ok := p95.Delay(now); ok {
//		// an attempt that takes longer than delay is among the slowest 5 %
//	}
//
// A [Histogram] holds the recent past of one method and answers for quantiles of it. What it is fed decides what it
// says: [Histogram.Record] is for an attempt that a server answered, with whatever status, and
// [Histogram.RecordAtLeast] for one that was given up before an answer came: the loser of a hedge, an attempt whose
// deadline or whose caller's patience ended. An attempt that failed without a server having seen it is no sample.
//
// An attempt that was given up after d would have taken longer than d, and nobody knows how much longer: it is a
// right-censored sample. To leave such samples out would blind the histogram to slow attempts just where hedging cuts
// them short: the quantile would sink, more attempts would be hedged, and it would sink further. To count them as
// answered after d would make the tail look shorter than it is. They are counted by the product-limit estimator
// (Kaplan and Meier, "Nonparametric Estimation from Incomplete Observations", JASA 53, 1958): until d the sample
// stands among those that lasted at least so long; beyond d it fares as the others that lasted longer did.
package latency

import (
	"math"
	"sync"
	"time"
)

const (
	// halfLife is how fast the past fades: of what counts, 90 % is from the last 3.3 s.
	halfLife = time.Second
	// keep is the weight of samples that time alone does not take away, so that a method with few calls has a
	// quantile too: below 200 calls a second, it is that of some hundred calls rather than of some seconds.
	keep = 300
	// refresh is how often new samples are taken over, and how old a cached quantile may be.
	refresh = 100 * time.Millisecond
)

// Histogram is the recent latency of one method. The weight of a sample halves each second, as long as samples of a
// weight of 300 are left: those that came last fade only as others come in.
//
// Memory: about 1 KB, and 256 bytes for each octave (a doubling of the duration) in which answered attempts fell, and
// as much for each in which given-up ones did: latencies between 1 ms and 1 s take 4 KB, or 7 KB with hedging. Cores
// that record at once and collide are given memory of their own, 128 bytes an octave, at most 7 times.
//
// All methods may be called concurrently. Record and RecordAtLeast do not block, and allocate for the first sample of
// an octave only. The zero Histogram is ready.
type Histogram struct {
	answered counts // new samples
	givenUp  counts // new samples

	mu     sync.Mutex // guards what follows
	folded int64      // when new samples were last taken over, in nanoseconds
	// What is known, faded: the answered attempts and the given-up ones.
	known    weights
	censored weights
}

// Record counts an attempt that was answered after d. Durations below 512 ns and above 73 minutes count as those.
func (h *Histogram) Record(d time.Duration) { h.answered.add(bucketOf(d)) }

// RecordAtLeast counts an attempt that was given up after d, unanswered. See the package's description.
func (h *Histogram) RecordAtLeast(d time.Duration) { h.givenUp.add(bucketOf(d)) }

// Quantile returns the duration within which the share q of attempts is answered, q in (0, 1), exact to 1.6 %, and
// how many samples it rests on: their weight together, that of given-up attempts included. If too many attempts were
// given up to tell, it is the duration of the longest one. Without a sample it is 0.
//
// Samples of the last 100 ms may be missing. It may wait for another caller that does the same. now is monotonic, in
// nanoseconds.
func (h *Histogram) Quantile(now int64, q float64) (d time.Duration, samples uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.quantile(now, q)
}

// quantile is Quantile; mu is held.
func (h *Histogram) quantile(now int64, q float64) (time.Duration, uint64) {
	if h.folded == 0 || now-h.folded >= int64(refresh) {
		h.fold(now)
	}
	return productLimit(&h.known, &h.censored, q)
}

// fold lets what is known fade and takes over the new samples; mu is held.
func (h *Histogram) fold(now int64) {
	if total := h.known.total() + h.censored.total(); total > keep {
		factor := max(math.Exp2(-float64(now-h.folded)/float64(halfLife)), keep/total)
		h.known.scale(factor)
		h.censored.scale(factor)
	}
	h.answered.moveTo(&h.known)
	h.givenUp.moveTo(&h.censored)
	h.folded = now
}
