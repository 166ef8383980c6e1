package balancer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cespare/xxhash/v2"
)

// member returns an endpoint as a ring sees it.
func member(id string, weight uint32) *endpoint {
	return &endpoint{name: id, weight: max(weight, 1), load: newLoad(), eligibility: eligibility{hash: xxhash.Sum64String(id)}}
}

func members(n int, weight func(i int) uint32) []*endpoint {
	out := make([]*endpoint, n)
	for i := range out {
		out[i] = member(fmt.Sprintf("10.0.%d.%d:443", i>>8, i&255), weight(i))
	}
	return out
}

func equal(int) uint32 { return 1 }

// drawMembers draws members and whether their weights differ.
func drawMembers(t *rapid.T, most int) ([]*endpoint, bool) {
	uneven := rapid.Bool().Draw(t, "uneven")
	ids := rapid.SliceOfNDistinct(rapid.IntRange(0, 1<<30), 1, most, rapid.ID).Draw(t, "ids")
	out := make([]*endpoint, len(ids))
	for i, id := range ids {
		weight := uint32(1)
		if uneven {
			weight = rapid.SampledFrom([]uint32{1, 2, 3, 50}).Draw(t, "weight")
		}
		out[i] = member(fmt.Sprintf("e%d", id), weight)
	}
	return out, uneven
}

// nearest is the rule as it is stated: of all members and all probes, the least distance by weight.
func nearest(r *ring, key uint64) *endpoint {
	at, step := scatter(key), scatter(^key)|1
	var winner *endpoint
	least := math.Inf(1)
	for range probes {
		for i, e := range r.members {
			if d := float64(r.ascending[i]-at) / r.weight(i); d < least {
				least, winner = d, e
			}
		}
		at += step
	}
	return winner
}

func TestOwnerIsTheNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRing(drawMembers(t, 80))
		for range 20 {
			key := rapid.Uint64().Draw(t, "key")
			if got, want := r.members[r.owner(key)], nearest(r, key); got != want {
				t.Fatalf("key %x belongs to %s, want %s", key, got.name, want.name)
			}
		}
	})
}

// A member that goes loses its own keys, and one that comes takes keys: none moves between two that stay.
func TestOnlyTheKeysOfTheLostMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, uneven := drawMembers(t, 60)
		lost := rapid.SampledFrom(list).Draw(t, "lost")
		if len(list) == 1 {
			return
		}
		rest := slices.DeleteFunc(slices.Clone(list), func(e *endpoint) bool { return e == lost })
		before, after := newRing(list, uneven), newRing(rest, uneven)
		for range 50 {
			key := rapid.Uint64().Draw(t, "key")
			was, is := before.members[before.owner(key)], after.members[after.owner(key)]
			if was != lost && is != was {
				t.Fatalf("%s was lost, and key %x moved from %s to %s", lost.name, key, was.name, is.name)
			}
		}
	})
}

func TestRingDoesNotDependOnTheOrderOfTheList(t *testing.T) {
	list := members(500, equal)
	shuffled := slices.Clone(list)
	rand.Shuffle(len(list), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	a, b := newRing(list, false), newRing(shuffled, false)
	if !slices.Equal(a.members, b.members) || !slices.Equal(a.ascending, b.ascending) {
		t.Error("two orders of one list make two rings")
	}
	if !slices.IsSorted(a.ascending) {
		t.Error("the points do not ascend")
	}
}

// Whoever has a key today has it tomorrow, whatever version of the program runs: the fleet changes its versions one
// by one.
func TestOwnersAreForever(t *testing.T) {
	r := newRing(members(100, equal), false)
	w := newRing(members(100, func(i int) uint32 { return uint32(1 + i%3) }), true)
	for _, tt := range []struct {
		key            string
		even, weighted string
	}{
		{"alice", "10.0.0.86:443", "10.0.0.86:443"},
		{"bob", "10.0.0.16:443", "10.0.0.16:443"},
		{"item-42", "10.0.0.16:443", "10.0.0.16:443"},
		{"", "10.0.0.74:443", "10.0.0.74:443"},
	} {
		key := xxhash.Sum64String(tt.key)
		if got := r.members[r.owner(key)].name; got != tt.even {
			t.Errorf("%q belongs to %s, want %s", tt.key, got, tt.even)
		}
		if got := w.members[w.owner(key)].name; got != tt.weighted {
			t.Errorf("by weight, %q belongs to %s, want %s", tt.key, got, tt.weighted)
		}
	}
}

// Of many keys no member has much more than its share. One may have clearly less: if its point is close behind
// another's.
func TestSharesFollowWeights(t *testing.T) {
	const keys = 200_000
	for _, tt := range []struct {
		name   string
		n      int
		weight func(i int) uint32
		most   float64 // of the share
	}{
		{"one", 1, equal, 1},
		{"two", 2, equal, 1.05},
		{"two of which one counts ten times", 2, func(i int) uint32 { return uint32(1 + 9*i) }, 1.1},
		{"fifty", 50, equal, 1.15},
		{"a thousand", 1000, equal, 1.45}, // 1.1, and six deviations of 200 keys
		{"fifty of one to five", 50, func(i int) uint32 { return uint32(1 + i%5) }, 1.25},
		{"fifty of which one counts a hundred times", 50, func(i int) uint32 { return uint32(max(1, 100-100*i)) }, 1.25},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := members(tt.n, tt.weight)
			var total float64
			uneven := false
			for _, e := range list {
				total += float64(e.weight)
				uneven = uneven || e.weight != list[0].weight
			}
			r := newRing(list, uneven)
			random := rand.New(rand.NewPCG(1, 2))
			got := make(map[*endpoint]int)
			for range keys {
				got[r.members[r.owner(random.Uint64())]]++
			}
			most, least := 0.0, math.Inf(1)
			for _, e := range list {
				share := float64(got[e]) / keys * total / float64(e.weight)
				most, least = max(most, share), min(least, share)
			}
			t.Logf("from %.2f to %.2f times the share", least, most)
			if most > tt.most {
				t.Errorf("a member has %.2f times its share, want at most %v", most, tt.most)
			}
		})
	}
}

