package balancer

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/resolver"
	"pgregory.net/rapid"

	"github.com/goresilient/goresilient/runtime/policy"
)

// listings is a history of lists beside a model: the list that the resolver last gave, and which endpoint had which ID.
type listings struct {
	t      *rapid.T
	r      *rig
	list   []site
	before map[string]*endpoint
	last   resolver.State
	reused []resolver.Address // what a resolver writes each of its lists into
}

// TestListings gives random lists, much alike or not, from discovery and from other resolvers, and compares with the model what the
// channel knows, and the selection with one that is made anew.
func TestListings(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lb := &policy.LoadBalancing{Adaptive: &policy.Adaptive{}}
		if rapid.Bool().Draw(rt, "subset") {
			lb.SubsetSize = policy.Set(rapid.IntRange(1, 12).Draw(rt, "size"))
		}
		if rapid.Bool().Draw(rt, "zoned") {
			lb.ZoneAware = &policy.ZoneAware{}
		}
		lb.Failover = &policy.Failover{Disabled: policy.Set(rapid.Bool().Draw(rt, "together"))}
		cfg := Config{LoadBalancing: policy.Complete(&policy.Service{LoadBalancing: lb}).LoadBalancing, Zone: "a"}
		h := &listings{t: rt, r: newRig(t, cfg), before: make(map[string]*endpoint), reused: make([]resolver.Address, 0, 64)}
		defer h.r.lb.Close()
		for range rapid.IntRange(1, 25).Draw(rt, "updates") {
			h.change()
			h.push()
			h.check()
		}
	})
}

// change makes the next list of the last one.
func (h *listings) change() {
	place := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(h.t, name) }
	for range rapid.SampledFrom([]int{0, 1, 1, 1, 2, 3, 12}).Draw(h.t, "changes") {
		n := len(h.list)
		switch kind := rapid.SampledFrom([]string{"add", "add", "remove", "replace", "move", "alter", "repeat"}).Draw(h.t, "kind"); {
		case kind == "add" || n == 0:
			h.list = slices.Insert(h.list, place("at", n+1), h.site())
		case kind == "remove":
			at := place("gone", n)
			h.list = slices.Delete(h.list, at, at+1)
		case kind == "replace":
			h.list[place("replaced", n)] = h.site()
		case kind == "move":
			from, to := place("from", n), place("to", n)
			s := h.list[from]
			h.list = slices.Insert(slices.Delete(h.list, from, from+1), to, s)
		case kind == "alter":
			at := place("altered", n)
			addr := h.list[at].addr
			h.list[at] = h.site()
			h.list[at].addr = addr
		case kind == "repeat":
			h.list = slices.Insert(h.list, place("again", n+1), h.list[place("repeated", n)])
		}
	}
}

func (h *listings) site() site {
	return site{
		addr:     fmt.Sprint("host-", rapid.IntRange(0, 20).Draw(h.t, "host")),
		zone:     rapid.SampledFrom([]string{"", "a", "a", "b"}).Draw(h.t, "zone"),
		priority: uint32(rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(h.t, "priority")),
		weight:   uint32(rapid.SampledFrom([]int{1, 1, 1, 5}).Draw(h.t, "weight")),
	}
}

// push gives the list in one of several forms. Those of other resolvers than discovery's say nothing but addresses.
func (h *listings) push() {
	switch rapid.SampledFrom([]string{"discovered", "discovered", "again", "through a proxy", "addresses", "endpoints"}).Draw(h.t, "form") {
	case "again":
		if h.last.Attributes != nil {
			break // and the list stays what it was
		}
		fallthrough
	case "discovered":
		h.last = siteState(h.r.t, h.unique())
	case "through a proxy":
		h.last = siteState(h.r.t, h.unique())
		h.last.Endpoints = slices.Clone(h.last.Endpoints)
	case "addresses":
		h.plain()
		h.last = resolver.State{Addresses: h.reused}
	case "endpoints":
		h.plain()
		h.last = resolver.State{}
		for i := range h.reused {
			h.last.Endpoints = append(h.last.Endpoints, resolver.Endpoint{Addresses: h.reused[i : i+1]}, resolver.Endpoint{})
		}
	}
	h.list = h.said()
	_ = h.r.push(h.last) // an empty list is refused
}

