// Package ledger collects the calls that went well, for guards that count every call.
//
// A call that went well is one more of many, and changes no decision by itself. Counting it in each guard costs more than all else
// that guards do. A [Ledger] counts it once, in one atomic step, and tells the guards of many such calls together: when the next
// call comes after a millisecond, or when one of them is about to decide something and asks.
//
//	l := ledger.New(func(from, to int64, n uint32) { breaker.Succeeded(to, n) })
//	l.Add(now)     // a call went well
//	l.Flush(now)   // before a failure is counted
package ledger

import (
	"sync"
	"sync/atomic"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

// A tick is 2^tickBits nanoseconds, 1.05 ms: how exactly guards are told when calls ended.
const tickBits = 20

// maxCells bounds what a ledger takes, to 2 KiB.
const maxCells = 16

// half is where a word is divided.
const half = 32

// Ledger counts calls by the tick in which they ended. All methods may be called concurrently, with times of one clock in
// nanoseconds. Add neither blocks nor allocates, unless post does; Flush may wait for another Flush. Create it with [New].
type Ledger struct {
	post   func(from, to int64, n uint32)
	spread stripe.Spread
	cells  []cell // by stripe

	// flushing is held, and busy above 0, while Flush posts: so that what one has taken out is posted when another returns.
	flushing sync.Mutex
	busy     atomic.Int32
}

// cell is the number of a tick (the low 32 bits of it) above how many calls ended in it and were not posted yet.
type cell struct {
	word atomic.Uint64
	_    [stripe.LineSize - 8]byte
}

// New returns a ledger that calls post with each number of calls that ended in one tick, which is from one time to another: its
// end, or the present. Each call is posted once.
func New(post func(from, to int64, n uint32)) *Ledger {
	return &Ledger{post: post, cells: make([]cell, min(maxCells, stripe.Cells()))}
}

// Within tells whether two times are of one tick.
func Within(from, to int64) bool { return from>>tickBits == to>>tickBits }

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
		turned := uint32(old) == 0 || ago(old, now) > 0 // a caller whose tick is over counts in the one that took its place
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

// Flush posts all calls that were counted, but for those that Add is posting.
func (l *Ledger) Flush(now int64) {
	if !l.pending() && l.busy.Load() == 0 {
		return
	}
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.busy.Add(1)
	defer l.busy.Add(-1)
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

// pending tells whether any cell has calls.
func (l *Ledger) pending() bool {
	for i := range l.spread.InUse() {
		if uint32(l.cells[i].word.Load()) > 0 {
			return true
		}
	}
	return false
}

// settle posts the calls of a word that stands in no cell any more.
func (l *Ledger) settle(word uint64, now int64) {
	if n := uint32(word); n > 0 {
		from := (now>>tickBits - ago(word, now)) << tickBits
		l.post(from, max(from, min(from+1<<tickBits-1, now)), n)
	}
}

// skew is how many ticks a caller's time may lie behind another's and still be known to be behind. Ticks are compared modulo 2^32,
// which are 52 days: calls that nobody asks for in that time, and that are the last for as long, are posted at a later time.
const skew = 1 << 16

// ago returns by how many ticks a word is older than now: below 0, it is newer.
func ago(word uint64, now int64) int64 {
	since := uint32(now>>tickBits) - uint32(word>>half)
	if -since < skew {
		return -int64(-since)
	}
	return int64(since)
}