// Endpoints that share an ID, behind a proxy, share their keys.
func TestMembersWithOneIDHaveTheirOwnPoints(t *testing.T) {
	list := []*endpoint{member("proxy", 1), member("other", 1), member("proxy", 1), member("proxy", 1)}
	for _, i := range []int{0, 2, 3} {
		list[i].shared = true
	}
	r := newRing(list, false)
	got := map[*endpoint]int{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		got[r.members[r.owner(random.Uint64())]]++
	}
	for i, e := range list {
		if got[e] < 1_500 {
			t.Errorf("endpoint %d has %d of 10000 keys", i, got[e])
		}
		if at := r.place(e); at < 0 || r.members[at] != e {
			t.Errorf("endpoint %d is not found", i)
		}
	}
}

func TestRingThatIsChangedIsThatOfTheNewList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, uneven := drawMembers(t, 150)
		before := newRing(list, uneven)
		targets := make([]target, 0, len(list))
		for _, e := range list {
			if rapid.Bool().Draw(t, "ready") {
				targets = append(targets, target{e: e, load: e.load})
			}
		}
		before.fill(targets)
		next := slices.Clone(list)
		for change := range rapid.IntRange(0, 5).Draw(t, "changes") {
			if len(next) > 1 && rapid.Bool().Draw(t, "goes") {
				i := rapid.IntRange(0, len(next)-1).Draw(t, "who")
				next = slices.Delete(next, i, i+1)
			}
			if rapid.Bool().Draw(t, "comes") {
				i := rapid.IntRange(0, len(next)).Draw(t, "where")
				next = slices.Insert(next, i, member(fmt.Sprintf("new%d", change), list[0].weight))
			}
		}
		gone, come, few := difference(list, next)
		if !few {
			t.Fatalf("from %d to %d, %d have gone and %d have come: more than there are", len(list), len(next), len(gone), len(come))
		}
		after, want := before.changed(gone, come, true), newRing(next, uneven)
		if !slices.Equal(after.members, want.members) || !slices.Equal(after.ascending, want.ascending) ||
			!slices.Equal(after.begin, want.begin) || !slices.Equal(after.weights, want.weights) {
			t.Fatal("the ring is not that of the list")
		}
		for i := range targets {
			if at := after.place(targets[i].e); at >= 0 && after.slots[at].Load() != &targets[i] {
				t.Fatal("a slot was lost")
			}
		}
		ready := 0
		for i := range after.slots {
			if s := after.slots[i].Load(); s != nil {
				if ready++; s.e != after.members[i] {
					t.Fatal("a slot is another member's")
				}
			}
		}
		for _, e := range gone {
			if at := before.place(e); before.slots[at].Load() != nil {
				ready++
			}
		}
		if ready != len(targets) {
			t.Fatalf("%d slots, want %d", ready, len(targets))
		}
	})
}

func TestManyChangesMakeAnotherRing(t *testing.T) {
	list := members(1000, equal)
	if _, _, few := difference(list[:500], list[500:]); few {
		t.Error("a list of others counts as a few changes")
	}
	if gone, come, few := difference(list, list[:999]); !few || len(gone) != 1 || len(come) != 0 {
		t.Errorf("one has gone: %d, %d, %t", len(gone), len(come), few)
	}
}

func BenchmarkRing(b *testing.B) {
	list := members(10_001, equal)
	before, after := list[:10_000], slices.Insert(slices.Delete(slices.Clone(list[:10_000]), 4_000, 4_001), 7_000, list[10_000])
	b.Run("make", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			newRing(before, false)
		}
	})
	b.Run("replace one", func(b *testing.B) {
		targets := make([]target, len(before))
		for i, e := range before {
			targets[i] = target{e: e, load: e.load}
		}
		h := new(hashing)
		b.ReportAllocs()
		for b.Loop() {
			h.follow(before, targets, false, 0)
			before, after = after, before
			targets = slices.Clone(targets)
		}
	})
}
