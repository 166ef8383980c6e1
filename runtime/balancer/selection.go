package balancer

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/goresilient/goresilient/runtime/policy"
)

// selection is which of the listed endpoints the pool may connect to: those of each priority, and of these the subset. To
// which priorities it does connect is up to failover.
type selection struct {
	bands []*band // the best first
}

// band is the endpoints of one priority; of all priorities, if failover is disabled.
type band struct {
	priority uint32
	groups   []*group // one or two: with zone_aware, those of the client's zone come first

	// What failover has decided, and the pool carried out.
	connected bool
	share     float64 // of the calls

	stays float64 // which part of the share stays in the client's zone

	listed  int    // endpoints of the priority
	limited bool   // the groups have a subset of them
	limit   uint64 // of it: just so many endpoints as it has are of this rank or a lower one
	tied    bool   // more are of this rank, of which it has some
}

// criteria is what a selection depends on besides the list.
type criteria struct {
	size     int  // of the subset; 0: all
	together bool // priorities are ignored
	zone     string
	zoned    bool
}

func (c Config) criteria() criteria {
	lb := c.LoadBalancing
	if lb == nil {
		return criteria{}
	}
	return criteria{
		size:     policy.Value(lb.SubsetSize),
		together: lb.Failover != nil && policy.Value(lb.Failover.Disabled),
		zone:     c.Zone,
		zoned:    lb.ZoneAware != nil && !policy.Value(lb.ZoneAware.Disabled),
	}
}

// choose makes the selection that of the list, whose priorities are mixed or all the same. Bands and groups that were there before
// go on, with new members.
func (s *selection) choose(list []*endpoint, mixed bool, c criteria, salt uint64) {
	before := s.bands
	s.bands = nil
	for _, part := range byPriority(list, c.together, mixed, before) {
		var b *band
		for len(before) > 0 && before[0].priority < part.priority {
			before = before[1:]
		}
		if len(before) > 0 && before[0].priority == part.priority {
			b = before[0]
		} else {
			b = &band{priority: part.priority}
		}
		members := part.members
		b.listed, b.limited = len(members), false
		if c.size > 0 && c.size < len(members) {
			room := members[:0]
			if !part.own {
				room = make([]*endpoint, 0, c.size)
			}
			b.limited, part.own = true, true
			members, b.limit, b.tied = chooseSubset(room, members, c.size, salt)
		}
		b.seat(members, part.own, c)
		s.bands = append(s.bands, b)
	}
}

// priorities returns those of the bands.
func (s *selection) priorities() []uint32 {
	out := make([]uint32, len(s.bands))
	for i, b := range s.bands {
		out[i] = b.priority
	}
	return out
}

// seat divides the members among the groups. Without an endpoint in the client's zone there is one group of all. own is whether
// members may be written to.
func (b *band) seat(members []*endpoint, own bool, c criteria) {
	var local, others []*endpoint
	if c.zoned {
		zone := xxhash.Sum64String(c.zone)
		if local = make([]*endpoint, 0, b.room(true, members)); own {
			others = members[:0]
		} else {
			others = make([]*endpoint, 0, b.room(false, members))
		}
		for _, e := range members {
			if e.zoneHash == zone {
				local = append(local, e)
			} else {
				others = append(others, e)
			}
		}
	}
	switch {
	case len(local) == 0:
		b.groups = []*group{b.group(false, members)}
	case len(others) == 0:
		b.groups = []*group{b.group(true, members)}
	default:
		b.groups = []*group{b.group(true, local), b.group(false, others)}
	}
}

// room returns how many of the members are likely to be on one side: about as many as before.
func (b *band) room(local bool, members []*endpoint) int {
	for _, g := range b.groups {
		if g.local == local {
			return len(g.members) + 1
		}
	}
	return len(members)
}

// group returns the group that is there, a new one if none is, with these members.
func (b *band) group(local bool, members []*endpoint) *group {
	for _, g := range b.groups {
		if g.local == local {
			g.members = members
			return g
		}
	}
	return &group{local: local, members: members}
}

// part is the endpoints of one priority, in the order of the list.
type part struct {
	priority uint32
	members  []*endpoint
	own      bool // members is no part of the list, and may be written to
}

// byPriority splits the list, the best priority first. mixed is whether there is more than one. before tells how many endpoints of
// each are to be expected.
func byPriority(list []*endpoint, together, mixed bool, before []*band) []part {
	switch {
	case len(list) == 0:
		return nil
	case together:
		return []part{{members: list}}
	case !mixed:
		return []part{{priority: list[0].priority, members: list}}
	}
	var parts []part
	last := -1
	for _, e := range list {
		if last < 0 || parts[last].priority != e.priority { // neighbours are often of one priority
			at, found := slices.BinarySearchFunc(parts, e.priority, func(p part, v uint32) int { return cmp.Compare(p.priority, v) })
			if !found {
				parts = slices.Insert(parts, at, part{e.priority, make([]*endpoint, 0, expected(before, e.priority)), true})
			}
			last = at
		}
		parts[last].members = append(parts[last].members, e)
	}
	return parts
}

// expected returns how many endpoints a priority is likely to have: about as many as before.
func expected(before []*band, priority uint32) int {
	for _, b := range before {
		if b.priority == priority {
			return b.listed + 1
		}
	}
	return 0
}
