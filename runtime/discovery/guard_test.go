package discovery

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/resolver"
	"pgregory.net/rapid"
)

var guardEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// names is "e0" to the one before n, without those left out.
func names(n int, without ...int) []string {
	var out []string
	for i := range n {
		if !slices.Contains(without, i) {
			out = append(out, fmt.Sprintf("e%d", i))
		}
	}
	return out
}

func TestGuard(t *testing.T) {
	type step struct {
		at    time.Duration
		ids   []string
		stale bool
		keep  []string
		next  time.Duration // 0: none
	}
	const s = time.Second
	thirty := GuardConfig{EmptyGrace: 30 * s, MaxRemovedRatio: 0.5}
	tests := []struct {
		name   string
		config GuardConfig
		steps  []step
	}{
		{"empty from the start", thirty, []step{{0, nil, false, nil, 0}, {1 * s, names(2), false, nil, 0}}},
		{"additions pass", thirty, []step{{0, names(2), false, nil, 0}, {1 * s, names(9), false, nil, 0}}},
		{"a small loss passes", thirty, []step{{0, names(4), false, nil, 0}, {1 * s, names(2), false, nil, 0}}},
		{"empty is held and then honoured", thirty, []step{
			{0, names(2), false, nil, 0},
			{10 * s, nil, false, names(2), 40 * s},
			{20 * s, nil, false, names(2), 40 * s},
			{40*s - 1, nil, false, names(2), 40 * s},
			{40 * s, nil, false, nil, 0},
			{50 * s, nil, false, nil, 0}}},
		{"what comes back after an empty list was never gone", thirty, []step{
			{0, names(4), false, nil, 0}, {10 * s, nil, false, names(4), 40 * s},
			{20 * s, names(3), false, nil, 0}, // e3 is a small loss
			{30 * s, nil, false, names(3), 60 * s}}},
		{"a great loss is spread", thirty, []step{
			{0, names(4), false, nil, 0},
			{10 * s, []string{"e0"}, false, []string{"e1", "e2", "e3"}, 20 * s},
			{15 * s, []string{"e0"}, false, []string{"e1", "e2", "e3"}, 20 * s},
			{20 * s, []string{"e0"}, false, []string{"e2", "e3"}, 30 * s},
			{21 * s, []string{"e0", "e3"}, false, []string{"e2"}, 30 * s}, // e3 is back, e1 is not
			{30 * s, []string{"e0", "e3"}, false, nil, 0}}},
		{"a late look lets all leave that are due", thirty, []step{
			{0, names(4), false, nil, 0},
			{10 * s, []string{"e0"}, false, []string{"e1", "e2", "e3"}, 20 * s},
			{100 * s, []string{"e0"}, false, nil, 0}}},
		{"another set altogether", thirty, []step{
			{0, names(2), false, nil, 0},
			{10 * s, []string{"n0", "n1"}, false, names(2), 25 * s},
			{25 * s, []string{"n0", "n1"}, false, []string{"e1"}, 40 * s},
			{40 * s, []string{"n0", "n1"}, false, nil, 0}}},
		{"one after another is at once too", thirty, []step{
			{0, names(4), false, nil, 0},
			{1 * s, names(3), false, nil, 0}, {2 * s, names(2), false, nil, 0},
			{3 * s, names(1), false, []string{"e1"}, 33 * s},
			{4 * s, nil, false, []string{"e0", "e1"}, 34 * s}}},
		{"slowly they all leave", thirty, []step{
			{0, names(4), false, nil, 0},
			{31 * s, names(3), false, nil, 0}, {62 * s, names(2), false, nil, 0}, {93 * s, names(1), false, nil, 0}}},
		{"a rolling update passes", thirty, []step{
			{0, []string{"a", "b"}, false, nil, 0}, {1 * s, []string{"a", "b", "c"}, false, nil, 0},
			{2 * s, []string{"b", "c"}, false, nil, 0}, {3 * s, []string{"b", "c", "d"}, false, nil, 0},
			{4 * s, []string{"c", "d"}, false, nil, 0}}},
		{"nothing leaves without a backend", thirty, []step{
			{0, names(4), false, nil, 0},
			{10 * s, names(1), true, []string{"e1", "e2", "e3"}, 0},
			{900 * s, nil, true, names(4), 0},
			{901 * s, append(names(3), "new"), false, nil, 0}}},
		{"a spread loss stands still without a backend", thirty, []step{
			{0, names(4), false, nil, 0},
			{10 * s, names(1), false, []string{"e1", "e2", "e3"}, 20 * s},
			{12 * s, names(1), true, []string{"e1", "e2", "e3"}, 0},
			{112 * s, names(1), false, []string{"e1", "e2", "e3"}, 120 * s},
			{120 * s, names(1), false, []string{"e2", "e3"}, 130 * s}}},
		{"the grace of an empty list begins anew after an outage", thirty, []step{
			{0, names(2), false, nil, 0}, {10 * s, nil, false, names(2), 40 * s},
			{20 * s, nil, true, names(2), 0}, {35 * s, nil, false, names(2), 65 * s},
			{65 * s, nil, false, nil, 0}}},
		{"off", GuardConfig{}, []step{{0, names(4), false, nil, 0}, {1, names(1), true, nil, 0}, {2, nil, false, nil, 0}}},
		{"only empty lists", GuardConfig{EmptyGrace: s, MaxRemovedRatio: 1}, []step{
			{0, names(4), false, nil, 0}, {1, names(1), false, nil, 0}, {2, nil, false, names(1), s + 2}}},
		{"every loss", GuardConfig{EmptyGrace: 10 * s}, []step{
			{0, names(4), false, nil, 0}, {0, names(3), false, []string{"e3"}, 10 * s}}},
		{"doublets", thirty, []step{{0, []string{"a", "a", "b"}, false, nil, 0}, {1, []string{"b", "b"}, false, nil, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := NewGuard(tt.config)
			for i, st := range tt.steps {
				keep, next := g.Observe(guardEpoch.Add(st.at), st.ids, st.stale)
				want := time.Time{}
				if st.next > 0 {
					want = guardEpoch.Add(st.next)
				}
				if !slices.Equal(keep, st.keep) || !next.Equal(want) {
					t.Fatalf("step %d: keep %v, next %v; want %v, %v", i, keep, next.Sub(guardEpoch), st.keep, st.next)
				}
			}
		})
	}
}

func TestGuardConfigure(t *testing.T) {
	g := NewGuard(GuardConfig{EmptyGrace: time.Hour})
	g.Observe(guardEpoch, names(3), false)
	if keep, _ := g.Observe(guardEpoch, nil, false); len(keep) != 3 {
		t.Fatalf("got %v", keep)
	}
	g.Configure(GuardConfig{EmptyGrace: time.Minute})
	if keep, _ := g.Observe(guardEpoch.Add(time.Minute), nil, false); len(keep) != 0 {
		t.Errorf("got %v after the new grace", keep)
	}
	g.Observe(guardEpoch, names(3), false)
	g.Configure(GuardConfig{})
	if keep, next := g.Observe(guardEpoch, nil, false); len(keep) != 0 || !next.IsZero() {
		t.Errorf("got %v, %v when turned off", keep, next)
	}
}

// TestGuardProperties looks at any sequence of lists, at any times.
func TestGuardProperties(t *testing.T) {
	id := rapid.SampledFrom(names(12))
	rapid.Check(t, func(t *rapid.T) {
		c := GuardConfig{EmptyGrace: 10 * time.Second, MaxRemovedRatio: rapid.Float64Range(0, 1).Draw(t, "ratio")}
		g := NewGuard(c)
		now := guardEpoch
		shown := map[string]bool{}        // after the last step
		missing := map[string]time.Time{} // since when, without a break
		var emptySince, healthy time.Time // zero: not
		departures := map[time.Time]int{} // at each time
		var disturbed time.Time           // the last change, or stale list
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 6000).Draw(t, "ms")) * time.Millisecond)
			ids := rapid.SliceOfDistinct(id, rapid.ID[string]).Draw(t, "ids")
			stale := rapid.IntRange(0, 5).Draw(t, "stale") == 0
			keep, next := g.Observe(now, ids, stale)
			disturbed = now
			if stale {
				healthy = time.Time{}
			} else if healthy.IsZero() {
				healthy = now
			}
			if len(ids) > 0 || stale {
				emptySince = time.Time{}
			} else if emptySince.IsZero() {
				emptySince = now
			}
			after := map[string]bool{}
			for _, e := range ids {
				after[e] = true
				delete(missing, e)
			}
			for _, e := range keep {
				if after[e] {
					t.Fatalf("%s is kept though it is listed, or twice", e)
				}
				if !shown[e] {
					t.Fatalf("%s is kept and was not shown", e)
				}
				after[e] = true
				if missing[e].IsZero() {
					missing[e] = now
				}
			}
			gone := 0
			for e := range shown {
				if !after[e] {
					gone++
					delete(missing, e)
				}
			}
			switch held := !emptySince.IsZero() && now.Before(emptySince.Add(c.EmptyGrace)); {
			case stale && gone > 0, held && gone > 0:
				t.Fatalf("%d left: stale %v, empty since %v", gone, stale, emptySince)
			case !emptySince.IsZero() && !held && len(keep) > 0:
				t.Fatalf("%v are kept though the list has been empty for the grace", keep)
			}
			if !next.IsZero() && !next.After(now) || next.IsZero() != (len(keep) == 0 || stale) {
				t.Fatalf("keep %v at %v, next %v", keep, now, next)
			}
			departures[now] += gone
			shown = after
		}
		// Left alone, it comes to an end within the grace, and for a loss that is spread each look takes some.
		last := rapid.SliceOfNDistinct(id, 1, 12, rapid.ID[string]).Draw(t, "last")
		keep, next := g.Observe(now, last, false)
		for looks := 0; len(keep) > 0; looks++ {
			if looks > 24 || next.After(disturbed.Add(c.EmptyGrace)) {
				t.Fatalf("%v are kept, until %v, from %v", keep, next, disturbed)
			}
			before := len(keep)
			if keep, next = g.Observe(next, last, false); len(keep) >= before {
				t.Fatalf("%v are kept after the time that was told", keep)
			}
		}
	})
}

