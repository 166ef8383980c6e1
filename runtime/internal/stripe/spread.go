package stripe

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

const (
	// LineSize is how far apart cells must be so that writers of one do not slow down those of another, in bytes: two
	// cache lines, since the adjacent-line prefetcher of current CPUs fetches in pairs.
	LineSize = 128

	maxCells = 256
	// stackShift drops the bits in which two places of the smallest stack (2 KiB, aligned) can differ, so that no two
	// goroutines have one address.
	stackShift = 11
	// patience is how many collisions a placement is given before another is drawn.
	patience = 64
	// golden is 2^64 divided by the golden ratio: Fibonacci hashing (Knuth, TAOCP vol. 3, 6.4).
	golden = 0x9E3779B97F4A7C15
)

// Spread tells each goroutine which of several cells to use: all of them the first one, until callers report that they
// collided there; then it spreads them over two cells, four, and so on, as Java's LongAdder does. One goroutine keeps to
// one cell between two collisions. It never goes back to fewer cells.
//
// All methods may be called concurrently; none blocks or allocates. The zero Spread is ready.
type Spread struct {
	// state holds a mask over cells in its low half and the salt of the placement in its high half.
	state      atomic.Uint64
	collisions atomic.Uint32
}

// Cells returns how many cells are worth having at this GOMAXPROCS, a power of two of at most 256.
func Cells() int { return min(maxCells, 1<<bits.Len(uint(4*runtime.GOMAXPROCS(0)-1))) }

// InUse returns how many cells a caller may have used: 1, or a greater power of two.
func (s *Spread) InUse() int { return int(uint32(s.state.Load())) + 1 }

// Cell returns the index of the calling goroutine's cell.
func (s *Spread) Cell() int {
	state := s.state.Load()
	if state == 0 {
		return 0
	}
	return place(state)
}

// place hashes the stack address, which tells goroutines apart; it is used as a number only.
func place(state uint64) int { return int(here(state>>32) & uint32(state)) }

// Here returns a number that tells goroutines apart, for one placement among cells that stays. It is the same in all calls of a
// goroutine that are equally deep, as long as its stack does not grow.
func Here() uint32 { return here(0) }

func here(salt uint64) uint32 {
	var stack byte
	h := (uint64(uintptr(unsafe.Pointer(&stack))>>stackShift) + salt) * golden
	return uint32(h >> 32)
}

// Collided is called by who met another goroutine at its cell. It moves the callers apart, over at most the given number
// of cells, a power of two, and returns the index of the cell to use instead.
func (s *Spread) Collided(cells int) int {
	state := s.state.Load()
	mask, salt := uint32(state), state>>32
	wider := mask<<1 | 1
	switch {
	case int(wider) < cells:
		s.state.CompareAndSwap(state, salt<<32|uint64(wider))
	case s.collisions.Add(1)%patience == 0:
		s.state.CompareAndSwap(state, (salt+1)<<32|uint64(mask))
	}
	return place(s.state.Load())
}
