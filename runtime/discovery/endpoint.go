package discovery

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
)

// Endpoint is one server, reachable at one address or more. It is immutable once it is part of a [Set].
type Endpoint struct {
	// Addresses are where to dial, in order of preference: "10.0.0.1:443", "[2001:db8::1]:443", "db-1.example:443",
	// "unix:/run/db.sock". There is at least one.
	Addresses []string
	// Weight is the share of calls in proportion to the weights of the others; 1 if nothing was said. Never 0.
	Weight uint32
	// Priority is 0 for the best. Endpoints of a worse priority are for when those of a better one are not enough.
	Priority uint32
	// Zone is where the server stands, e.g., "eu-west-1a"; "" if unknown.
	Zone string
	// Metadata is whatever else the source knows. Read-only; nil if nothing.
	Metadata map[string]string

	// serverName is what TLS verifies and the :authority header carries, with a port, where the addresses do not say who
	// the server is: those that DNS returned for a name. "" for each address's own host.
	serverName string
	target     string // of several
}

// Target returns the target that the endpoint is of, as written, where a channel has several ([NewTargets]); "" otherwise.
func (e Endpoint) Target() string { return e.target }

// ID identifies the endpoint across updates: its addresses, joined by "+".
func (e Endpoint) ID() string {
	if len(e.Addresses) == 1 {
		return e.Addresses[0]
	}
	return strings.Join(e.Addresses, "+")
}

// SameTarget reports whether e and o have the same addresses, in the same order, and the same name for TLS.
func (e *Endpoint) SameTarget(o *Endpoint) bool {
	return e.serverName == o.serverName && sameStrings(e.Addresses, o.Addresses)
}

// sameStrings is [slices.Equal], and fast where both are one slice, as those of an endpoint are that did not change.
func sameStrings(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// Equal reports whether e and o say the same, metadata included.
func (e Endpoint) Equal(o Endpoint) bool {
	return e.Weight == o.Weight && e.Zone == o.Zone && e.Priority == o.Priority && e.serverName == o.serverName &&
		e.target == o.target && slices.Equal(e.Addresses, o.Addresses) && maps.Equal(e.Metadata, o.Metadata)
}

// Set is all endpoints of a target at one moment. It is immutable.
type Set struct {
	// Revision is the source's; it never goes back while the source lives.
	Revision int64
	// Endpoints are in the order in which the state lists them.
	Endpoints []Endpoint
	// Stale is why the set may be out of date: the source has lost its backend. nil if it is fresh.
	Stale error

	resolved []resolver.Endpoint // of the state, as it was before grpc saw it; nil for a set made elsewhere
	form     Form                // how resolved follows from Endpoints
}

// Form is how the endpoints of a resolver's state follow from those of its [Set]: one form makes equal ones of equal ones.
type Form uint8

// FormNone says nothing: they need not follow.
const FormNone Form = 0

const (
	formPlain Form = iota + 1 // the addresses alone
	formNamed                 // with what TLS verifies
)

type setKey struct{}

// withSet puts s into the attributes of a resolver state.
func withSet(a *attributes.Attributes, s *Set) *attributes.Attributes {
	return a.WithValue(setKey{}, s)
}

// SetOf returns the set that a resolver of this package put into state, nil if another resolver made it. When it is not
// nil and as long as state.Endpoints, the endpoints of both belong together by index: identity, weight, zone and
// priority are read from the set, since grpc may have rewritten the addresses (a proxy), and dialling uses those of the
// state.
func SetOf(state resolver.State) *Set {
	s, _ := state.Attributes.Value(setKey{}).(*Set)
	return s
}

// Form returns how endpoints, those of a state with the set in it, follow from s.Endpoints; [FormNone] if they need not, as after a
// proxy. Of two states with one other Form, endpoints with the same target ([Endpoint.SameTarget]) are dialled alike.
func (s *Set) Form(endpoints []resolver.Endpoint) Form {
	if len(endpoints) == 0 || len(s.resolved) != len(endpoints) || &s.resolved[0] != &endpoints[0] {
		return FormNone
	}
	return s.form
}

// Named returns addrs, the addresses of endpoint i as a balancer got them, with the names that TLS verifies. A resolver of grpc
// that stands between, for a proxy, drops them; without them each endpoint would be verified as the first.
func (s *Set) Named(i int, addrs []resolver.Address) []resolver.Address {
	if i >= len(s.resolved) || len(addrs) == 0 {
		return addrs
	}
	given := s.resolved[i].Addresses
	if given[0].ServerName == addrs[0].ServerName {
		return addrs
	}
	named := slices.Clone(addrs)
	for j := range named {
		from := given[0]
		if len(given) == len(named) {
			from = given[j]
		}
		if named[j].ServerName == "" {
			named[j].ServerName = from.ServerName
		}
	}
	return named
}

// Equal makes two states with the same set equal, as grpc compares attributes.
func (s *Set) Equal(o any) bool {
	other, ok := o.(*Set)
	return ok && s == other
}
