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
	// relisted is whether the list is another one, by its endpoints or their order, or an endpoint's priority or zone is.
	relisted bool
	// reweighted is whether the weight of an endpoint that stays is another one.
	reweighted bool
}

// match makes state's endpoints those of the channel and returns what changed; c.mu is held. Identity comes from
// discovery's set by index if there is one, and from the addresses otherwise. An unchanged list costs one comparison per
// endpoint and no allocation.
//
// Attributes are not identity: a resolver may change them at every update. Only where several endpoints share an address
// (grpc puts the real one into the attributes when a proxy is in between) do they tell endpoints apart.
func (c *Channel) match(state resolver.State) change {
	c.generation++
	endpoints := endpointsOf(state)
	m := matcher{c: c, old: c.list, size: len(endpoints)}
	set := setOf(state, len(endpoints))
	for i := range endpoints {
		if info, addrs := described(set, i, endpoints[i]); len(addrs) > 0 {
			m.place(info, addrs)
		}
	}
	m.finish()
	return m.change
}

// setOf returns discovery's set for a state of n endpoints, nil if there is none that belongs to it.
func setOf(state resolver.State, n int) *discovery.Set {
	if set := discovery.SetOf(state); set != nil && len(set.Endpoints) == n {
		return set
	}
	return nil
}

// described returns what discovery says of endpoint i, nil if nothing, and where to dial.
func described(set *discovery.Set, i int, e resolver.Endpoint) (*discovery.Endpoint, []resolver.Address) {
	if set == nil || len(e.Addresses) == 0 {
		return nil, e.Addresses
	}
	return &set.Endpoints[i], set.Named(i, e.Addresses)
}

// endpointsOf returns the endpoints of a state, one for each address if it has addresses alone.
func endpointsOf(state resolver.State) []resolver.Endpoint {
	if len(state.Endpoints) > 0 || len(state.Addresses) == 0 {
		return state.Endpoints
	}
	out := make([]resolver.Endpoint, len(state.Addresses))
	for i := range state.Addresses {
		out[i] = resolver.Endpoint{Addresses: state.Addresses[i : i+1 : i+1]}
	}
	return out
}

// matcher goes through the new list beside the old one.
type matcher struct {
	c      *Channel
	old    []*endpoint
	size   int // of the new list, at most
	cursor int // where in old the next endpoint is expected
	same   int // how many endpoints at the beginning of old are as before
	list   []*endpoint
	weight uint32 // of the first endpoint; 0: there was none yet
	uneven bool   // another one's differs
	first  uint32 // the priority of the first endpoint
	mixed  bool   // another one's differs
	change
}

// place finds or makes the endpoint and appends it to the new list, unless an equal one is there already.
func (m *matcher) place(info *discovery.Endpoint, addrs []resolver.Address) {
	e := m.expected(info, addrs)
	if e == nil {
		if e = m.find(info, addrs); e == nil {
			return
		}
	}
	e.generation = m.c.generation
	// Of equal identity are equal addresses of the set: only where others stand beside them need those be looked at. An update
	// that says again what the last one said need not be looked at either.
	again := e.info == info && len(e.addrs) == len(addrs) && &e.addrs[0] == &addrs[0]
	plain := again && e.plain || !again && isPlain(info, addrs)
	if !again && !(plain && e.plain) && !sameTarget(e.addrs, addrs) {
		m.moved = append(m.moved, e)
	}
	m.weigh(e, info)
	m.rank(info)
	if e.info != info && !sameSeat(e, info) {
		m.relisted = true
		e.zoned = xxhash.Sum64String(zoneOf(info))
	}
	if !again {
		e.info, e.addrs, e.plain, e.priority = info, addrs, plain, priorityOf(info)
	}
	if m.list == nil && m.same < len(m.old) && m.old[m.same] == e {
		m.same++
		return
	}
	if m.list == nil {
		m.list = append(make([]*endpoint, 0, m.size), m.old[:m.same]...)
	}
	m.list = append(m.list, e)
}

// weigh compares the weight of e, which info is to describe, with what it was and with the others.
func (m *matcher) weigh(e *endpoint, info *discovery.Endpoint) {
	weight := weightOf(info)
	if e.info != info && weight != e.weight() {
		m.reweighted = true
	}
	if m.weight == 0 {
		m.weight = weight
	}
	m.uneven = m.uneven || weight != m.weight
}

