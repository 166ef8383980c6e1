package balancer

import (
	"math"
	"sync/atomic"
)

// average is a moving average of positive numbers that forgets with time, in one word: a float32 in the high half, and
// when it last moved in the low half, in units of 2^stampUnit ns. The zero value has seen nothing.
//
// Time is kept to about a millisecond: of the values that come in one unit the first alone pulls the average down. One that
// has not moved for 26 days may look as if it had just moved.
type average struct{ word atomic.Uint64 }

const stampUnit = 20

// any tells whether the average has seen anything.
func (a *average) any() bool { return a.word.Load() != 0 }

// last returns the average as it was when it last moved, 0 if it has seen nothing.
func (a *average) last() float32 { return math.Float32frombits(a.bits()) }

// bits returns last as the bits of a float32.
func (a *average) bits() uint32 { return uint32(a.word.Load() >> 32) }

// reading is an average as it was when it last moved.
type reading struct {
	value float32 // 0: it has seen nothing
	units int32   // since then
}

func (a *average) read(now int64) reading { return readingOf(a.word.Load(), now) }

func readingOf(word uint64, now int64) reading {
	// The clock of the one who moved it may have been read a moment after this one's.
	return reading{math.Float32frombits(uint32(word >> 32)), max(0, int32(uint32(now>>stampUnit)-uint32(word)))}
}

// at returns the average after it has fallen towards 0 for as long as it has not moved.
func (s reading) at(r rate) float32 {
	if s.units == 0 {
		return s.value
	}
	return s.value * r.after(s.units)
}

// move has the average follow x: by rise if x is above it, by fall otherwise. Of values that come at the same moment, one
// may be lost.
func (a *average) move(now int64, x float32, rise, fall rate) {
	word := a.word.Load()
	s := readingOf(word, now)
	if s.value != 0 {
		r := fall
		if x > s.value {
			r = rise
		}
		if r != 0 {
			if s.units == 0 {
				return
			}
			keep := r.after(s.units)
			x = s.value*keep + x*(1-keep)
		}
	}
	a.word.CompareAndSwap(word, packed(now, x))
}

// set makes x the average; 0 forgets everything.
func (a *average) set(now int64, x float32) {
	if x == 0 {
		a.word.Store(0)
		return
	}
	a.word.Store(packed(now, x))
}

func packed(now int64, x float32) uint64 {
	return uint64(math.Float32bits(x))<<32 | uint64(uint32(now>>stampUnit))
}

// rate is how fast an average moves: by which power of 2 what is left to go becomes less in one unit. 0: at once.
type rate float32

// rateOf returns the rate for a time constant in nanoseconds.
func rateOf(constant float64) rate {
	return rate(math.Log2E * (1 << stampUnit) / math.Max(1, constant))
}

// after returns which part is left after so many units, to 0.001 %.
func (r rate) after(units int32) float32 {
	x := float32(r) * float32(units)
	if x > 120 {
		return 0
	}
	whole := int32(x)
	f := x - float32(whole)
	// The polynomial is 2^-f for f in [0, 1), and exact at both ends.
	part := 1 + f*(-0.69305586+f*(0.23940562+f*(-0.05312762+f*0.00677786)))
	return math.Float32frombits(math.Float32bits(part) - uint32(whole)<<23)
}
