package balancer

import (
	"sync/atomic"
	"time"
)

// memory is the targets that adaptive remembers. It has a cache line of its own, and is written once a millisecond at most:
// picks at high rates only read it.
type memory struct {
	_    [64]byte
	kept atomic.Uint64 // the best and the runner-up, in 32 bits each: their index + 1; 0: none
	at   atomic.Int64  // when kept was last written
	_    [48]byte
}

// memorable is how long a memory stays at least.
const memorable = int64(time.Millisecond)

// due tells whether it is time to write.
func (m *memory) due(now int64) bool { return now-m.at.Load() >= memorable }

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

// remember keeps the best candidate and the one that comes next. What two picks remember at the same moment, one of them may
// write, or both in part.
func (a *adaptive) remember(now int64, drawn []int32, costs *keys, best int32) {
	const none = 1<<64 - 1
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
	a.memory.at.Store(now)
	a.memory.kept.Store(kept)
}
