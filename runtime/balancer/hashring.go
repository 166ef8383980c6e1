package balancer

import (
	"math"
	"slices"
	"sync/atomic"
)

// probes is how often a key looks for an endpoint. With 11, the endpoint that gets most keys gets 1.1 times the mean of a
// great many endpoints (Appleton and O'Reilly, section 3), and bounded load takes off what is too much. Those that stand close
// behind another get less. Each probe costs some nanoseconds of each pick.
const probes = 11

// ring is where endpoints stand on the circle of the 64-bit numbers: each at one point, the hash of its ID, so that
// all processes have the same ring. A key has many points, its probes, and belongs to the endpoint that stands
// closest behind one of them, clockwise (Appleton and O'Reilly, "Multi-probe consistent hashing", 2015,
// arXiv:1505.00062).
//
// Where weights differ, it is the distance divided by the endpoint's weight that decides. The distances from a key's
// probes to an endpoint are as good as random, so that the least of them is as good as exponentially distributed;
// dividing by the weight multiplies the rate by it, and of several such variables the least is each one with the
// probability of its rate's share in their sum. So the shares of keys follow the weights.
//
// What an endpoint needs to win is its own distance alone: one that is lost moves nobody's keys but its own, and one
// that is new takes keys and moves none between others.
//
// All is immutable but slots.
type ring struct {
	guide   // the points, and a last one that is nobody's
	members []*endpoint
	weights []float64 // nil if they are equal
	most    float64   // of weights
	// slots are the targets of those members to which calls may go, nil for the others. They are written with
	// Channel.mu held, and read by picks: a member that comes or goes leaves the ring as it is.
	slots []atomic.Pointer[target]
}

// newRing makes the ring of the members; uneven is whether their weights differ.
func newRing(members []*endpoint, uneven bool) *ring {
	points := sortPoints(members)
	for i := 1; i < len(points); i++ {
		if points[i].hash == points[i-1].hash {
			separate(points)
			break
		}
	}
	n := len(points)
	r := &ring{members: make([]*endpoint, n), slots: make([]atomic.Pointer[target], n)}
	hashes := make([]uint64, n+1)
	for i, p := range points {
		hashes[i], r.members[i] = p.hash, p.e
	}
	hashes[n] = math.MaxUint64
	r.guide = newGuide(hashes, ringDensity)
	if uneven {
		r.weigh()
	}
	return r
}

// weigh takes the weights of the members.
func (r *ring) weigh() {
	r.weights = make([]float64, len(r.members))
	for i, e := range r.members {
		r.weights[i] = float64(e.weight)
		r.most = max(r.most, r.weights[i])
	}
}

// weight returns that of the member at i.
func (r *ring) weight(i int) float64 {
	if r.weights == nil {
		return 1
	}
	return r.weights[i]
}

// owner returns the place of the member that a key belongs to.
func (r *ring) owner(key uint64) int {
	// Double hashing is as good as a hash function for each probe (Kirsch and Mitzenmacher, 2006).
	at, step := scatter(key), scatter(^key)|1
	if r.weights != nil {
		return r.weightedOwner(at, step)
	}
	n, winner, least := len(r.members), 0, uint64(math.MaxUint64)
	for range probes {
		i := r.find(at)
		if i == n {
			i = 0
		}
		if d := r.ascending[i] - at; d < least {
			least, winner = d, i
		}
		at += step
	}
	return winner
}

// weightedOwner looks beyond the first point behind a probe, as far as the heaviest member could still win.
func (r *ring) weightedOwner(at, step uint64) int {
	n, winner, least := len(r.members), 0, math.Inf(1)
	for range probes {
		i := r.find(at)
		for range n {
			if i == n {
				i = 0
			}
			d := float64(r.ascending[i] - at)
			if d >= least*r.most {
				break
			}
			if d /= r.weights[i]; d < least {
				least, winner = d, i
			}
			i++
		}
		at += step
	}
	return winner
}

// place returns where e stands, -1 if it does not.
func (r *ring) place(e *endpoint) int {
	for i := r.find(e.hash); i < len(r.members) && r.ascending[i] == e.hash; i++ {
		if r.members[i] == e {
			return i
		}
	}
	if e.shared {
		return slices.Index(r.members, e)
	}
	return -1
}

// point is an endpoint and where it stands.
type point struct {
	hash uint64
	e    *endpoint
}

// scatter mixes x (the finalizer of SplitMix64, a bijection).
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