// unique returns the list without repetitions, which a source does not have.
func (h *listings) unique() []site {
	var out []site
	for _, s := range h.list {
		if !slices.ContainsFunc(out, func(o site) bool { return o.addr == s.addr }) {
			out = append(out, s)
		}
	}
	return out
}

// plain writes the addresses of the list over those of the list before.
func (h *listings) plain() {
	h.reused = h.reused[:0]
	for _, s := range h.list {
		h.reused = append(h.reused, resolver.Address{Addr: s.addr})
	}
}

// said returns the list that the last state gives.
func (h *listings) said() []site {
	l := listing{endpoints: endpointsOf(h.last)}
	l.set = setOf(h.last, len(l.endpoints))
	var out []site
	for i, e := range l.endpoints {
		if len(e.Addresses) == 0 {
			continue
		}
		info := l.info(i)
		out = append(out, site{addr: e.Addresses[0].Addr, zone: zoneOf(info), priority: priorityOf(info), weight: weightOf(info)})
	}
	return out
}

// check compares the channel with the model.
func (h *listings) check() {
	ch, want := h.r.ch, h.unique()
	if len(ch.list) != len(want) || len(ch.byID) != len(want) {
		h.t.Fatalf("%d endpoints of %d IDs are listed, want %d", len(ch.list), len(ch.byID), len(want))
	}
	known := make(map[string]*endpoint)
	for i, s := range want {
		e := ch.list[i]
		told := ch.describe(e)
		got := site{addr: told.ID(), zone: told.Zone, priority: told.Priority, weight: told.Weight}
		if got != s || e.name != s.addr || ch.addrsOf(e)[0].Addr != s.addr {
			h.t.Fatalf("endpoint %d is %+v, with the name %s and the address %s, want %+v", i, got, e.name, ch.addrsOf(e)[0].Addr, s)
		}
		if e.weight != s.weight || e.priority != s.priority || e.zoneHash != xxhash.Sum64String(s.zone) || int(e.position) != i {
			h.t.Fatalf("endpoint %d has the weight %d, the priority %d and the position %d, or another zone, want %+v", i, e.weight, e.priority, e.position, s)
		}
		if old := h.before[s.addr]; old != nil && old != e {
			h.t.Fatalf("%s is another endpoint than before", s.addr)
		}
		known[s.addr] = e
	}
	h.before = known
	if uneven := slices.ContainsFunc(want, func(s site) bool { return s.weight != want[0].weight }); ch.uneven != uneven {
		h.t.Fatalf("uneven = %v, want %v", ch.uneven, uneven)
	}
	if mixed := slices.ContainsFunc(want, func(s site) bool { return s.priority != want[0].priority }); ch.mixed != mixed {
		h.t.Fatalf("mixed = %v, want %v", ch.mixed, mixed)
	}
	h.checkSelection()
}

// checkSelection compares the selection with one that is made anew, and who takes part with who is a member.
func (h *listings) checkSelection() {
	p := h.r.ch.serving().(*pool)
	var anew selection
	anew.choose(h.r.ch.list, h.r.ch.mixed, p.cfg.criteria(), h.r.ch.salt)
	if len(p.selection.bands) != len(anew.bands) {
		h.t.Fatalf("%d bands, want %d", len(p.selection.bands), len(anew.bands))
	}
	taking := 0
	for i, want := range anew.bands {
		got := p.selection.bands[i]
		if got.priority != want.priority || got.listed != want.listed || got.limited != want.limited || len(got.groups) != len(want.groups) {
			h.t.Fatalf("band %d is %+v, want %+v", i, got, want)
		}
		for j, g := range got.groups {
			if g.local != want.groups[j].local || !slices.Equal(g.members, want.groups[j].members) {
				h.t.Fatalf("group %d of band %d has other members than it should", j, i)
			}
			for _, e := range g.members {
				if e.group != nil {
					taking++
				}
				if got.connected != (e.group == g) {
					h.t.Fatalf("%s takes part in %p, and its group is %p of a band with connected = %v", e.name, e.group, g, got.connected)
				}
			}
			if g.joined() != len(g.members) && got.connected {
				h.t.Fatalf("%d of %d members have joined", g.joined(), len(g.members))
			}
		}
	}
	if live := len(h.r.cc.live()); live != taking {
		h.t.Fatalf("%d connections, want %d", live, taking)
	}
}
