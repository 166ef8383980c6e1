package balancer

import (
	"math/bits"

	"google.golang.org/grpc/balancer"
)

// newPicker returns the picker of the policy over the targets, of which there is at least one. It may keep the slice and
// must not write to it.
func (p *pool) newPicker(targets []target) balancer.Picker {
	if p.cfg.arm() == armLeastRequest {
		return newLeastRequest(targets, p.cfg.choices(), p.ch.opts.Rand)
	}
	return newRoundRobin(targets, p.ch.turn)
}

// samePicker tells whether a and b ask for equal pickers.
func samePicker(a, b Config) bool {
	if a.arm() != b.arm() {
		return false
	}
	return a.arm() != armLeastRequest || a.choices() == b.choices()
}

// waiting has calls wait for the next picker.
type waiting struct{}

// Pick implements [balancer.Picker].
func (waiting) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
}

// failing fails the calls that do not wait for READY.
type failing struct{ err error }

// Pick implements [balancer.Picker].
func (f failing) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, f.err
}

// scale maps evenly distributed bits to [0, n) (Lemire, "Fast Random Integer Generation in an Interval", 2019, without
// the rejection: for n far below 2^32 the bias is too small to see).
func scale(bits uint32, n int) int { return int(uint64(bits) * uint64(n) >> 32) }

// divisor takes remainders without dividing (Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019).
type divisor struct {
	n       uint64
	inverse uint64 // 2^64 / n, rounded up
}

func newDivisor(n int) divisor { return divisor{n: uint64(n), inverse: ^uint64(0)/uint64(n) + 1} }

// mod returns x modulo n.
func (d divisor) mod(x uint32) uint32 {
	hi, _ := bits.Mul64(d.inverse*uint64(x), d.n)
	return uint32(hi)
}
