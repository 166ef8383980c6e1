package balancer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// bare returns endpoints that only have an identity.
func bare(names ...string) []*endpoint {
	out := make([]*endpoint, len(names))
	for i, name := range names {
		out[i] = newEndpoint(name, nil)
	}
	return out
}

func namesOf(list []*endpoint) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = e.name
	}
	return out
}

// naiveSubset sorts by rank.
func naiveSubset(list []*endpoint, size int, salt uint64) []*endpoint {
	if size == 0 {
		return list
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b *endpoint) int { return cmp.Compare(rank(a.hash, salt), rank(b.hash, salt)) })
	sorted = sorted[:min(size, len(sorted))]
	var out []*endpoint
	for _, e := range list {
		if slices.Contains(sorted, e) {
			out = append(out, e)
		}
	}
	return out
}

func TestSubsetIsTheRendezvousChoice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := bare(rapid.SliceOfN(rapid.StringN(1, 4, 4), 1, 60).Draw(rt, "names")...) // some twice
		size := rapid.IntRange(0, 70).Draw(rt, "size")
		salt := rapid.Uint64().Draw(rt, "salt")
		if got, want := subset(list, size, salt), naiveSubset(list, size, salt); !slices.Equal(got, want) {
			rt.Fatalf("subset = %v, want %v", namesOf(got), namesOf(want))
		}
	})
}

// An endpoint that comes or goes changes one other at most, and the order of the list changes none.
func TestSubsetIsStable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(rt, "endpoints")
		size := rapid.IntRange(1, n-1).Draw(rt, "size")
		salt := rapid.Uint64().Draw(rt, "salt")
		list := bare(addresses(n)...)
		before := subset(list, size, salt)
		gone := rapid.IntRange(0, n-1).Draw(rt, "gone")
		after := subset(slices.Delete(slices.Clone(list), gone, gone+1), size, salt)
		moved := 0
		for _, e := range after {
			if !slices.Contains(before, e) {
				moved++
			}
		}
		if moved > 1 || moved == 1 && !slices.Contains(before, list[gone]) {
			rt.Fatalf("%d endpoints are new without %s", moved, list[gone].name)
		}
		shuffled := rapid.Permutation(list).Draw(rt, "order")
		for _, e := range subset(shuffled, size, salt) {
			if !slices.Contains(before, e) {
				rt.Fatal("the order matters")
			}
		}
	})
}

// Over many clients each endpoint is chosen about as often as any other.
func TestSubsetsAreEven(t *testing.T) {
	const endpoints, size, clients = 50, 10, 4000
	list := bare(addresses(endpoints)...)
	chosen := make(map[string]int)
	for client := range clients {
		for _, e := range subset(list, size, rank(uint64(client), 1)) {
			chosen[e.name]++
		}
	}
	const p = float64(size) / endpoints
	mean, deviation := clients*p, math.Sqrt(clients*p*(1-p))
	for name, n := range chosen {
		if math.Abs(float64(n)-mean) > 5*deviation {
			t.Errorf("%s is chosen by %d clients, want %.0f ± %.0f", name, n, mean, 5*deviation)
		}
	}
}

func BenchmarkSubset(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		list := bare(addresses(n)...)
		for _, size := range []int{20, n / 2} {
			b.Run(fmt.Sprintf("endpoints=%d/size=%d", n, size), func(b *testing.B) {
				for b.Loop() {
					subset(list, size, 42)
				}
			})
		}
	}
}
