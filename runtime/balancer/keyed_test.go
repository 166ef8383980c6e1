package balancer

import (
	"math"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// Where the calls are divided between two zones a key keeps to its endpoint, the same one in two clients; the zones have
// their shares of the keys, and one that gets more takes keys without giving any away.
func TestKeysKeepToTheirTier(t *testing.T) {
	cfg := consistentHashConfig(100)
	cfg.LoadBalancing.ZoneAware, cfg.Zone = zoneAware().ZoneAware, "here"
	list := []site{{addr: "a", zone: "here"}, {addr: "b", zone: "here"}, {addr: "c", zone: "here"}, {addr: "d", zone: "here"},
		{addr: "x"}, {addr: "y"}}
	ready := func(addrs ...string) *rig {
		r := hashRig(t, cfg)
		r.sites(list...)
		r.becomes(connectivity.Ready, addrs...)
		r.time.fire()
		return r
	}
	endpoint := func(r *rig, key uint64) string {
		res, err := r.cc.last().Picker.Pick(balancer.PickInfo{Ctx: r.ch.withKey(key)})
		r.must(err)
		res.Done(fine)
		return res.SubConn.(*fakeSubConn).addrs[0].Addr
	}
	local := func(addr string) bool { return addr < "x" }
	one, two, later := ready("a", "x", "y"), ready("a", "x", "y"), ready("a", "b", "x", "y")
	const n = 5000
	stay := 0
	for key := range uint64(n) {
		at := endpoint(one, key)
		if again, other := endpoint(one, key), endpoint(two, key); again != at || other != at {
			t.Fatalf("key %d leads to %s, then to %s, and in another client to %s", key, at, again, other)
		}
		if local(at) {
			stay++
		}
		if after := endpoint(later, key); after != at && (local(at) || !local(after)) && after != "b" {
			t.Fatalf("key %d leads to %s, and to %s with b READY as well", key, at, after)
		}
	}
	if want := .25 / .7; math.Abs(float64(stay)/n-want) > .04 {
		t.Errorf("%v of the keys stay in the zone, want %v", float64(stay)/n, want)
	}
}