// TestGuardNeverLosesMoreThanItsShareAtOnce takes endpoints away in any portions within one grace.
func TestGuardNeverLosesMoreThanItsShareAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ratio := rapid.Float64Range(0, 1).Draw(t, "ratio")
		n := rapid.IntRange(1, 50).Draw(t, "endpoints")
		g := NewGuard(GuardConfig{EmptyGrace: time.Minute, MaxRemovedRatio: ratio})
		g.Observe(guardEpoch, names(n), false)
		left := n
		for left > 0 {
			left -= rapid.IntRange(1, left).Draw(t, "portion")
			keep, _ := g.Observe(guardEpoch, names(left), false)
			if lost := n - left - len(keep); float64(lost) > ratio*float64(n) {
				t.Fatalf("%d of %d left at once, at a ratio of %v", lost, n, ratio)
			}
		}
	})
}

func guardState(set bool, addresses ...string) resolver.State {
	var v view
	v.apply(Event{Revision: 1, Reset: true, Put: entries(addresses...)})
	s := v.state()
	if !set {
		s.Attributes = nil
	}
	return s
}

func TestStateGuard(t *testing.T) {
	config := GuardConfig{EmptyGrace: 30 * time.Second, MaxRemovedRatio: 0.5}
	for _, set := range []bool{true, false} {
		t.Run(fmt.Sprintf("set %v", set), func(t *testing.T) {
			g := NewStateGuard(config)
			first := guardState(set, "a:1", "b:1", "c:1")
			if show, next := g.Apply(guardEpoch, first, false); !reflect.DeepEqual(show, first) || !next.IsZero() {
				t.Errorf("got %+v, %v", show, next)
			}
			empty := guardState(set)
			show, next := g.Apply(guardEpoch, empty, false)
			if len(show.Endpoints) != 3 || len(empty.Endpoints) != 0 || !next.Equal(guardEpoch.Add(30*time.Second)) {
				t.Errorf("got %+v, %v", show, next)
			}
			one := guardState(set, "b:1")
			show, next = g.Apply(guardEpoch, one, false)
			var got []string
			for _, e := range show.Endpoints {
				got = append(got, e.Addresses[0].Addr)
			}
			if !slices.Equal(got, []string{"b:1", "a:1", "c:1"}) || len(one.Endpoints) != 1 {
				t.Errorf("got %v", got)
			}
			if s := SetOf(show); set {
				held, ok := s.Stale.(*HeldError)
				if !ok || held.Endpoints != 2 || !held.Until.Equal(next) || len(s.resolved) != 3 ||
					FormatEndpoints(s.Endpoints) != "b:1,a:1,c:1" {
					t.Errorf("got %+v", s)
				}
			} else if s != nil {
				t.Errorf("got %+v", s)
			}
			if show, next = g.Apply(guardEpoch, one, true); len(show.Endpoints) != 3 || !next.IsZero() {
				t.Errorf("lost: got %d, %v", len(show.Endpoints), next)
			}
			if show, _ = g.Apply(guardEpoch.Add(time.Hour), one, false); len(show.Endpoints) != 3 {
				t.Errorf("just well again: got %d", len(show.Endpoints))
			}
			if show, _ = g.Apply(guardEpoch.Add(2*time.Hour), one, false); !reflect.DeepEqual(show, one) {
				t.Errorf("in the end: got %+v", show)
			}
		})
	}
	t.Run("addresses alone", func(t *testing.T) {
		g := NewStateGuard(config)
		state := func(addresses ...string) (s resolver.State) {
			for _, a := range addresses {
				s.Addresses = append(s.Addresses, resolver.Address{Addr: a})
			}
			return s
		}
		g.Apply(guardEpoch, state("a:1", "b:1", "c:1"), false)
		show, _ := g.Apply(guardEpoch, state("b:1"), false)
		if want := state("b:1", "a:1", "c:1"); !reflect.DeepEqual(show, want) {
			t.Errorf("got %+v, want %+v", show, want)
		}
	})
}

// BenchmarkGuard is the cost of a state in which nothing is held back.
func BenchmarkGuard(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g, ids := NewGuard(GuardConfig{EmptyGrace: 30 * time.Second, MaxRemovedRatio: 0.5}), names(n)
			b.ReportAllocs()
			for b.Loop() {
				g.Observe(guardEpoch, ids, false)
			}
		})
	}
}
