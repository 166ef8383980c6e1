// Package stripe spreads a counter that many goroutines advance over several cache lines.
package stripe

import "sync/atomic"

// Sequence hands out numbers in turn: 7, 8, 9, … as long as callers come one at a time. When they collide it spreads
// them over several counters, each of which counts in turn; one goroutine keeps to one counter. See [Spread].
//
// All methods may be called concurrently; none blocks or allocates. Create it with [NewSequence].
type Sequence struct {
	spread Spread
	cells  []cell // a power of two of them; read-only
}

type cell struct {
	next atomic.Uint32
	_    [LineSize - 4]byte
}

// NewSequence returns a sequence that begins at a random number; random must return evenly distributed bits.
func NewSequence(random func() uint64) *Sequence {
	s := &Sequence{cells: make([]cell, Cells())}
	for i := range s.cells {
		s.cells[i].next.Store(uint32(random() >> 32))
	}
	return s
}

// Next returns the next number. It wraps around to 0.
func (s *Sequence) Next() uint32 {
	c := &s.cells[s.spread.Cell()]
	n := c.next.Load()
	if c.next.CompareAndSwap(n, n+1) {
		return n
	}
	return s.collided()
}

// collided takes a number where another goroutine is at the same cell, and moves the callers apart.
func (s *Sequence) collided() uint32 {
	return s.cells[s.spread.Collided(len(s.cells))].next.Add(1) - 1
}
