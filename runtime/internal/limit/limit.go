// Package limit bounds how many calls run at once (a bulkhead), at a number given or found from latency, with a queue
// for those that must wait.
//
//	if err := l.Acquire(ctx); err != nil {
//		return err
//	}
//	err := call()
//	l.Release(end, end-begin, outcomeOf(err), false)
package limit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// Why a call gets no permit.
var (
	// ErrFull: the limit is reached, and so is MaxQueued.
	ErrFull = errors.New("the concurrency limit is reached and its queue is full; raise the limit or max_queued")
	// ErrQueueTimeout: the call waited for MaxQueueTime.
	ErrQueueTimeout = errors.New("no permit of the concurrency limit became free in time; raise the limit or max_queue_time")
	// ErrHopeless: the call's deadline comes before its turn would, as the queue moves now.
	ErrHopeless = errors.New("the deadline comes before a permit would; raise the concurrency limit or the deadline")
)

// Config says how many calls run at once. Values outside a range are taken for the nearest in it.
type Config struct {
	// Max calls at once, 1 to 1000000, unless Adaptive.
	Max int
	// Adaptive finds the limit from latency, between AdaptiveMin (at least 1) and AdaptiveMax (at least AdaptiveMin, up
	// to 1000000).
	Adaptive                 bool
	AdaptiveMin, AdaptiveMax int
	// MaxQueued calls may wait, 0 to 1000000.
	MaxQueued int
	// MaxQueueTime is the longest wait. 0: until the context of the call ends.
	MaxQueueTime time.Duration
	// Observe is for a caller that lets calls through whatever Acquire says, those refused without a permit. No call
	// waits then: as many as might wait get a permit at once beyond the limit.
	Observe bool
}

const mostCalls = 1_000_000

func (c Config) inRange() Config {
	c.Max = min(max(c.Max, 1), mostCalls)
	c.AdaptiveMin = min(max(c.AdaptiveMin, 1), mostCalls)
	c.AdaptiveMax = min(max(c.AdaptiveMax, c.AdaptiveMin), mostCalls)
	c.MaxQueued = min(max(c.MaxQueued, 0), mostCalls)
	return c
}

// Outcome is how a call ended, as an adaptive limit sees it. The names are Netflix's.
type Outcome uint8

// The outcomes of a call.
const (
	// Success: how long the call took tells how busy the server is. That holds for many failures too.
	Success Outcome = iota
	// Dropped: the server turned the call away because it has too much to do, or let its deadline pass.
	Dropped
	// Ignored tells nothing: the caller's own cancel, or a call that was not sent.
	Ignored
)

// Counts is what a limiter does.
type Counts struct {
	// Limit of calls at once, in observe mode with those that might wait; those that run; those that wait.
	Limit, InFlight, Queued int
	// Refused since the limiter was made: calls that were, or in observe mode would have been, refused.
	Refused uint64
}

// The parts of a limiter's word, from the low bits on: calls that are counted by their permit, permits that are held, calls that
// wait for one. There is room for the most calls, twice as many permits (in observe mode), and the most that wait.
const (
	oneCall    = 1
	onePermit  = 1 << 22
	oneWaiting = 1 << 43
)

// taken returns the permits of a word. While a call waits, it is more than any limit.
func taken(word uint64) uint64 { return word / onePermit }

// held returns how many permits of a word are held.
func held(word uint64) uint64 { return word % oneWaiting / onePermit }

// Limiter hands out permits, first come, first served.
//
// All methods may be called concurrently. Try, Acquire where a permit is free, and Release where no call waits
// are a compare-and-swap and neither lock nor allocate, except that Release has an adaptive limit computed ten times a
// second. Only Acquire blocks, reads a clock or has a timer, and only where the call must wait. Create it with [New].
type Limiter struct {
	cfg   atomic.Pointer[Config]
	limit atomic.Uint64 // in observe mode, with the calls that might wait

	_ [stripe.LineSize]byte
	// word has those that wait beside those that run, so that a caller in a hurry never overtakes one that waits.
	word atomic.Uint64

	_       [stripe.LineSize]byte
	held    atomic.Int64 // moving average of how long a permit is held, in nanoseconds
	samples samples

	mu       sync.Mutex // guards changes of cfg and limit, the part of word that counts waiting calls, and what follows
	queue    queue
	gradient gradient

	_       [stripe.LineSize]byte
	refused atomic.Uint64
}

