package hedge_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// servers say how long each of them works on an attempt that reaches it at a moment since the start of the run. They answer
// any number of attempts at a time: what is slow is slow by itself, not for the load.
type servers struct {
	count int
	slow  int // the first so many are slow
	work  func(server int, at time.Duration, draw *rand.Rand) time.Duration
}

// names returns what clients know them by. The keys that belong to a server follow from it.
func (s servers) names() []string {
	out := make([]string, s.count)
	for i := range out {
		out[i] = fmt.Sprintf("server-%d:443", i)
	}
	return out
}

// lognormal returns how long a server works that mostly takes the median and now and then several times as long.
func lognormal(median time.Duration, sigma float64) func(*rand.Rand) time.Duration {
	return func(draw *rand.Rand) time.Duration {
		return time.Duration(float64(median) * math.Exp(sigma*draw.NormFloat64()))
	}
}

// exponential returns how long a server works without a memory.
func exponential(mean time.Duration) func(*rand.Rand) time.Duration {
	return func(draw *rand.Rand) time.Duration { return time.Duration(draw.ExpFloat64() * float64(mean)) }
}

// stall is a time in which a server answers nothing.
type stall struct{ from, to time.Duration }

// stalls are those of one server, in their order.
type stalls []stall

// newStalls draws stalls up to the end, one after every so often on average and of the given mean length.
func newStalls(draw *rand.Rand, end, every, mean time.Duration) stalls {
	var out stalls
	for at := time.Duration(0); ; {
		at += time.Duration(draw.ExpFloat64() * float64(every))
		if at >= end {
			return out
		}
		to := at + time.Duration(draw.ExpFloat64()*float64(mean))
		out = append(out, stall{at, to})
		at = to
	}
}

// wait returns how long an attempt waits that arrives now.
func (s stalls) wait(now time.Duration) time.Duration {
	low, high := 0, len(s) // the first that ends after now
	for low < high {
		if mid := (low + high) / 2; s[mid].to > now {
			high = mid
		} else {
			low = mid + 1
		}
	}
	if low == len(s) || s[low].from > now {
		return 0
	}
	return s[low].to - now
}
