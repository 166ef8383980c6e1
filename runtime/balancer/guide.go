package balancer

import "math/bits"

// guide finds a number's place among ascending ones in constant time: a table tells where to begin, by the number's
// leading bits (the guide table of Chen and Asau, 1974). The numbers must be spread over all 64 bits, evenly more or
// less. The last must be the largest number of all, so that every search ends.
//
// It is immutable once it is built.
type guide struct {
	ascending []uint64
	begin     []uint32 // by leading bits, the first place whose number is not below the lowest one with these bits
	shift     uint8    // a number's leading bits are those above
}

// The density of a guide is how many entries its table has for each number, at least: with two, a search mostly ends where it begins,
// with four nearly always.
const (
	ringDensity     = 2 // a ring is made anew whenever an endpoint comes or goes
	scheduleDensity = 4 // a schedule at most once in an update period
)

func newGuide(ascending []uint64, density int) guide {
	size := max(6, bits.Len(uint(density*len(ascending)-1)))
	g := guide{ascending: ascending, begin: make([]uint32, 1<<size), shift: uint8(64 - size)}
	b := uint64(0)
	for at, x := range ascending {
		for ; b <= x>>(g.shift&63); b++ {
			g.begin[b] = uint32(at)
		}
	}
	return g
}

// find returns the place of the first number that is not below x.
func (g *guide) find(x uint64) int {
	at := g.begin[x>>(g.shift&63)]
	for g.ascending[at] < x {
		at++
	}
	return int(at)
}
