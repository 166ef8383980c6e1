// Package budget bounds the attempts that are made beyond the first of each call.
//
// Without such a bound retries multiply the load just when a server has too much of it. A [Budget] allows extra
// attempts in proportion to first ones, over a window, whatever the reasons for the extra ones are: retries and
// hedges of all methods may share one.
//
//	b := budget.New(budget.Config{Ratio: 0.2, MinPerSecond: 10, Window: 10 * time.Second})
//	b.Deposit(now, 1) // the call's first attempt begins
//	if b.Withdraw(now) {
//		// another attempt may begin
//	}
package budget

import (
	"math/bits"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// Config says how many extra attempts there may be. Configs compare equal if they mean the same budget.
type Config struct {
	// Ratio is extra attempts to first attempts: 0.2 allows one in five. In [0, 1].
	Ratio float64
	// MinPerSecond is how many extra attempts a second are allowed whatever the traffic, counted over the window: 10
	// with a window of 10 s allows 100 at once. At least 0.
	MinPerSecond float64
	// Window is how long first and extra attempts count. Greater than 0.
	Window time.Duration
}

// Budget is a retry budget with the meaning of Finagle's (com.twitter.finagle.service.RetryBudget): within any window
// that ends with an extra attempt,
//
//	extra attempts <= Ratio * first attempts + MinPerSecond * Window
//
// and no first attempt pays twice: the extra attempts of n windows in a row are at most Ratio times the first
// attempts of these and of the window before, plus n times the last term. What is unspent is not lost at once: extra
// attempts may come all together, as when a server stalls.
//
// Time is counted in slots of a 15th of the window. A first attempt counts for 14 to 15 of them and an extra one for
// 15 to 16, so that the error is to the safe side: at steady traffic up to a 15th of what the formula allows is
// refused.
//
// All methods may be called concurrently; none blocks or allocates. now is monotonic, in nanoseconds, at least 0.
// Create it with [New].
type Budget struct {
	ratio   float64
	reserve float64 // what the window allows without first attempts
	// scale is 2^64 divided by the length of a slot: to multiply is faster than to divide.
	scale uint64

	spread stripe.Spread
	firsts []ring // by stripe
	extras *ring
}

// New returns a budget with no attempts counted.
func New(c Config) *Budget {
	slot := max(2, c.Window/window)
	return &Budget{
		ratio:   c.Ratio,
		reserve: c.MinPerSecond * c.Window.Seconds(),
		scale:   1 << 63 / uint64(slot) * 2,
		firsts:  make([]ring, stripe.Cells()),
		extras:  new(ring),
	}
}

// slot returns the number of the slot that now is in.
func (b *Budget) slot(now int64) uint32 {
	slot, _ := bits.Mul64(uint64(now), b.scale)
	return uint32(slot)
}

// Deposit counts the first attempts of n calls, which may be reported late: those that began before the window do not count.
func (b *Budget) Deposit(began int64, n uint32) {
	slot := b.slot(began)
	w := &b.firsts[b.spread.Cell()][slot%slots]
	if v := w.Load(); uint32(v>>half) == slot && v != 0 && w.CompareAndSwap(v, v+uint64(n)) {
		return
	}
	b.deposit(slot, n)
}

// deposit counts where a slot begins, and where another goroutine is at the same word.
func (b *Budget) deposit(slot, n uint32) {
	if ring := &b.firsts[b.spread.Cell()]; !ring.late(slot) && !ring.tryAdd(slot, n) {
		b.firsts[b.spread.Collided(len(b.firsts))].add(slot, n)
	}
}

// Withdraw tells whether an extra attempt may begin, and counts it if so.
func (b *Budget) Withdraw(now int64) bool {
	slot := b.slot(now)
	var firsts uint64
	for i := range b.spread.InUse() {
		firsts += b.firsts[i].sum(slot, window)
	}
	limit := b.ratio*float64(firsts) + b.reserve
	if float64(b.extras.sum(slot, window+1))+1 > limit {
		return false
	}
	// Count first and look then: of several that come at once, each sees those that were counted before it.
	b.extras.add(slot, 1)
	if float64(b.extras.sum(slot, window+1)) > limit {
		b.extras.remove(slot)
		return false
	}
	return true
}

// Return takes back a Withdraw that returned true, because the attempt was not made. withdrawn is the time that
// Withdraw was called with. What is no longer counted anyway is not returned.
func (b *Budget) Return(withdrawn int64) { b.extras.remove(b.slot(withdrawn)) }
