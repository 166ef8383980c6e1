package balancer

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/policy"
)

// twoPriorities are of two endpoints each.
func twoPriorities() []site {
	return []site{{addr: "a"}, {addr: "b"}, {addr: "x", priority: 1}, {addr: "y", priority: 1}}
}

// wantConnected checks where the SubConns lead.
func (r *rig) wantConnected(want ...string) {
	r.t.Helper()
	if got := connected(r.cc); !slices.Equal(got, want) {
		r.t.Errorf("connected to %v, want %v", got, want)
	}
	s := r.ch.Status()
	if s.Total != len(want) {
		r.t.Errorf("Status().Total = %d, want %d", s.Total, len(want))
	}
	for _, e := range r.ch.Endpoints() {
		if e.Selected != slices.Contains(want, e.Endpoint.ID()) {
			r.t.Errorf("%s: Selected = %v", e.Endpoint.ID(), e.Selected)
		}
		if !e.Selected && (e.State != connectivity.Idle || e.Share != 0) {
			r.t.Errorf("%s is not selected, and %v with the share %v", e.Endpoint.ID(), e.State, e.Share)
		}
	}
}

func (r *rig) becomes(s connectivity.State, addrs ...string) {
	r.t.Helper()
	for _, addr := range addrs {
		if sc := r.cc.at(r.t, addr); s == connectivity.TransientFailure {
			sc.fails(errRefused)
		} else {
			sc.becomes(s)
		}
	}
}

func TestPrioritiesInTurn(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.sites(twoPriorities()...)
	r.wantConnected("a", "b")
	if got := r.ch.Status(); got.Listed != 4 {
		t.Errorf("Listed = %d, want 4", got.Listed)
	}
	r.becomes(connectivity.Connecting, "a", "b")
	r.becomes(connectivity.TransientFailure, "a")
	r.wantConnected("a", "b", "x", "y") // b alone is not enough
	r.wantState(connectivity.Connecting)
	r.becomes(connectivity.TransientFailure, "b")
	r.wantState(connectivity.Connecting) // there is hope
	r.becomes(connectivity.TransientFailure, "x", "y")
	r.wantState(connectivity.TransientFailure)
	r.wantPickError("none of 4 endpoints")
	r.becomes(connectivity.Connecting, "x")
	r.wantState(connectivity.TransientFailure)
	r.becomes(connectivity.Ready, "x")
	r.wantState(connectivity.Ready)
	r.wantPicks(map[string]float64{"x": 1})
}

func TestConnectTimeout(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.sites(twoPriorities()...)
	r.time.advance(10*time.Second - 1)
	r.wantConnected("a", "b")
	r.time.advance(1)
	r.wantConnected("a", "b", "x", "y")
}

func TestFailback(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.sites(twoPriorities()...)
	r.becomes(connectivity.TransientFailure, "a", "b")
	r.becomes(connectivity.Ready, "x", "y")
	r.time.fire()
	r.wantPicks(map[string]float64{"x": .5, "y": .5})
	r.time.advance(time.Minute)
	r.becomes(connectivity.Ready, "a", "b")
	r.time.advance(5*time.Second - 1)
	r.wantPicks(map[string]float64{"x": .5, "y": .5})
	r.time.advance(1 + window)
	r.wantPicks(map[string]float64{"a": .5, "b": .5})
	r.becomes(connectivity.Idle, "a") // comes back at once: no reason to go elsewhere
	r.time.fire()
	r.wantPicks(map[string]float64{"b": 1})
	r.becomes(connectivity.TransientFailure, "a")
	r.time.fire()
	r.wantPicks(map[string]float64{"b": .5 / .7, "x": .1 / .7, "y": .1 / .7})
	r.becomes(connectivity.Ready, "a")
	r.time.advance(15 * time.Minute)
	r.wantConnected("a", "b", "x", "y")
	r.time.advance(5 * time.Second)
	r.wantConnected("a", "b")
	r.wantPicks(map[string]float64{"a": .5, "b": .5})
	r.time.fire()
	if r.time.open() != 0 {
		t.Error("a timer runs although nothing is to come")
	}
}

// A change of settings takes effect without a connection lost that is still wanted.
func TestFailoverIsConfigured(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.sites(twoPriorities()...)
	r.becomes(connectivity.Ready, "a", "b")
	before := r.cc.live()
	configure := func(f *policy.Failover) {
		r.ch.Configure(Config{LoadBalancing: &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}, Failover: f}})
		r.sites(twoPriorities()...)
		r.wantKept(before)
	}
	configure(&policy.Failover{Disabled: policy.Set(true)})
	r.wantConnected("a", "b", "x", "y")
	r.becomes(connectivity.Ready, "x", "y")
	r.time.fire()
	r.wantPicks(map[string]float64{"a": .25, "b": .25, "x": .25, "y": .25})
	configure(nil)
	r.wantPicks(map[string]float64{"a": .5, "b": .5})
	r.wantConnected("a", "b")
	r.becomes(connectivity.TransientFailure, "a")
	r.wantConnected("a", "b", "x", "y")
}

func TestChangedPriority(t *testing.T) {
	r := newRig(t, roundRobinConfig())
	r.sites(twoPriorities()...)
	r.becomes(connectivity.Ready, "a", "b")
	list := twoPriorities()
	list[1].priority, list[2].priority = 1, 0
	r.sites(list...)
	r.wantConnected("a", "x")
	r.time.fire()
	r.wantPicks(map[string]float64{"a": 1})
	r.becomes(connectivity.Ready, "x")
	r.time.fire()
	r.wantPicks(map[string]float64{"a": .5, "x": .5})
}

func TestSubsetOfEachPriority(t *testing.T) {
	cfg := Config{LoadBalancing: &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}, SubsetSize: policy.Set(1)}}
	r := newRig(t, cfg)
	r.sites(twoPriorities()...)
	if got := r.ch.Status(); got.Total != 1 || got.Listed != 4 {
		t.Errorf("status = %+v", got)
	}
	first := r.cc.live()[0]
	first.fails(errRefused)
	if got := connected(r.cc); len(got) != 2 || got[1] != "x" && got[1] != "y" {
		t.Errorf("connected to %v, want one endpoint of each priority", got)
	}
	// The one that is chosen stays chosen, wherever it stands in the list.
	list := twoPriorities()
	slices.Reverse(list)
	before := r.cc.live()
	r.sites(list...)
	r.wantKept(before)
	cfg.LoadBalancing = &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}, SubsetSize: policy.Set(0)}
	r.ch.Configure(cfg)
	r.sites(twoPriorities()...)
	r.wantKept(before)
	r.wantConnected("a", "b", "x", "y")
}

// pick_first sees all endpoints, the best priority first; a custom policy sees the subset.
func TestSelectionOfChildren(t *testing.T) {
	r := newRig(t, pickFirstConfig())
	list := []site{{addr: "z", priority: 2}, {addr: "y", priority: 1}, {addr: "x"}}
	r.sites(list...)
	if got := connected(r.cc); !slices.Equal(got, []string{"x"}) {
		t.Errorf("pick_first begins with %v", got)
	}
	cfg := customConfig("round_robin", "{}")
	cfg.LoadBalancing.SubsetSize = policy.Set(2)
	r = newRig(t, cfg)
	r.sites(list...)
	chosen := namesOf(subset(r.ch.list, 2, r.ch.salt))
	slices.Sort(chosen)
	r.wantConnected(chosen...)
	r.must(r.resolve("x", "y", "z"))
	r.wantConnected(chosen...)
	r.lb.Close()
}
