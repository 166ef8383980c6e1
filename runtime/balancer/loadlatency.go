package balancer

import (
	"math"
	"sync/atomic"
)

// latency is the average latency of an endpoint's calls, which tells a change from chance: it is the mean of the calls since the
// last change, as long as that moves faster than the time constants would have it.
//
// A change is found by a cumulative sum (Page, "Continuous inspection schemes", 1954): each call adds by how many doublings
// it took longer than the average, less one, and a sum above a limit is a change. It looks for rises alone. Where an endpoint is
// slow, few calls come, and each of them is evidence enough: what has not been measured for a while falls nearly at once.
type latency struct {
	average
	// pace has in its low half when a call was last due, in units of 2^stampUnit ns; above that the calls since the last change,
	// and the sum.
	pace    atomic.Uint32
	untimed atomic.Int32 // calls in flight that are not timed
}

const (
	// surplusAllowed is what a call may take more than the average without a sign of a change, in doublings.
	surplusAllowed = 1
	// surplusLimit is the highest sum without a change, and the most that one call adds: no single call is a change.
	surplusLimit = 1.75
	// staleFall is how much faster an average falls that has not been measured for as long as is worth exploring.
	staleFall = 8

	dueMask = 1<<16 - 1
	// sinceShift and surplusShift are where the two numbers of eight bits begin.
	sinceShift, surplusShift = 16, 24
	mostSince                = 1<<8 - 1
	// surplusUnit is how many units of the sum are a doubling.
	surplusUnit = 64
)

// due tells whether a call that begins now is to be timed: the first one in about a millisecond. Where two ask at the same
// moment, or one ends, none may be.
func (l *latency) due(now int64) bool {
	pace := l.pace.Load()
	unit := uint32(now>>stampUnit) & dueMask
	return pace&dueMask != unit && l.pace.CompareAndSwap(pace, pace&^dueMask|unit)
}

// move has the average follow x. Unlike [average.move], it follows as fast as the mean of the calls since the last change at least,
// and takes a change into account. With a rise of 0, which is at once, it does neither.
func (l *latency) move(now int64, x float32, rise, fall rate) {
	word := l.word.Load()
	s := readingOf(word, now)
	if rise == 0 || s.value == 0 {
		l.average.move(now, x, rise, fall)
		return
	}
	if s.units == 0 {
		return
	}
	r := fall
	switch {
	case x > s.value:
		r = rise
	case s.units > unheard:
		r *= staleFall
	}
	gain := max(1-r.after(s.units), l.weigh(x/s.value))
	l.word.CompareAndSwap(word, packed(now, s.value+(x-s.value)*gain))
}

// weigh takes a call that took the average times ratio. It returns its share in the mean of the calls since the last change, and
// of the average before that, which counts as one; 0 if they are many.
func (l *latency) weigh(ratio float32) float32 {
	pace := l.pace.Load()
	calls, surplus := pace>>sinceShift&mostSince, float32(pace>>surplusShift)/surplusUnit
	surplus += min(float32(math.Log2(float64(ratio)))-surplusAllowed, surplusLimit)
	switch {
	case surplus > surplusLimit:
		calls, surplus = 0, 0
	case !(surplus > 0):
		surplus = 0
	}
	if calls < mostSince {
		calls++
	}
	l.pace.CompareAndSwap(pace, pace&dueMask|calls<<sinceShift|uint32(surplus*surplusUnit)<<surplusShift)
	if calls == mostSince {
		return 0
	}
	return 1 / float32(calls+1)
}
