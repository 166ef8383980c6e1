// Package window counts events of the recent past, in several kinds, for guards that judge a ratio of them.
package window

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
)

const (
	// Kinds is how many kinds of events a window tells apart.
	Kinds = 4
	// buckets is a power of two.
	buckets = 16
	// minSpan keeps a bucket at a microsecond at least.
	minSpan = buckets * time.Microsecond
	// skew is how many buckets a caller's time may lie behind another's and still be known to be behind. A counter that
	// nobody touched for 2^32 buckets, give or take skew, can be taken for one of the present; for a window of 10 s
	// those are 85 years.
	skew = 1 << 16
	// maxCells bounds what a window can come to take, to 32 KiB.
	maxCells = 64
	// patience is how many collisions there are to each further cell: it costs memory, and a goroutine that was
	// preempted amid a count looks like a collision.
	patience = 16
)

// Kind is a kind of event, below [Kinds].
type Kind uint8

// Sums holds the events of each kind.
type Sums [Kinds]uint64

// Window counts events of the last span of time, in 16 buckets, each of which is forgotten at once: a sum misses no
// event of the last 15/16 of the span and has none that is older than the span. Nothing else is lost: a bucket is
// cleared by the first event that needs its place, in the same atomic step that counts this event. An event that is
// reported a whole span late is not counted; it is too old.
//
// All methods may be called concurrently; none blocks. Counters are spread over more cells of 512 bytes as callers
// collide, and only that allocates. Create it with [New].
type Window struct {
	// reciprocal is 2^64 over the width of a bucket: multiplying is several times faster than dividing. Boundaries of
	// buckets move by less than a bucket in the life of a process, and never back.
	reciprocal uint64
	spread     stripe.Spread
	cells      [maxCells]atomic.Pointer[cell] // nil until used

	_          [stripe.LineSize]byte
	collisions atomic.Uint32
}

// cell is one complete set of counters. A counter is the number of its bucket (the low 32 bits of it) above a count of
// 32 bits, so that one compare-and-swap both clears a stale bucket and counts.
type cell [buckets][Kinds]atomic.Uint64

// New returns a window of the last span: at least 16 µs, which it is raised to.
func New(span time.Duration) *Window {
	width := (uint64(max(span, minSpan)) + buckets - 1) / buckets
	return &Window{reciprocal: math.MaxUint64/width + 1}
}

// Tick is the number of the bucket that now is in, modulo 2^32. What Sum forgets, it forgets where Tick changes.
func (w *Window) Tick(now int64) uint32 {
	tick, _ := bits.Mul64(uint64(now), w.reciprocal)
	return uint32(tick)
}

// Add counts n events at now, in nanoseconds since any fixed time, not negative.
func (w *Window) Add(now int64, kind Kind, n uint32) {
	tick := w.Tick(now)
	if c := w.cells[w.spread.Cell()%maxCells].Load(); c != nil {
		word := &c[tick%buckets][kind%Kinds]
		if old := word.Load(); uint32(old>>32) == tick && word.CompareAndSwap(old, increased(old, n)) {
			return
		}
	}
	w.add(tick, kind, n)
}

// add counts where a bucket begins, and where another caller was at the same counter.
func (w *Window) add(tick uint32, kind Kind, n uint32) {
	for {
		word := &w.cell()[tick%buckets][kind%Kinds]
		old := word.Load()
		next := increased(old, n)
		if tag := uint32(old >> 32); tag != tick {
			if tag-tick < skew && uint32(old) != 0 {
				return // the place belongs to a later bucket already
			}
			next = uint64(tick)<<32 | uint64(n)
		}
		if word.CompareAndSwap(old, next) {
			return
		}
		w.collided()
	}
}

// increased adds n to the count of word; the count stops at its largest value.
func increased(word uint64, n uint32) uint64 {
	if uint32(word)+n < n {
		return word | math.MaxUint32
	}
	return word + uint64(n)
}

// Sum returns the events of the span that ends at now. It reads every counter, some 50 ns for each cell: callers keep
// what it returns for as long as they can. An event that is being counted at the same time may be left out.
func (w *Window) Sum(now int64) Sums {
	var s Sums
	tick := w.Tick(now)
	for i := range w.spread.InUse() {
		c := w.cells[i%maxCells].Load()
		if c == nil {
			continue
		}
		for b := range c {
			for k := range c[b] {
				if word := c[b][k].Load(); tick-uint32(word>>32) < buckets {
					s[k] += uint64(uint32(word))
				}
			}
		}
	}
	return s
}

// cell returns the counters of the calling goroutine, and makes them where there are none yet.
func (w *Window) cell() *cell {
	at := &w.cells[w.spread.Cell()%maxCells]
	if c := at.Load(); c != nil {
		return c
	}
	at.CompareAndSwap(nil, new(cell))
	return at.Load()
}

// collided moves callers apart that met at one counter.
func (w *Window) collided() {
	if w.collisions.Add(1)%patience == 0 {
		w.spread.Collided(min(maxCells, stripe.Cells()))
	}
}
