package balancer

import (
	"math"
	"sync/atomic"
	"time"
)

// memory is the targets that adaptive remembers. It has a cache line of its own, and is written ten times a millisecond at most:
// picks at high rates only read it.
type memory struct {
	_    [64]byte
	kept atomic.Uint64 // the best and the runner-up, in 32 bits each: their index + 1; 0: none
	at   atomic.Int64  // of the last survey
	_    [48]byte
}

const (
	// surveyed is how many targets a survey compares at most, beside those remembered.
	surveyed = 32
	// memorable is how long a memory stays at least.
	memorable = int64(100 * time.Microsecond)
)

// claim tells whether a survey is due, to one caller for each.
func (m *memory) claim(now int64) bool {
	at := m.at.Load()
	return now-at >= memorable && m.at.CompareAndSwap(at, now)
}

// survey compares many targets and remembers the best two: all that there are if they are not more than surveyed, otherwise those
// from a random one on and those remembered from the survey before. It returns the best.
func (a *adaptive) survey(now int64) (best int32) {
	var drawn [surveyed + 2]int32
	var costs [surveyed + 2]uint64
	n := 0
	add := func(i int32) {
		if i >= 0 {
			drawn[n] = i
			n++
		}
	}
	count, at := min(len(a.targets), surveyed), a.one()
	for range count {
		if i := int32(at); !a.partial {
			add(i)
		} else {
			add(a.willing(i))
		}
		if at++; at == len(a.targets) {
			at = 0
		}
	}
	if count < len(a.targets) {
		first, second := a.remembered()
		add(first)
		add(second)
	}
	if n == 0 { // a small share is better than none
		add(int32(at))
	}
	lowest := a.compare(now, drawn[:n], costs[:n])
	best = drawn[uint32(lowest)]
	a.remember(drawn[:n], costs[:n], best)
	if a.random()>>(64-exploreBits) == 0 {
		best = a.explore(now, drawn[:n], best)
	}
	return best
}

// remembered returns the targets that are remembered and take the call, -1 in place of one that does not.
func (a *adaptive) remembered() (best, second int32) {
	kept := a.memory.kept.Load()
	best, second = int32(kept>>32)-1, int32(uint32(kept))-1
	if a.partial {
		best, second = a.willing(best), a.willing(second)
	}
	return best, second
}

func (a *adaptive) willing(i int32) int32 {
	if i >= 0 && !a.targets[i].takes(a.random) {
		return -1
	}
	return i
}

// remember keeps the best candidate and the one that comes next.
func (a *adaptive) remember(drawn []int32, costs []uint64, best int32) {
	const none = math.MaxUint64
	second := uint64(none)
	for k, i := range drawn {
		if i != best {
			second = min(second, costs[k])
		}
	}
	kept := uint64(best+1) << 32
	if second != none {
		kept |= uint64(drawn[uint32(second)] + 1)
	}
	a.memory.kept.Store(kept)
}
