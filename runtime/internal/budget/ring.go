package budget

import "sync/atomic"

const (
	// window is how many slots a window has; the ring has room for one more, that of the present.
	window = 15
	slots  = window + 1 // a power of two
	half   = 32
)

// ring counts by slot of time; it fills stripe.LineSize. Each word has the number of its slot in its high half and
// the count in its low half, so that a word is taken over for a new slot, and advanced, in one step.
type ring [slots]atomic.Uint64

// age returns by how many slots the word v is older than slot: negative if it is newer. Numbers wrap around.
func age(slot uint32, v uint64) int32 { return int32(slot - uint32(v>>half)) }

// next returns v with n more counted. A caller whose slot is long over counts in the one that took its place.
func next(slot uint32, v uint64, n uint32) uint64 {
	if v == 0 || age(slot, v) > 0 { // 0: nothing was ever counted here
		return uint64(slot)<<half + uint64(n)
	}
	return v + uint64(n)
}

// tryAdd counts n, unless another goroutine is at the same word.
func (r *ring) tryAdd(slot, n uint32) bool {
	w := &r[slot%slots]
	v := w.Load()
	return w.CompareAndSwap(v, next(slot, v, n))
}

// late tells whether the place of a slot belongs to a later one already.
func (r *ring) late(slot uint32) bool {
	v := r[slot%slots].Load()
	return v != 0 && age(slot, v) < 0
}

// add counts n.
func (r *ring) add(slot, n uint32) {
	for !r.tryAdd(slot, n) {
	}
}

// remove takes back one of a slot, if it is still there.
func (r *ring) remove(slot uint32) {
	w := &r[slot%slots]
	for {
		v := w.Load()
		if age(slot, v) != 0 || uint32(v) == 0 || w.CompareAndSwap(v, v-1) {
			return
		}
	}
}

// sum returns the count of the last n slots up to slot, and of newer ones.
func (r *ring) sum(slot uint32, n int32) uint64 {
	var sum uint64
	for i := range r {
		if v := r[i].Load(); age(slot, v) < n {
			sum += uint64(uint32(v))
		}
	}
	return sum
}
