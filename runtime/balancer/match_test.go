package balancer

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// connected returns the addresses of the live SubConns with the value of the attribute that tells proxied ones apart.
func connected(cc *fakeConn) []string {
	var out []string
	for _, sc := range cc.live() {
		name := sc.addrs[0].Addr
		if v := sc.addrs[0].Attributes.Value(behind{}); v != nil {
			name = fmt.Sprintf("%s>%s", name, v)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

type behind struct{}

// proxied returns endpoints that share the proxy's address, as grpc's proxy support makes them.
func proxied(targets ...string) resolver.State {
	s := stateOf(slices.Repeat([]string{"proxy"}, len(targets))...)
	for i, t := range targets {
		s.Endpoints[i].Addresses[0].Attributes = attributes.New(behind{}, t)
	}
	return s
}

func TestUpdateKeepsWhatStays(t *testing.T) {
	tests := []struct {
		name          string
		before, after resolver.State
		want          []string
		made, kept    int
	}{
		{"same", stateOf("a", "b"), stateOf("a", "b"), []string{"a", "b"}, 0, 2},
		{"same in another order", stateOf("a", "b", "c"), stateOf("c", "a", "b"), []string{"a", "b", "c"}, 0, 3},
		{"added in front", stateOf("a", "b"), stateOf("c", "a", "b"), []string{"a", "b", "c"}, 1, 2},
		{"added at the end", stateOf("a", "b"), stateOf("a", "b", "c"), []string{"a", "b", "c"}, 1, 2},
		{"removed in front", stateOf("a", "b", "c"), stateOf("b", "c"), []string{"b", "c"}, 0, 2},
		{"removed at the end", stateOf("a", "b", "c"), stateOf("a", "b"), []string{"a", "b"}, 0, 2},
		{"replaced", stateOf("a", "b", "c"), stateOf("a", "x", "c"), []string{"a", "c", "x"}, 1, 2},
		{"duplicates merged", stateOf("a", "b"), stateOf("a", "a", "b", "a"), []string{"a", "b"}, 0, 2},
		{"addresses alone", stateOf("a"), resolver.State{Addresses: []resolver.Address{{Addr: "a"}, {Addr: "b"}}}, []string{"a", "b"}, 1, 1},
		{"endpoint without address", stateOf("a"), resolver.State{Endpoints: append(stateOf("a").Endpoints, resolver.Endpoint{})}, []string{"a"}, 0, 1},
		{"proxied", proxied("a", "b"), proxied("b", "a"), []string{"proxy>a", "proxy>b"}, 0, 2},
		{"proxied, one removed", proxied("a", "b"), proxied("b"), []string{"proxy>b"}, 0, 1},
		{"proxied, reordered and removed", proxied("a", "b", "c"), proxied("c", "a"), []string{"proxy>a", "proxy>c"}, 0, 2},
		{"proxied, a second in front", proxied("a"), proxied("b", "a"), []string{"proxy>a", "proxy>b"}, 2, 0},
		{"proxied duplicates", proxied("a", "a"), proxied("a"), []string{"proxy>a"}, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, roundRobinConfig())
			r.must(r.push(tt.before))
			bringUp(r.cc)
			old := r.cc.live()
			r.must(r.push(tt.after))
			now := r.cc.live()
			kept := 0
			for _, sc := range now {
				if slices.Contains(old, sc) {
					kept++
				}
			}
			if got := connected(r.cc); !slices.Equal(got, tt.want) {
				t.Errorf("connected to %v, want %v", got, tt.want)
			}
			if made := len(now) - kept; made != tt.made || kept != tt.kept {
				t.Errorf("made %d and kept %d SubConns, want %d and %d", made, kept, tt.made, tt.kept)
			}
			if got := r.ch.Status().Total; got != len(tt.want) {
				t.Errorf("Total = %d, want %d", got, len(tt.want))
			}
			r.lb.Close()
			if left := r.cc.live(); len(left) > 0 {
				t.Errorf("Close left %v", left)
			}
		})
	}
}

// Attributes that differ at every update leave a working connection alone and are used for the next one.
func TestChangingAttributesDoNotDisturb(t *testing.T) {
	version := func(v int) resolver.State {
		s := stateOf("a", "b")
		for i := range s.Endpoints {
			s.Endpoints[i].Attributes = attributes.New(behind{}, v)
			s.Endpoints[i].Addresses[0].Attributes = attributes.New(behind{}, v)
			//lint:ignore SA1019 resolvers still set it
			s.Endpoints[i].Addresses[0].BalancerAttributes = attributes.New(behind{}, v)
		}
		s.Attributes = attributes.New(behind{}, v)
		return s
	}
	r := newRig(t, roundRobinConfig())
	r.must(r.push(version(0)))
	bringUp(r.cc)
	r.time.fire()
	before := r.cc.live()
	r.cc.keepAll = true
	published := len(r.cc.published)
	for v := 1; v < 5; v++ {
		r.must(r.push(version(v)))
	}
	if after := r.cc.live(); !slices.Equal(before, after) {
		t.Fatalf("SubConns were replaced: %v, before %v", after, before)
	}
	if len(r.cc.published) != published {
		t.Errorf("%d publications for a list that stays", len(r.cc.published)-published)
	}
	a := r.cc.at(t, "a")
	a.becomes(connectivity.Idle)
	if a.state != connectivity.Shutdown {
		t.Error("the old SubConn is used again")
	}
	if got := r.cc.at(t, "a").addrs[0].Attributes.Value(behind{}); got != 4 {
		t.Errorf("reconnects with attributes of version %v, want 4", got)
	}
	if got := r.ch.Status(); got.Total != 2 || got.Ready != 1 {
		t.Errorf("status = %+v", got)
	}
}

// Another server name is another TLS identity: it takes effect at once.
func TestServerNameTakesEffect(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.must(r.resolve("a"))
	bringUp(r.cc)
	s := stateOf("a")
	s.Endpoints[0].Addresses[0].ServerName = "other"
	r.must(r.push(s))
	if sc := r.cc.at(t, "a"); len(r.cc.live()) != 1 || sc.addrs[0].ServerName != "other" {
		t.Errorf("connected as %q", sc.addrs[0].ServerName)
	}
	if got := r.ch.Endpoints()[0].Attempts; got != 1 {
		t.Errorf("Attempts = %d: the record did not stay", got)
	}
}

func TestEqual(t *testing.T) {
	a, b := NewChannel(roundRobinConfig(), Options{}), NewChannel(roundRobinConfig(), Options{})
	if !a.Attach(nil).Equal(a.Attach(nil)) || a.Attach(nil).Equal(b.Attach(nil)) || a.Equal(1) {
		t.Error("attributes are equal if and only if the channel is the same")
	}
}

func BenchmarkMatchUnchanged(b *testing.B) {
	c := NewChannel(roundRobinConfig(), Options{})
	state := stateOf(addresses(10_000)...)
	c.match(state)
	b.ReportAllocs()
	for b.Loop() {
		c.match(state)
	}
}

// A resolver around discovery's may write each of its lists into the same memory.
func TestEndpointsThatAreWrittenOver(t *testing.T) {
	r, mem := newRig(t, roundRobinConfig()), make([]resolver.Endpoint, 1)
	for i, port := range []string{":1", ":2", ":3"} {
		s := siteState(t, []site{{addr: "a"}})
		name := s.Endpoints[0].Addresses[0].ServerName
		if i < 2 {
			mem[0].Addresses = []resolver.Address{{Addr: "a" + port, ServerName: name}}
		} else {
			mem[0].Addresses[0].Addr = "a" + port
		}
		s.Endpoints = mem
		r.must(r.push(s))
		if live := r.cc.live(); len(live) != 1 || live[0].addrs[0].Addr != "a"+port {
			t.Errorf("connected to %v, want a%s", live, port)
		}
	}
	r.lb.Close()
}

// What a resolver says of an address besides is passed on as it is, compared or not, to the next connection.
func TestNewestAddressIsDialled(t *testing.T) {
	//lint:ignore SA1019 resolvers still set Metadata
	metadata := func(v string) resolver.Address { return resolver.Address{Addr: "a", Metadata: &v} }
	attribute := func(v string) resolver.Address {
		return resolver.Address{Addr: "a", Attributes: attributes.New(behind{}, []string{v})} // which cannot be compared
	}
	for name, address := range map[string]func(string) resolver.Address{"metadata": metadata, "attributes": attribute} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, roundRobinConfig())
			var last resolver.Address
			for _, v := range []string{"1", "2"} {
				last = address(v)
				r.must(r.push(resolver.State{Addresses: []resolver.Address{last}}))
			}
			r.lb.Close()
			r.build()
			r.must(r.push(resolver.State{Addresses: []resolver.Address{last}}))
			//lint:ignore SA1019 resolvers still set Metadata
			if got := r.cc.at(t, "a").addrs[0]; got.Metadata != last.Metadata || got.Attributes != last.Attributes {
				t.Errorf("dialled %+v, want %+v", got, last)
			}
			r.lb.Close()
		})
	}
}
