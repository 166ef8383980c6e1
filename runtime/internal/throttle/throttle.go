// Package throttle refuses calls in proportion to what their server refuses, before they are sent.
//
//	if !t.Allow(now, random) {
//		return refused()
//	}
//	switch err := call(); {
//	case accepted(err):
//		t.Accepted(end, 1)
//	case overloaded(err):
//		t.Refused(end)
//	}
package throttle

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
	"github.com/goresilient/goresilient/runtime/internal/window"
)

// refresh is how long a probability is used: summing up for every call would cost more than the call's guards.
const refresh = int64(10 * time.Millisecond)

// Config says how soon a throttle refuses.
type Config struct {
	// K: calls are refused once requests exceed K times the accepted ones. Above 1; less is taken for 1, at which a
	// single refused call has others refused.
	K float64
	// Window is the time over which calls count, to within a sixteenth.
	Window time.Duration
	// Observe is for a caller that lets calls through whatever Allow says: a refusal is then no request, since what
	// becomes of the call is reported.
	Observe bool
}

// The kinds of calls in the window. A refusal here is a request that was not accepted, like one of the server's.
const (
	accepted window.Kind = iota
	refusedThere
	refusedHere
)

// Counts is what a throttle has seen.
type Counts struct {
	// Requests of the window, with those refused here unless in observe mode, and those that the server accepted.
	Requests, Accepts uint64
	// Refused since the throttle was made: calls that were, or in observe mode would have been, refused here.
	Refused uint64
}

// Throttle is the adaptive throttling of the Google SRE book, ch. 21, "Handling Overload": a call is refused with
// probability
//
//	max(0, (requests - K*accepts) / (requests + 1))
//
// over the window. A call counts when it is refused here, or when it has ended. The book counts it as a request from its
// start; then all calls under way would pass for calls that the server refused, and the first of a process, or many at
// once after a pause, would have others refused. The probability is at most 10 ms old.
//
// All methods may be called concurrently, with times of one clock in nanoseconds, not negative. None locks, and none
// allocates but as [window.Window] does. Create it with [New].
type Throttle struct {
	cfg     Config
	calls   *window.Window
	staleAt atomic.Int64  // when the probability is to be computed again
	below   atomic.Uint64 // the probability, as a share of 2^64: random numbers below it refuse

	_       [stripe.LineSize]byte
	refused atomic.Uint64
}

// New returns a throttle that has seen no call.
func New(cfg Config) *Throttle {
	cfg.K = max(cfg.K, 1)
	return &Throttle{cfg: cfg, calls: window.New(cfg.Window)}
}

// Allow tells whether a call may go out; random must be evenly distributed. Of a call that goes out, one of Accepted and
// Refused is to be told; neither, if it tells nothing of the server: the caller's own cancel, or a call that was not sent.
func (t *Throttle) Allow(now int64, random func() uint64) bool {
	if t.Stale(now) {
		t.recompute(now)
	}
	if below := t.below.Load(); below == 0 || random() >= below {
		return true
	}
	if !t.cfg.Observe {
		t.calls.Add(now, refusedHere, 1)
	}
	t.refused.Add(1)
	return false
}

// Stale tells whether Allow is about to count the calls of the window, so that those reported before it matter.
func (t *Throttle) Stale(now int64) bool { return now >= t.staleAt.Load() }

// Accepted reports n calls that the server took, whatever it answered.
func (t *Throttle) Accepted(now int64, n uint32) { t.calls.Add(now, accepted, n) }

// Refused reports a call that the server, or what stands before it, turned away because it has too much to do.
func (t *Throttle) Refused(now int64) { t.calls.Add(now, refusedThere, 1) }

// Probability returns the share of calls that is refused at now.
func (t *Throttle) Probability(now int64) float64 {
	c := t.Counts(now)
	requests, accepts := float64(c.Requests), float64(c.Accepts)
	return max(0, (requests-t.cfg.K*accepts)/(requests+1))
}

// Counts returns what the throttle has seen until now.
func (t *Throttle) Counts(now int64) Counts {
	s := t.calls.Sum(now)
	return Counts{Requests: s[accepted] + s[refusedThere] + s[refusedHere], Accepts: s[accepted], Refused: t.refused.Load()}
}

// recompute renews the probability, on one goroutine; others go on with the old one.
func (t *Throttle) recompute(now int64) {
	if at := t.staleAt.Load(); now >= at && t.staleAt.CompareAndSwap(at, now+refresh) {
		t.below.Store(uint64(math.Ldexp(min(t.Probability(now), largest), 64)))
	}
}

// largest is the largest probability below 1.
const largest = 1 - 1.0/(1<<53)
