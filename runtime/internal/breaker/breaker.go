// Package breaker stops calls to a server that fails them, and lets a few through after a while to see whether it still
// does.
//
//	permit, ok := b.Allow(now)
//	if !ok {
//		return refused(b.RetryAfter(now))
//	}
//	err := call()
//	b.Done(permit, end, outcomeOf(err), end-now)
//
// States and their names are those of resilience4j (https://resilience4j.readme.io/docs/circuitbreaker), and of M. Nygard,
// "Release It!". Closed: all calls pass and are counted. Open: none pass. Half-open: so many probes pass, and their
// results decide.
package breaker

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// Config says when a breaker opens, and for how long. Values outside a range are taken for the nearest in it.
type Config struct {
	// Window is the time over which calls are counted while closed, to within a sixteenth.
	Window time.Duration
	// MinimumCalls that the window must hold before it is judged. At least 1.
	MinimumCalls int
	// FailureRatio opens at this share of failures, in (0, 1]. 0: failures do not open it.
	FailureRatio float64
	// SlowCallRatio opens at this share of slow calls, in (0, 1]. 0: slow calls do not open it.
	SlowCallRatio float64
	// SlowCallDuration is from when a call is slow, whether it succeeds or fails.
	SlowCallDuration time.Duration
	// OpenDuration is how long it stays open the first time. It doubles each time it opens again, up to MaxOpenDuration;
	// see [Breaker].
	OpenDuration    time.Duration
	MaxOpenDuration time.Duration
	// HalfOpenCalls is how many probes decide. At least 1.
	HalfOpenCalls int
	// Observe counts what would be refused and refuses nothing.
	Observe bool
}

// maxDuration leaves room for any time that a process can reach, in an int64.
const maxDuration = math.MaxInt64 / 4

func (c Config) inRange() Config {
	c.MinimumCalls = max(c.MinimumCalls, 1)
	c.FailureRatio = min(c.FailureRatio, 1)
	c.SlowCallRatio = min(c.SlowCallRatio, 1)
	c.OpenDuration = min(max(c.OpenDuration, 1), maxDuration)
	c.MaxOpenDuration = min(max(c.MaxOpenDuration, c.OpenDuration), maxDuration)
	c.HalfOpenCalls = min(max(c.HalfOpenCalls, 1), maxProbes)
	return c
}

// State is what a breaker does with calls.
type State uint8

// The states of a breaker.
const (
	Closed State = iota
	Open
	HalfOpen
)

func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	}
	return "half-open"
}

// Outcome is how a call ended, as the breaker sees it.
type Outcome uint8

// The outcomes of a call.
const (
	// Success and Failure count.
	Success Outcome = iota
	Failure
	// Neutral counts nothing and gives a probe back: the caller's own cancel, or a call that a later guard refused.
	Neutral
)

// Permit lets one call through. Each is to be given to [Breaker.Done] once. The zero Permit counts nowhere.
type Permit struct{ phase *phase }

// Counts is what a breaker has seen.
type Counts struct {
	// Calls, and how many of them failed and were slow: of the window when closed, of the probes when half open.
	Calls, Failures, Slow uint64
	// Refused since the breaker was made: calls that were, or in observe mode would have been, refused.
	Refused uint64
}

// Breaker is a circuit breaker.
//
// It opens at a failed or slow call after which the window holds MinimumCalls and a ratio is reached. Reached means
// equal or above. It becomes half open at the first call after its open time, and closes or opens again as soon as
// the HalfOpenCalls probes cannot decide otherwise. MinimumCalls do not matter to probes.
//
// It stays open for OpenDuration, and twice as long each time that it opens again; a breaker that had been closed for
// as long as it was open before, and for a Window at least, starts anew with OpenDuration.
//
// A probe that is not done after the last open time makes room for another, and what becomes of it does not matter.
// Nor does the result of any call that was let through before the last change of state.
//
// All methods may be called concurrently, with times of one clock in nanoseconds, not negative. Allow and Done do not
// lock or allocate, except where they change the state.
type Breaker struct {
	cfg      Config
	onChange func(from, to State)
	// current is replaced at each change of state, with all that was counted. A permit keeps the phase that it is of,
	// so that nothing crosses from one to the next.
	current atomic.Pointer[phase]

	mu        sync.Mutex // guards changes of current, and what follows
	unheard   []change   // not yet told to onChange
	reporting bool       // a goroutine is telling them

	_       [stripe.LineSize]byte
	refused atomic.Uint64
}