// rank compares the priority of the endpoint that info describes with that of the others.
func (m *matcher) rank(info *discovery.Endpoint) {
	value := priorityOf(info)
	if m.same == 0 && m.list == nil {
		m.first = value
	}
	m.mixed = m.mixed || value != m.first
}

// expected returns the endpoint that follows in the old list, if it is this one.
func (m *matcher) expected(info *discovery.Endpoint, addrs []resolver.Address) *endpoint {
	if m.cursor >= len(m.old) {
		return nil
	}
	e := m.old[m.cursor]
	if e.generation == m.c.generation || e.shared || !sameIdentity(e, info, addrs) {
		return nil
	}
	m.cursor++
	return e
}

// find returns the endpoint by its ID, a new one if there is none, nil if this update has had it already.
func (m *matcher) find(info *discovery.Endpoint, addrs []resolver.Address) *endpoint {
	id := identity(info, addrs)
	first := m.c.byID[id]
	shared := first != nil && first.shared
	var last *endpoint
	for e := first; e != nil; last, e = e, e.sibling {
		seen := e.generation == m.c.generation
		if info != nil || sameDial(e.addrs, addrs) {
			if seen {
				return nil
			}
			m.cursor = int(e.position) + 1
			return e
		}
		if !seen && !shared {
			m.cursor = int(e.position) + 1
			return e
		}
	}
	e := newEndpoint(id, info, addrs)
	m.added = append(m.added, e)
	if last == nil {
		m.c.byID[id] = e
		return e
	}
	last.sibling, e.shared = e, true
	if !shared {
		last.shared = true
		m.moved = append(m.moved, last) // it was told by its address alone, and may lead elsewhere
	}
	return e
}

// finish installs the new list and collects what is gone.
func (m *matcher) finish() {
	m.c.mixed = m.mixed
	if m.c.uneven = m.uneven; m.reweighted {
		m.c.weighting = m.c.generation
	}
	if m.list == nil && m.same == len(m.old) {
		return
	}
	m.relisted = true
	if m.list == nil {
		m.list = slices.Clone(m.old[:m.same])
	}
	for i := m.same; i < len(m.list); i++ {
		m.list[i].position = uint32(i)
	}
	if len(m.list)-len(m.added) < len(m.old) {
		for _, e := range m.old {
			if e.generation != m.c.generation {
				m.removed = append(m.removed, e)
				m.c.forget(e)
			}
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

// sameIdentity tells whether e has the ID of info and addrs, without building it where that can be avoided.
func sameIdentity(e *endpoint, info *discovery.Endpoint, addrs []resolver.Address) bool {
	switch {
	case info == nil && e.info == nil:
		return slices.EqualFunc(e.addrs, addrs, func(a, b resolver.Address) bool { return a.Addr == b.Addr })
	case info != nil && e.info != nil:
		return info == e.info || slices.Equal(e.info.Addresses, info.Addresses)
	default:
		return e.name == identity(info, addrs)
	}
}

// sameSeat tells whether info gives e the priority and the zone that it has.
func sameSeat(e *endpoint, info *discovery.Endpoint) bool {
	return e.priority == priorityOf(info) && e.zone() == zoneOf(info)
}

// isPlain tells whether addrs lead to the addresses of info, under no other name.
func isPlain(info *discovery.Endpoint, addrs []resolver.Address) bool {
	if info == nil || len(addrs) != len(info.Addresses) {
		return false
	}
	for i := range addrs {
		if addrs[i].Addr != info.Addresses[i] || addrs[i].ServerName != "" {
			return false
		}
	}
	return true
}

// sameTarget tells whether two lists of addresses lead to the same servers under the same names.
func sameTarget(a, b []resolver.Address) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Addr != b[i].Addr || a[i].ServerName != b[i].ServerName {
			return false
		}
	}
	return true
}

// sameDial tells whether dialling a and b comes to the same.
func sameDial(a, b []resolver.Address) bool { return slices.EqualFunc(a, b, sameAddress) }

// sameAddress compares what grpc compares: what the balancer knows besides does not matter to a connection.
func sameAddress(a, b resolver.Address) bool {
	return a.Addr == b.Addr && a.ServerName == b.ServerName &&
		(a.Attributes == b.Attributes || a.Attributes.Equal(b.Attributes))
}
