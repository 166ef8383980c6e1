package balancer

import (
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"
)

// fewChanged is how many endpoints may come, and as many go, for a selection to be amended.
const fewChanged = 4

// amendment is what comes and goes in one band.
type amendment struct{ come, gone []*endpoint }

// amend makes the selection that of a list from which the last one differs by a few endpoints alone: they have come, in the order of
// the list, or gone, and all others stand as they did. It returns where those that have come belong. Of the others it reads
// nothing but a few positions. ok is false, and nothing has changed, where the choice is to be made anew.
func (s *selection) amend(come, gone []*endpoint, c criteria, salt uint64) (joined []seating, ok bool) {
	if len(come) > fewChanged || len(gone) > fewChanged {
		return nil, false
	}
	amendments := make([]amendment, len(s.bands))
	for _, e := range gone {
		i := s.bandOf(e, c)
		if i < 0 {
			return nil, false
		}
		amendments[i].gone = append(amendments[i].gone, e)
	}
	for _, e := range come {
		i := s.bandOf(e, c)
		if i < 0 {
			return nil, false
		}
		amendments[i].come = append(amendments[i].come, e)
	}
	listed := make([]int, len(s.bands))
	for i, b := range s.bands {
		a := &amendments[i]
		listed[i] = b.listed + len(a.come) - len(a.gone)
		if !a.restrict(b, listed[i], c.size, salt) || !a.fits(b, c) {
			return nil, false
		}
	}
	for i, b := range s.bands {
		b.listed = listed[i]
		for _, g := range b.groups {
			joined = amendments[i].apply(b, g, c, joined)
		}
	}
	return joined, true
}

// bandOf returns which band an endpoint belongs to, -1 if there is none.
func (s *selection) bandOf(e *endpoint, c criteria) int {
	return slices.IndexFunc(s.bands, func(b *band) bool { return c.together || b.priority == e.priority })
}

// restrict leaves those of the amendment that the subset has, or is to have. It returns false if others may change too: a subset
// begins or ends as b comes to list so many, or more of its members go than come.
func (a *amendment) restrict(b *band, listed, size int, salt uint64) bool {
	limited := size > 0 && size < listed
	if listed == 0 || limited != b.limited {
		return false
	}
	if !limited {
		return true
	}
	chosen := func(e *endpoint) bool { return rank(e.hash, salt) <= b.limit }
	beyond := func(e *endpoint) bool { return !chosen(e) }
	atLimit := func(e *endpoint) bool { return rank(e.hash, salt) == b.limit }
	if b.tied || slices.ContainsFunc(a.come, atLimit) {
		return false
	}
	a.come, a.gone = slices.DeleteFunc(a.come, beyond), slices.DeleteFunc(a.gone, beyond)
	return len(a.come) == len(a.gone)
}

// fits tells whether the groups of b stay the same.
func (a *amendment) fits(b *band, c criteria) bool {
	placed := 0
	for _, g := range b.groups {
		come, gone := g.side(a.come, c), g.side(a.gone, c)
		if len(g.members)+len(come) == len(gone) {
			return false
		}
		placed += len(come)
	}
	return placed == len(a.come)
}

// apply has g, one of the groups of b, have other members, and appends to joined where they belong.
func (a *amendment) apply(b *band, g *group, c criteria, joined []seating) []seating {
	come, gone := g.side(a.come, c), g.side(a.gone, c)
	if len(come)+len(gone) == 0 {
		return joined
	}
	members := append(make([]*endpoint, 0, len(g.members)+len(come)), g.members...)
	members = slices.DeleteFunc(members, func(e *endpoint) bool { return slices.Contains(gone, e) })
	for _, e := range come {
		at := sort.Search(len(members), func(i int) bool { return members[i].position > e.position })
		members = slices.Insert(members, at, e)
		joined = append(joined, seating{e, g, b})
	}
	g.members = members
	return joined
}

// side returns those of list that belong to the group rather than to the other one of its band.
func (g *group) side(list []*endpoint, c criteria) []*endpoint {
	if len(list) == 0 {
		return nil
	}
	zone := xxhash.Sum64String(c.zone)
	var out []*endpoint
	for _, e := range list {
		if (c.zoned && e.zoneHash == zone) == g.local {
			out = append(out, e)
		}
	}
	return out
}
