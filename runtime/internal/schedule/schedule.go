// Package schedule divides the time of a call over its attempts.
package schedule

import (
	"math"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/backoff"
)

// Unlimited is the time of what has no deadline.
const Unlimited time.Duration = math.MaxInt64

// Plan is what is known before a call about its attempts. Plans compare equal if they mean the same.
type Plan struct {
	// PerAttempt is how long an attempt may take. 0: as long as the call.
	PerAttempt time.Duration
	// MaxAttempts is how many attempts follow one after the other at most, the first included. Hedges run side by
	// side: none waits for the end of another, and their plan is for one attempt. 0 and 1 mean the same.
	MaxAttempts int
	// Backoff is between two attempts.
	Backoff backoff.Config
}

// Latency is what is known of how long a server takes to answer. 0 is unknown.
type Latency struct {
	// Fastest is the time below which an answer is not to be expected, e.g., the fastest decile.
	Fastest time.Duration
	// Ample is the time within which most answers come, e.g., twice the median.
	Ample time.Duration
}

// Timeout returns how long an attempt may take that begins now, and false if it must not begin. Attempts count from
// 1; remaining is the time left to the call, [Unlimited] if it has no deadline. The answer is [Unlimited] if nothing
// limits the attempt.
//
// Without PerAttempt the attempt may use all that remains. To divide the time of the call over its attempts would
// make calls fail that work without retries: with a deadline of 1 s and three attempts, each answer that takes 400 ms
// would come too late, three times. Who wants to leave an attempt that hangs says when, by PerAttempt.
//
// With PerAttempt, an attempt gets so much, or, if that is less, its equal share of what remains after the back-offs
// that are to be expected. Planned for are as many further attempts as leave each share an ample time: to cut an attempt
// short that would be answered, for the sake of others that have no more time, would make calls fail whose servers are
// well.
//
// An attempt that cannot be over in time, of which less than the fastest answers is left, is not begun: it would only add
// load. The first attempt begins all the same, as long as any time remains, since a call without an attempt is a certain
// failure, and since latency is learned from attempts: if none began any more, nobody would notice that the server has
// become faster.
//
// Before a backoff, ask with the time that will remain after it.
func (p Plan) Timeout(attempt int, remaining time.Duration, known Latency) (d time.Duration, ok bool) {
	if remaining <= 0 || attempt > 1 && remaining < known.Fastest {
		return 0, false
	}
	if p.PerAttempt <= 0 {
		return remaining, true
	}
	if remaining == Unlimited {
		return p.PerAttempt, true
	}
	for further := p.MaxAttempts - attempt; further > 0; further-- {
		share := (remaining - p.pauses(attempt, further)) / time.Duration(further+1)
		if share >= max(known.Fastest, known.Ample, 1) {
			return min(p.PerAttempt, share), true
		}
	}
	return min(p.PerAttempt, remaining), true
}

// pauses returns how long the back-offs before so many further attempts are to be expected.
func (p Plan) pauses(attempt, further int) time.Duration {
	sum := time.Duration(0)
	for retry := attempt; retry < attempt+further; retry++ {
		pause := p.Backoff.Mean(retry)
		if pause > Unlimited-sum {
			return Unlimited
		}
		sum += pause
	}
	return sum
}
