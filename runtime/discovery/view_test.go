package discovery

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/grpc/resolver"
	"pgregory.net/rapid"
)

func TestViewFollowsAnySequence(t *testing.T) {
	entry := rapid.Custom(func(t *rapid.T) Entry {
		e := Entry{Key: rapid.SampledFrom([]string{"k1", "k2", "k3", "k4", "k5"}).Draw(t, "key")}
		// Few addresses, so that keys share them; none at times.
		for i := range rapid.IntRange(0, 2).Draw(t, "addresses") {
			e.Endpoint.Addresses = append(e.Endpoint.Addresses, fmt.Sprintf("h%d:%d", rapid.IntRange(1, 3).Draw(t, "host"), i+1))
		}
		e.Endpoint.Weight = uint32(rapid.IntRange(0, 2).Draw(t, "weight"))
		return e
	})
	byKey := func(e Entry) string { return e.Key }
	rapid.Check(t, func(t *rapid.T) {
		var v view
		var model []Entry
		var before resolver.State
		for i := range 20 {
			ev := Event{Revision: int64(i + 1), Reset: i == 0 || rapid.IntRange(0, 5).Draw(t, "reset") == 0}
			ev.Put = rapid.SliceOfNDistinct(entry, 0, 5, byKey).Draw(t, "put")
			if !ev.Reset {
				ev.Delete = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"k1", "k2", "k3"}), rapid.ID[string]).Draw(t, "delete")
			}
			model = modelApply(model, ev)
			changed := v.apply(ev)
			state := v.state()
			want := modelSet(model)
			got := SetOf(state)
			if len(want) != len(got.Endpoints) || len(want) > 0 && !reflect.DeepEqual(want, got.Endpoints) {
				t.Fatalf("got %+v, want %+v", got.Endpoints, want)
			}
			checkResolved(t, state)
			if i > 0 && !changed && !reflect.DeepEqual(SetOf(before).Endpoints, got.Endpoints) {
				t.Fatal("a change was not told")
			}
			before = state
		}
	})
}

func checkResolved(t *rapid.T, s resolver.State) {
	for i, e := range SetOf(s).Endpoints {
		var dial []string
		for _, a := range s.Endpoints[i].Addresses {
			dial = append(dial, a.Addr)
		}
		if !slices.Equal(dial, e.Addresses) {
			t.Fatalf("%d: grpc is told %v of %v", i, dial, e.Addresses)
		}
	}
}

// modelApply is view.apply, the slow way.
func modelApply(model []Entry, ev Event) []Entry {
	if ev.Reset {
		model = nil
	}
	model = slices.DeleteFunc(slices.Clone(model), func(e Entry) bool { return slices.Contains(ev.Delete, e.Key) })
	for _, e := range ev.Put {
		at := slices.IndexFunc(model, func(m Entry) bool { return m.Key == e.Key })
		switch {
		case len(e.Endpoint.Addresses) == 0:
			if at >= 0 {
				model = slices.Delete(model, at, at+1)
			}
		case at >= 0:
			model[at] = e
		default:
			model = append(model, e)
		}
	}
	return model
}

func modelSet(model []Entry) []Endpoint {
	var out []Endpoint
	for _, m := range model {
		e := normal(m.Endpoint)
		if !slices.ContainsFunc(out, func(o Endpoint) bool { return o.ID() == e.ID() }) {
			out = append(out, e)
		}
	}
	return out
}

func manyEntries(n int) []Entry {
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("10.%d.%d.%d:443", i>>16, i>>8&255, i&255)
	}
	return entries(addresses...)
}

// BenchmarkUpdate is the cost of an event beside n endpoints that do not change.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		put := manyEntries(n + 1)
		load := func() *view {
			v := &view{serverNames: true}
			v.apply(Event{Revision: 1, Reset: true, Put: put[:n]})
			return v
		}
		extra := put[n:]
		b.Run(fmt.Sprintf("weight/%d", n), func(b *testing.B) {
			v := load()
			e := put[n/2]
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Endpoint.Weight = uint32(2 + i%2)
				if v.apply(Event{Put: []Entry{e}}) {
					v.state()
				}
			}
		})
		b.Run(fmt.Sprintf("comeAndGo/%d", n), func(b *testing.B) {
			v := load()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				ev := Event{Put: extra}
				if i%2 == 1 {
					ev = Event{Delete: []string{extra[0].Key}}
				}
				if v.apply(ev) {
					v.state()
				}
			}
		})
		b.Run(fmt.Sprintf("sameSnapshot/%d", n), func(b *testing.B) {
			v := load()
			b.ReportAllocs()
			for b.Loop() {
				if v.apply(Event{Reset: true, Put: put[:n]}) {
					b.Fatal("changed")
				}
			}
		})
		b.Run(fmt.Sprintf("otherSnapshot/%d", n), func(b *testing.B) {
			v := load()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if v.apply(Event{Reset: true, Put: put[i%2 : n+i%2]}) {
					v.state()
				}
			}
		})
	}
}
