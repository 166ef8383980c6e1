package discovery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/resolver"
)

// StateGuard is a [Guard] over the states of any resolver: it shows endpoints that the resolver has removed for as long
// as the guard keeps them. It is for one goroutine at a time.
type StateGuard struct {
	guard *Guard
	shown map[string]remembered
}

// remembered is an endpoint as the resolver gave it last.
type remembered struct {
	resolved resolver.Endpoint
	endpoint Endpoint // of the Set, if there was one
}

// HeldError is the Stale of a [Set] with endpoints that the resolver does not list any more.
type HeldError struct {
	// Endpoints is their number, at least 1.
	Endpoints int
	// Until is when the next one leaves, or the whole of an empty list is honoured; zero while the source has lost its
	// backend.
	Until time.Time
}

// Error says how many and why.
func (e *HeldError) Error() string {
	return fmt.Sprintf("discovery: %d endpoints that the resolver removed are still in use; "+
		"shorten discovery.empty_grace or raise discovery.max_removed_ratio if they should go sooner", e.Endpoints)
}

// NewStateGuard returns a guard that has seen no state yet.
func NewStateGuard(c GuardConfig) *StateGuard {
	return &StateGuard{guard: NewGuard(c), shown: make(map[string]remembered)}
}

// Configure is [Guard.Configure].
func (g *StateGuard) Configure(c GuardConfig) { g.guard.Configure(c) }

// Apply returns the state to show for the one that the resolver gave, which is not changed, and when to call it again
// with the resolver's last state if there is no other before; zero if there is no need to. lost says that the resolver
// has reported an error since that state; one whose [Set] is stale counts as lost anyway.
//
// Endpoints that are kept follow those that are listed, and are in the Set too, whose Stale is then a [*HeldError] unless
// it was set. A state that nothing is to be added to is returned as it is. One that gives Addresses and no Endpoints, as
// old resolvers do, is returned in that form.
func (g *StateGuard) Apply(now time.Time, s resolver.State, lost bool) (show resolver.State, next time.Time) {
	listed, set := endpointsOf(s), SetOf(s)
	if set != nil && len(set.Endpoints) != len(listed) {
		set = nil
	}
	ids := make([]string, len(listed))
	shown := make(map[string]remembered, len(listed))
	for i, e := range listed {
		ids[i] = endpointID(e)
		r := remembered{resolved: e}
		if set != nil {
			r.endpoint = set.Endpoints[i]
		}
		shown[ids[i]] = r
	}
	keep, next := g.guard.Observe(now, ids, lost || set != nil && set.Stale != nil)
	kept := make([]remembered, len(keep))
	for i, id := range keep {
		kept[i] = g.shown[id]
		shown[id] = kept[i]
	}
	g.shown = shown
	if len(kept) == 0 {
		return s, next
	}
	return withKept(s, set, kept, next), next
}

// withKept adds endpoints to a copy of s.
func withKept(s resolver.State, set *Set, kept []remembered, next time.Time) resolver.State {
	old := s.Endpoints == nil && len(s.Addresses) > 0
	if old {
		s.Addresses = slices.Clone(s.Addresses)
	} else {
		s.Endpoints = slices.Clone(s.Endpoints)
	}
	for _, k := range kept {
		if old {
			s.Addresses = append(s.Addresses, k.resolved.Addresses...)
		} else {
			s.Endpoints = append(s.Endpoints, k.resolved)
		}
	}
	if set == nil {
		return s
	}
	more := &Set{Revision: set.Revision, Stale: set.Stale, Endpoints: slices.Clone(set.Endpoints)}
	for _, k := range kept {
		e := k.endpoint
		if len(e.Addresses) == 0 { // there was no Set when it was listed
			e = plainEndpoint(k.resolved)
		}
		more.Endpoints = append(more.Endpoints, e)
	}
	if set.resolved != nil {
		more.resolved = slices.Clone(set.resolved)
		for _, k := range kept {
			more.resolved = append(more.resolved, k.resolved)
		}
	}
	if more.Stale == nil {
		more.Stale = &HeldError{Endpoints: len(kept), Until: next}
	}
	s.Attributes = withSet(s.Attributes, more)
	return s
}

// endpointsOf is what grpc makes of a state without Endpoints: one of each address.
func endpointsOf(s resolver.State) []resolver.Endpoint {
	if s.Endpoints != nil {
		return s.Endpoints
	}
	endpoints := make([]resolver.Endpoint, len(s.Addresses))
	for i, a := range s.Addresses {
		endpoints[i] = resolver.Endpoint{Addresses: []resolver.Address{a}}
	}
	return endpoints
}

// endpointID tells endpoints apart by where they are dialled and who must answer.
func endpointID(e resolver.Endpoint) string {
	var b strings.Builder
	for i, a := range e.Addresses {
		if i > 0 {
			b.WriteByte('+')
		}
		b.WriteString(a.Addr)
		if a.ServerName != "" && a.ServerName != a.Addr {
			b.WriteString("\x00" + a.ServerName)
		}
	}
	return b.String()
}

func plainEndpoint(r resolver.Endpoint) Endpoint {
	e := Endpoint{Weight: 1}
	for _, a := range r.Addresses {
		e.Addresses = append(e.Addresses, a.Addr)
	}
	return e
}
