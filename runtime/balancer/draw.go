package balancer

import "math/bits"

// maxCandidates is the greatest number of targets that a rule compares.
const maxCandidates = maxChoices

// lot draws the targets that a rule compares. It is immutable.
type lot struct {
	targets []target
	size    int // of the targets to be compared, at most maxCandidates
	random  func() uint64
	// weights draws in proportion to the weights of the endpoints; nil: all are equal.
	weights *alias
	// partial is whether an endpoint with less than the full share becomes a candidate with the probability of its share.
	partial bool
	each    int // draws from one random number
}

// plain tells whether any two targets are as good as any others.
func (l *lot) plain() bool { return l.weights == nil && !l.partial }

// candidates fills in indexes of targets and returns how many, and random bits that served for nothing else. If there are no
// more than size targets, each comes once, but for those that have had their share, in an order that begins at random; otherwise
// as many come as are wanted, some perhaps twice.
func (l *lot) candidates(out *[maxCandidates]int32, wanted int) (n int, spare uint64) {
	if len(l.targets) <= l.size {
		return l.all(out)
	}
	if !l.plain() {
		for i := range wanted {
			out[i] = int32(l.one())
		}
		return wanted, l.random()
	}
	var at, rest uint64
	left := 0
	for i := range wanted {
		if left--; left < 0 {
			rest, left = l.random(), l.each-1
		}
		at, rest = bits.Mul64(rest, uint64(len(l.targets)))
		out[i] = int32(at)
	}
	return wanted, rest
}

// drawsOf returns how many of n targets 64 random bits draw, each with a bias that is too small to see: what the product with n
// has in its low half is as random as the factor was, less the bits that went into the index.
func drawsOf(n int) int {
	const spare = 9
	return max(1, (64-spare)/bits.Len(uint(n)))
}

// one draws one target by weight and share.
func (l *lot) one() int {
	for tries := 0; ; tries++ {
		var i int
		if l.weights != nil {
			i = l.weights.draw(l.random())
		} else {
			i = scale(uint32(l.random()>>32), len(l.targets))
		}
		if !l.partial || tries == draws || l.targets[i].takes(l.random) {
			return i
		}
	}
}

// all fills in the indexes of all targets. The first, which counts among equals, is drawn by weight.
func (l *lot) all(out *[maxCandidates]int32) (filled int, spare uint64) {
	n := len(l.targets)
	first, spare := bits.Mul64(l.random(), uint64(n))
	if l.weights != nil {
		first = uint64(l.weights.draw(l.random()))
	}
	at := int(first)
	for range n {
		if !l.partial || l.targets[at].takes(l.random) {
			out[filled] = int32(at)
			filled++
		}
		if at++; at == n {
			at = 0
		}
	}
	if filled == 0 { // a small share is better than none
		out[0] = int32(first)
		filled = 1
	}
	return filled, spare
}

// pair draws two targets that are never the same, of two at least.
func (l *lot) pair() (i, j int) {
	n := len(l.targets)
	r := l.random()
	i, j = scale(uint32(r>>32), n), scale(uint32(r), n-1)
	if j >= i {
		j++
	}
	return i, j
}

// scale maps evenly distributed bits to [0, n) (Lemire, "Fast Random Integer Generation in an Interval", 2019, without
// the rejection: for n far below 2^32 the bias is too small to see).
func scale(bits uint32, n int) int { return int(uint64(bits) * uint64(n) >> 32) }

// perWeight returns the cost of target i as that of an endpoint of weight 1.
func (l *lot) perWeight(cost float32, i int) float32 {
	if l.weights == nil {
		return cost
	}
	return cost / float32(l.weights.weights[i])
}
