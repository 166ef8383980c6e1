package latency

import (
	"sync/atomic"
	"time"
)

// Enough is how many samples a quantile must rest on before [Cached.Delay] gives it: of 100, five lie above the 95th
// percentile.
const Enough = 100

// Cached is one quantile of a histogram, for callers that ask at each call. Create it with [NewCached]. All methods
// may be called concurrently.
type Cached struct {
	histogram *Histogram
	q         float64
	until     atomic.Int64 // when the quantile is to be computed again, in nanoseconds
	delay     atomic.Int64 // nanoseconds; 0: not enough samples
}

// NewCached returns the quantile q of h, q in (0, 1).
func NewCached(h *Histogram, q float64) *Cached { return &Cached{histogram: h, q: q} }

// Delay returns the quantile, ok only if it rests on [Enough] samples. It is at most 100 ms old: the first caller
// after that computes it anew, some microseconds' work, and the others go on with the old one meanwhile. It does not
// block. now is monotonic, in nanoseconds.
func (c *Cached) Delay(now int64) (d time.Duration, ok bool) {
	if now >= c.until.Load() {
		c.compute(now)
	}
	d = time.Duration(c.delay.Load())
	return d, d > 0
}

func (c *Cached) compute(now int64) {
	h := c.histogram
	if !h.mu.TryLock() {
		return // somebody else is at it
	}
	defer h.mu.Unlock()
	d, samples := h.quantile(now, c.q)
	if samples < Enough {
		d = 0
	}
	c.delay.Store(int64(d))
	c.until.Store(now + int64(refresh))
}
