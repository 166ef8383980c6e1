// Package backoff says how long to wait before something that failed is tried again.
package backoff

import (
	"math"
	"math/bits"
	"time"
)

// Config is a pause that grows. Configs compare equal if they mean the same pauses.
type Config struct {
	// Initial bounds the first pause. 0: no pause at all.
	Initial time.Duration
	// Max bounds every pause. At least 0.
	Max time.Duration
	// Multiplier is the growth of the bound from one pause to the next. At least 1.
	Multiplier float64
}

// Bound returns the largest pause before a retry, which count from 1: Initial * Multiplier^(retry-1), and at most
// Max.
func (c Config) Bound(retry int) time.Duration {
	if c.Initial <= 0 {
		return 0
	}
	bound := float64(c.Initial) * math.Pow(c.Multiplier, float64(max(retry, 1)-1))
	if bound < float64(c.Max) {
		return time.Duration(math.Round(bound))
	}
	return max(c.Max, 0)
}

// Delay returns the pause before a retry with full jitter: any time from 0 to [Config.Bound], all equally likely.
// random has 64 random bits. Clients that failed together come back spread over the whole pause (gRFC A6; Brooker,
// "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
func (c Config) Delay(retry int, random uint64) time.Duration {
	delay, _ := bits.Mul64(random, uint64(c.Bound(retry))+1)
	return time.Duration(delay)
}

// Mean returns the pause before a retry that is to be expected: half of [Config.Bound].
func (c Config) Mean(retry int) time.Duration { return c.Bound(retry) / 2 }

// Jitter returns d lengthened or shortened by up to the given share of it, in [0, 1], where there is a pause to keep
// and yet not all should come at once. random is in [0, 1).
func Jitter(d time.Duration, share, random float64) time.Duration {
	jittered := float64(d) * (1 + share*(2*random-1))
	if jittered >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(jittered)
}
