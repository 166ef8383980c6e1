package breaker

import (
	"sync/atomic"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/window"
)

const (
	// fieldBits is the width of each count of done; maxProbes leaves room for late ones.
	fieldBits = 20
	fieldMask = 1<<fieldBits - 1
	maxProbes = fieldMask / 2

	oneCall    = 1
	oneFailure = 1 << fieldBits
	oneSlow    = 1 << (2 * fieldBits)
)

// probes are the calls let through while half open.
type probes struct {
	limit  int64
	out    atomic.Int64  // let through and not given back
	lastAt atomic.Int64  // when the last was let through, or this began
	done   atomic.Uint64 // calls, failures and slow calls, a field each: one addition, so that one caller is the last
}

// take lets a probe through if there is room for it.
func (p *probes) take(now int64) bool {
	for {
		n := p.out.Load()
		if n >= p.limit {
			return false
		}
		p.lastAt.Store(now) // first, so that nobody finds it overdue in between
		if p.out.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// overdue tells whether no probe has been let through for as long as patience.
func (p *probes) overdue(now int64, patience time.Duration) bool {
	return now-p.lastAt.Load() >= int64(patience)
}

func (p *probes) results() (calls, failures, slow uint64) { return fields(p.done.Load()) }

// count adds a result and returns all of them.
func (p *probes) count(k window.Kind) (calls, failures, slow uint64) {
	n := uint64(oneCall)
	if k == fastFailure || k == slowFailure {
		n += oneFailure
	}
	if k == slowSuccess || k == slowFailure {
		n += oneSlow
	}
	return fields(p.done.Add(n))
}

func fields(n uint64) (calls, failures, slow uint64) {
	return n & fieldMask, n >> fieldBits & fieldMask, n >> (2 * fieldBits)
}
