package balancer

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
)

// mostChanges is how many members may have come and gone for a ring to be made from the one before.
const mostChanges = 64

// sortPoints returns the points of the members in ascending order. Hashes are spread evenly, so that sorting them into
// buckets does nearly all of the work, in linear time.
func sortPoints(members []*endpoint) []point {
	n := len(members)
	shift := 64 - bits.Len(uint(n))
	begin := make([]uint32, 1<<(64-shift)+1)
	hashes := make([]uint64, n)
	for i, e := range members {
		hashes[i] = e.hash
		begin[e.hash>>shift+1]++
	}
	for b := 1; b < len(begin); b++ {
		begin[b] += begin[b-1]
	}
	points := make([]point, n)
	next := slices.Clone(begin)
	for i, h := range hashes {
		points[next[h>>shift]] = point{h, members[i]}
		next[h>>shift]++
	}
	for b := range len(begin) - 1 {
		if begin[b+1]-begin[b] > 1 {
			slices.SortStableFunc(points[begin[b]:begin[b+1]], byHash)
		}
	}
	return points
}

func byHash(a, b point) int { return cmp.Compare(a.hash, b.hash) }

// separate gives points of their own to members whose hashes are equal: those that share an ID. Which of them gets
// which is the order of the list.
func separate(points []point) {
	var again uint64
	for i := 1; i < len(points); i++ {
		if points[i].e.hash != points[i-1].e.hash {
			again = 0
			continue
		}
		again++
		points[i].hash = scatter(points[i].e.hash + again)
	}
	slices.SortStableFunc(points, byHash)
}

// changed returns the ring without some of its members and with others, nil if it is to be made anew. The slots of
// those that stay are as they were if keep is set, else empty.
func (r *ring) changed(gone, come []*endpoint, keep bool) *ring {
	edits := make([]edit, 0, len(gone)+len(come))
	for _, e := range gone {
		at := r.place(e)
		if at < 0 || e.shared {
			return nil
		}
		edits = append(edits, edit{at: at})
	}
	for _, e := range come {
		at := r.find(e.hash)
		if e.shared || r.ascending[at] == e.hash {
			return nil // of the same ID, or the chance of one in 2^64
		}
		edits = append(edits, edit{at, e})
	}
	slices.SortFunc(edits, byPlace)
	n := len(r.members) + len(come) - len(gone)
	if n == 0 {
		return nil
	}
	hashes, members := make([]uint64, 0, n+1), make([]*endpoint, 0, n)
	slots, from := make([]atomic.Pointer[target], n), 0
	upTo := func(end int) {
		if keep {
			for i := range end - from {
				slots[len(members)+i].Store(r.slots[from+i].Load())
			}
		}
		hashes, members = append(hashes, r.ascending[from:end]...), append(members, r.members[from:end]...)
		from = end
	}
	for _, x := range edits {
		upTo(x.at)
		if x.come == nil {
			from++
		} else {
			hashes, members = append(hashes, x.come.hash), append(members, x.come)
		}
	}
	upTo(len(r.members))
	next := &ring{guide: newGuide(append(hashes, math.MaxUint64), ringDensity), members: members, slots: slots}
	if r.weights != nil {
		next.weigh()
	}
	return next
}

// edit puts a member before the one at a place, or takes that one away.
type edit struct {
	at   int
	come *endpoint // nil: it goes
}

// byPlace orders edits by their place, those who come by their hash and before the one who goes.
func byPlace(a, b edit) int {
	switch {
	case a.at != b.at:
		return cmp.Compare(a.at, b.at)
	case a.come == nil || b.come == nil:
		if a.come != nil {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.come.hash, b.come.hash)
}

// difference returns who is in before alone and who is in after alone, where both are in the same order but for a
// few. ok is false if it is more than a few.
func difference(before, after []*endpoint) (gone, come []*endpoint, ok bool) {
	i, j := 0, 0
	for i < len(before) && j < len(after) {
		if before[i] == after[j] {
			i++
			j++
			continue
		}
		skipped, found := ahead(before[i:], after[j])
		extra, also := ahead(after[j:], before[i])
		switch {
		case found && (!also || skipped <= extra):
			gone = append(gone, before[i:i+skipped]...)
			i += skipped
		case also:
			come = append(come, after[j:j+extra]...)
			j += extra
		default:
			gone, come = append(gone, before[i]), append(come, after[j])
			i++
			j++
		}
		if len(gone)+len(come) > mostChanges {
			return nil, nil, false
		}
	}
	gone, come = append(gone, before[i:]...), append(come, after[j:]...)
	return gone, come, len(gone)+len(come) <= mostChanges
}

// ahead returns how far ahead e is among the next few.
func ahead(list []*endpoint, e *endpoint) (int, bool) {
	i := slices.Index(list[:min(len(list), mostChanges)], e)
	return i, i >= 0
}

// fill makes the slots those of the targets.
func (r *ring) fill(targets []target) {
	fresh := make([]*target, len(r.slots))
	for i := range targets {
		if at := r.place(targets[i].e); at >= 0 {
			fresh[at] = &targets[i]
		}
	}
	for i, t := range fresh {
		if r.slots[i].Load() != t {
			r.slots[i].Store(t)
		}
	}
}
