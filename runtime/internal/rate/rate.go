// Package rate lets so many calls through a second: a token bucket.
package rate

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Config is the rate that holds.
type Config struct {
	// PerSecond is how many tokens the bucket gets. Each call takes one. Above 0.
	PerSecond float64
	// Burst is how many tokens the bucket holds, and starts with. At least 1; less is taken for 1.
	Burst int
}

// Limiter is a token bucket: golang.org/x/time/rate, with the clock as a parameter. Time does not go back in it: the
// library credits a span of time twice when a caller comes with a time from before another's, as any caller does that
// was preempted between reading the clock and taking a token.
//
// Tokens are taken from the bucket a block at a time, where the burst is large: most calls take theirs from the block,
// without the lock. What is left of a block after a millisecond goes back, so that a bucket is never fuller than its burst
// by more than what it gets in that time.
//
// All methods may be called concurrently, with times of one clock in nanoseconds, not negative. None allocates. Create it
// with [New].
type Limiter struct {
	block atomic.Int64 // tokens that were taken and are still to be used; below 0 if callers came for more
	until atomic.Int64 // when they go back

	mu     sync.Mutex // guards what follows, and every increase of block
	bucket *rate.Limiter
	size   int // of a block
	latest int64

	refused atomic.Uint64
}

const (
	blocks       = 32   // that a burst consists of at the least
	largestBlock = 4096 // tokens
	blockTime    = int64(time.Millisecond)
)

// blockOf returns the size of a block for a burst.
func blockOf(burst int) int { return min(max(burst/blocks, 1), largestBlock) }

// New returns a limiter whose bucket is full.
func New(cfg Config) *Limiter {
	burst := max(cfg.Burst, 1)
	return &Limiter{bucket: rate.NewLimiter(rate.Limit(cfg.PerSecond), burst), size: blockOf(burst)}
}

// Allow takes a token, and tells whether there was one.
func (l *Limiter) Allow(now int64) bool {
	if now < l.until.Load() && l.block.Load() > 0 && l.block.Add(-1) >= 0 {
		return true
	}
	if l.take(now) {
		return true
	}
	l.refused.Add(1)
	return false
}

// take takes a token from the bucket, with those of the next block if it has as many.
func (l *Limiter) take(now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.at(now)
	if now < l.until.Load() {
		for left := l.block.Load(); left > 0; left = l.block.Load() { // another caller has brought a block
			if l.block.CompareAndSwap(left, left-1) {
				return true
			}
		}
	}
	l.giveBack(at)
	if l.size > 1 && l.bucket.AllowN(at, l.size) {
		l.block.Store(int64(l.size - 1))
		l.until.Store(l.latest + blockTime)
		return true
	}
	return l.bucket.AllowN(at, 1)
}

// giveBack puts what is left of the block into the bucket; l.mu is held.
func (l *Limiter) giveBack(at time.Time) {
	if left := l.block.Swap(0); left > 0 {
		l.bucket.AllowN(at, -int(left))
	}
}

// Update puts another configuration in force from now on. Tokens that the bucket holds stay there, as far as there is
// room for them.
func (l *Limiter) Update(now int64, cfg Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	burst := max(cfg.Burst, 1)
	at := l.at(now)
	l.giveBack(at)
	l.size = blockOf(burst)
	l.bucket.SetLimitAt(at, rate.Limit(cfg.PerSecond))
	l.bucket.SetBurstAt(at, burst)
}

// RetryAfter returns how long it takes until a token is there for a caller that was refused at now, if no other one takes it.
func (l *Limiter) RetryAfter(now int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := 1 - l.bucket.TokensAt(l.at(now))
	if missing <= 0 {
		return 0
	}
	return time.Duration(min(math.Ceil(missing/float64(l.bucket.Limit())*float64(time.Second)), 1<<62))
}

// Refused returns how many calls found no token since the limiter was made.
func (l *Limiter) Refused() uint64 { return l.refused.Load() }

// at returns now, or the latest time that there was.
func (l *Limiter) at(now int64) time.Time {
	l.latest = max(l.latest, now)
	return time.Unix(0, l.latest)
}
