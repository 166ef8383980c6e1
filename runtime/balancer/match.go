package balancer

import (
	"slices"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// change is how an update of the resolver differs from the one before.
type change struct {
	added, removed []*endpoint
	// moved are those whose dial address is another one although they are the same endpoint (a proxy in between), and
	// those that must follow their attributes.
	moved []*endpoint
	// relisted is whether the members of the list or their order have changed, or a priority or zone in it.
	relisted bool
	// reseated is whether anything of that has changed besides what was added and removed.
	reseated bool
	// reweighted is whether the weight of an endpoint that stays is another one.
	reweighted bool
}

// match makes state's endpoints those of the channel and returns what changed; c.mu is held. Identity comes from
// discovery's set by index if there is one, and from the addresses otherwise. Where the list is as it was, and discovery's own, an
// endpoint costs one comparison and no allocation; the same state again costs nothing.
//
// Attributes are not identity: a resolver may change them at every update. Only where several endpoints share an address
// (grpc puts the real one into the attributes when a proxy is in between) do they tell endpoints apart.
func (c *Channel) match(state resolver.State) change {
	c.generation++
	m := matcher{c: c, old: c.list, before: &c.listing, now: listingOf(state)}
	if m.now.sameState(m.before) {
		return change{}
	}
	if m.now.set == nil {
		m.went = make([]uint32, len(m.old))
	}
	for i := range m.now.endpoints {
		if m.now.form != discovery.FormNone || len(m.now.addrs(i)) > 0 { // those of a form have addresses
			m.place(i)
		}
	}
	m.finish()
	return m.change
}

// matcher goes through the new listing beside the old one.
type matcher struct {
	c      *Channel
	old    []*endpoint
	before *listing // of old
	now    listing
	cursor int // where in old the next endpoint is expected
	placed int // how many endpoints the new list has

	// As long as the new list is as the old one begins, it is not written down, and these are nil.
	list  []*endpoint
	taken []uint64 // by position in old: a bit for each that the new list has

	// went[k] is where in the new listing old[k] is, if the new list has it; nil with a set, of which each ID is one endpoint's.
	went []uint32

	weight   uint32 // of the first endpoint
	uneven   bool   // another one's differs
	priority uint32 // of the first endpoint
	mixed    bool   // another one's differs
	change
}

// place finds or makes endpoint i of the new listing and appends it to the list, unless an equal one is there already.
func (m *matcher) place(i int) {
	e, k, same := m.locate(i)
	if e == nil {
		return
	}
	m.count(i)
	var known []resolver.Address
	if k != nowhere {
		m.reseated = m.reseated || k < m.cursor
		m.cursor = k + 1
		if m.went != nil {
			m.went[k] = uint32(i)
		}
		known = m.keep(e, same, i, m.before.index(uint32(k)))
	}
	if m.now.form == discovery.FormNone {
		m.now.own(i, known)
	}
	m.enter(e, k, i)
}

// locate returns the endpoint that i is, where in the old list it is, and how it has changed. The endpoint is nil if this update has
// had it already.
func (m *matcher) locate(i int) (*endpoint, int, compared) {
	if k := m.cursor; k < len(m.old) && !m.c.sharing && !m.has(k) {
		if same := m.now.compare(i, m.before, m.before.index(uint32(k))); same != different {
			return m.old[k], k, same
		}
	}
	e, k := m.find(i)
	if k == nowhere {
		return e, k, different
	}
	return e, k, m.now.compare(i, m.before, m.before.index(uint32(k)))
}

// keep has e, which the listing before had at k, be what the new one says at i. It returns where e was dialled.
func (m *matcher) keep(e *endpoint, same compared, i, k int) []resolver.Address {
	if same != alike {
		m.moved = append(m.moved, e)
	}
	is, was := m.now.info(i), m.before.info(k)
	if weight := weightOf(is); weight != weightOf(was) {
		e.weight, m.reweighted = weight, true
	}
	if priorityOf(is) != priorityOf(was) || zoneOf(is) != zoneOf(was) {
		e.priority, e.zoneHash = priorityOf(is), xxhash.Sum64String(zoneOf(is))
		m.relisted, m.reseated = true, true
	}
	return m.before.addrs(k)
}

// count compares the weight and the priority of endpoint i with those of the others.
func (m *matcher) count(i int) {
	info := m.now.info(i)
	weight, priority := weightOf(info), priorityOf(info)
	if m.placed == 0 {
		m.weight, m.priority = weight, priority
	}
	m.uneven = m.uneven || weight != m.weight
	m.mixed = m.mixed || priority != m.priority
}

// enter appends e, which the old list has at k, or nowhere, to the new one.
func (m *matcher) enter(e *endpoint, k, i int) {
	n := m.placed
	if m.now.at == nil && i != n { // another one was passed over
		m.now.at = make([]uint32, n, len(m.now.endpoints))
		for j := range m.now.at {
			m.now.at[j] = uint32(j)
		}
	}
	if m.now.at != nil {
		m.now.at = append(m.now.at, uint32(i))
	}
	m.placed++
	if m.list == nil {
		if k == n {
			return
		}
		m.list = append(make([]*endpoint, 0, len(m.now.endpoints)), m.old[:n]...)
		m.taken = make([]uint64, (len(m.old)+63)/64)
		for j := range n {
			m.taken[j/64] |= 1 << (j % 64)
		}
	}
	m.list = append(m.list, e)
	if k >= 0 {
		m.taken[k/64] |= 1 << (k % 64)
	}
}

// has tells whether the new list has the endpoint that is at k in the old one.
func (m *matcher) has(k int) bool {
	if m.taken == nil {
		return k < m.placed
	}
	return m.taken[k/64]&(1<<(k%64)) != 0
}

// find returns the endpoint that i is by its ID, and where in the old list it is; a new one, nowhere, if there is none; nil if this
// update has had it already.
func (m *matcher) find(i int) (*endpoint, int) {
	info, addrs := m.now.info(i), m.now.addrs(i)
	id := identity(info, addrs)
	first := m.c.byID[id]
	shared := first != nil && first.shared
	var last *endpoint
	for e := first; e != nil; last, e = e, e.sibling {
		k, seen := nowhere, true
		if e.position&fresh == 0 {
			k = int(e.position)
			seen = m.has(k)
		}
		if info != nil || sameDial(m.addrsOf(e, seen), addrs) { // an ID of a set is one endpoint's
			if seen {
				return nil, nowhere
			}
			return e, k
		}
		if !seen && !shared {
			return e, k
		}
	}
	return m.add(id, i, last, shared), nowhere
}

const (
	nowhere = -1      // the place in the old list of an endpoint that was not there
	fresh   = 1 << 31 // in the position of one that this update brings, above its place in the new listing
)

// addrsOf returns the addresses of an endpoint that may share its ID: those that this update gives it, if it has been seen.
func (m *matcher) addrsOf(e *endpoint, seen bool) []resolver.Address {
	switch {
	case e.position&fresh != 0:
		return m.now.addrs(int(e.position &^ fresh))
	case seen:
		return m.now.addrs(int(m.went[e.position]))
	default:
		return m.before.addrs(m.before.index(e.position))
	}
}

// add makes an endpoint, for which there is another of its ID, the last one of them, if that is not nil.
func (m *matcher) add(id string, i int, last *endpoint, shared bool) *endpoint {
	e := newEndpoint(id, m.now.info(i))
	e.position = fresh | uint32(i)
	m.added = append(m.added, e)
	if last == nil {
		m.c.byID[id] = e
	} else {
		last.sibling, e.shared, m.c.sharing = e, true, true
		if !shared {
			last.shared = true
			m.moved = append(m.moved, last) // it was told by its address alone, and may lead elsewhere
		}
	}
	return e
}

// finish installs the new list and collects what is gone.
func (m *matcher) finish() {
	m.c.mixed = m.mixed
	if m.c.uneven = m.uneven; m.reweighted {
		m.c.weighting = m.c.generation
	}
	if m.list == nil && m.placed < len(m.old) {
		m.list = slices.Clone(m.old[:m.placed])
	}
	if m.list != nil || m.placed != len(m.old) {
		m.relisted = true
		m.settle()
	}
	m.c.listing = m.now
	if m.c.sharing {
		m.c.sharing = slices.ContainsFunc(m.c.list, func(e *endpoint) bool { return e.shared })
	}
}

// settle gives those of the new list their positions, and lets the others go.
func (m *matcher) settle() {
	if m.placed-len(m.added) < len(m.old) {
		for k, e := range m.old {
			if !m.has(k) {
				addrs := m.before.addrs(m.before.index(uint32(k)))
				e.left = &addrs
				m.removed = append(m.removed, e)
				m.c.forget(e)
			}
		}
	}
	for i, e := range m.list {
		if i >= len(m.old) || m.old[i] != e {
			e.position = uint32(i)
		}
	}
	m.c.list = m.list
}

// forget takes e out of byID.
func (c *Channel) forget(e *endpoint) {
	id := e.name
	first := c.byID[id]
	switch {
	case first == e && e.sibling == nil:
		delete(c.byID, id)
	case first == e:
		c.byID[id] = e.sibling
	default:
		for before := first; before != nil; before = before.sibling {
			if before.sibling == e {
				before.sibling = e.sibling
			}
		}
	}
	e.sibling = nil
	if r := e.reports.Load(); r != nil {
		c.listen(r, nil, 0)
	}
}