type change struct{ from, to State }

// New returns a closed breaker. onChange, if not nil, hears each change of state, in order and one at a time, on the
// goroutine of a call that caused one. It may call the breaker; it must not panic.
func New(cfg Config, onChange func(from, to State)) *Breaker {
	b := &Breaker{cfg: cfg.inRange(), onChange: onChange}
	b.current.Store(b.closed(0, 0))
	return b
}

// Allow asks for a call to be let through. In observe mode it always is.
func (b *Breaker) Allow(now int64) (Permit, bool) {
	p := b.current.Load()
	if p.state == Closed {
		return Permit{p}, true
	}
	return b.admit(p, now)
}

func (b *Breaker) admit(p *phase, now int64) (Permit, bool) {
	for ; ; p = b.current.Load() {
		switch p.state {
		case Closed:
			return Permit{p}, true
		case Open:
			if now >= p.until {
				b.change(p, b.halfOpen(p.openFor, now))
				continue
			}
		case HalfOpen:
			if p.probes.take(now) {
				return Permit{p}, true
			}
			if next := b.renewed(p, now); next != nil {
				b.change(p, next)
				continue
			}
		}
		b.refused.Add(1)
		return Permit{}, b.cfg.Observe
	}
}

// Done reports how the call of a permit ended: at now, after took.
func (b *Breaker) Done(permit Permit, now int64, o Outcome, took time.Duration) {
	p := permit.phase
	if p == nil {
		return
	}
	k := kind(o, b.slow(took))
	if p.state == HalfOpen {
		b.probed(p, now, o, k)
		return
	}
	if o == Neutral {
		return
	}
	p.calls.Add(now, k, 1)
	if k != fastSuccess && p.due(now) && p.judge(&b.cfg, now) {
		b.change(p, b.opened(p, now))
	}
}

// Ordinary tells whether the success of a call that took so long decides nothing: such calls may be reported by
// [Breaker.Succeeded], many at a time, rather than by Done.
func (b *Breaker) Ordinary(permit Permit, took time.Duration) bool {
	p := permit.phase
	return p == nil || p.state == Closed && p == b.current.Load() && !b.slow(took)
}

// Succeeded reports n calls that were ordinary and ended at about now. Of calls from before the last change of state, which do not
// matter any more, it may be told as well.
func (b *Breaker) Succeeded(now int64, n uint32) {
	if p := b.current.Load(); p.state == Closed && now >= p.since {
		p.calls.Add(now, fastSuccess, n)
	}
}

// slow tells whether a call that took so long was slow.
func (b *Breaker) slow(took time.Duration) bool {
	return b.cfg.SlowCallRatio > 0 && took >= b.cfg.SlowCallDuration
}

// State returns the state at now. A breaker whose open time is over is half open, before its next call tells.
func (b *Breaker) State(now int64) State {
	p := b.current.Load()
	if p.state == Open && now >= p.until {
		return HalfOpen
	}
	return p.state
}

// RetryAfter returns for how long from now calls are refused. 0: they may be let through.
func (b *Breaker) RetryAfter(now int64) time.Duration {
	if p := b.current.Load(); p.state == Open {
		return time.Duration(max(p.until-now, 0))
	}
	return 0
}

// Counts returns what the breaker has seen until now.
func (b *Breaker) Counts(now int64) Counts {
	c := Counts{Refused: b.refused.Load()}
	switch p := b.current.Load(); p.state {
	case Closed:
		c.Calls, c.Failures, c.Slow = totals(p.calls.Sum(now))
	case HalfOpen:
		c.Calls, c.Failures, c.Slow = p.probes.results()
	}
	return c
}
