// Package ledger collects the calls that went well, for guards that count every call.
//
// A healthy call changes nothing that a guard decides: it is one more of many. Counting it in each guard costs more than the rest of
// what guards do. A [Ledger] counts it once, in one atomic step, and tells the guards of many such calls together: when
// a few milliseconds are over, or when one of them is about to decide something and asks.
//
//	l := ledger.New(func(at int64, n uint32) { breaker.Succeeded(at, n); budget.Deposit(at, n) })
//	l.Add(now)     // a call went well
//	l.Flush(now)   // before a failure is counted, and an attempt more is asked for
package ledger

import (
	"sync/atomic"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// A tick is 2^tickBits nanoseconds, 8.4 ms: how far the time that guards are told may be before that of a call.
const tickBits = 23

// maxCells bounds what a ledger takes, to 2 KiB.
const maxCells = 16

// half is where a word is divided.
const half = 32

// Ledger counts calls by the tick in which they ended. All methods may be called concurrently, with times of one clock in
// nanoseconds; none blocks, but as post does, and none allocates. Create it with [New].
type Ledger struct {
	post   func(at int64, n uint32)
	spread stripe.Spread
	cells  []cell // by stripe
}

// cell is the number of a tick (the low 32 bits of it) above how many calls ended in it and were not posted yet.
type cell struct {
	word atomic.Uint64
	_    [stripe.LineSize - 8]byte
}

// New returns a ledger that calls post with each number of calls that ended in the tick that begins at a time. Each call is
// posted once.
func New(post func(at int64, n uint32)) *Ledger {
	return &Ledger{post: post, cells: make([]cell, min(maxCells, stripe.Cells()))}
}

// Add counts a call that ended at now.
func (l *Ledger) Add(now int64) {
	w := &l.cells[l.spread.Cell()].word
	if old := w.Load(); uint32(old>>half) == uint32(now>>tickBits) && w.CompareAndSwap(old, old+1) {
		return
	}
	l.add(now)
}

// add counts a call where a tick begins, and where another caller is at the same cell.
func (l *Ledger) add(now int64) {
	for {
		w := &l.cells[l.spread.Cell()].word
		old := w.Load()
		next := old + 1
		turned := ago(old, now) > 0 // a caller whose tick is over counts in the one that took its place
		if turned {
			next = uint64(uint32(now>>tickBits))<<half | 1
		}
		if !w.CompareAndSwap(old, next) {
			l.spread.Collided(len(l.cells))
			continue
		}
		if turned {
			l.settle(old, now)
		}
		return
	}
}

// Flush posts all calls that were counted.
func (l *Ledger) Flush(now int64) {
	for i := range l.spread.InUse() {
		w := &l.cells[i].word
		for old := w.Load(); uint32(old) > 0; old = w.Load() {
			if w.CompareAndSwap(old, old>>half<<half) {
				l.settle(old, now)
				break
			}
		}
	}
}

// settle posts the calls of a word that stands in no cell any more.
func (l *Ledger) settle(word uint64, now int64) {
	if n := uint32(word); n > 0 {
		l.post((now>>tickBits-ago(word, now))<<tickBits, n)
	}
}

// skew is how many ticks a caller's time may lie behind another's and still be known to be behind. What nobody asked for during
// 2^32 ticks, 417 days, is posted as if it were of the last of them.
const skew = 1 << 16

// ago returns by how many ticks a word is older than now: below 0, it is newer.
func ago(word uint64, now int64) int64 {
	since := uint32(now>>tickBits) - uint32(word>>half)
	if -since < skew {
		return -int64(-since)
	}
	return int64(since)
}
