// Package stripe spreads a counter that many goroutines advance over several cache lines.
package stripe

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

const (
	// lineSize is two cache lines: the adjacent-line prefetcher of current CPUs fetches in pairs.
	lineSize = 128
	maxCells = 256
	// stackShift drops the bits in which two places of the smallest stack (2 KiB, aligned) can differ, so that no two
	// goroutines have one address.
	stackShift = 11
	// patience is how many collisions a placement is given before another is drawn.
	patience = 64
	// golden is 2^64 divided by the golden ratio: Fibonacci hashing (Knuth, TAOCP vol. 3, 6.4).
	golden = 0x9E3779B97F4A7C15
)

// Sequence hands out numbers in turn: 7, 8, 9, … as long as callers come one at a time. When they collide it spreads
// them over several counters, each of which counts in turn, as Java's LongAdder spreads its cells; one goroutine keeps
// to one counter. It never goes back to fewer.
//
// All methods may be called concurrently; none blocks or allocates. Create it with [NewSequence].
type Sequence struct {
	// spread holds a mask over cells in its low half and the salt of the placement in its high half. 0: everybody uses
	// the first cell.
	spread     atomic.Uint64
	collisions atomic.Uint32
	cells      []cell // a power of two of them; read-only
}

type cell struct {
	next atomic.Uint32
	_    [lineSize - 4]byte
}

// NewSequence returns a sequence that begins at a random number; random must return evenly distributed bits.
func NewSequence(random func() uint64) *Sequence {
	n := min(maxCells, 1<<bits.Len(uint(4*runtime.GOMAXPROCS(0)-1)))
	s := &Sequence{cells: make([]cell, n)}
	for i := range s.cells {
		s.cells[i].next.Store(uint32(random() >> 32))
	}
	return s
}

// Next returns the next number. It wraps around to 0.
func (s *Sequence) Next() uint32 {
	c := &s.cells[0]
	if spread := s.spread.Load(); spread != 0 {
		c = s.place(spread)
	}
	n := c.next.Load()
	if c.next.CompareAndSwap(n, n+1) {
		return n
	}
	return s.collided()
}

// place returns the cell of the calling goroutine. The stack address tells goroutines apart; it is used as a number only.
func (s *Sequence) place(spread uint64) *cell {
	var here byte
	h := (uint64(uintptr(unsafe.Pointer(&here))>>stackShift) + spread>>32) * golden
	return &s.cells[uint32(h>>32)&uint32(spread)]
}

// collided takes a number where another goroutine is at the same cell, and moves the callers apart.
func (s *Sequence) collided() uint32 {
	spread := s.spread.Load()
	mask, salt := uint32(spread), spread>>32
	wider := mask<<1 | 1
	switch {
	case int(wider) < len(s.cells):
		s.spread.CompareAndSwap(spread, salt<<32|uint64(wider))
	case s.collisions.Add(1)%patience == 0:
		s.spread.CompareAndSwap(spread, (salt+1)<<32|uint64(mask))
	}
	return s.place(s.spread.Load()).next.Add(1) - 1
}
