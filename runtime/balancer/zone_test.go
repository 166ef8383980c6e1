package balancer

import (
	"testing"

	"google.golang.org/grpc/connectivity"

	"github.com/goresilient/goresilient/runtime/policy"
)

func zoneAware() *policy.LoadBalancing {
	return &policy.LoadBalancing{RoundRobin: &policy.RoundRobin{}, ZoneAware: &policy.ZoneAware{}}
}

func TestLocalShare(t *testing.T) {
	for _, tt := range []struct {
		name                      string
		local, members, elsewhere int
		want                      float64
	}{
		{"all are well", 10, 10, 10, 1},
		{"enough are well", 7, 10, 10, 1},
		{"half are well", 5, 10, 10, 5 / 7.},
		{"nobody is there", 0, 10, 10, 0},
		{"nobody is elsewhere", 1, 10, 0, 1},
	} {
		if got := localShare(tt.local, tt.members, tt.elsewhere, 0.7); got-tt.want > 1e-9 || tt.want-got > 1e-9 {
			t.Errorf("%s: %v stays, want %v", tt.name, got, tt.want)
		}
	}
}

func TestZoneAware(t *testing.T) {
	r := newRig(t, Config{LoadBalancing: zoneAware(), Zone: "here"})
	list := []site{{addr: "a", zone: "here"}, {addr: "b", zone: "here"}, {addr: "c", zone: "there"}, {addr: "d"}}
	r.sites(list...)
	bringUp(r.cc)
	r.time.fire()
	r.wantPicks(map[string]float64{"a": .5, "b": .5})
	r.cc.at(t, "a").becomes(connectivity.Idle)
	r.time.fire()
	r.wantPicks(map[string]float64{"b": .5 / .7, "c": (1 - .5/.7) / 2, "d": (1 - .5/.7) / 2})
	r.cc.at(t, "b").becomes(connectivity.Idle)
	r.time.fire()
	r.wantPicks(map[string]float64{"c": .5, "d": .5})
	bringUp(r.cc)
	for _, addr := range []string{"c", "d"} {
		r.cc.at(t, addr).becomes(connectivity.Idle)
	}
	r.time.fire()
	r.wantPicks(map[string]float64{"a": .5, "b": .5})

	before := r.cc.live()
	list[0].zone, list[1].zone = "", ""
	bringUp(r.cc)
	r.sites(list...)
	r.time.fire()
	r.wantPicks(map[string]float64{"a": .25, "b": .25, "c": .25, "d": .25}) // no local endpoint: all
	list[3].zone = "here"
	r.sites(list...)
	r.time.fire()
	r.wantPicks(map[string]float64{"d": 1})
	r.ch.Configure(roundRobinConfig())
	r.sites(list...)
	r.time.fire()
	r.wantPicks(map[string]float64{"a": .25, "b": .25, "c": .25, "d": .25})
	r.wantKept(before)
}

// What an endpoint that takes no calls, or the ratio, does to the share of a zone takes effect at once.
func TestZoneShareFollows(t *testing.T) {
	cfg := func(ratio float64) Config {
		lb := zoneAware()
		lb.ZoneAware.MinHealthyRatio = policy.Set(ratio)
		return Config{LoadBalancing: lb, Zone: "here"}
	}
	list := []site{{addr: "a", zone: "here"}, {addr: "b", zone: "here"}, {addr: "c"}}
	half := map[string]float64{"a": .5, "c": .5}
	for _, tt := range []struct {
		name string
		then func(*rig)
	}{
		{"the ratio is lower", func(r *rig) {
			r.ch.Configure(cfg(.5))
			r.sites(list...)
		}},
		{"who failed is gone", func(r *rig) { r.sites(list[0], list[2]) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cfg(1))
			r.sites(list...)
			r.becomes(connectivity.Ready, "a", "c")
			r.time.fire()
			r.wantPicks(half)
			tt.then(r)
			r.time.fire()
			r.wantPicks(map[string]float64{"a": 1})
		})
	}
}