// New returns a limiter of which no permit is taken.
func New(cfg Config) *Limiter {
	l := &Limiter{}
	l.gradient.limit = initialLimit
	l.Update(cfg)
	return l
}

// Update puts another configuration in force. Permits that are held stay valid, and count; a smaller limit holds once
// enough of them are back. Calls that wait keep their place. An adaptive limit starts from where it was.
func (l *Limiter) Update(cfg Config) {
	cfg = cfg.inRange()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cfg.Store(&cfg)
	l.setLimit(&cfg)
}

// Try takes a permit if one is free and no call waits for it; if there is none, Acquire tells why, or waits. With call, the permit
// counts a call that nobody else counts: it is one of Calls until Release.
func (l *Limiter) Try(call bool) bool {
	limit, adds := l.limit.Load(), worth(call)
	for {
		w := l.word.Load()
		if taken(w) >= limit {
			return false
		}
		if l.word.CompareAndSwap(w, w+adds) {
			return true
		}
	}
}

// worth returns what a permit adds to the word.
func worth(call bool) uint64 {
	if call {
		return onePermit + oneCall
	}
	return onePermit
}

// Uncount has a permit that counts a call no longer do so; it is given back without the call then.
func (l *Limiter) Uncount() { l.word.Add(^uint64(oneCall - 1)) }

// Calls returns how many calls are counted by their permits.
func (l *Limiter) Calls() int64 { return int64(l.word.Load() % onePermit) }

// Acquire takes a permit, and waits for one as the configuration allows. Its error is one of those above, or that of
// ctx.
func (l *Limiter) Acquire(ctx context.Context) error {
	if l.Try(false) {
		return nil
	}
	cfg := l.cfg.Load()
	if cfg.Observe || l.word.Load()/oneWaiting >= uint64(cfg.MaxQueued) {
		l.refused.Add(1)
		return ErrFull
	}
	return l.wait(ctx, cfg)
}

// Release gives a permit back, which Try has taken with the same call, or Acquire with none. now is the end of the attempt, in
// nanoseconds since any fixed time, not negative, and took its time with the permit; neither matters to an ignored one.
func (l *Limiter) Release(now int64, took time.Duration, o Outcome, call bool) {
	w := l.word.Load()
	if w >= oneWaiting || !l.word.CompareAndSwap(w, w-worth(call)) {
		w = l.giveBack()
		if call {
			l.word.Add(^uint64(oneCall - 1)) // afterwards: until then it runs
		}
	}
	l.released(now, took, o, w)
}

// released learns from a permit that was given back; the word is that of before.
func (l *Limiter) released(now int64, took time.Duration, o Outcome, word uint64) {
	cfg := l.cfg.Load()
	if o == Ignored {
		return
	}
	if cfg.MaxQueued > 0 {
		l.average(took)
	}
	if cfg.Adaptive && l.samples.add(now, took, o, held(word)) {
		l.adapt(now)
	}
}

// average takes a call into the average of how long a permit is held. Two callers may meet here and one be forgotten; an
// average survives that.
func (l *Limiter) average(took time.Duration) {
	held := l.held.Load()
	if held == 0 {
		held = int64(took)
	}
	l.held.Store(held + (int64(took)-held)/heldWeight)
}

// heldWeight: a call moves the average of held permits by a 32nd of the way.
const heldWeight = 32

// Counts returns what the limiter does.
func (l *Limiter) Counts() Counts {
	w := l.word.Load()
	return Counts{int(l.limit.Load()), int(held(w)), int(w / oneWaiting), l.refused.Load()}
}

// giveBack frees a permit, or hands it to the call that has waited longest. It returns the word of before.
func (l *Limiter) giveBack() (word uint64) {
	for {
		w := l.word.Load()
		if w >= oneWaiting {
			if l.handOver() {
				return w
			}
			continue
		}
		if l.word.CompareAndSwap(w, w-onePermit) {
			return w
		}
	}
}
