package balancer

import (
	"math"
	"testing"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/policy"
)

func slowStartConfig() Config {
	return Config{LoadBalancing: &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}, SlowStart: &policy.SlowStart{}}}
}

// wantShares checks what EndpointStatus says, in the resolver's order.
func (r *rig) wantShares(want ...float64) {
	r.t.Helper()
	for i, e := range r.ch.Endpoints() {
		if math.Abs(e.Share-want[i]) > 0.005 {
			r.t.Errorf("%s has the share %.3f, want %.3f", e.Endpoint.ID(), e.Share, want[i])
		}
	}
}

func TestSlowStart(t *testing.T) {
	r := newRig(t, slowStartConfig())
	r.must(r.resolve("a", "b", "c"))
	r.becomes(connectivity.Ready, "a", "b")
	r.wantShares(1, 1, 0) // nobody is there to take the calls instead
	r.time.advance(3 * time.Second)
	r.wantShares(1, 1, 0)
	r.time.advance(time.Minute)
	if r.time.open() != 0 {
		t.Error("a timer runs although all have their full share")
	}

	r.becomes(connectivity.Ready, "c")
	r.wantShares(1, 1, .1)
	r.time.fire()
	a, b, c := r.accepted(.1)
	r.wantPicks(map[string]float64{"a": a, "b": b, "c": c})
	r.time.advance(15 * time.Second)
	r.wantShares(1, 1, .55)
	r.time.advance(15 * time.Second)
	r.wantShares(1, 1, 1)
	r.time.fire()
	r.wantPicks(map[string]float64{"a": 1 / 3., "b": 1 / 3., "c": 1 / 3.})

	r.becomes(connectivity.Idle, "a", "b")
	r.becomes(connectivity.Ready, "a")
	r.time.advance(15 * time.Second)
	r.wantShares(.55, 0, 1)
	r.becomes(connectivity.Idle, "c") // the warmest is gone
	r.becomes(connectivity.Ready, "b")
	r.time.advance(300 * time.Millisecond)
	r.wantShares(1, .109/.559, 0)
	r.ch.Configure(roundRobinConfig())
	r.must(r.resolve("a", "b", "c"))
	r.wantShares(1, 1, 0)
	r.lb.Close()
	if r.time.open() != 0 {
		t.Error("Close left a timer")
	}
}

// accepted returns how picks in turn among a, b and c come out if c, with its share, takes a pick only with that
// probability, and a pick that it does not take goes on to the next in turn.
func (r *rig) accepted(share float64) (a, b, c float64) {
	sum := 2 + share
	return 1 / sum, 1 / sum, share / sum
}

// An endpoint that goes and comes back within a tick starts anew, and counts once.
func TestSlowStartOfAFlap(t *testing.T) {
	r := newRig(t, slowStartConfig())
	r.must(r.resolve("a", "b"))
	r.becomes(connectivity.Ready, "a")
	r.time.advance(time.Minute)
	for range 3 {
		r.becomes(connectivity.Ready, "b")
		r.becomes(connectivity.Idle, "b")
	}
	r.becomes(connectivity.Ready, "b")
	r.time.advance(15 * time.Second)
	r.wantShares(1, .55)
	r.time.advance(time.Minute)
	r.wantShares(1, 1)
	if r.time.open() != 0 {
		t.Error("a timer is left")
	}
}

// Endpoints that were READY before slow start was on, or in another group, are warm: one that comes begins with little at once.
func TestSlowStartBesideWarm(t *testing.T) {
	zoned := slowStartConfig()
	zoned.LoadBalancing.ZoneAware, zoned.Zone = &policy.ZoneAware{}, "here"
	for _, tt := range []struct {
		name        string
		before, now Config
	}{
		{"slow start is new", roundRobinConfig(), slowStartConfig()},
		{"the group is new", slowStartConfig(), zoned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := []site{{addr: "a", zone: "here"}, {addr: "b", zone: "here"}, {addr: "c", zone: "here"}}
			r := newRig(t, tt.before)
			r.sites(list...)
			r.becomes(connectivity.Ready, "a", "b")
			r.time.advance(time.Hour)
			r.ch.Configure(tt.now)
			r.sites(list...)
			r.becomes(connectivity.Ready, "c")
			r.wantShares(1, 1, .1)
		})
	}
}
