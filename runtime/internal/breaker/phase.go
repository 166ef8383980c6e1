package breaker

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/goresilient/goresilient/runtime/internal/stripe"
	"github.com/goresilient/goresilient/runtime/internal/window"
)

// The kinds of calls in the window of a closed phase.
const (
	fastSuccess window.Kind = iota
	fastFailure
	slowSuccess
	slowFailure
)

func kind(o Outcome, slow bool) window.Kind {
	k := fastSuccess
	if o == Failure {
		k = fastFailure
	}
	if slow {
		k += slowSuccess
	}
	return k
}

func totals(s window.Sums) (calls, failures, slow uint64) {
	failures, slow = s[fastFailure]+s[slowFailure], s[slowSuccess]+s[slowFailure]
	return s[fastSuccess] + s[slowSuccess] + failures, failures, slow
}

// phase is one stay in a state. state, since, until and openFor never change.
type phase struct {
	state   State
	since   int64         // when it began
	until   int64         // open: when it becomes half open
	openFor time.Duration // of this or the last open phase; 0: there was none
	probes  *probes       // half-open
	calls   *window.Window

	_ [stripe.LineSize]byte
	// bad counts failed and slow calls, and next says at which bad call of which tick the window is worth summing up;
	// see judge. Closed.
	bad  atomic.Uint64
	next atomic.Uint64
}

const (
	badBits = 44
	badMask = 1<<badBits - 1
)

// due counts a bad call that is in the window already, and tells whether the window is to be judged.
func (p *phase) due(now int64) bool {
	n := p.bad.Add(1)
	next := p.next.Load()
	ahead := (next - n) & badMask // how many bad calls there are to go
	return next>>badBits != tag(p.calls.Tick(now)) || ahead == 0 || ahead > badMask/2
}

// judge tells whether a ratio is reached. If not, it notes how many more bad calls that takes at the least, until
// calls leave the window: nothing is summed up before. Bad calls that Sum misses are counted after begun.
func (p *phase) judge(cfg *Config, now int64) bool {
	begun := p.bad.Load()
	calls, failures, slow := totals(p.calls.Sum(now))
	wait := uint64(1)
	if calls >= uint64(cfg.MinimumCalls) {
		if reached(failures, calls, cfg.FailureRatio) || reached(slow, calls, cfg.SlowCallRatio) {
			return true
		}
		wait = min(shortOf(failures, calls, cfg.FailureRatio), shortOf(slow, calls, cfg.SlowCallRatio))
	}
	p.next.Store(tag(p.calls.Tick(now))<<badBits | (begun+wait)&badMask)
	return false
}

// tag is the part of a tick that fits above a count. 0 is no tick's, so that the first bad call is judged.
func tag(tick uint32) uint64 { return uint64(tick)%(1<<(64-badBits)-1) + 1 }

// reached tells whether bad/all >= ratio. A division is rounded correctly: 3 of 30 reach 0.1.
func reached(bad, all uint64, ratio float64) bool {
	return ratio > 0 && float64(bad)/float64(all) >= ratio
}

// shortOf returns how many further calls, all of them bad, reach the ratio, or a little less: k in
// (bad + k) / (all + k) >= ratio.
func shortOf(bad, all uint64, ratio float64) uint64 {
	if ratio <= 0 || ratio >= 1 {
		return badMask / 4 // never, while no good call leaves the window
	}
	k := (ratio*float64(all) - float64(bad)) / (1 - ratio)
	return uint64(min(max(math.Ceil(k)-1, 1), badMask/4))
}
