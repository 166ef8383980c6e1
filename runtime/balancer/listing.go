package balancer

import (
	"slices"

	"google.golang.org/grpc/resolver"

	"github.com/goresilient/goresilient/runtime/discovery"
)

// listing is what the resolver said last. What it says of an endpoint is read from here and not kept with the endpoint: an update
// that changes little then goes through the two listings in order, and leaves the memory of the endpoints alone.
type listing struct {
	set       *discovery.Set      // nil if another resolver than those of discovery made it
	endpoints []resolver.Endpoint // with the addresses to dial; not to be written
	form      discovery.Form      // how these follow from set
	at        []uint32            // by position in Channel.list, where in endpoints it is; nil: at the same place
}

// listingOf returns what state says. Without a form, the endpoints are the listing's own; their addresses are still those of
// whoever made the state, who may write to them for the next one: see own.
func listingOf(state resolver.State) listing {
	l := listing{endpoints: endpointsOf(state)}
	if l.set = setOf(state, len(l.endpoints)); l.set != nil {
		l.form = l.set.Form(l.endpoints)
	}
	if l.form == discovery.FormNone {
		l.endpoints = slices.Clone(l.endpoints)
		l.restoreNames()
	}
	return l
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

// setOf returns discovery's set for a state of n endpoints, nil if there is none that belongs to it.
func setOf(state resolver.State, n int) *discovery.Set {
	if set := discovery.SetOf(state); set != nil && len(set.Endpoints) == n {
		return set
	}
	return nil
}

// restoreNames gives the addresses the names that TLS verifies, where they have lost them.
func (l *listing) restoreNames() {
	if l.set == nil {
		return
	}
	for i := range l.endpoints {
		l.endpoints[i].Addresses = l.set.Named(i, l.endpoints[i].Addresses)
	}
}

// sameState tells whether l is of the same state as before. It can do without a look at the endpoints: a set is immutable, and so
// is the state that was made with it.
func (l *listing) sameState(before *listing) bool {
	return l.form != discovery.FormNone && l.set == before.set && len(l.endpoints) == len(before.endpoints) && &l.endpoints[0] == &before.endpoints[0]
}

// index returns where in the listing the endpoint at a position of the list is.
func (l *listing) index(position uint32) int {
	if l.at == nil {
		return int(position)
	}
	return int(l.at[position])
}

// info returns what discovery says of endpoint i, nil if nothing.
func (l *listing) info(i int) *discovery.Endpoint {
	if l.set == nil {
		return nil
	}
	return &l.set.Endpoints[i]
}

// addrs returns where to dial endpoint i. They are not to be written.
func (l *listing) addrs(i int) []resolver.Address { return l.endpoints[i].Addresses }

// own gives endpoint i addresses that nobody else writes to: known, which were the endpoint's before, if they say the same.
func (l *listing) own(i int, known []resolver.Address) {
	if addrs := l.addrs(i); slices.EqualFunc(known, addrs, reusable) {
		l.endpoints[i].Addresses = known
	} else {
		l.endpoints[i].Addresses = slices.Clone(addrs)
	}
}

// reusable tells whether a can stand for b in everything, as far as that is easily told.
func reusable(a, b resolver.Address) bool {
	//lint:ignore SA1019 resolvers still set BalancerAttributes and Metadata
	return sameName(a, b) && a.Attributes == b.Attributes && a.BalancerAttributes == b.BalancerAttributes && a.Metadata == nil && b.Metadata == nil
}

// compared is how two endpoints of two listings compare.
type compared uint8

const (
	different compared = iota
	moved              // of one identity; dialled at another address or under another name
	alike              // and dialled alike
)

// compare compares endpoint i of the listing with endpoint k of the one before. Of the measures of sameness, each is
// stricter than the one before: one ID (sameIdentity); led to by the same addresses under the same names (sameTarget, and
// SameTarget of what discovery says); connected to alike (sameDial).
func (l *listing) compare(i int, before *listing, k int) compared {
	was, is := before.info(k), l.info(i)
	if l.form != discovery.FormNone && l.form == before.form && was.SameTarget(is) {
		return alike
	}
	switch {
	case !sameIdentity(was, before.addrs(k), is, l.addrs(i)):
		return different
	case !sameTarget(before.addrs(k), l.addrs(i)):
		return moved
	default:
		return alike
	}
}

// sameIdentity tells whether two endpoints have one ID, without building it where that can be avoided.
func sameIdentity(a *discovery.Endpoint, addrsOfA []resolver.Address, b *discovery.Endpoint, addrsOfB []resolver.Address) bool {
	switch {
	case a == nil && b == nil:
		return slices.EqualFunc(addrsOfA, addrsOfB, func(a, b resolver.Address) bool { return a.Addr == b.Addr })
	case a != nil && b != nil:
		return a == b || slices.Equal(a.Addresses, b.Addresses)
	default:
		return identity(a, addrsOfA) == identity(b, addrsOfB)
	}
}

// sameTarget tells whether two lists of addresses lead to the same servers under the same names.
func sameTarget(a, b []resolver.Address) bool { return slices.EqualFunc(a, b, sameName) }

func sameName(a, b resolver.Address) bool { return a.Addr == b.Addr && a.ServerName == b.ServerName }

// sameDial tells whether dialling a and b comes to the same.
func sameDial(a, b []resolver.Address) bool { return slices.EqualFunc(a, b, sameAddress) }

// sameAddress tells whether a connection to a is one to b. What the balancer knows besides does not matter to a connection, nor
// does metadata, which grpc sends with it, to one that is there.
func sameAddress(a, b resolver.Address) bool {
	return sameName(a, b) && (a.Attributes == b.Attributes || a.Attributes.Equal(b.Attributes))
}
